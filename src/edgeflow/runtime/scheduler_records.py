"""The scheduler's options, what it asks of a clock and of a model that can merge requests, and the events that it tells."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.scheduler_task import RunContext

Priority = Literal['low', 'normal', 'high', 'critical']
EventKind = Literal['queued', 'started', 'stopping', 'requeued', 'done', 'failed', 'cancelled', 'timed-out']

# How much earlier than it was a task counts as having arrived, in units of SchedulerOptions.aging. Critical is far ahead,
# so that even a long backlog of tasks that have aged does not come before it.
HEAD_STARTS: dict[str, float] = {'low': 0.0, 'normal': 1.0, 'high': 2.0, 'critical': 32.0}
PRIORITIES: list[str] = list(HEAD_STARTS.keys())


class Clock(Protocol):
    """The time that a scheduler goes by, in ms from any moment on; it never goes back."""

    def now(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when it is `when` or a little earlier or later, never within this call; returns "forget it"."""


@dataclass(frozen=True)
class SchedulerOptions:
    """How a scheduler works.

    max_concurrent: runs at the same time, over all lanes. max_per_model: runs at the same time in one lane, which is a model
    unless register_model() says otherwise.
    timeout: ms from arrival to the end that a task without a deadline of its own gets; None: as long as it takes.
    aging: ms of waiting that lift a task by one level: a low task that has waited this long goes before a fresh normal one.
    batch_size: requests that are merged into one run at most; 1: batching is off.
    batch_wait: ms that a request waits for others to merge with while its lane could start it and has nothing else to do.
    samples: how many of the latest waiting and running times of each model the percentiles are taken of.
    EdgeflowError 'invalid-argument' for a value out of range.
    """

    max_concurrent: int = 4
    max_per_model: int = 1
    timeout: float | None = None
    aging: float = 10000.0
    batch_size: int = 1
    batch_wait: float = 0.0
    samples: int = 256

    def __post_init__(self) -> None:
        check_count('max_concurrent', self.max_concurrent)
        check_count('max_per_model', self.max_per_model)
        check_count('batch_size', self.batch_size)
        check_count('samples', self.samples)
        check_time('aging', self.aging)
        check_time('batch_wait', self.batch_wait)
        if self.timeout is not None:
            check_time('timeout', self.timeout)


def check_count(option: str, value: float) -> None:
    """Raise 'invalid-argument' unless value is a whole number of at least 1."""
    if not (value >= 1 and value < math.inf and value == math.floor(value)):
        raise EdgeflowError('invalid-argument', f'{option}: expected a whole number of at least 1; got {value}', {'option': option, 'got': value})


def check_time(option: str, value: float) -> None:
    """Raise 'invalid-argument' unless value is a finite number of ms, 0 or more."""
    if not (value >= 0 and value < math.inf):
        raise EdgeflowError('invalid-argument', f'{option}: expected a finite number of ms, 0 or more; got {value}', {'option': option, 'got': value})


@dataclass(frozen=True)
class Batcher:
    """How the requests of one model are run, alone or merged.

    run: does one request, or several as merge() made one of them.
    key: requests with equal keys can be merged (such as the shapes of their inputs); None: this one is always run alone.
    merge: makes one request of several, in order. split: (result, requests) -> one result for each, in the same order.
    discard: frees a result that nobody will get, such as that of a cancelled request.
    alone: after a merged run failed so, whether each request is run again alone; None: always.
    size, wait: batch_size and batch_wait for this model; None: those of the options.
    """

    run: Callable[[Any, RunContext], Awaitable[object]]
    key: Callable[[Any], str | None]
    merge: Callable[[list[Any]], object]
    split: Callable[[Any, list[Any]], list[object]]
    discard: Callable[[Any], None] | None = None
    alone: Callable[[Exception], bool] | None = None
    size: int | None = None
    wait: float | None = None


@dataclass(frozen=True)
class SchedulerEvent:
    """What happened to a task.

    kind: 'stopping' is a running task that was cancelled or timed out and whose work has not stopped yet; 'requeued' is a member of a
    merged run that failed, which will run alone. time: of the scheduler's clock. run: number of the run, the same for tasks
    that were merged; 0 before the first. error: why a task failed, was cancelled or requeued. ran: ms that the run of a task that has
    ended took, in a worker by its clock: the page may see its start and its end late; None before, and if there was no run.
    """

    kind: EventKind
    time: float
    task: int
    model_id: str
    lane: str
    priority: str
    run: int
    error: Exception | None = None
    ran: float | None = None
