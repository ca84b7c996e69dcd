"""A scheduler driven by a script, with a log of all that it did.

tests/scheduler makes random scripts, plays them here in CPython and in Node, and compares the logs.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, new_abort_controller, new_deferred
from edgeflow.host.port import AbortController, Deferred
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import Batcher, SchedulerEvent, SchedulerOptions
from edgeflow.runtime.scheduler_statistics import TaskStatistics
from edgeflow.runtime.scheduler_task import RunContext, Task

MODELS = ['a', 'b', 'c', 'd']


class Shuffle:
    """Orders that look random and are the same in both runtimes (the generator of Park and Miller)."""

    def __init__(self, seed: int) -> None:
        self.state: int = seed % 2147483646 + 1

    def below(self, n: int) -> int:
        self.state = self.state * 48271 % 2147483647
        return self.state % n

    def order(self, n: int) -> list[int]:
        """0 to n - 1, shuffled (Fisher and Yates)."""
        places = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i + 1)
            kept = places[i]
            places[i] = places[j]
            places[j] = kept
        return places


class JumpingClock:
    """Time goes on only when the script says so. What is due at one time is called in a shuffled order."""

    def __init__(self, shuffle: Shuffle) -> None:
        self.time: float = 0.0
        self.shuffle: Shuffle = shuffle
        self.numbers: list[int] = []
        self.times: dict[int, float] = {}
        self.calls: dict[int, Callable[[], None]] = {}
        self.count: int = 0

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        self.count += 1
        number = self.count
        self.numbers.append(number)
        self.times[number] = when
        self.calls[number] = callback
        return lambda: self.forget(number)

    def forget(self, number: int) -> None:
        if number in self.numbers:
            self.numbers.remove(number)

    def jump(self, target: float) -> None:
        due = [number for number in self.numbers if self.times[number] <= target]
        while len(due) > 0:
            earliest = min([self.times[number] for number in due])
            due = [number for number in due if self.times[number] == earliest]
            number = due[self.shuffle.below(len(due))]
            self.forget(number)
            self.time = max(self.time, earliest)
            self.calls[number]()
            due = [number for number in self.numbers if self.times[number] <= target]
        self.time = target


class Piece:
    """Work of one run. It ends when the script says so, or when it hears of its cancellation if it is obedient."""

    def __init__(self, tasks: list[int], obedient: bool, context: RunContext) -> None:
        self.tasks: list[int] = tasks
        self.number: int = context.run_id
        self.gate: Deferred = new_deferred()
        if obedient:
            context.on_cancel(lambda: self.gate.reject(EdgeflowError('aborted', 'stopped', {})))

    async def wait(self) -> object:
        return await self.gate.result()


class Play:
    """One scheduler, its clock, and the work that runs in it."""

    def __init__(self, settings: dict[str, float]) -> None:
        self.shuffle: Shuffle = Shuffle(int(settings['seed']))
        self.clock: JumpingClock = JumpingClock(self.shuffle)
        timeout: float | None = settings['timeout'] if settings['timeout'] >= 0 else None
        self.scheduler: Scheduler = Scheduler(self.clock, SchedulerOptions(
            max_concurrent=int(settings['max_concurrent']), max_per_model=int(settings['max_per_model']), timeout=timeout,
            aging=settings['aging'], batch_size=int(settings['batch_size']), batch_wait=settings['batch_wait'], samples=16))
        self.log: list[str] = []
        self.runs: dict[int, str] = {}
        self.discarded: list[str] = []
        self.tasks: list[Task] = []
        self.controllers: list[AbortController] = []
        self.pieces: list[Piece] = []
        self.outcomes: dict[int, str] = {}
        self.asked: list[Task] = []
        self.events: list[SchedulerEvent] = []
        self.scheduler.on_event(self.note)
        if settings['shared'] > 0:
            for model in MODELS[:2]:
                self.scheduler.register_model(model, lane='worker', batcher=self.batcher())
            for model in MODELS[2:]:
                self.scheduler.register_model(model, batcher=self.batcher())
        else:
            for model in MODELS:
                self.scheduler.register_model(model, batcher=self.batcher())

    def note(self, event: SchedulerEvent) -> None:
        self.events.append(event)
        code = event.error.code if isinstance(event.error, EdgeflowError) else ''
        self.log.append(f'{event.time:.3f} {event.kind} {event.task} {event.model_id} {event.lane} {event.priority} {event.run} {code}')

    def batcher(self) -> Batcher:
        return Batcher(self.run, lambda request: f'{request[0]}' if request[0] > 0 else None, self.merge, self.split, self.discard)

    def merge(self, requests: list[list[int]]) -> list[int]:
        """A request is [shape, 1 if obedient, task numbers...]."""
        merged = [requests[0][0], min([request[1] for request in requests])]
        for request in requests:
            merged.append(request[2])
        return merged

    def split(self, result: list[str], requests: list[list[int]]) -> list[object]:
        return [[part] for part in result]

    def discard(self, value: list[str]) -> None:
        self.discarded.append(' '.join(value))

    async def run(self, request: list[int], context: RunContext) -> list[str]:
        numbers = request[2:]
        assert context.run_id not in self.runs
        self.runs[context.run_id] = f'{numbers}'
        piece = Piece(numbers, request[1] == 1, context)
        self.pieces.append(piece)
        try:
            await piece.wait()
        finally:
            self.pieces.remove(piece)
            self.runs[context.run_id] += ', cancelled' if context.cancelled() else ', wanted'
        return [f'result {number}' for number in numbers]

    async def ask(self, task: Task) -> None:
        try:
            value = await task.result()
            self.outcomes[task.id] = value[0]
        except EdgeflowError as error:
            self.outcomes[task.id] = error.code
        except ValueError as error:
            self.outcomes[task.id] = str(error)

    async def step(self, name: str, numbers: list[int]) -> None:
        """One line of the script; afterwards everything that follows from it has happened."""
        if name == 'submit':
            self.submit(numbers[0], numbers[1], numbers[2], numbers[3], numbers[4])
        elif name == 'burst':
            # Several that arrive at one time, in a shuffled order.
            for i in self.shuffle.order(numbers[0]):
                self.submit(i % len(MODELS), i % 4, -1, i % 2, 1)
        elif name == 'end' and len(self.pieces) > 0:
            self.pieces[numbers[0] % len(self.pieces)].gate.resolve(None)
        elif name == 'fail' and len(self.pieces) > 0:
            self.pieces[numbers[0] % len(self.pieces)].gate.reject(ValueError('wrong data'))
        elif name == 'finish':
            # All that runs ends at one time, in a shuffled order.
            pieces = sorted(self.pieces, key=lambda piece: piece.number)
            for i in self.shuffle.order(len(pieces)):
                pieces[i].gate.resolve(None)
        elif name == 'cancel' and len(self.tasks) > 0:
            self.tasks[numbers[0] % len(self.tasks)].cancel()
        elif name == 'abort' and len(self.controllers) > 0:
            self.controllers[numbers[0] % len(self.controllers)].abort()
        elif name == 'crowd':
            # Requests of one model and priority that can be merged.
            for i in range(numbers[2]):
                self.submit(numbers[0], numbers[1], -1, 1, 0)
        elif name == 'desert' and len(self.pieces) > 0:
            # All tasks of one run are cancelled, in a shuffled order.
            tasks = self.pieces[numbers[0] % len(self.pieces)].tasks
            for i in self.shuffle.order(len(tasks)):
                self.tasks[tasks[i] - 1].cancel()
        elif name == 'advance':
            self.clock.jump(self.clock.time + numbers[0])
        elif name == 'move':
            lane = None if numbers[1] == 0 else f'lane {numbers[1]}'
            self.scheduler.register_model(MODELS[numbers[0]], lane=lane, batcher=self.batcher())
        elif name == 'remove':
            self.scheduler.remove_model(MODELS[numbers[0]])
        elif name == 'close':
            self.scheduler.close()
        await self.settle()

    def submit(self, model: int, priority: int, deadline: int, shape: int, obedient: int) -> None:
        number = len(self.tasks) + 1
        controller = new_abort_controller()
        ends_at: float | None = self.clock.time + deadline if deadline >= 0 else None
        priorities = ['low', 'normal', 'high', 'critical']
        try:
            task = self.scheduler.schedule_batch(
                MODELS[model], [shape, obedient, number], priority=priorities[priority], signal=controller.signal, deadline=ends_at)
        except EdgeflowError as error:
            self.log.append(f'refused {error.code}')
            return
        self.tasks.append(task)
        self.controllers.append(controller)

    async def settle(self) -> None:
        waiting = [self.ask(task) for task in self.tasks if task.ended_at is not None and task.id not in self.outcomes]
        await gather(waiting)
        for i in range(6):
            await gather([nothing()])
        waiting = [self.ask(task) for task in self.tasks if task.ended_at is not None and task.id not in self.outcomes]
        await gather(waiting)

    def summary(self) -> list[str]:
        """Statistics, outcomes and runs as lines. When work begins within a step is the platform's, so runs are told by number."""
        statistics = self.scheduler.statistics()
        lines = [f'busy {statistics.busy} of {statistics.slots}', describe('total', statistics.total)]
        for model_id, record in statistics.models.items():
            lines.append(describe(model_id, record))
        for task in self.tasks:
            lines.append(f'{task.id} {task.status} {self.outcomes.get(task.id)}')
        for number in sorted(self.runs.keys()):
            lines.append(f'run {number}: {self.runs[number]}')
        return lines + ['discarded ' + part for part in sorted(self.discarded)]


