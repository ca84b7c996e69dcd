"""Decides which model works next. docs/scheduling.md says by what rules, and what they promise.

Everything happens in the calls of others: schedule(), cancel(), the end of a run, the clock's alarm. Each of them changes the
state, then _advance() ends what is overdue, starts what can be started, tells the listeners and sets the one alarm that is needed.
Code of others is called when the state is consistent, so it may call the scheduler.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import start_task
from edgeflow.host.port import AbortSignal
from edgeflow.options import check_choice
from edgeflow.runtime.scheduler_lanes import Job, ModelRecord, Run, discard_result
from edgeflow.runtime.scheduler_ledger import Ledger
from edgeflow.runtime.scheduler_models import Models
from edgeflow.runtime.scheduler_records import (
    HEAD_STARTS, PRIORITIES, Batcher, Clock, Priority, SchedulerEvent, SchedulerOptions,
)
from edgeflow.runtime.scheduler_statistics import SchedulerStatistics
from edgeflow.runtime.scheduler_task import RunContext, Task, task_error
from edgeflow.runtime.scheduler_turns import Turns


class Scheduler:
    """Runs tasks of several models within limits, the most urgent first. For one thread (in CPython: one event loop)."""

    def __init__(self, clock: Clock, options: SchedulerOptions | None = None) -> None:
        self.options: SchedulerOptions = SchedulerOptions() if options is None else options
        self._turns: Turns = Turns(clock)
        self._models: Models = Models(self.options, self._turns)
        self._ledger: Ledger = Ledger(self._turns, self.options.samples)
        self._runs: dict[int, Run] = {}
        self._task_count: int = 0
        self._run_count: int = 0
        self._closed: bool = False
        self._advancing: bool = False
        self._again: bool = False
        self._starting: list[Run] = []

    def register_model(self, model_id: str, *, lane: str | None = None, batcher: Batcher | None = None, limit: int | None = None) -> None:
        """Say how a model is run. Models that are not registered have a lane of their own and are not batched.

        lane: models with the same lane (such as a worker's name) share its limit; None: one of its own. limit: of the lane, the option
        max_per_model if None. Registering again replaces all this; what waits moves to the new lane.
        EdgeflowError: 'closed', 'disposed' while a model of this id is being removed.
        """
        model = self._enter(model_id)
        model.batcher = batcher
        self._models.move(model, lane)
        if limit is not None:
            model.lane.limit = limit
            self._turns.refresh(model.lane)
        self._advance()

    def remove_model(self, model_id: str) -> None:
        """Forget a model: what waits ends with 'disposed' at once, what runs is cancelled. idle() waits for its end."""
        self._turns.read_clock()
        model = self._models.get(model_id)
        if model is not None and not model.removed:
            model.removed = True
            self._leave_all(model, 'disposed', f"model '{model_id}' was disposed before this task ended")
            self._models.tidy(model)

    def schedule(
        self, model_id: str, run: Callable[[RunContext], Awaitable[object]], *, priority: Priority = 'normal',
        signal: AbortSignal | None = None, deadline: float | None = None, discard: Callable[[object], None] | None = None,
        ahead: Callable[[], Callable[[], None] | None] | None = None, send: Callable[[], Callable[[], None] | None] | None = None,
    ) -> Task:
        """Let `run` do a model's work as soon as it is its turn, which may be at once.

        signal: an AbortSignal that cancels the task. deadline: the time of the clock (ms) by which the task must have ended;
        None: `timeout` of the options after now. discard: is given a result that came though the task was cancelled, to free it.
        ahead: called while the task waits, once it is sure to be next in its full lane: hands it over to where it will run, so that it can begin
        there the moment the lane is free, and gives what takes it back; that is called if the task is not next any more, for whatever reason.
        send: the same, called as a task starts that was not handed over, before schedule() returns if that is at once; taken back if it is cancelled
        before its work begins.
        EdgeflowError: 'closed', 'disposed' (a model that is being removed), 'invalid-argument' (priority).
        """
        model = self._enter(model_id)
        job = Job(self._new_task(model, priority), model, run, discard)
        job.ahead = ahead
        job.send = send
        return self._submit(job, signal, deadline)

    def schedule_batch(
        self, model_id: str, request: object, *, priority: Priority = 'normal', signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> Task:
        """Let the model's Batcher run a request, merged with others if batching is on. Options and errors are those of schedule().

        EdgeflowError 'invalid-argument' if the model has no Batcher.
        """
        model = self._enter(model_id)
        batcher = model.batcher
        if batcher is None:
            raise EdgeflowError('invalid-argument', f"model '{model_id}': expected one that was registered with a batcher", {'model': model_id})
        size = self.options.batch_size if batcher.size is None else batcher.size
        key = batcher.key(request) if size > 1 else None
        alike = None if key is None else f'{priority} {model_id} {key}'
        task = self._new_task(model, priority)
        job = Job(task, model, lambda context: batcher.run(request, context), batcher.discard, batcher, request, alike)
        job.company = size
        job.company_wait = self.options.batch_wait if batcher.wait is None else batcher.wait
        return self._submit(job, signal, deadline)

    def close(self) -> None:
        """End all that waits with 'closed', cancel all that runs, take nothing more. idle() waits for the end."""
        self._turns.read_clock()
        self._closed = True
        for model in self._models.all():
            self._leave_all(model, 'closed', 'the scheduler was closed before this task ended')

    async def idle(self, model_id: str | None = None) -> None:
        """Wait until nothing waits or runs any more, of one model or of all."""
        await self._models.idle(model_id)

    def on_event(self, listener: Callable[[SchedulerEvent], None]) -> Callable[[], None]:
        """Tell of every event, in order, once the scheduler has done what it did. Returns "stop telling"."""
        return self._ledger.listen(listener)

    def statistics(self) -> SchedulerStatistics:
        """Counts and times until now, as a record that does not change any more."""
        return SchedulerStatistics(self.options.max_concurrent, len(self._runs), self._ledger.total.record(), self._models.statistics())

    def spare_slots(self) -> int:
        """How many idle slots each run may use besides its own: none while a task could use one, else an equal share."""
        if self._turns.waiting():
            return 0
        return (self.options.max_concurrent - len(self._runs)) // max(1, len(self._runs))

    def _enter(self, model_id: str) -> ModelRecord:
        """Begin a call about a model that is there or is made now."""
        self._turns.read_clock()
        if self._closed:
            raise EdgeflowError('closed', 'expected an open scheduler; this one was closed', {})
        return self._models.find(model_id)

    def _new_task(self, model: ModelRecord, priority: Priority) -> Task:
        if priority not in HEAD_STARTS:
            check_choice(priority, PRIORITIES, 'priority')
        self._task_count += 1
        return Task(self._task_count, model.model_id, priority, self._turns.now)

    def _submit(self, job: Job, signal: AbortSignal | None, deadline: float | None) -> Task:
        task = job.task
        now = task.queued_at
        timeout = self.options.timeout
        task.when_cancelled(lambda: self._cancel(job))
        job.rank = now - HEAD_STARTS[task.priority] * self.options.aging
        job.ends_at = now + timeout if deadline is None and timeout is not None else deadline
        self._ledger.arrive(job)
        job.model.lane.add(job)
        self._turns.refresh(job.model.lane)
        self._turns.watch_deadline(job)
        if signal is not None:
            job.listen(signal, lambda: self._cancel(job))
        self._advance()
        return task

    def _cancel(self, job: Job) -> bool:
        task = job.task
        self._turns.read_clock()
        return self._leave(job, task_error('aborted', task, 'was cancelled'))

    def _leave_all(self, model: ModelRecord, code: str, message: str) -> None:
        """End all tasks of a model; nothing is started before the last of them."""
        nested = self._advancing
        self._advancing = True
        for job in self._models.jobs(model, list(self._runs.values())):
            self._leave(job, EdgeflowError(code, message, {'task': job.task.id, 'model': model.model_id}))
        self._advancing = nested
        self._advance()

    def _leave(self, job: Job, reason: EdgeflowError) -> bool:
        """End a waiting job, ask the work of a running one to stop; one of several merged jobs leaves the others alone."""
        if job.reason is not None or job.task.ended_at is not None:
            return False
        job.reason = reason
        run = job.run
        if run is None:
            lane = job.model.lane
            lane.remove(job)
            self._end(job, None, None)
            self._turns.refresh(lane)
        elif run.wanted > 1:
            run.wanted -= 1
            self._end(job, None, None)
        else:
            self._quiet(job)
            self._ledger.note('stopping', job, reason)
            run.context.cancel(reason)
        self._advance()
        return True

    def _quiet(self, job: Job) -> None:
        """No deadline and no signal reach the job any more."""
        self._turns.forget_deadline(job)
        job.unlisten()

    def _end(self, job: Job, value: object, failure: Exception | None) -> None:
        self._quiet(job)
        self._ledger.end(job, value, failure)
        self._models.tidy(job.model)

    def _advance(self) -> None:
        """Do what can be done now. Called again from within, it makes the outer call go round once more."""
        self._again = True
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._again:
                self._again = False
                self._end_overdue()
                while len(self._runs) < self.options.max_concurrent and self._start_next():
                    continue
                self._ledger.deliver()
                self._begin_work()
            self._hand_over()
        finally:
            self._advancing = False
        self._turns.set_alarm(self._wake)
        self._models.wake_waiters()

    def _end_overdue(self) -> None:
        job = self._turns.overdue()
        while job is not None:
            self._leave(job, task_error('timeout', job.task, 'had not ended by its deadline'))
            job = self._turns.overdue()

    def _wake(self) -> None:
        self._turns.alarm_rang()
        self._turns.read_clock()
        self._advance()

    def _start_next(self) -> bool:
        """Start the most urgent of what could start; False if there is nothing."""
        lane = self._turns.next_lane()
        if lane is None:
            return False
        jobs = lane.take()
        self._run_count += 1
        run = Run(lane, jobs, RunContext(self._run_count, self.spare_slots))
        self._runs[run.context.run_id] = run
        lane.running += 1
        run.model.unfinished += 1
        for job in jobs:
            self._ledger.start(job, run)
        self._turns.refresh(lane)
        self._starting.append(run)
        return True

    def _hand_over(self) -> None:
        """Where a lane's next job is sure to follow what runs there, hand it over; with an idle slot it might get that one's help instead."""
        busy = len(self._runs) >= self.options.max_concurrent and not self._turns.waiting()
        for run in self._runs.values():
            run.lane.hand_over(busy)

    def _begin_work(self) -> None:
        starting = self._starting
        self._starting = []
        for run in starting:
            self._begin(run)

    def _begin(self, run: Run) -> None:
        job = run.jobs[0]
        if job.send is not None:
            job.hand(job.send)
        start_task(lambda: run.work(lambda results: self._finished(run, results), lambda error: self._failed(run, error)))

    def _release(self, run: Run) -> None:
        """The work has really stopped: its slot is free."""
        self._turns.read_clock()
        del self._runs[run.context.run_id]
        self._models.run_stopped(run)

    def _finished(self, run: Run, results: list[object]) -> None:
        self._release(run)
        for i in range(len(run.jobs)):
            job = run.jobs[i]
            unwanted = job.reason is not None
            if job.run is run:
                self._end(job, None if unwanted else results[i], None)
            if unwanted and i < len(results):
                discard_result(job, results[i])
        self._models.tidy(run.model)
        self._advance()

    def _failed(self, run: Run, failure: Exception) -> None:
        self._release(run)
        again = run.again(failure)
        for job in run.jobs:
            if job.run is run:
                if job.reason is None and again:
                    self._requeue(job, failure)
                else:
                    self._end(job, None, failure)
        self._models.tidy(run.model)
        self._advance()

    def _requeue(self, job: Job, failure: Exception) -> None:
        """A merged run failed: each of its requests is run alone, so that only the one to blame fails."""
        self._ledger.requeue(job, failure)
        job.alike = None
        job.model.lane.add(job)
        self._turns.refresh(job.model.lane)
