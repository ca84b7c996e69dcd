"""What the models of a page (or process) share: its workers, if it has any, and the scheduler of their runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import call_later, default_workers, isolated, now, spawn_worker, warn
from edgeflow.runtime.pool import PoolWorker, WorkerPool
from edgeflow.runtime.scheduler import Scheduler
from edgeflow.runtime.scheduler_records import SchedulerEvent, SchedulerOptions
from edgeflow.runtime.scheduler_statistics import SchedulerStatistics
from edgeflow.version import VERSION


@dataclass
class _Shared:
    pool: WorkerPool | None = None
    scheduler: Scheduler | None = None
    warned: bool = False


_shared = _Shared()

MOST_HERE = 8

# More make shares too small for the messages that they cost.
MOST_SHARES = 4


class HostClock:
    """scheduler_records.Clock on the platform's own."""

    def now(self) -> float:
        return now()

    def call_at(self, when: float, callback: Callable[[], None]) -> Callable[[], None]:
        # A browser's timers take a longer wait for none at all; being called too early is no harm.
        return call_later(min(max(0.0, when - now()), 2147483647.0), callback)


def worker_count() -> int:
    """How many workers there may be: env.workers, else what suits the platform. 'invalid-argument' for what is no such number."""
    wanted = env.workers
    if wanted is None:
        return default_workers()
    if not isinstance(wanted, int) or wanted < 0:
        raise EdgeflowError('invalid-argument', f'env.workers: expected a whole number from 0 up, or None; got {wanted}', {'got': wanted})
    return wanted


def page_pool() -> WorkerPool:
    """The workers of this page; made at its first model, of size 0 if it has none."""
    if _shared.pool is None:
        _shared.pool = WorkerPool(worker_count(), VERSION, lambda: spawn_worker(env.worker_url))
    return _shared.pool


def page_scheduler() -> Scheduler:
    """What orders the runs of all models: as many at a time as there may be workers, one a worker."""
    if _shared.scheduler is None:
        # Without workers it is the lanes that say how many: one for this thread, one for each model on a GPU.
        _shared.scheduler = Scheduler(HostClock(), SchedulerOptions(max_concurrent=page_pool().size or MOST_HERE))
    return _shared.scheduler


def take_worker(gpu: bool) -> PoolWorker | None:
    """The worker for one more model, on the GPU or not; None: it lives here."""
    pool = page_pool()
    while pool.size > 0:
        try:
            return pool.take(gpu)
        except EdgeflowError as error:
            refused(error)
    return None


def page_shares() -> int:
    """Among how many workers a run may be divided. Fixed when a model is loaded, so that its results never depend on who is idle."""
    return min(MOST_SHARES, page_pool().size) if env.spare_cores else 1


def take_helpers(leader: PoolWorker, count: int) -> list[PoolWorker]:
    """Idle workers that may take shares of a run of `leader`. They hold copies of weights if memory is not shared: so there are none where it is limited."""
    if not env.spare_cores or (env.memory_budget is not None and not isolated()):
        return []
    try:
        return page_pool().helpers(leader, min(count, page_shares() - 1))
    except EdgeflowError as error:
        refused(error)
        return []


def refused(error: EdgeflowError) -> None:
    """A worker could not be started: from now on there are no more than those that were. Without any, say so once."""
    pool = page_pool()
    pool.limit()
    if pool.size == 0 and not _shared.warned:
        _shared.warned = True
        warn(f'edgeflow: {error.message}. Models run on the page itself, which may stutter; env.workerUrl can name a script for workers')


def on_task(listener: Callable[[SchedulerEvent], None]) -> Callable[[], None]:
    """Hear of every run of every model: that it waits, starts and ends, where and when. Returns "stop telling"."""
    return page_scheduler().on_event(listener)


def scheduler_statistics() -> SchedulerStatistics:
    """How many runs wait, run and have ended, and how long that took, for each model (by Model.id) and for all."""
    return page_scheduler().statistics()
