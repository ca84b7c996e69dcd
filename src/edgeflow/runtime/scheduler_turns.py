"""Whose turn it is: the lanes that could start something, in order, and what has to happen at some time (deadlines, batches)."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.runtime.scheduler_lanes import Job, Lane
from edgeflow.runtime.scheduler_queue import Heap
from edgeflow.runtime.scheduler_records import Clock


class Turns:
    """Lanes in the order of their first jobs, and one alarm of the clock for the earliest of all times that matter.

    now: the time as last read, so that everything that one call does happens at one time.
    """

    def __init__(self, clock: Clock) -> None:
        self.now: float = clock.now()
        self._clock: Clock = clock
        self._ready: Heap = Heap()
        self._alarms: Heap = Heap()
        self._set_for: float = 0.0
        self._forget_alarm: Callable[[], None] | None = None

    def read_clock(self) -> float:
        """The time of now; it never goes back."""
        self.now = max(self.now, self._clock.now())
        return self.now

    def waiting(self) -> bool:
        """Whether a lane could start something if a slot were free."""
        return len(self._ready) > 0

    def next_lane(self) -> Lane | None:
        """The lane whose first job is the most urgent of all that could start."""
        first = self._ready.first()
        return None if first is None else first.owner

    def refresh(self, lane: Lane) -> None:
        """Find a lane's place after its first job or its running jobs changed."""
        job = lane.first()
        if job is None or lane.running >= lane.limit:
            self._ready.remove(lane.turn)
            self._alarms.remove(lane.alarm)
            return
        company = lane.company_until()
        if company > self.now:
            self._ready.remove(lane.turn)
            self._alarms.put(lane.alarm, company, job.task.id)
        else:
            self._alarms.remove(lane.alarm)
            self._ready.put(lane.turn, job.rank, job.task.id)

    def watch_deadline(self, job: Job) -> None:
        """Remember when a job must have ended, if ever."""
        if job.ends_at is not None:
            self._alarms.put(job.alarm, job.ends_at, job.task.id)

    def forget_deadline(self, job: Job) -> None:
        """The job has ended, or is ending."""
        self._alarms.remove(job.alarm)

    def overdue(self) -> Job | None:
        """Take out a job whose deadline has come; lanes whose batches have waited enough are put to their places on the way."""
        first = self._alarms.first()
        while first is not None and first.key <= self.now:
            self._alarms.remove(first)
            owner = first.owner
            if isinstance(owner, Job):
                return owner
            self.refresh(owner)
            first = self._alarms.first()
        return None

    def set_alarm(self, wake: Callable[[], None]) -> None:
        """Have the clock call at the earliest time that matters. An alarm that is set for earlier may stay."""
        first = self._alarms.first()
        if self._forget_alarm is not None:
            if first is not None and self._set_for <= first.key:
                return
            self._forget_alarm()
            self._forget_alarm = None
        if first is not None:
            self._set_for = first.key
            self._forget_alarm = self._clock.call_at(first.key, wake)

    def alarm_rang(self) -> None:
        """The alarm that was set is used up."""
        self._forget_alarm = None
