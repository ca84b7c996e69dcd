"""What must hold of every log of the scheduler, worked out anew from its events in the plainest way, however slow."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.runtime.scheduler_records import SchedulerEvent

# The levels' head starts in units of `aging`, as docs/scheduling.md states them.
HEAD_STARTS = {'low': 0, 'normal': 1, 'high': 2, 'critical': 32}
ENDED = {'done', 'failed', 'cancelled', 'timed-out'}


@dataclass
class Seen:
    """One task as its events told it."""

    id: int
    model: str
    lane: str
    priority: str
    arrived: float
    shape: int
    state: str = 'queued'
    starts: int = 0
    alone: bool = False
    stopping: bool = False
    run: int = 0


@dataclass
class Expectations:
    """Follows the events of one scheduler and asserts the promises of docs/scheduling.md."""

    settings: dict[str, float]
    tasks: dict[int, Seen] = field(default_factory=dict)
    runs: dict[int, list[int]] = field(default_factory=dict)
    run_lanes: dict[int, str] = field(default_factory=dict)
    lanes: dict[str, str] = field(default_factory=dict)
    now: float = 0.0

    def rank(self, task: Seen) -> tuple[float, int]:
        return (task.arrived - HEAD_STARTS[task.priority] * self.settings['aging'], task.id)

    def waiting(self, lane: str | None = None) -> list[Seen]:
        """Those that wait (in one lane), the next one first."""
        found = [task for task in self.tasks.values() if task.state == 'queued' and lane in (None, task.lane)]
        return sorted(found, key=self.rank)

    def free(self, lane: str) -> bool:
        return list(self.run_lanes.values()).count(lane) < self.settings['max_per_model']

    def feed(self, event: SchedulerEvent, shape: int) -> None:
        """The next event. shape: of the task's request; equal ones above 0 may be merged."""
        assert event.time >= self.now
        self.now = event.time
        if event.kind == 'queued':
            assert event.task not in self.tasks
            assert event.task == len(self.tasks) + 1
            self.tasks[event.task] = Seen(event.task, event.model_id, event.lane, event.priority, event.time, shape)
            return
        task = self.tasks[event.task]
        assert (task.model, task.priority) == (event.model_id, event.priority)
        if event.kind == 'started':
            self.start(task, event)
        elif event.kind == 'stopping':
            assert task.state == 'running' and not task.stopping
            task.stopping = True
        elif event.kind == 'requeued':
            assert task.state == 'running' and not task.alone, 'only a member of a merged run, and once'
            assert len(self.runs[task.run]) > 1
            task.state, task.alone = 'queued', True
            task.lane = self.lanes.get(task.model, task.lane)
            self.gone(task)
        else:
            assert event.kind in ENDED
            assert task.state in ('queued', 'running'), f'task {task.id} ended twice'
            assert not task.stopping or event.kind in ('cancelled', 'timed-out')
            if event.kind in ('done', 'failed'):
                assert task.state == 'running'
            if event.kind == 'failed':
                assert len(self.runs[task.run]) == 1, 'of merged tasks, only the one to blame fails'
            was_running = task.state == 'running'
            task.state = event.kind
            if was_running:
                self.gone(task)

    def start(self, task: Seen, event: SchedulerEvent) -> None:
        assert task.state == 'queued', f'task {task.id} was started twice'
        if event.run in self.runs:
            self.join(task, event.run)
        else:
            assert task.lane == event.lane
            assert self.free(task.lane), 'the limit of a lane'
            assert len(self.run_lanes) < self.settings['max_concurrent'], 'the limit of all'
            self.check_turn(task)
            self.runs[event.run] = []
            self.run_lanes[event.run] = task.lane
        assert task.starts == 0 or task.alone, f'task {task.id} was run twice'
        task.state = 'running'
        task.starts += 1
        task.run = event.run
        self.runs[event.run].append(task.id)

    def check_turn(self, task: Seen) -> None:
        """Priority, first in first out, and the starvation bound, against every task that could have been started instead."""
        for other in self.waiting():
            if other is task or not self.free(other.lane):
                continue
            first_there = self.waiting(other.lane)[0]
            if self.waits_for_company(first_there):
                continue
            assert self.rank(task) < self.rank(other), f'task {task.id} went before task {other.id}'
            bound = (HEAD_STARTS[task.priority] - HEAD_STARTS[other.priority]) * self.settings['aging']
            assert task.arrived <= other.arrived + bound, f'task {task.id} came too late to go before task {other.id}'
        assert self.waiting(task.lane)[0] is task

    def waits_for_company(self, task: Seen) -> bool:
        """Whether the scheduler may let this task wait for others to be merged with."""
        there = self.waiting(task.lane)
        kinds = {(other.model, other.priority, other.shape) for other in there}
        if task.shape == 0 or len(kinds) > 1 or len(there) >= self.settings['batch_size'] or any(other.alone for other in there):
            return False
        return task.arrived + self.settings['batch_wait'] > self.now

    def join(self, task: Seen, run: int) -> None:
        members = [self.tasks[number] for number in self.runs[run]]
        assert len(members) < self.settings['batch_size']
        first = members[0]
        assert not task.alone and not first.alone and task.shape > 0
        assert (task.model, task.priority, task.shape) == (first.model, first.priority, first.shape)
        assert self.rank(members[-1]) < self.rank(task), 'members are merged in order'
        assert self.waiting(task.lane)[0] is task, 'a batch overtakes nothing in its lane'

    def move(self, model: str, lane: str) -> None:
        """What waits of a model waits in another lane now."""
        for task in self.tasks.values():
            if task.model == model and task.state == 'queued':
                task.lane = lane
        self.lanes[model] = lane

    def gone(self, task: Seen) -> None:
        """A task is not in its run any more; a run without tasks has stopped."""
        members = [number for number in self.runs[task.run] if self.tasks[number].state == 'running' and self.tasks[number].run == task.run]
        if not members:
            self.run_lanes.pop(task.run, None)

    def check_rest(self) -> None:
        """After each step: no slot is free for a task that could use it."""
        if len(self.run_lanes) >= self.settings['max_concurrent']:
            return
        for task in self.waiting():
            first_there = self.waiting(task.lane)[0]
            assert not self.free(task.lane) or self.waits_for_company(first_there), f'task {task.id} waits beside a free slot'

    def counts(self, model: str | None = None) -> dict[str, int]:
        """How many tasks are in each state."""
        found = dict.fromkeys(['queued', 'running', 'done', 'failed', 'cancelled', 'timed-out'], 0)
        for task in self.tasks.values():
            if model in (None, task.model):
                found[task.state] += 1
        return found
