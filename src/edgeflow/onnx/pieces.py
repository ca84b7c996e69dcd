"""A file in pieces, as a download delivers it."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Memory


class Pieces:
    """The bytes of a file, in order. starts: where each piece begins.

    memory: of the engine in which the file lies as a whole, from `address` on. None: the pieces lie by themselves.
    """

    def __init__(self, chunks: dict[int, Bytes], memory: Memory | None = None, address: int = 0) -> None:
        self.memory: Memory | None = memory
        self.address: int = address
        self.starts: list[int] = sorted(chunks.keys())
        self.parts: list[Bytes] = [chunks[start] for start in self.starts]
        sizes: dict[int, int] = {}
        for start in self.starts:
            sizes[start] = len(chunks[start])
        self.size: int = joined_size(sizes)

    def find(self, position: int) -> int:
        """The number of the piece that has the byte at `position`."""
        low = 0
        high = len(self.starts) - 1
        while low < high:
            middle = (low + high + 1) // 2
            if self.starts[middle] <= position:
                low = middle
            else:
                high = middle - 1
        return low

    def views(self, start: int, end: int) -> list[Bytes]:
        """The bytes from start to before end, as views of the pieces they lie in."""
        found: list[Bytes] = []
        at = start
        while at < end:
            i = self.find(at)
            stop = min(end, self.starts[i] + len(self.parts[i]))
            found.append(self.parts[i][at - self.starts[i]:stop - self.starts[i]])
            at = stop
        return found


def joined_size(sizes: dict[int, int]) -> int:
    """Bytes of the pieces that begin at the keys, together; 'internal' if one is missing. Some may have come again, cut in another way."""
    size = 0
    for start in sorted(sizes.keys()):
        if start > size:
            raise EdgeflowError('internal', f'expected a piece of the file at {size}, got one at {start}', {})
        size = max(size, start + sizes[start])
    return size
