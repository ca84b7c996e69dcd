"""The scheduler: limits, order, cancelling, deadlines, failures, events, statistics.

One file because it is the specification of one class, in the order of its documentation.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, new_abort_controller, new_deferred
from edgeflow.host.port import Deferred
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import SchedulerEvent, SchedulerOptions
from edgeflow.runtime.scheduler_task import RunContext, Task


class MockClock:
    """A clock that stands still until it is told to jump; then it calls what is due on the way, each at its time."""

    def __init__(self) -> None:
        self.time: float = 0.0
        self.calls: dict[int, Callable[[], None]] = {}
        self.times: dict[int, float] = {}
        self.count: int = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        self.count += 1
        number = self.count
        self.calls[number] = callback
        self.times[number] = when
        return lambda: self.forget(number)

    def forget(self, number: int) -> None:
        self.calls.pop(number, None)
        self.times.pop(number, None)

    def jump(self, ms: float) -> None:
        target = self.time + ms
        while True:
            due = [number for number in self.calls if self.times[number] <= target]
            if len(due) == 0:
                break
            number = min(due, key=lambda n: (self.times[n], n))
            self.time = max(self.time, self.times[number])
            callback = self.calls[number]
            self.forget(number)
            callback()
        self.time = target


class Work:
    """Work that ends when the test says so. log: gets its name when it starts."""

    def __init__(self, name: str, log: list[str], obedient: bool = True) -> None:
        self.name: str = name
        self.log: list[str] = log
        self.obedient: bool = obedient
        self.end: Deferred = new_deferred()
        self.context: RunContext | None = None

    async def run(self, context: RunContext) -> object:
        self.context = context
        self.log.append(self.name)
        if self.obedient:
            context.on_cancel(lambda: self.end.reject(EdgeflowError('aborted', 'stopped', {})))
        return await self.end.result()


async def nothing() -> None:
    return None


async def settle() -> None:
    """Let everything happen that waits for nothing but its turn."""
    for i in range(10):
        await gather([nothing()])


async def code_of(task: Task) -> str:
    with pytest.raises(EdgeflowError) as e:
        await task.result()
    return e.value.code


async def test_a_task_from_its_arrival_to_its_result() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock)
    log: list[str] = []
    work = Work('a', log)
    clock.jump(5)
    task = scheduler.schedule('m', work.run)
    assert (task.id, task.model_id, task.priority, task.status) == (1, 'm', 'normal', 'running')
    assert (task.queued_at, task.started_at, task.ended_at) == (5.0, 5.0, None)
    clock.jump(7)
    work.end.resolve('answer')
    assert await task.result() == 'answer'
    assert await task.result() == 'answer'
    assert (task.status, task.ended_at) == ('done', 12.0)
    assert not task.cancel()


async def test_one_run_a_model_and_so_many_in_all() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=2))
    log: list[str] = []
    works = [Work(name, log) for name in ['a1', 'a2', 'b1', 'c1']]
    for work in works:
        scheduler.schedule(work.name[0], work.run)
    await settle()
    assert log == ['a1', 'b1']
    works[2].end.resolve(None)
    await settle()
    assert log == ['a1', 'b1', 'c1']
    works[0].end.resolve(None)
    await settle()
    assert log == ['a1', 'b1', 'c1', 'a2']


async def test_no_barrier_behind_the_slow_task_of_another_model() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=2))
    log: list[str] = []
    slow = Work('slow', log)
    scheduler.schedule('slow', slow.run)
    quick = [Work(f'q{i}', log) for i in range(5)]
    tasks = [scheduler.schedule('quick', work.run) for work in quick]
    for i in range(5):
        await settle()
        assert log == ['slow', *[f'q{j}' for j in range(i + 1)]]
        quick[i].end.resolve(i)
    assert await gather([task.result() for task in tasks]) == [0, 1, 2, 3, 4]
    assert scheduler.statistics().busy == 1


async def test_models_may_share_a_lane() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=3))
    for model in ['a', 'b']:
        scheduler.register_model(model, lane='worker 1')
    log: list[str] = []
    works = [Work(name, log) for name in ['a', 'b', 'c']]
    for work in works:
        scheduler.schedule(work.name, work.run)
    await settle()
    assert log == ['a', 'c']
    works[0].end.resolve(None)
    await settle()
    assert log == ['a', 'c', 'b']


async def test_what_waits_moves_with_its_model_to_another_lane() -> None:
    scheduler = Scheduler(MockClock())
    scheduler.register_model('a', lane='worker 1')
    scheduler.register_model('b', lane='worker 1')
    log: list[str] = []
    works = [Work(name, log) for name in ['a', 'b', 'b2']]
    for work in works:
        scheduler.schedule(work.name[0], work.run)
    await settle()
    assert log == ['a']
    scheduler.register_model('b', lane='worker 2')
    await settle()
    assert log == ['a', 'b']
    works[1].end.resolve(None)
    await settle()
    assert log == ['a', 'b', 'b2']


async def test_priority_holds_across_models_and_ties_are_first_in_first_out() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=1))
    log: list[str] = []
    first = Work('first', log)
    scheduler.schedule('m', first.run)
    names = ['low a', 'normal b', 'high a', 'critical c', 'normal a', 'critical a', 'high b', 'low c']
    works = {name: Work(name, log) for name in names}
    for name in names:
        priority, model = name.split(' ')
        scheduler.schedule(model, works[name].run, priority=priority)
    order = ['critical c', 'critical a', 'high a', 'high b', 'normal b', 'normal a', 'low a', 'low c']
    first.end.resolve(None)
    for i in range(len(order)):
        await settle()
        assert log[1:] == order[:i + 1]
        works[order[i]].end.resolve(None)


async def test_critical_behind_a_hundred_normal_ones_is_next() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock, SchedulerOptions(max_concurrent=1))
    log: list[str] = []
    works = [Work(str(i), log) for i in range(100)]
    for work in works:
        scheduler.schedule('m', work.run)
    clock.jump(60000)
    urgent = Work('urgent', log)
    scheduler.schedule('other', urgent.run, priority='critical')
    works[0].end.resolve(None)
    await settle()
    assert log == ['0', 'urgent']


@pytest.mark.parametrize(('low', 'fresh', 'bound'), [
    ('low', 'normal', 1000), ('low', 'high', 2000), ('low', 'critical', 32000), ('normal', 'high', 1000),
    ('normal', 'critical', 31000), ('high', 'critical', 30000),
])
async def test_nothing_that_comes_later_than_the_bound_goes_before(low: str, fresh: str, bound: int) -> None:
    for late in [-1, 0]:
        clock = MockClock()
        scheduler = Scheduler(clock, SchedulerOptions(max_concurrent=1, aging=1000.0))
        log: list[str] = []
        running = Work('running', log)
        scheduler.schedule('m', running.run)
        scheduler.schedule('m', Work('old', log).run, priority=low)
        clock.jump(bound + late)
        scheduler.schedule('other', Work('fresh', log).run, priority=fresh)
        running.end.resolve(None)
        await settle()
        assert log == ['running', 'old' if late == 0 else 'fresh']


async def test_a_low_task_starts_under_an_endless_stream_of_high_ones() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock, SchedulerOptions(max_concurrent=1, aging=100.0))
    log: list[str] = []
    current = Work('high', log)
    scheduler.schedule('busy', current.run, priority='high')
    low = scheduler.schedule('idle', Work('low', log).run, priority='low')
    while low.started_at is None:
        following = Work('high', log)
        scheduler.schedule('busy', following.run, priority='high')
        clock.jump(10)
        current.end.resolve(None)
        current = following
        await settle()
        assert clock.time < 1000
    assert low.started_at == 210.0


async def test_cancelling_a_waiting_task_works_at_once() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    works = [Work(name, log) for name in ['a', 'b', 'c']]
    tasks = [scheduler.schedule('m', work.run) for work in works]
    assert tasks[1].cancel()
    assert tasks[1].status == 'cancelled'
    assert not tasks[1].cancel()
    assert await code_of(tasks[1]) == 'aborted'
    works[0].end.resolve(None)
    await settle()
    assert log == ['a', 'c']


async def test_a_running_task_keeps_its_slot_until_the_work_has_stopped() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    discarded: list[object] = []
    stubborn = Work('stubborn', log, False)
    task = scheduler.schedule('m', stubborn.run, discard=lambda value: discarded.append(value))
    following = scheduler.schedule('m', Work('next', log).run)
    await settle()
    assert task.cancel()
    assert not task.cancel()
    await settle()
    assert stubborn.context is not None and stubborn.context.cancelled()
    assert (task.status, following.status, log) == ('running', 'queued', ['stubborn'])
    stubborn.end.resolve('late result')
    assert await code_of(task) == 'aborted'
    await settle()
    assert (task.status, following.status, log) == ('cancelled', 'running', ['stubborn', 'next'])
    assert discarded == ['late result']


async def test_an_obedient_running_task_stops_at_its_next_step() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    task = scheduler.schedule('m', Work('a', log).run)
    following = scheduler.schedule('m', Work('b', log).run)
    await settle()
    task.cancel()
    assert await code_of(task) == 'aborted'
    await settle()
    assert following.status == 'running'


async def test_work_that_asks_late_hears_of_the_cancellation_at_once() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    work = Work('a', log, False)
    task = scheduler.schedule('m', work.run)
    await settle()
    task.cancel()
    heard: list[str] = []
    context = work.context
    assert context is not None
    context.on_cancel(lambda: heard.append('now'))
    assert heard == ['now']
    assert context.reason is not None and context.reason.code == 'aborted'
    work.end.reject(ValueError('broke while stopping'))
    with pytest.raises(EdgeflowError) as e:
        await task.result()
    assert e.value.code == 'aborted'
    assert str(e.value.details['cause']) == 'broke while stopping'


async def test_signals() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    controller = new_abort_controller()
    running = scheduler.schedule('m', Work('a', log).run, signal=controller.signal)
    waiting = scheduler.schedule('m', Work('b', log).run, signal=controller.signal)
    other = scheduler.schedule('m', Work('c', log).run)
    await settle()
    controller.abort()
    assert waiting.status == 'cancelled'
    assert [await code_of(running), await code_of(waiting)] == ['aborted', 'aborted']
    late = scheduler.schedule('m', Work('d', log).run, signal=controller.signal)
    assert late.status == 'cancelled'
    assert await code_of(late) == 'aborted'
    assert (other.status, log) == ('running', ['a', 'c'])


async def test_deadlines_of_waiting_and_running_tasks() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock)
    log: list[str] = []
    stubborn = Work('a', log, False)
    running = scheduler.schedule('m', stubborn.run, deadline=50.0)
    waiting = scheduler.schedule('m', Work('b', log).run, deadline=30.0)
    patient = scheduler.schedule('m', Work('c', log).run, deadline=5000.0)
    await settle()
    clock.jump(29)
    assert waiting.status == 'queued'
    clock.jump(1)
    assert (waiting.status, waiting.ended_at) == ('timed-out', 30.0)
    assert await code_of(waiting) == 'timeout'
    clock.jump(30)
    assert running.status == 'running'
    stubborn.end.resolve('too late')
    assert await code_of(running) == 'timeout'
    await settle()
    assert (running.status, patient.status, log) == ('timed-out', 'running', ['a', 'c'])
    past = scheduler.schedule('other', Work('d', log).run, deadline=60.0)
    assert (past.status, log) == ('timed-out', ['a', 'c'])


async def test_the_default_timeout_and_no_alarm_left_behind() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock, SchedulerOptions(timeout=100.0))
    log: list[str] = []
    work = Work('a', log)
    task = scheduler.schedule('m', work.run)
    longer = scheduler.schedule('m', Work('b', log).run, deadline=150.0)
    work.end.resolve(1)
    assert await task.result() == 1
    clock.jump(149)
    assert (longer.status, task.status) == ('running', 'done')
    clock.jump(1)
    assert await code_of(longer) == 'timeout'
    assert len(clock.calls) == 0


async def test_a_task_whose_deadline_has_come_does_not_start_though_the_alarm_is_late() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock)
    log: list[str] = []
    work = Work('a', log)
    scheduler.schedule('m', work.run)
    waiting = scheduler.schedule('m', Work('b', log).run, deadline=10.0)
    clock.time = 20.0
    work.end.resolve(None)
    await settle()
    assert (waiting.status, log) == ('timed-out', ['a'])


async def test_a_failure_ends_its_own_task_only() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    bad = Work('bad', log)
    good = Work('good', log)

    def broken(context: RunContext) -> object:
        raise KeyError('before the first step')

    tasks = [scheduler.schedule('m', bad.run), scheduler.schedule('m', broken), scheduler.schedule('m', good.run)]
    bad.end.reject(ValueError('wrong data'))
    with pytest.raises(ValueError, match='wrong data'):
        await tasks[0].result()
    with pytest.raises(KeyError):
        await tasks[1].result()
    good.end.resolve('fine')
    assert await tasks[2].result() == 'fine'
    assert [task.status for task in tasks] == ['failed', 'failed', 'done']


async def test_a_failure_that_nobody_asks_for_troubles_nobody() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    events: list[SchedulerEvent] = []
    scheduler.on_event(lambda event: events.append(event))
    bad = Work('bad', log)
    scheduler.schedule('m', bad.run)
    bad.end.reject(ValueError('wrong data'))
    await settle()
    assert [event.kind for event in events] == ['queued', 'started', 'failed']
    assert str(events[2].error) == 'wrong data'


async def test_events_and_listeners_that_schedule_and_fail() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock)
    log: list[str] = []
    seen: list[tuple[str, int, float, str]] = []
    following = Work('second', log)

    def listen(event: SchedulerEvent) -> None:
        seen.append((event.kind, event.task, event.time, event.lane))
        if event.kind == 'done' and event.task == 1:
            scheduler.schedule('m', following.run)

    stop = scheduler.on_event(listen)
    first = Work('first', log)
    task = scheduler.schedule('m', first.run)
    clock.jump(3)
    first.end.resolve(None)
    await task.result()
    await settle()
    assert seen == [
        ('queued', 1, 0.0, 'm'), ('started', 1, 0.0, 'm'), ('done', 1, 3.0, 'm'), ('queued', 2, 3.0, 'm'), ('started', 2, 3.0, 'm'),
    ]
    stop()
    following.end.resolve(None)
    await settle()
    assert len(seen) == 5


async def test_work_that_knows_how_long_it_ran_is_believed() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock)
    events: list[SchedulerEvent] = []
    scheduler.on_event(lambda event: events.append(event))

    async def known(context: RunContext) -> object:
        clock.jump(70)
        context.ran = 8.0
        return None

    async def unknown(context: RunContext) -> object:
        clock.jump(5)
        return None

    await scheduler.schedule('m', known).result()
    await scheduler.schedule('m', unknown).result()
    assert [(event.kind, event.ran) for event in events if event.kind != 'queued'] == [
        ('started', None), ('done', 8.0), ('started', None), ('done', 5.0),
    ]
    run = scheduler.statistics().models['m'].run
    assert [run.count, run.p50, run.highest] == [2, 5.0, 8.0]


async def test_statistics_are_records_of_their_moment() -> None:
    clock = MockClock()
    scheduler = Scheduler(clock, SchedulerOptions(max_concurrent=1))
    log: list[str] = []
    works = [Work(name, log) for name in ['a', 'b', 'b']]
    tasks = [scheduler.schedule(work.name, work.run) for work in works]
    clock.jump(10)
    works[0].end.resolve(None)
    await tasks[0].result()
    await settle()
    before = scheduler.statistics()
    assert (before.slots, before.busy) == (1, 1)
    assert (before.total.submitted, before.total.queued, before.total.running, before.total.done) == (3, 1, 1, 1)
    assert list(before.models.keys()) == ['a', 'b']
    assert (before.models['b'].wait.count, before.models['b'].wait.p50, before.models['a'].run.highest) == (1, 10.0, 10.0)
    tasks[2].cancel()
    clock.jump(5)
    works[1].end.reject(ValueError('no'))
    await settle()
    after = scheduler.statistics()
    assert (before.total.queued, before.models['b'].running) == (1, 1)
    assert (after.total.queued, after.total.running, after.total.done, after.total.failed, after.total.cancelled) == (0, 0, 1, 1, 1)
    assert (after.busy, after.models['b'].submitted, after.models['b'].failed) == (0, 2, 1)


async def test_removing_a_model_ends_its_tasks_and_waits_for_its_work() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=1))
    log: list[str] = []
    stubborn = Work('a', log, False)
    running = scheduler.schedule('m', stubborn.run)
    waiting = scheduler.schedule('m', Work('b', log).run)
    other = scheduler.schedule('other', Work('c', log).run)
    await settle()
    scheduler.remove_model('m')
    assert await code_of(waiting) == 'disposed'
    with pytest.raises(EdgeflowError) as e:
        scheduler.schedule('m', Work('d', log).run)
    assert e.value.code == 'disposed'
    gone = scheduler.idle('m')
    stubborn.end.resolve(None)
    await gone
    assert await code_of(running) == 'disposed'
    await settle()
    assert (other.status, log) == ('running', ['a', 'c'])
    assert list(scheduler.statistics().models.keys()) == ['other']
    assert scheduler.statistics().total.cancelled == 2
    again = scheduler.schedule('m', Work('e', log).run)
    assert again.status == 'queued'


async def test_closing_differs_from_cancelling_and_failing() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=1))
    log: list[str] = []
    tasks = [scheduler.schedule(name, Work(name, log).run) for name in ['a', 'b', 'c']]
    await settle()
    scheduler.close()
    scheduler.close()
    await scheduler.idle()
    assert [await code_of(task) for task in tasks] == ['closed', 'closed', 'closed']
    assert log == ['a']
    with pytest.raises(EdgeflowError) as e:
        scheduler.schedule('a', Work('d', log).run)
    assert e.value.code == 'closed'
    assert scheduler.statistics().total.cancelled == 3


async def test_spare_slots_are_lent_only_while_nothing_waits() -> None:
    scheduler = Scheduler(MockClock(), SchedulerOptions(max_concurrent=4))
    log: list[str] = []
    works = [Work(name, log) for name in ['a', 'b', 'b', 'c', 'd', 'e']]
    scheduler.schedule('a', works[0].run)
    await settle()
    context = works[0].context
    assert context is not None
    assert context.spare_slots() == 3
    for work in works[1:3]:
        scheduler.schedule(work.name, work.run)
    assert context.spare_slots() == 1
    for work in works[3:]:
        scheduler.schedule(work.name, work.run)
    assert context.spare_slots() == 0


async def test_unknown_priorities_name_the_nearest() -> None:
    scheduler = Scheduler(MockClock())
    log: list[str] = []
    with pytest.raises(EdgeflowError, match="did you mean 'critical'") as e:
        scheduler.schedule('m', Work('a', log).run, priority='crytical')
    assert e.value.code == 'invalid-argument'
    assert scheduler.statistics().total.submitted == 0