def describe(name: str, record: TaskStatistics) -> str:
    counts = f'{record.submitted} {record.queued} {record.running} {record.done} {record.failed} {record.cancelled} {record.timed_out}'
    wait = f'{record.wait.count} {record.wait.p50:.3f} {record.wait.p90:.3f} {record.wait.p99:.3f} {record.wait.highest:.3f}'
    ran = f'{record.run.count} {record.run.p50:.3f} {record.run.p90:.3f} {record.run.p99:.3f} {record.run.highest:.3f}'
    return f'{name}: {counts}; {wait}; {ran}'


async def nothing() -> None:
    return None


async def replay(settings: dict[str, float], script: list[tuple[str, list[int]]]) -> list[str]:
    """Play a script; the log and the statistics after it, as lines."""
    play = Play(settings)
    for name, numbers in script:
        await play.step(name, numbers)
    return play.log + play.summary()


SETTINGS: dict[str, float] = {
    'seed': 1, 'max_concurrent': 2, 'max_per_model': 1, 'timeout': -1, 'aging': 100, 'batch_size': 1, 'batch_wait': 0, 'shared': 0,
}


async def test_a_script_and_its_log() -> None:
    script: list[tuple[str, list[int]]] = [
        ('submit', [0, 1, -1, 0, 1]), ('submit', [0, 3, -1, 0, 1]), ('submit', [1, 1, 5, 0, 0]), ('advance', [5]), ('end', [0]),
        ('cancel', [1]), ('end', [0]),
    ]
    assert await replay(SETTINGS, script) == [
        '0.000 queued 1 a a normal 0 ', '0.000 started 1 a a normal 1 ',
        '0.000 queued 2 a a critical 0 ',
        '0.000 queued 3 b b normal 0 ', '0.000 started 3 b b normal 2 ',
        '5.000 stopping 3 b b normal 2 timeout',
        '5.000 done 1 a a normal 1 ', '5.000 started 2 a a critical 3 ',
        '5.000 stopping 2 a a critical 3 aborted', '5.000 cancelled 2 a a critical 3 aborted',
        '5.000 timed-out 3 b b normal 2 timeout',
        'busy 0 of 2', 'total: 3 0 0 1 0 1 1; 3 0.000 5.000 5.000 5.000; 1 5.000 5.000 5.000 5.000',
        'a: 2 0 0 1 0 1 0; 2 0.000 5.000 5.000 5.000; 1 5.000 5.000 5.000 5.000',
        'b: 1 0 0 0 0 0 1; 1 0.000 0.000 0.000 0.000; 0 0.000 0.000 0.000 0.000',
        'c: 0 0 0 0 0 0 0; 0 0.000 0.000 0.000 0.000; 0 0.000 0.000 0.000 0.000',
        'd: 0 0 0 0 0 0 0; 0 0.000 0.000 0.000 0.000; 0 0.000 0.000 0.000 0.000',
        '1 done result 1', '2 cancelled aborted', '3 timed-out timeout',
        'run 1: [1], wanted', 'run 2: [3], cancelled', 'run 3: [2], cancelled', 'discarded result 3',
    ]


@pytest.mark.parametrize('seed', [1, 2, 3, 4, 5])
async def test_whatever_the_order_of_the_simultaneous_all_end(seed: int) -> None:
    settings = dict(SETTINGS)
    settings['seed'] = seed
    play = Play(settings)
    await play.step('burst', [12])
    for i in range(12):
        await play.step('finish', [])
    assert [play.outcomes.get(i + 1) for i in range(12)] == [f'result {i + 1}' for i in range(12)]
    started = [event.task for event in play.events if event.kind == 'started']
    assert sorted(started) == [i + 1 for i in range(12)]
