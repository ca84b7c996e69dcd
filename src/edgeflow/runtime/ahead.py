"""A run that is sent to its worker while another one is under way there, so that the worker goes on without waiting for the page.

The scheduler says which waiting task that is, and when it is not to be it after all: schedule(ahead) in scheduler.py. Until its turn comes the
task waits as all do; then it takes the answer of what was sent.
"""

from __future__ import annotations

from edgeflow.backends.contract import RunControl
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.messages import Parcel
from edgeflow.runtime.pool import Call, PoolWorker


class Ahead:
    """The run that `parcel` asks for. starting: its turn has come, so that it is sent at once."""

    def __init__(self, worker: PoolWorker, parcel: Parcel, starting: bool = False) -> None:
        self.worker: PoolWorker = worker
        self._parcel: Parcel = parcel
        self._call: Call | None = None
        # Nothing is to be sent any more.
        self._over: bool = False
        self.starting: bool = starting
        if starting:
            self._send()
        else:
            worker.follow(self._send)

    def _send(self) -> None:
        if not self._over:
            self._call = self.worker.ask(self._parcel)

    def take_back(self) -> None:
        """It is not next any more. What the worker has begun goes on."""
        self._over = True
        if self._call is not None:
            self.worker.withdraw(self._call)

    async def answer(self, control: RunControl | None) -> dict[str, object] | None:
        """The answer, now that its turn has come; None: it was not sent, or taken back before it began."""
        call = self._call
        taken_back = self._over
        self._over = True
        if call is None:
            return None
        try:
            return await self.worker.work_on(call, control)
        except EdgeflowError as error:
            if taken_back and error.code == 'aborted' and (control is None or not control.cancelled()):
                return None
            raise
