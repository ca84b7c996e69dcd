"""TensorProto: a constant tensor in any of its encodings, as TensorData.

Raw data, packed floats and external data become views. Only numbers that protobuf writes as varints are decoded.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import join_bytes, new_bytes, write_i32s
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import DTYPE_NAMES, ITEM_BITS, byte_size
from edgeflow.ir.graph import Stored, TensorData
from edgeflow.onnx import records
from edgeflow.onnx.pieces import Pieces
from edgeflow.onnx.skeleton import LARGE
from edgeflow.onnx.wire import FIXED32, FIXED64, LENGTH, VARINT, WireReader, invalid

MAX_ELEMENTS = 1099511627776
MAX_RANK = 32
EXTERNAL = 1

# '' is the model's own file.
External = Callable[[str], Bytes | Pieces]


class TensorParts:
    """The fields of one TensorProto as they are found in the file."""

    def __init__(self, position: int) -> None:
        self.position: int = position
        self.name: str = ''
        self.dtype: int = 0
        self.dims: list[int] = []
        self.raw: Bytes | None = None
        self.chunks: list[Bytes] = []
        self.chunk_field: int = 0
        self.words: list[int] = []
        self.word_field: int = 0
        self.strings: list[str] = []
        self.has_strings: bool = False
        self.external: dict[str, str] = {}
        self.location: int = 0
        self.place: list[int] = []


def read_entry(reader: WireReader) -> list[str]:
    """A StringStringEntryProto: [key, value]."""
    key: str = ''
    value: str = ''
    while True:
        number: int = reader.next_field()
        if number == 0:
            return [key, value]
        if number == records.ENTRY_KEY:
            key = reader.text()
        elif number == records.ENTRY_VALUE:
            value = reader.text()
        else:
            reader.skip()


def read_parts(reader: WireReader) -> TensorParts:
    """Collect the fields of a TensorProto."""
    parts = TensorParts(reader.position)
    while True:
        number: int = reader.next_field()
        if number == 0:
            return parts
        if number == records.TENSOR_DIMS:
            reader.integers(parts.dims)
        elif number == records.TENSOR_DTYPE:
            parts.dtype = reader.integer_field()
        elif number == records.TENSOR_NAME:
            parts.name = reader.text()
        elif number == records.TENSOR_RAW:
            parts.raw = reader.view()
        elif number == records.TENSOR_FLOATS or number == records.TENSOR_DOUBLES:
            _read_chunk(reader, parts, number)
        elif number == records.TENSOR_INT32S or number == records.TENSOR_INT64S or number == records.TENSOR_UINT64S:
            _read_words(reader, parts, number)
        elif number == records.TENSOR_STRINGS:
            parts.strings.append(reader.text())
            parts.has_strings = True
        elif number == records.TENSOR_EXTERNAL:
            entry = read_entry(reader.message())
            parts.external[entry[0]] = entry[1]
        elif number == records.TENSOR_LOCATION:
            parts.location = reader.integer_field()
        elif number == records.TENSOR_PLACE:
            reader.integers(parts.place)
        else:
            reader.skip()


def _read_chunk(reader: WireReader, parts: TensorParts, number: int) -> None:
    """float_data or double_data: packed floats are the tensor's bytes as they stand."""
    if parts.chunk_field != 0 and parts.chunk_field != number:
        raise invalid('a tensor has both float_data and double_data', reader.position)
    parts.chunk_field = number
    if reader.wire == LENGTH:
        parts.chunks.append(reader.view())
        return
    size: int = 4 if number == records.TENSOR_FLOATS else 8
    reader.expect(FIXED32 if size == 4 else FIXED64)
    at: int = reader.position
    reader.skip()
    parts.chunks.append(reader.data[at:at + size])


