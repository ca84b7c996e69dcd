"""A task as its caller holds it, and the context that its work is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from edgeflow.backends.contract import KernelTime
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_deferred, warn
from edgeflow.host.port import Deferred

TaskStatus = Literal['queued', 'running', 'done', 'failed', 'cancelled', 'timed-out']


class Task:
    """Work that was handed to a scheduler.

    id: counts up from 1 in the order of arrival. status: 'queued' and 'running', then one of 'done', 'failed', 'cancelled' and
    'timed-out'. queued_at, started_at, ended_at: ms of the scheduler's clock, None while it has not come to that.
    """

    def __init__(self, id: int, model_id: str, priority: str, queued_at: float) -> None:
        self.id: int = id
        self.model_id: str = model_id
        self.priority: str = priority
        self.status: TaskStatus = 'queued'
        self.queued_at: float = queued_at
        self.started_at: float | None = None
        self.ended_at: float | None = None
        self._value: object = None
        self._error: Exception | None = None
        self._waiter: Deferred | None = None
        self._on_cancel: Callable[[], bool] | None = None

    def cancel(self) -> bool:
        """End the task with 'aborted': at once if it waits, and if it runs when its work has stopped. False if it has ended already."""
        return False if self._on_cancel is None else self._on_cancel()

    async def result(self) -> object:
        """What the work gave, when the task has ended. May be asked for by several, and afterwards.

        EdgeflowError: 'aborted' (cancel() or the signal), 'timeout' (the deadline passed), 'disposed' (its model was removed), 'closed'
        (the scheduler was closed). If the work failed, its own error.
        """
        if self.ended_at is None:
            if self._waiter is None:
                self._waiter = new_deferred()
            await self._waiter.result()
        if self._error is not None:
            raise self._error
        return self._value

    def when_cancelled(self, callback: Callable[[], bool]) -> None:
        """Internal: the scheduler says what cancel() does."""
        self._on_cancel = callback

    def end(self, status: TaskStatus, time: float, value: object, error: Exception | None) -> None:
        """Internal: the scheduler tells how the task ended. From here on the task refers to its result only, not to its work."""
        self.status = status
        self.ended_at = time
        self._value = value
        self._error = error
        self._on_cancel = None
        if self._waiter is not None:
            self._waiter.resolve(None)
            self._waiter = None


class RunContext:
    """What work is told while it runs. It looks at cancelled() between its steps, or asks to be called by on_cancel().

    The slot of the work stays taken until it has really ended, with whatever value or error. ran: ms that it took, if the work knows better
    than the scheduler, which sees it begin and end.
    """

    def __init__(self, run_id: int, spare: Callable[[], int]) -> None:
        self.run_id: int = run_id
        self.reason: EdgeflowError | None = None
        # Where the work tells how long its kernels take, if that is wanted.
        self.times: list[KernelTime] | None = None
        self.keeps: bool = False
        self.ran: float | None = None
        self._spare: Callable[[], int] = spare
        self._callbacks: list[Callable[[], None]] = []

    def cancelled(self) -> bool:
        """Whether nobody wants the result any more; `reason` says why."""
        return self.reason is not None

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back when the work is cancelled; at once if it is already. At most once."""
        if self.reason is not None:
            callback()
        else:
            self._callbacks.append(callback)

    def spare_slots(self) -> int:
        """How many idle slots this work may use besides its own until its next step: none as soon as any task waits for one."""
        return self._spare()

    def cancel(self, reason: EdgeflowError) -> None:
        """Internal: the scheduler asks the work to stop."""
        self.reason = reason
        callbacks = self._callbacks
        self._callbacks = []
        for callback in callbacks:
            call_safely(callback, 'a callback of on_cancel()')


def call_safely(callback: Callable[[], None], what: str) -> None:
    """Call code of others: if it fails, that is told as a warning and does not end what we are doing."""
    try:
        callback()
    except Exception as error:
        warn(f'{what} failed: {error}')


def task_error(code: str, task: Task, what: str) -> EdgeflowError:
    """The error for a task that did not end by itself."""
    return EdgeflowError(code, f"task {task.id} of model '{task.model_id}' {what}", {'task': task.id, 'model': task.model_id})


def with_cause(reason: EdgeflowError, failure: Exception | None) -> EdgeflowError:
    """The reason why a task was cancelled, and in its details what its work failed with, unless it only stopped."""
    if failure is None or (isinstance(failure, EdgeflowError) and failure.code == 'aborted'):
        return reason
    details = dict(reason.details)
    details['cause'] = failure
    return EdgeflowError(reason.code, reason.message, details)


def ending(reason: EdgeflowError | None, failure: Exception | None) -> TaskStatus:
    """The status of a task that ended so."""
    if reason is not None:
        return 'timed-out' if reason.code == 'timeout' else 'cancelled'
    return 'done' if failure is None else 'failed'
