"""Counts and times of tasks. Memory is bounded: a ring holds the latest times, and percentiles are worked out when asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edgeflow.host.platform import array_list, new_array
from edgeflow.host.port import NumericArray


@dataclass(frozen=True)
class Percentiles:
    """Times in ms (nearest rank) of the latest tasks. count: how many there were in all. Zeros if there were none."""

    count: int
    p50: float
    p90: float
    p99: float
    highest: float


@dataclass(frozen=True)
class TaskStatistics:
    """How many tasks there are in each state, and how long they waited and ran.

    submitted: all that ever came; it is the sum of the six others. wait: from arrival to the (last) start, of tasks that were started. run:
    from there to the end of the work, of tasks that ended done or failed; in a worker by its clock, however late the page hears of it.
    """

    submitted: int
    queued: int
    running: int
    done: int
    failed: int
    cancelled: int
    timed_out: int
    wait: Percentiles
    run: Percentiles


@dataclass(frozen=True)
class SchedulerStatistics:
    """A record of one moment, which later events do not change.

    slots: how many runs there can be at the same time; busy: how many there are, each counted until its work has really stopped.
    total: over all tasks, those of removed models included. models: by model id, in the order in which they came (in JS a Map).
    """

    slots: int
    busy: int
    total: TaskStatistics
    models: Mapping[str, TaskStatistics]


class Samples:
    """The latest `size` numbers. Their memory is taken at once: it does not grow with what was done."""

    def __init__(self, size: int) -> None:
        self._size: int = size
        self._count: int = 0
        self._values: NumericArray = new_array('float64', size)

    def add(self, value: float) -> None:
        """Take a number in, in place of the oldest once the ring is full."""
        self._values[self._count % self._size] = value
        self._count += 1

    def percentiles(self) -> Percentiles:
        """Percentiles of the numbers that are held."""
        held: list[float] = array_list(self._values)
        ordered = sorted(held[:min(self._count, self._size)])
        return Percentiles(self._count, rank(ordered, 0.5), rank(ordered, 0.9), rank(ordered, 0.99), rank(ordered, 1.0))


def rank(ordered: list[float], share: float) -> float:
    """The smallest number that at least this share of them do not exceed."""
    if len(ordered) == 0:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Tally:
    """The running counts of one model, or of all."""

    def __init__(self, samples: int) -> None:
        self.submitted: int = 0
        self.queued: int = 0
        self.running: int = 0
        self._ended: dict[str, int] = {'done': 0, 'failed': 0, 'cancelled': 0, 'timed-out': 0}
        self._wait: Samples = Samples(samples)
        self._run: Samples = Samples(samples)

    def arrive(self) -> None:
        """A task came."""
        self.submitted += 1
        self.queued += 1

    def start(self, waited: float) -> None:
        """A waiting task was started."""
        self.queued -= 1
        self.running += 1
        self._wait.add(waited)

    def requeue(self) -> None:
        """A running task waits again."""
        self.running -= 1
        self.queued += 1

    def end(self, status: str, ran: float | None) -> None:
        """A task ended. ran: ms that its run took; None: it never started."""
        if ran is None:
            self.queued -= 1
        else:
            self.running -= 1
        if ran is not None and (status == 'done' or status == 'failed'):
            self._run.add(ran)
        self._ended[status] += 1

    def record(self) -> TaskStatistics:
        """The counts of this moment."""
        return TaskStatistics(
            self.submitted, self.queued, self.running, self._ended['done'], self._ended['failed'], self._ended['cancelled'],
            self._ended['timed-out'], self._wait.percentiles(), self._run.percentiles())