def _read_words(reader: WireReader, parts: TensorParts, number: int) -> None:
    """int32_data, int64_data or uint64_data: low and high 32 bits of each number, one after the other."""
    if parts.word_field != 0 and parts.word_field != number:
        raise invalid('a tensor has two kinds of integer data', reader.position)
    parts.word_field = number
    words: list[int] = parts.words
    if reader.wire != LENGTH:
        reader.expect(VARINT)
        reader.words()
        words.append(reader.low)
        words.append(reader.high)
        return
    inner: WireReader = reader.message()
    while inner.position < inner.end:
        inner.words()
        words.append(inner.low)
        words.append(inner.high)


def read_tensor(reader: WireReader, external: External | None, names: list[str]) -> TensorData:
    """A tensor; its name is appended to `names`. Expected byte size and data are checked against each other."""
    parts = read_parts(reader)
    names.append(parts.name)
    where: str = f"tensor '{parts.name}'"
    count: int = check_shape(parts.dims, where, parts.position)
    if parts.dtype not in DTYPE_NAMES:
        raise EdgeflowError(
            'unsupported-op', f'{where} has data type {parts.dtype}; expected one of {", ".join(sorted(ITEM_BITS))}',
            {'tensor': parts.name, 'got': parts.dtype},
        )
    dtype: str = DTYPE_NAMES[parts.dtype]
    if dtype == 'string':
        return _string_tensor(parts, count, where)
    if parts.has_strings:
        raise invalid(f'{where} of {dtype} has string data', parts.position)
    views: list[Bytes] = _tensor_views(parts, dtype, count, external, where)
    stored = _stored(parts, external)
    if stored is not None:
        views = []
    data: Bytes = views[0] if len(views) == 1 else new_bytes(0)
    tensor = TensorData(dtype, parts.dims, data, [], views if len(views) > 1 or len(parts.place) > 0 else [], stored)
    expected: int = byte_size(dtype, count)
    if tensor.size() != expected:
        raise invalid(f'{where}, {dtype} {parts.dims}: expected {expected} bytes, got {tensor.size()}', parts.position)
    return tensor


def check_shape(dims: list[int], where: str, position: int) -> int:
    """The number of elements; raises on a shape that no tensor can have."""
    if len(dims) > MAX_RANK:
        raise invalid(f'{where} has {len(dims)} dimensions; at most {MAX_RANK}', position)
    count: int = 1
    for dim in dims:
        if dim < 0:
            raise invalid(f'{where} has shape {dims}; a dimension is negative', position)
        count = count * dim
        if count > MAX_ELEMENTS:
            raise invalid(f'{where} has shape {dims}; more than {MAX_ELEMENTS} elements', position)
    return count


def _string_tensor(parts: TensorParts, count: int, where: str) -> TensorData:
    if parts.location == EXTERNAL or parts.raw is not None or len(parts.words) > 0 or len(parts.chunks) > 0:
        raise invalid(f'{where} of strings has numeric data', parts.position)
    if len(parts.strings) != count:
        raise invalid(f'{where}: expected {count} strings, got {len(parts.strings)}', parts.position)
    return TensorData('string', parts.dims, new_bytes(0), parts.strings)


def _tensor_views(parts: TensorParts, dtype: str, count: int, external: External | None, where: str) -> list[Bytes]:
    """The tensor's bytes from the one place where they are; several views of a file that came in pieces."""
    if parts.location == EXTERNAL:
        location: str = external_location(parts)
        offset: int = _external_number(parts, 'offset', 0, where)
        length: int = _external_number(parts, 'length', byte_size(dtype, count), where)
        return _file_views(parts, location, offset, length, external, where)
    if len(parts.place) == 2:
        return _file_views(parts, '', parts.place[0], parts.place[1], external, where)
    return [_tensor_bytes(parts, dtype, where)]


def _stored(parts: TensorParts, external: External | None) -> Stored | None:
    """Where the content of a tensor is, if the file lies in an engine's memory."""
    if len(parts.place) != 2 or external is None:
        return None
    source = external(external_location(parts) if parts.location == EXTERNAL else '')
    if not isinstance(source, Pieces) or source.memory is None:
        return None
    return Stored(source.memory, source.address + parts.place[0], parts.place[1])


