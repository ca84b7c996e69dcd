"""Finished tasks are let go of, and the memory of the scheduler does not grow with what it has done."""

from __future__ import annotations

import gc
import tracemalloc
import weakref

import pytest

from edgeflow.host.platform import new_abort_controller, sleep
from edgeflow.host.port import AbortSignal
from edgeflow.runtime.page import HostClock
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import SchedulerOptions
from edgeflow.runtime.scheduler_task import RunContext, Task


class Held:
    """Something that work refers to."""


async def one(scheduler: Scheduler, held: Held, ending: str, signal: AbortSignal) -> Task:
    async def work(context: RunContext) -> object:
        if ending == 'failed':
            raise ValueError(str(held))
        while ending != 'done' and not context.cancelled():
            await sleep(0)
        return None

    deadline = HostClock().now() + 5 if ending == 'timed-out' else None
    task = scheduler.schedule('m', work, signal=signal, deadline=deadline)
    if ending == 'cancelled':
        await sleep(0)
        task.cancel()
    try:
        await task.result()
    except Exception:
        pass
    assert task.status == ending
    return task


@pytest.mark.parametrize('ending', ['done', 'failed', 'cancelled', 'timed-out'])
async def test_an_ended_task_is_held_by_its_caller_only_and_holds_no_work(ending: str) -> None:
    scheduler = Scheduler(HostClock(), SchedulerOptions(timeout=60000.0))
    controller = new_abort_controller()
    held = Held()
    gone = weakref.ref(held)
    task = await one(scheduler, held, ending, controller.signal)
    del held
    await sleep(0)
    if ending != 'done':
        # The traceback of its error refers to the frames that it went through.
        task._error.__traceback__ = None
    gc.collect()
    assert gone() is None, 'the task or the scheduler still refers to the work'
    task_gone = weakref.ref(task)
    del task
    gc.collect()
    assert task_gone() is None, 'the scheduler still refers to the task'


async def test_memory_does_not_grow() -> None:
    scheduler = Scheduler(HostClock(), SchedulerOptions(max_concurrent=2, timeout=60000.0))
    controller = new_abort_controller()

    async def work(context: RunContext) -> object:
        return None

    async def many(count: int) -> None:
        for i in range(count):
            tasks = [scheduler.schedule(f'm{j % 3}', work, signal=controller.signal) for j in range(6)]
            tasks[i % 6].cancel()
        await scheduler.idle()

    await many(300)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    await many(1000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert scheduler.statistics().total.submitted == 7800
    assert grown < 20000, f'{grown} bytes after 6,000 tasks'
