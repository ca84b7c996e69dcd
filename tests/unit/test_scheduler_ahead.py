"""What the scheduler hands over before its turn: the next of a full lane while every slot is taken, and how it is taken back."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.host.platform import gather, new_deferred, pause
from edgeflow.host.port import Deferred
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import Priority, SchedulerOptions
from edgeflow.runtime.scheduler_task import RunContext, Task


class StillClock:
    """scheduler_records.Clock on which nothing ever comes due."""

    def now(self) -> float:
        return 0.0

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        return lambda: None


class Place:
    """Two models with a lane each for as many slots. log: what was handed over ('a2 ahead') and taken back ('a2 back'), and what began ('a2')."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.ends: dict[str, Deferred] = {}
        self.scheduler: Scheduler = Scheduler(StillClock(), SchedulerOptions(max_concurrent=2))

    def add(self, name: str, priority: Priority = 'normal') -> Task:
        """A task of the model that the name begins with."""
        return self.scheduler.schedule(name[0], lambda context: self.work(name), priority=priority, ahead=lambda: self.ahead(name))

    def send(self, name: str) -> Task:
        """The same, of one that may be sent as it starts."""
        return self.scheduler.schedule(name[0], lambda context: self.work(name), ahead=lambda: self.ahead(name), send=lambda: self.ahead(name, 'sent'))

    async def work(self, name: str) -> object:
        self.log.append(name)
        self.ends[name] = new_deferred()
        return await self.ends[name].result()

    def ahead(self, name: str, how: str = 'ahead') -> Callable[[], None]:
        self.log.append(f'{name} {how}')
        return lambda: self.log.append(f'{name} back')

    async def heard(self) -> list[str]:
        """What happened since it was last asked."""
        for _ in range(3):
            await pause()
        heard = list(self.log)
        self.log.clear()
        return heard


async def test_the_next_of_a_full_lane_is_handed_over_once_and_begins_at_its_turn() -> None:
    place = Place()
    place.add('a1')
    place.add('b1')
    assert await place.heard() == ['a1', 'b1']
    place.add('a2')
    place.add('a3')
    assert await place.heard() == ['a2 ahead']
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a3 ahead', 'a2']


async def test_with_an_idle_slot_nothing_is_handed_over() -> None:
    place = Place()
    place.add('a1')
    place.add('a2')
    assert await place.heard() == ['a1'], 'the slot may help a1'
    place.add('b1')
    assert await place.heard() == ['a2 ahead', 'b1']
    place.ends['b1'].resolve(None)
    assert await place.heard() == ['a2 back'], 'and now a2'
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a2']


async def test_with_a_task_of_another_lane_before_it_nothing_is_handed_over() -> None:
    place = Place()
    for name in ['a1', 'b1', 'c1', 'a2']:
        place.add(name)
    assert await place.heard() == ['a1', 'b1'], 'the next slot is for c1'


async def test_what_is_overtaken_is_taken_back() -> None:
    place = Place()
    for name in ['a1', 'b1', 'a2']:
        place.add(name)
    await place.heard()
    place.add('a3', 'critical')
    assert await place.heard() == ['a2 back', 'a3 ahead']
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a3']
    place.ends['a3'].resolve(None)
    assert await place.heard() == ['a2'], 'each is handed over once'


async def test_what_is_cancelled_or_moved_is_taken_back() -> None:
    place = Place()
    place.add('a1')
    place.add('b1')
    task = place.add('a2')
    place.add('a3')
    await place.heard()
    assert task.cancel()
    assert await place.heard() == ['a2 back', 'a3 ahead']
    place.scheduler.register_model('a', lane='worker 7')
    assert (await place.heard())[0] == 'a3 back'


async def test_one_that_cannot_be_handed_over_waits_as_any_other() -> None:
    place = Place()
    place.add('a1')
    place.add('b1')
    await place.heard()

    def fail() -> Callable[[], None]:
        place.log.append('a2 fails')
        raise ValueError('no')

    task = place.scheduler.schedule('a', lambda context: place.work('a2'), ahead=fail)
    plain = place.scheduler.schedule('a', answer)
    assert await place.heard() == ['a2 fails']
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a2']
    place.ends['a2'].resolve('done')
    assert await gather([task.result(), plain.result()]) == ['done', 'plain']


async def test_what_starts_is_sent_before_schedule_returns() -> None:
    place = Place()
    place.send('a1')
    assert place.log == ['a1 sent']
    assert await place.heard() == ['a1 sent', 'a1']
    place.send('a2')
    place.send('b1')
    assert await place.heard() == ['b1 sent', 'a2 ahead', 'b1']
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a2'], 'each is handed over once'


async def test_what_waited_without_being_handed_over_is_sent_as_it_starts() -> None:
    place = Place()
    place.send('a1')
    place.send('a2')
    await place.heard()
    place.ends['a1'].resolve(None)
    assert await place.heard() == ['a2 sent', 'a2']


async def test_what_is_cancelled_before_its_work_begins_is_taken_back() -> None:
    place = Place()
    task = place.send('a1')
    assert task.cancel()
    assert await place.heard() == ['a1 sent', 'a1 back']
    assert task.status == 'cancelled'


async def answer(context: RunContext) -> object:
    return 'plain'