def _tensor_bytes(parts: TensorParts, dtype: str, where: str) -> Bytes:
    """The bytes that stand in the tensor itself."""
    if parts.raw is not None:
        if len(parts.words) > 0 or len(parts.chunks) > 0:
            raise invalid(f'{where} has raw data and typed data', parts.position)
        return parts.raw
    if parts.chunk_field != 0:
        expected: str = 'float32' if parts.chunk_field == records.TENSOR_FLOATS else 'float64'
        if dtype != expected or len(parts.words) > 0:
            raise invalid(f'{where} of {dtype} has {expected} data', parts.position)
        return parts.chunks[0] if len(parts.chunks) == 1 else join_bytes(parts.chunks)
    if parts.word_field != 0:
        return _packed_words(parts, dtype, where)
    return new_bytes(0)


def _packed_words(parts: TensorParts, dtype: str, where: str) -> Bytes:
    """Integers that came as varints, in the width of their dtype."""
    words: list[int] = parts.words
    bits: int = ITEM_BITS[dtype]
    fits: bool = bits <= 32 and dtype != 'float32' and dtype != 'uint32'
    if parts.word_field == records.TENSOR_INT64S:
        fits = dtype == 'int64'
    elif parts.word_field == records.TENSOR_UINT64S:
        fits = dtype == 'uint64' or dtype == 'uint32'
    if not fits:
        raise invalid(f'{where} of {dtype} has its values in field {parts.word_field}', parts.position)
    if bits == 64:
        wide: Bytes = new_bytes(len(words) * 4)
        write_i32s(wide, 0, words)
        return wide
    low: list[int] = [words[i] for i in range(0, len(words), 2)]
    if bits == 32:
        data: Bytes = new_bytes(len(low) * 4)
        write_i32s(data, 0, low)
        return data
    width: int = 2 if bits == 16 else 1
    narrow: Bytes = new_bytes(len(low) * width)
    for i in range(len(low)):
        value: int = low[i]
        narrow[i * width] = value % 256
        if width == 2:
            narrow[i * 2 + 1] = (value // 256) % 256
    return narrow


def external_location(parts: TensorParts) -> str:
    """The file that holds the tensor, relative to the model; raises if it would leave the model's folder."""
    location: str = parts.external.get('location', '')
    steps: list[str] = location.replace('\\', '/').split('/')
    if location == '' or location.startswith('/') or '\\' in location or ':' in location or '..' in steps or '\0' in location:
        raise EdgeflowError(
            'invalid-model', f"tensor '{parts.name}': external data at '{location}'; expected a file in the model's folder",
            {'tensor': parts.name, 'location': location},
        )
    kept: list[str] = [step for step in steps if step != '.' and step != '']
    return '/'.join(kept)


def _file_views(parts: TensorParts, location: str, offset: int, length: int, external: External | None, where: str) -> list[Bytes]:
    """Bytes of a file. Of one in pieces, whose memory goes piece by piece as weights are loaded, small tensors are copies."""
    if external is None:
        raise EdgeflowError(
            'file-missing', f"{where} lies in '{location}', which was not given", {'file': location, 'tensor': parts.name},
        )
    source = external(location)
    size: int = source.size if isinstance(source, Pieces) else len(source)
    if offset + length > size:
        raise invalid(f"{where}: bytes {offset} to {offset + length} of '{location}', which has {size}", parts.position)
    if not isinstance(source, Pieces):
        return [source[offset:offset + length]]
    views: list[Bytes] = source.views(offset, offset + length)
    if length >= LARGE:
        parts.place = [offset, length]
        return views
    parts.place = []
    return [join_bytes(views)]


def _external_number(parts: TensorParts, key: str, default: int, where: str) -> int:
    text: str = parts.external.get(key, '')
    if text == '':
        return default
    value: int = 0
    for letter in text:
        digit: int = '0123456789'.find(letter)
        if digit < 0 or len(text) > 15:
            raise invalid(f"{where}: {key} '{text}' of its external data is no number", parts.position)
        value = value * 10 + digit
    return value
