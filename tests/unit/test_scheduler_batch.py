"""Merging the requests of one model into one run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, new_deferred
from edgeflow.host.port import Deferred
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import Batcher, SchedulerEvent, SchedulerOptions
from edgeflow.runtime.scheduler_task import RunContext, Task


class OneAlarm:
    """A clock for one alarm at a time, which is rung by hand."""

    def __init__(self) -> None:
        self.time: float = 0.0
        self.when: float | None = None
        self.callback: Callable[[], None] | None = None

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        assert self.when is None
        self.when = when
        self.callback = callback
        return self.forget

    def forget(self) -> None:
        self.when = None

    def jump(self, ms: float) -> None:
        self.time += ms
        if self.when is not None and self.when <= self.time and self.callback is not None:
            self.when = None
            self.callback()


class Doubler:
    """A model: lists of numbers of one length are doubled, several of them as one longer list. A 13 breaks the run."""

    def __init__(self) -> None:
        self.runs: list[list[float]] = []
        self.gate: Deferred | None = None
        self.discarded: list[object] = []
        self.context: RunContext | None = None

    async def run(self, request: list[float], context: RunContext) -> list[float]:
        self.runs.append(request)
        self.context = context
        if self.gate is not None:
            await self.gate.result()
        if 13 in request:
            raise ValueError('unlucky')
        return [2 * x for x in request]

    def key(self, request: list[float]) -> str | None:
        return None if len(request) == 0 else str(len(request))

    def merge(self, requests: list[list[float]]) -> list[float]:
        return [x for request in requests for x in request]

    def split(self, result: list[float], requests: list[list[float]]) -> list[object]:
        parts: list[object] = []
        start = 0
        for request in requests:
            parts.append(result[start:start + len(request)])
            start += len(request)
        return parts

    def batcher(self) -> Batcher:
        return Batcher(self.run, self.key, self.merge, self.split, lambda value: self.discarded.append(value))


async def nothing() -> None:
    return None


async def settle() -> None:
    for i in range(10):
        await gather([nothing()])


def set_up(size: int, wait: float = 0.0) -> tuple[Scheduler, Doubler, OneAlarm]:
    clock = OneAlarm()
    scheduler = Scheduler(clock, SchedulerOptions(max_concurrent=1, batch_size=size, batch_wait=wait))
    model = Doubler()
    scheduler.register_model('m', batcher=model.batcher())
    return scheduler, model, clock


async def held_up(scheduler: Scheduler, model: Doubler, requests: list[list[float]]) -> list[Task]:
    """Schedule requests while the slot is taken, then free it."""
    gate = new_deferred()
    model.gate = gate
    blocker = scheduler.schedule_batch('m', [])
    tasks = [scheduler.schedule_batch('m', request) for request in requests]
    await settle()
    model.gate = None
    model.runs = []
    gate.resolve(None)
    await blocker.result()
    return tasks


async def test_off_by_default() -> None:
    scheduler, model, clock = set_up(1)
    tasks = await held_up(scheduler, model, [[1.0], [2.0], [3.0]])
    assert await gather([task.result() for task in tasks]) == [[2.0], [4.0], [6.0]]
    assert model.runs == [[1.0], [2.0], [3.0]]


async def test_equal_shapes_are_one_run() -> None:
    scheduler, model, clock = set_up(3)
    tasks = await held_up(scheduler, model, [[1.0], [2.0], [3.0], [4.0]])
    assert await gather([task.result() for task in tasks]) == [[2.0], [4.0], [6.0], [8.0]]
    assert model.runs == [[1.0, 2.0, 3.0], [4.0]]


async def test_another_shape_is_not_overtaken() -> None:
    scheduler, model, clock = set_up(8)
    tasks = await held_up(scheduler, model, [[1.0], [2.0], [3.0, 4.0], [5.0], [], [], [6.0]])
    assert await gather([task.result() for task in tasks]) == [[2.0], [4.0], [6.0, 8.0], [10.0], [], [], [12.0]]
    assert model.runs == [[1.0, 2.0], [3.0, 4.0], [5.0], [], [], [6.0]]


async def test_another_priority_is_another_batch() -> None:
    scheduler, model, clock = set_up(8)
    gate = new_deferred()
    model.gate = gate
    blocker = scheduler.schedule_batch('m', [])
    tasks = [scheduler.schedule_batch('m', [float(i)], priority=priority) for i, priority in enumerate(['low', 'high', 'low', 'high'])]
    gate.resolve(None)
    await blocker.result()
    assert await gather([task.result() for task in tasks]) == [[0.0], [2.0], [4.0], [6.0]]
    assert model.runs[1:] == [[1.0, 3.0], [0.0, 2.0]]


async def test_a_waiting_member_that_is_cancelled_is_not_merged() -> None:
    scheduler, model, clock = set_up(3)
    gate = new_deferred()
    model.gate = gate
    scheduler.schedule_batch('m', [])
    tasks = [scheduler.schedule_batch('m', [float(i)]) for i in range(4)]
    await settle()
    tasks[1].cancel()
    gate.resolve(None)
    assert await gather([tasks[0].result(), tasks[2].result(), tasks[3].result()]) == [[0.0], [4.0], [6.0]]
    assert model.runs[1:] == [[0.0, 2.0, 3.0]]


async def test_a_running_member_that_is_cancelled_leaves_the_others_alone() -> None:
    scheduler, model, clock = set_up(3, 5.0)
    gate = new_deferred()
    model.gate = gate
    tasks = [scheduler.schedule_batch('m', [float(i)]) for i in range(3)]
    await settle()
    assert [task.status for task in tasks] == ['running', 'running', 'running']
    tasks[0].cancel()
    assert tasks[0].status == 'cancelled'
    context = model.context
    assert context is not None and not context.cancelled()
    gate.resolve(None)
    assert await gather([tasks[1].result(), tasks[2].result()]) == [[2.0], [4.0]]
    assert model.discarded == [[0.0]]


async def test_a_run_that_nobody_wants_any_more_is_cancelled() -> None:
    scheduler, model, clock = set_up(3, 5.0)
    gate = new_deferred()
    model.gate = gate
    tasks = [scheduler.schedule_batch('m', [float(i)]) for i in range(3)]
    await settle()
    tasks[1].cancel()
    tasks[0].cancel()
    context = model.context
    assert context is not None and not context.cancelled()
    tasks[2].cancel()
    assert context.cancelled()
    assert [task.status for task in tasks] == ['cancelled', 'cancelled', 'running']
    gate.resolve(None)
    await settle()
    assert tasks[2].status == 'cancelled'
    assert model.discarded == [[0.0, 2.0, 4.0]]
    assert scheduler.statistics().busy == 0


async def test_a_merged_run_that_fails_is_run_again_one_by_one() -> None:
    scheduler, model, clock = set_up(4)
    events: list[SchedulerEvent] = []
    scheduler.on_event(lambda event: events.append(event))
    tasks = await held_up(scheduler, model, [[1.0], [13.0], [3.0]])
    assert await tasks[0].result() == [2.0]
    with pytest.raises(ValueError, match='unlucky'):
        await tasks[1].result()
    assert await tasks[2].result() == [6.0]
    assert model.runs == [[1.0, 13.0, 3.0], [1.0], [13.0], [3.0]]
    assert [event.task for event in events if event.kind == 'requeued'] == [2, 3, 4]
    total = scheduler.statistics().total
    assert (total.submitted, total.done, total.failed, total.queued, total.running) == (4, 3, 1, 0, 0)


async def test_a_batch_waits_for_company_but_not_for_ever() -> None:
    scheduler, model, clock = set_up(3, 10.0)
    tasks = [scheduler.schedule_batch('m', [1.0])]
    clock.jump(4)
    tasks.append(scheduler.schedule_batch('m', [2.0]))
    await settle()
    assert model.runs == []
    clock.jump(6)
    await settle()
    assert model.runs == [[1.0, 2.0]]
    assert await gather([task.result() for task in tasks]) == [[2.0], [4.0]]


async def test_a_full_batch_and_one_with_something_behind_it_start_at_once() -> None:
    scheduler, model, clock = set_up(2, 10.0)
    for i in range(2):
        scheduler.schedule_batch('m', [float(i)])
    await settle()
    assert model.runs == [[0.0, 1.0]]
    scheduler.schedule_batch('m', [2.0])
    await settle()
    assert len(model.runs) == 1
    scheduler.schedule_batch('m', [3.0, 4.0])
    await settle()
    assert model.runs[1] == [2.0]
    clock.jump(10)
    await settle()
    assert model.runs[2:] == [[3.0, 4.0]]


async def test_a_batch_does_not_wait_past_the_deadline_of_its_first_member() -> None:
    scheduler, model, clock = set_up(2, 10.0)
    task = scheduler.schedule_batch('m', [1.0], deadline=8.0)
    await settle()
    assert await task.result() == [2.0]


async def test_a_split_that_loses_results_is_no_result() -> None:
    scheduler, model, clock = set_up(4)
    lossy = Batcher(model.run, model.key, model.merge, lambda result, requests: [result])
    scheduler.register_model('m', batcher=lossy)
    tasks = await held_up(scheduler, model, [[1.0], [2.0]])
    assert await gather([task.result() for task in tasks]) == [[2.0], [4.0]]
    assert model.runs == [[1.0, 2.0], [1.0], [2.0]]


async def test_a_batch_needs_a_batcher() -> None:
    scheduler = Scheduler(OneAlarm())
    with pytest.raises(EdgeflowError, match='batcher') as e:
        scheduler.schedule_batch('m', [1.0])
    assert e.value.code == 'invalid-argument'


async def test_a_batcher_may_have_its_own_size_and_wait() -> None:
    scheduler, model, clock = set_up(1)
    own = Batcher(model.run, model.key, model.merge, model.split, None, None, 2, 10.0)
    scheduler.register_model('m', batcher=own)
    tasks = [scheduler.schedule_batch('m', [1.0])]
    await settle()
    assert model.runs == [], 'it waits for company'
    tasks.append(scheduler.schedule_batch('m', [2.0]))
    tasks.append(scheduler.schedule_batch('m', [3.0]))
    assert await gather([task.result() for task in tasks[:2]]) == [[2.0], [4.0]]
    clock.jump(10)
    assert await tasks[2].result() == [6.0]
    assert model.runs == [[1.0, 2.0], [3.0]]


async def test_what_blames_no_member_fails_all_of_them() -> None:
    scheduler, model, clock = set_up(4)
    unlucky = Batcher(model.run, model.key, model.merge, model.split, None, lambda error: not isinstance(error, ValueError))
    scheduler.register_model('m', batcher=unlucky)
    tasks = await held_up(scheduler, model, [[1.0], [13.0], [3.0]])
    for task in tasks:
        with pytest.raises(ValueError, match='unlucky'):
            await task.result()
    assert model.runs == [[1.0, 13.0, 3.0]]
    assert scheduler.statistics().total.failed == 3
