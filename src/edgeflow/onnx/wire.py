"""The protobuf wire format (https://protobuf.dev/programming-guides/encoding/), read in place.

A WireReader walks the fields of one message, which lies in data[start:end]. A nested message is another WireReader on
the same bytes, so nothing is copied. Every read is checked against the end of its own message.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import read_f32, utf8_decode
from edgeflow.host.port import Bytes

VARINT = 0
FIXED64 = 1
LENGTH = 2
FIXED32 = 5

MAX_EXACT = 9007199254740991
MAX_DEPTH = 64


def invalid(message: str, position: int) -> EdgeflowError:
    """The error for bytes that are no protobuf of an ONNX model. `position`: where in the file."""
    return EdgeflowError('invalid-model', f'no valid ONNX model: {message} at byte {position}', {'position': position})


class WireReader:
    """The fields of one message. `wire` is the wire type of the field that next_field() has just found.

    For a length-delimited field, `start` and `stop` are where its content lies, and the reader already stands after it.
    """

    def __init__(self, data: Bytes, position: int, end: int, depth: int) -> None:
        self.data: Bytes = data
        self.position: int = position
        self.end: int = end
        self.depth: int = depth
        self.wire: int = 0
        self.start: int = 0
        self.stop: int = 0
        self.low: int = 0
        self.high: int = 0
        if depth > MAX_DEPTH:
            raise invalid(f'messages lie in each other more than {MAX_DEPTH} deep', position)

    def next_field(self) -> int:
        """The number of the next field, or 0 at the end of the message."""
        if self.position >= self.end:
            return 0
        at: int = self.position
        byte: int = self.data[at]
        key: int = byte
        if byte < 128:
            self.position = at + 1
        else:
            self.words()
            if self.high != 0 or self.low >= 4294967296:
                raise invalid('a field number is too large', at)
            key = self.low
        wire: int = key % 8
        field: int = (key - wire) // 8
        self.wire = wire
        if field == 0:
            raise invalid('field number 0', at)
        if wire == LENGTH:
            size: int = self.length()
            self.start = self.position
            self.stop = self.position + size
            self.position = self.stop
        elif wire != VARINT and wire != FIXED32 and wire != FIXED64:
            raise invalid(f'field {field} has wire type {wire}; expected 0, 1, 2 or 5', at)
        return field

    def length(self) -> int:
        """A length, checked against what is left of the message."""
        at: int = self.position
        size: int = 0
        if at < self.end and self.data[at] < 128:
            size = self.data[at]
            self.position = at + 1
        else:
            self.words()
            size = self.high * 4294967296 + self.low
        if size > self.end - self.position:
            raise invalid(f'a field of {size} bytes where {self.end - self.position} are left', at)
        return size

    def words(self) -> None:
        """Read a varint of up to 64 bits into `low` and `high` (32 bits each, unsigned)."""
        data: Bytes = self.data
        at: int = self.position
        limit: int = min(self.end, at + 10)
        low: int = 0
        high: int = 0
        scale: int = 1
        count: int = 0
        while at < limit:
            byte: int = data[at]
            at += 1
            bits: int = byte % 128
            if count < 4:
                low += bits * scale
                scale *= 128
            elif count == 4:
                low += (bits % 16) * 268435456
                high = bits // 16
                scale = 8
            else:
                high += bits * scale
                scale *= 128
            count += 1
            if byte < 128:
                self.position = at
                self.low = low
                self.high = high % 4294967296
                return
        raise invalid('a number that does not end', self.position)

    def integer(self) -> int:
        """A varint as a signed 64-bit number, held at -(2^53 - 1) and 2^53 - 1.

        Numbers beyond are bounds such as the INT64_MAX of Slice, never exact amounts.
        """
        at: int = self.position
        if at < self.end and self.data[at] < 128:
            self.position = at + 1
            return self.data[at]
        self.words()
        high: int = self.high if self.high < 2147483648 else self.high - 4294967296
        if high >= 2097152:
            return MAX_EXACT
        if high < -2097152:
            return -MAX_EXACT
        return max(high * 4294967296 + self.low, -MAX_EXACT)

    def integer_field(self) -> int:
        """The content of a varint field."""
        self.expect(VARINT)
        return self.integer()

    def float_field(self) -> float:
        """The content of a float field."""
        self.expect(FIXED32)
        at: int = self.position
        self.position = at + 4
        if self.position > self.end:
            raise invalid('a float is cut off', at)
        return read_f32(self.data, at)

    def text(self) -> str:
        """The content of a string field."""
        self.expect(LENGTH)
        if self.start == self.stop:
            return ''
        try:
            return utf8_decode(self.data[self.start:self.stop])
        except ValueError:
            raise invalid('a text is not UTF-8', self.start) from None

    def view(self) -> Bytes:
        """The content of a bytes field: a view."""
        self.expect(LENGTH)
        return self.data[self.start:self.stop]

    def message(self) -> WireReader:
        """A reader of the message that is the content of this field."""
        self.expect(LENGTH)
        return WireReader(self.data, self.start, self.stop, self.depth + 1)

    def integers(self, into: list[int]) -> None:
        """Append the content of a repeated varint field, packed or not."""
        if self.wire != LENGTH:
            into.append(self.integer_field())
            return
        inner: WireReader = self.message()
        while inner.position < inner.end:
            into.append(inner.integer())

    def floats(self, into: list[float]) -> None:
        """Append the content of a repeated float field, packed or not."""
        if self.wire != LENGTH:
            into.append(self.float_field())
            return
        if (self.stop - self.start) % 4 != 0:
            raise invalid('packed floats are cut off', self.start)
        at: int = self.start
        while at < self.stop:
            into.append(read_f32(self.data, at))
            at += 4

    def skip(self) -> None:
        """Pass over a field of no interest."""
        if self.wire == VARINT:
            self.words()
        elif self.wire == FIXED32 or self.wire == FIXED64:
            at: int = self.position
            self.position = at + (4 if self.wire == FIXED32 else 8)
            if self.position > self.end:
                raise invalid('a number is cut off', at)

    def expect(self, wire: int) -> None:
        """Raise unless the field has this wire type."""
        if self.wire != wire:
            raise invalid(f'a field has wire type {self.wire}; expected {wire}', self.position)
