"""Long work on a thread that others need too: it rests now and then, and ends there when it is not wanted any more."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import now, pause

# At 60 frames a second the page has 16 ms for a frame.
WORK_MS = 8.0


class Rests:
    """The rests of one piece of work. cancelled: whether its caller no longer wants it."""

    def __init__(self, cancelled: Callable[[], bool], what: str) -> None:
        self._cancelled: Callable[[], bool] = cancelled
        self._what: str = what
        self._began: float = now()

    async def rest(self) -> None:
        """To be called often: let go of the thread if it was held for WORK_MS. EdgeflowError 'aborted'."""
        if now() - self._began < WORK_MS:
            return
        await pause()
        if self._cancelled():
            raise EdgeflowError('aborted', f'{self._what} was cancelled', {})
        self._began = now()
