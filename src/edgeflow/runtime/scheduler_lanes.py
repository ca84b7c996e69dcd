"""What waits in front of a model, and what is started together: jobs, lanes and runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import on_abort
from edgeflow.host.port import AbortSignal
from edgeflow.runtime.scheduler_queue import Entry, Heap
from edgeflow.runtime.scheduler_records import Batcher
from edgeflow.runtime.scheduler_statistics import Tally
from edgeflow.runtime.scheduler_task import RunContext, Task, call_safely


class ModelRecord:
    """A model that tasks are scheduled for. unfinished: its tasks that have not ended, and its runs that have not stopped."""

    def __init__(self, model_id: str, lane: Lane, samples: int) -> None:
        self.model_id: str = model_id
        self.lane: Lane = lane
        self.batcher: Batcher | None = None
        self.tally: Tally = Tally(samples)
        self.removed: bool = False
        self.unfinished: int = 0


class Job:
    """A task that has not ended, as the scheduler holds it.

    alike: jobs of one lane with equal text can be merged; None: this one is run alone. rank: when it counts as having come; the lower
    goes first. company: how many at most are run with it, itself included; company_wait: ms that it waits for them. ends_at: its deadline. run: what it runs in now. reason: why it was cancelled, if it was.
    """

    def __init__(
        self, task: Task, model: ModelRecord, work: Callable[[RunContext], Awaitable[object]], discard: Callable[[object], None] | None,
        batcher: Batcher | None = None, request: object = None, alike: str | None = None,
    ) -> None:
        self.task: Task = task
        self.model: ModelRecord = model
        self.work: Callable[[RunContext], Awaitable[object]] = work
        self.discard: Callable[[object], None] | None = discard
        self.batcher: Batcher | None = batcher
        self.request: object = request
        self.alike: str | None = alike
        self.rank: float = 0.0
        self.company: int = 1
        self.company_wait: float = 0.0
        self.ends_at: float | None = None
        self.place: Entry = Entry(self)
        self.alarm: Entry = Entry(self)
        self.stop_listening: Callable[[], None] | None = None
        # Hands it over before it starts, or as it starts; then, what takes it back.
        self.ahead: Callable[[], Callable[[], None] | None] | None = None
        self.send: Callable[[], Callable[[], None] | None] | None = None
        self.take_back: Callable[[], None] | None = None
        self.run: Run | None = None
        self.reason: EdgeflowError | None = None

    def hand(self, over: Callable[[], Callable[[], None] | None]) -> None:
        """Hand it over to where it will run, once."""
        self.ahead = None
        self.send = None

        def hand() -> None:
            self.take_back = over()

        call_safely(hand, 'handing a task over')

    def listen(self, signal: AbortSignal, cancel: Callable[[], object]) -> None:
        """Cancel when the signal says so, which may be at once."""
        stop_listening = on_abort(signal, cancel)
        if self.reason is None:
            self.stop_listening = stop_listening

    def unlisten(self) -> None:
        """Let go of the signal."""
        if self.stop_listening is not None:
            self.stop_listening()
            self.stop_listening = None


class Lane:
    """The queue of what cannot work on everything at once: a model, or a worker that several models share.

    key: its name, told apart from the lanes of models that share none. models: how many belong here.
    """

    def __init__(self, key: str, name: str, limit: int) -> None:
        self.key: str = key
        self.name: str = name
        self.limit: int = limit
        self.running: int = 0
        self.models: int = 0
        self.turn: Entry = Entry(self)
        self.alarm: Entry = Entry(self)
        self._queue: Heap = Heap()
        self._alike: dict[str, int] = {}
        self._handed: Job | None = None

    def add(self, job: Job) -> None:
        """Let a job wait at its place."""
        self._queue.put(job.place, job.rank, job.task.id)
        if job.alike is not None:
            self._alike[job.alike] = self._alike.get(job.alike, 0) + 1

    def remove(self, job: Job) -> None:
        """Take a waiting job out."""
        self._queue.remove(job.place)
        alike = job.alike
        if alike is not None:
            left = self._alike[alike] - 1
            if left > 0:
                self._alike[alike] = left
            else:
                del self._alike[alike]

        if self._handed is job:
            self._recall()

    def hand_over(self, sure: bool) -> None:
        """If the lane is full and it is sure what will follow, hand that over, each job once; take back what was handed over and will not."""
        job = self.first() if sure and self.running >= self.limit else None
        if self._handed is not None and self._handed is not job:
            self._recall()
        if job is not None and job.ahead is not None:
            self._handed = job
            job.hand(job.ahead)

    def _recall(self) -> None:
        job = self._handed
        self._handed = None
        if job is not None and job.take_back is not None:
            job.take_back()

    def first(self) -> Job | None:
        """The job that is next, which stays."""
        entry = self._queue.first()
        return None if entry is None else entry.owner

    def jobs(self) -> list[Job]:
        """All that wait, in order of arrival."""
        jobs: list[Job] = [entry.owner for entry in self._queue.entries()]
        return sorted(jobs, key=lambda job: job.task.id)

    def company_until(self) -> float:
        """Until when the first job waits for others to be merged with; -1 if it need not.

        It does while the batch is not full, its own deadline does not come first, and no other job waits here: those are never
        held up by a batch that could be bigger.
        """
        job = self.first()
        if job is None or job.alike is None or job.company_wait <= 0:
            return -1.0
        alike = self._alike[job.alike]
        until = job.task.queued_at + job.company_wait
        if alike >= job.company or alike < len(self._queue) or (job.ends_at is not None and job.ends_at <= until):
            return -1.0
        return until

    def take(self) -> list[Job]:
        """Take out the first job, and those right behind it that can be merged with it. Nothing is overtaken."""
        taken: list[Job] = []
        while len(taken) == 0 or len(taken) < taken[0].company:
            job = self.first()
            if job is None or (len(taken) > 0 and not can_merge(taken[0], job)):
                break
            if self._handed is job:
                self._handed = None
            self.remove(job)
            taken.append(job)
        return taken


def can_merge(a: Job, b: Job) -> bool:
    """Whether two jobs of one lane may be run as one."""
    return a.alike is not None and a.alike == b.alike and a.batcher is b.batcher


class Run:
    """One slot's worth of work: a job, or several that were merged.

    jobs: all that it was started with. wanted: how many of them have not left.
    """

    def __init__(self, lane: Lane, jobs: list[Job], context: RunContext) -> None:
        self.lane: Lane = lane
        self.jobs: list[Job] = jobs
        self.model: ModelRecord = jobs[0].model
        self.context: RunContext = context
        self.wanted: int = len(jobs)

    async def work(self, finished: Callable[[list[object]], None], failed: Callable[[Exception], None]) -> None:
        """The work from its start to its real end; then one of the two is called, whatever that end was."""
        ended = False
        try:
            await next_turn()
            if self.context.reason is not None:
                take_back = self.jobs[0].take_back
                if take_back is not None:
                    take_back()
                raise self.context.reason
            value = await self.start()
            results = self.results(value)
            ended = True
            finished(results)
        except Exception as error:
            if ended:
                raise
            ended = True
            failed(error)
        finally:
            if not ended:
                failed(EdgeflowError('aborted', 'the work was cancelled from outside', {}))

    def start(self) -> Awaitable[object]:
        """Begin the work."""
        batcher = self.jobs[0].batcher
        if len(self.jobs) == 1 or batcher is None:
            return self.jobs[0].work(self.context)
        return batcher.run(batcher.merge([job.request for job in self.jobs]), self.context)

    def again(self, failure: Exception) -> bool:
        """Whether the jobs of a run that failed are run again, each alone."""
        batcher = self.jobs[0].batcher
        return len(self.jobs) > 1 and batcher is not None and (batcher.alone is None or batcher.alone(failure))

    def results(self, value: object) -> list[object]:
        """One result for each of the jobs; the whole, as the first one's, if nobody wants it."""
        batcher = self.jobs[0].batcher
        if len(self.jobs) == 1 or batcher is None or self.context.cancelled():
            return [value]
        parts = batcher.split(value, [job.request for job in self.jobs])
        if len(parts) != len(self.jobs):
            raise EdgeflowError(
                'run-failed', f'split(): expected a result for each of {len(self.jobs)} merged requests; got {len(parts)}',
                {'expected': len(self.jobs), 'got': len(parts)})
        return parts


async def next_turn() -> None:
    """Awaited in JS, it lets the caller's own code end first. CPython, where tasks begin later anyway, does not notice."""


def discard_result(job: Job, value: object) -> None:
    """Free what nobody will get."""
    discard = job.discard
    if discard is not None:
        call_safely(lambda: discard(value), 'freeing the result of a cancelled task')
