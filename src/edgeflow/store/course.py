"""How a transfer goes: what its connections and its chunks both know, and what ends an attempt."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller, signal_aborted
from edgeflow.host.port import AbortController
from edgeflow.store.transfer_records import Source


class Course:
    """tell: says to all clients that something has happened. stop: ends the connections of this attempt.

    ranged: the server is asked for parts. streaming: it gives the whole in one stream. answered: the file is known to be there;
    absent: it is known not to be. changed: all has to begin anew, because of `last` if that is not another version. given_up: nobody
    waits any more. failure: why this attempt ended.
    """

    def __init__(self, source: Source, tell: Callable[[], None]) -> None:
        self.source: Source = source
        self.tell: Callable[[], None] = tell
        self.stop: AbortController = new_abort_controller()
        self.ranged: bool = source.ranged
        self.streaming: bool = False
        self.answered: bool = False
        self.absent: bool = False
        self.changed: bool = False
        self.given_up: bool = False
        self.failure: Exception | None = None
        self.last: EdgeflowError | None = None

    def stopped(self) -> bool:
        """Whether the connections are to end."""
        return signal_aborted(self.stop.signal)

    def fail(self, error: Exception) -> None:
        """This attempt is over; the first reason counts."""
        if self.failure is None:
            self.failure = error
        self.stop.abort()

    def change(self) -> None:
        """The file is another than before: begin anew."""
        self.changed = True
        self.stop.abort()

    def check_wanted(self) -> None:
        """'aborted' if nobody waits any more."""
        if self.given_up:
            raise EdgeflowError('aborted', f'loading {self.source.url} was cancelled through its signal', {'url': self.source.url})
