"""Random lives of a scheduler: its promises hold all the time, and the transpiled scheduler lives the very same life in Node."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from edgeflow.runtime.scheduler_statistics import SchedulerStatistics, TaskStatistics
from tests.scheduler.expectations import ENDED, Expectations
from tests.unit.test_scheduler_replay import MODELS, Play
from toolchain.build import build_tests
from toolchain.paths import BUILD, ROOT

CODES = {'cancelled': {'aborted', 'disposed', 'closed'}, 'timed-out': {'timeout'}}


class NodeScheduler:
    """The transpiled scheduler in one Node process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ['node', '--enable-source-maps', str(ROOT / 'tests' / 'scheduler' / 'replay.mjs'), str(BUILD / 'js')],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding='utf-8')

    def replay(self, settings: dict[str, float], script: list[tuple[str, list[int]]]) -> list[str]:
        self.process.stdin.write(json.dumps({'settings': settings, 'script': script}) + '\n')
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert 'error' not in answer, answer['error']
        return answer['log']

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=10)


@pytest.fixture(scope='module')
def node_scheduler() -> Iterator[NodeScheduler]:
    build_tests()
    running = NodeScheduler()
    yield running
    running.close()


class Life(RuleBasedStateMachine):
    """One scheduler from its first task to its end. `node`: where the same script is played afterwards."""

    node: NodeScheduler

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.play: Play | None = None

    @initialize(
        seed=st.integers(0, 2**31 - 1), max_concurrent=st.integers(1, 4), max_per_model=st.sampled_from([1, 1, 1, 2]),
        timeout=st.sampled_from([-1, -1, 40, 200]), aging=st.sampled_from([0, 1, 7, 10, 1000]), batch_size=st.sampled_from([1, 1, 2, 3, 8]),
        batch_wait=st.sampled_from([0, 0, 5, 30]), shared=st.integers(0, 1),
    )
    def open(self, **settings: int) -> None:
        self.settings = settings
        self.script: list[tuple[str, list[int]]] = []
        self.shapes: dict[int, int] = {}
        self.loop.run_until_complete(self.begin())
        self.expected = Expectations(settings)
        self.heard = 0

    async def begin(self) -> None:
        self.play = Play(self.settings)

    def step(self, name: str, numbers: list[int]) -> None:
        """One step of the life, its events, and what must hold after it."""
        self.script.append((name, numbers))
        submitted = len(self.play.tasks)
        self.loop.run_until_complete(self.play.step(name, numbers))
        events = self.play.events[self.heard:]
        self.heard += len(events)
        for task in self.play.tasks[submitted:]:
            # Task i of a burst has model i mod 4 and shape i mod 2, so the model tells the shape.
            self.shapes[task.id] = numbers[3] if name == 'submit' else 1 if name == 'crowd' else MODELS.index(task.model_id) % 2
        if name == 'move':
            self.expected.move(MODELS[numbers[0]], MODELS[numbers[0]] if numbers[1] == 0 else f'lane {numbers[1]}')
        for event in events:
            self.expected.feed(event, self.shapes[event.task])

    @rule(model=st.integers(0, 3), priority=st.integers(0, 3), deadline=st.sampled_from([-1, -1, -1, 0, 3, 20, 60]), shape=st.integers(0, 2), obedient=st.integers(0, 1))
    def submit(self, model: int, priority: int, deadline: int, shape: int, obedient: int) -> None:
        self.step('submit', [model, priority, deadline, shape, obedient])

    @rule(size=st.integers(2, 12))
    def burst(self, size: int) -> None:
        self.step('burst', [size])

    @rule(model=st.integers(0, 3), priority=st.integers(0, 3), size=st.integers(2, 9))
    def crowd(self, model: int, priority: int, size: int) -> None:
        self.step('crowd', [model, priority, size])

    @rule(which=st.integers(0, 7))
    def desert(self, which: int) -> None:
        self.step('desert', [which])

    @rule(which=st.integers(0, 7))
    def end(self, which: int) -> None:
        self.step('end', [which])

    @rule(which=st.integers(0, 7))
    def fail(self, which: int) -> None:
        self.step('fail', [which])

    @rule()
    def finish(self) -> None:
        self.step('finish', [])

    @rule(which=st.integers(0, 63))
    def cancel(self, which: int) -> None:
        self.step('cancel', [which])

    @rule(which=st.integers(0, 63))
    def abort(self, which: int) -> None:
        self.step('abort', [which])

    @rule(ms=st.sampled_from([1, 2, 5, 10, 30, 100]))
    def advance(self, ms: int) -> None:
        self.step('advance', [ms])

    @rule(model=st.integers(0, 3), lane=st.integers(0, 2))
    def move(self, model: int, lane: int) -> None:
        self.step('move', [model, lane])

    @invariant()
    def nothing_waits_beside_a_free_slot(self) -> None:
        if self.play is not None:
            self.expected.check_rest()

    @invariant()
    def statistics_add_up(self) -> None:
        if self.play is None:
            return
        record: SchedulerStatistics = self.play.scheduler.statistics()
        assert record.slots == self.settings['max_concurrent']
        assert record.busy == len(self.expected.run_lanes)
        assert_counts(record.total, self.expected.counts())
        for model in MODELS:
            assert_counts(record.models[model], self.expected.counts(model))

    @invariant()
    def tasks_say_what_their_events_said(self) -> None:
        if self.play is None:
            return
        for task in self.play.tasks:
            seen = self.expected.tasks[task.id]
            assert task.status == seen.state
            outcome = self.play.outcomes.get(task.id)
            assert (outcome is None) == (seen.state not in ENDED)
            if seen.state == 'done':
                assert outcome == f'result {task.id}'
            elif seen.state == 'failed':
                assert outcome == 'wrong data'
            elif seen.state in CODES:
                assert outcome in CODES[seen.state]

    def teardown(self) -> None:
        """Nothing is lost: whatever was going on, all tasks end. Then the same in Node."""
        if self.play is not None:
            self.ending()
            for _ in range(3 * len(self.play.tasks) + 2):
                if all(task.ended_at is not None for task in self.play.tasks) and not self.play.pieces:
                    break
                self.step('advance', [30])
                self.step('finish', [])
            self.nothing_waits_beside_a_free_slot()
            self.statistics_add_up()
            self.tasks_say_what_their_events_said()
            assert all(task.ended_at is not None for task in self.play.tasks)
            assert self.expected.run_lanes == {}
            assert self.play.clock.numbers == [], 'an alarm is left'
            assert self.play.log + self.play.summary() == self.node.replay(self.settings, self.script)
        self.loop.close()

    def ending(self) -> None:
        """What comes before the work that is left ends."""


def assert_counts(record: TaskStatistics, expected: dict[str, int]) -> None:
    given = {
        'queued': record.queued, 'running': record.running, 'done': record.done, 'failed': record.failed, 'cancelled': record.cancelled,
        'timed-out': record.timed_out,
    }
    assert given == expected
    assert record.submitted == sum(expected.values())


class LifeThatIsClosed(Life):
    """The same, but the scheduler is closed in the end."""

    def ending(self) -> None:
        self.step('close', [])
        assert all(task.status != 'queued' for task in self.play.tasks)
        self.step('submit', [0, 1, -1, 0, 1])
        assert self.play.log[-1] == 'refused closed'


@pytest.mark.parametrize('kind', [Life, LifeThatIsClosed])
def test_lives(kind: type[Life], node_scheduler: NodeScheduler) -> None:
    life = type(kind.__name__, (kind,), {'node': node_scheduler})
    run_state_machine_as_test(life, settings=hypothesis_settings(stateful_step_count=40))
