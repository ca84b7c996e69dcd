"""An ONNX file's skeleton: the file without the contents of large tensors.

The reader wants bytes in one piece, and weights must not be copied to give it that. So the skeleton is made: a small ONNX file
in which a large initializer has, in place of its raw data, where in the pieces they lie (field records.TENSOR_PLACE).
"""

from __future__ import annotations

from edgeflow.host.platform import bytes_of, join_bytes
from edgeflow.host.port import Bytes
from edgeflow.onnx import records
from edgeflow.onnx.pieces import Pieces
from edgeflow.onnx.wire import FIXED32, FIXED64, LENGTH, VARINT, invalid

# Smaller tensors stay in the skeleton.
LARGE = 65536


class Scanner:
    """Walks over the fields of a message that lies in pieces."""

    def __init__(self, pieces: Pieces, position: int, end: int) -> None:
        self.pieces: Pieces = pieces
        self.position: int = position
        self.end: int = end
        self._part: Bytes = pieces.parts[0]
        self._start: int = 0
        self._stop: int = len(pieces.parts[0])
        self.start: int = 0
        self.stop: int = 0

    def next_field(self) -> int:
        """The number of the next field, 0 at the end; for one with a length, `start` and `stop` are where its content lies, else start is -1."""
        if self.position >= self.end:
            return 0
        at = self.position
        key = self._varint()
        wire = key % 8
        self.start = -1
        if wire == LENGTH:
            size = self._varint()
            self.start = self.position
            self.stop = self.position + size
            self.position = self.stop
        elif wire == VARINT:
            self._varint()
        elif wire == FIXED32 or wire == FIXED64:
            self.position += 4 if wire == FIXED32 else 8
        if self.position > self.end or key < 8 or (wire != LENGTH and wire != VARINT and wire != FIXED32 and wire != FIXED64):
            raise invalid('a field that does not fit', at)
        return key // 8

    def _varint(self) -> int:
        value = 0
        scale = 1
        for _ in range(10):
            if self.position >= self.end:
                break
            if self.position < self._start or self.position >= self._stop:
                i = self.pieces.find(self.position)
                self._part = self.pieces.parts[i]
                self._start = self.pieces.starts[i]
                self._stop = self._start + len(self._part)
            byte: int = self._part[self.position - self._start]
            self.position += 1
            value += byte % 128 * scale
            scale *= 128
            if byte < 128:
                return value
        raise invalid('a number that does not end', self.position)


def skeleton(pieces: Pieces, nodes: int = 0) -> Bytes:
    """The file without the contents of its large initializers; the file itself if it is in one piece.

    nodes: bytes of nodes with which the graph is known to begin (graphs.Head).
    """
    if len(pieces.parts) == 1 and pieces.memory is None:
        return pieces.parts[0]
    return join_bytes(_message(pieces, 0, pieces.size, [records.MODEL_GRAPH, records.GRAPH_INITIALIZER], nodes))


def _message(pieces: Pieces, start: int, end: int, path: list[int], nodes: int) -> list[Bytes]:
    """A message with the messages along `path`, numbers of fields, rewritten; at its end are tensors."""
    out: list[Bytes] = []
    scanner = Scanner(pieces, start if len(path) != 1 else start + nodes, end)
    copied = start
    while True:
        at = scanner.position
        number = scanner.next_field()
        if number == 0:
            break
        if scanner.start < 0 or scanner.stop - scanner.start < LARGE:
            continue
        inner: list[Bytes] = []
        if len(path) > 0 and number == path[0]:
            inner = _message(pieces, scanner.start, scanner.stop, path[1:], nodes)
        elif len(path) == 0 and number == records.TENSOR_RAW:
            number = records.TENSOR_PLACE
            inner = [bytes_of(varint(scanner.start) + varint(scanner.stop - scanner.start))]
        else:
            continue
        out.extend(pieces.views(copied, at))
        copied = scanner.stop
        size = 0
        for part in inner:
            size += len(part)
        out.append(bytes_of(varint(number * 8 + LENGTH) + varint(size)))
        out.extend(inner)
    out.extend(pieces.views(copied, end))
    return out


def varint(value: int) -> list[int]:
    """The bytes of a number that is not negative."""
    found: list[int] = []
    rest = value
    while rest >= 128:
        found.append(rest % 128 + 128)
        rest = rest // 128
    found.append(rest)
    return found
