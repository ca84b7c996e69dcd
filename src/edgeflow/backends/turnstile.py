"""Runs of one model on WebGPU or WebNN that are under way at a time: how many, and whose turn it is to prepare."""

from __future__ import annotations

from edgeflow.host.platform import new_deferred
from edgeflow.host.port import Deferred
from edgeflow.ir.graph import Graph

# One at work, one behind it, one whose results are being read.
FLIGHTS = 3


def flights_of(graph: Graph) -> int:
    """How many runs may be under way. Sessions of what may be a decoder work on memory that runs use, too."""
    decodes = 'input_ids' in [info.name for info in graph.inputs] and 'logits' in [info.name for info in graph.outputs]
    return 1 if decodes else FLIGHTS


class Turnstile:
    """Lets one through at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._taken: bool = False
        self._waiting: list[Deferred] = []

    async def enter(self) -> None:
        if self._taken:
            turn = new_deferred()
            self._waiting.append(turn)
            came = False
            try:
                await turn.result()
                came = True
            finally:
                if not came:
                    # Cancelled from outside, before or just after it was let in.
                    count = len(self._waiting)
                    self._waiting = [other for other in self._waiting if other is not turn]
                    if len(self._waiting) == count:
                        self.leave()
        self._taken = True

    def leave(self) -> None:
        if len(self._waiting) > 0:
            # It stays taken: nobody gets in before who waited.
            self._waiting.pop(0).resolve(None)
        else:
            self._taken = False
