"""Counts what happens to tasks, and tells it to listeners once the state that they can ask for agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from edgeflow.runtime.scheduler_lanes import Job, Run
from edgeflow.runtime.scheduler_records import EventKind, SchedulerEvent
from edgeflow.runtime.scheduler_statistics import Tally
from edgeflow.runtime.scheduler_task import call_safely, ending, with_cause
from edgeflow.runtime.scheduler_turns import Turns


class Ledger:
    """The counts of all tasks, and the events that wait to be told. Without listeners no events are kept."""

    def __init__(self, turns: Turns, samples: int) -> None:
        self.total: Tally = Tally(samples)
        self._turns: Turns = turns
        self._listeners: list[Callable[[SchedulerEvent], None]] = []
        self._events: list[SchedulerEvent] = []

    def listen(self, listener: Callable[[SchedulerEvent], None]) -> Callable[[], None]:
        """Add a listener. Returns "stop telling"."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def arrive(self, job: Job) -> None:
        """A task came."""
        job.model.unfinished += 1
        job.model.tally.arrive()
        self.total.arrive()
        self.note('queued', job, None)

    def start(self, job: Job, run: Run) -> None:
        """A task is part of a run now."""
        now = self._turns.now
        task = job.task
        job.run = run
        task.status = 'running'
        task.started_at = now
        job.model.tally.start(now - task.queued_at)
        self.total.start(now - task.queued_at)
        self.note('started', job, None)

    def requeue(self, job: Job, error: Exception) -> None:
        """A running task waits again, because of an error."""
        self.note('requeued', job, error)
        job.run = None
        job.task.status = 'queued'
        job.task.started_at = None
        job.model.tally.requeue()
        self.total.requeue()

    def end(self, job: Job, value: object, failure: Exception | None) -> None:
        """A task is over: with its reason if it was cancelled, else with what its work gave."""
        now = self._turns.now
        task = job.task
        error = failure if job.reason is None else with_cause(job.reason, failure)
        status = ending(job.reason, failure)
        ran = None if task.started_at is None else now - task.started_at
        if job.run is not None and job.run.context.ran is not None:
            ran = job.run.context.ran
        job.model.tally.end(status, ran)
        self.total.end(status, ran)
        self.note(cast(EventKind, status), job, error, ran)
        job.run = None
        job.model.unfinished -= 1
        task.end(status, now, value, error)

    def note(self, kind: EventKind, job: Job, error: Exception | None, ran: float | None = None) -> None:
        """Keep an event for the listeners."""
        if len(self._listeners) == 0:
            return
        task = job.task
        run = job.run
        lane = job.model.lane if run is None else run.lane
        run_id = 0 if run is None else run.context.run_id
        self._events.append(SchedulerEvent(kind, self._turns.now, task.id, task.model_id, lane.name, task.priority, run_id, error, ran))

    def deliver(self) -> None:
        """Tell all, in order; a listener that fails is told as a warning."""
        while len(self._events) > 0:
            events = self._events
            self._events = []
            for event in events:
                for listener in list(self._listeners):
                    tell(listener, event)


def tell(listener: Callable[[SchedulerEvent], None], event: SchedulerEvent) -> None:
    """Call one listener."""
    call_safely(lambda: listener(event), 'a listener of the scheduler')
