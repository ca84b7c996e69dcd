"""What a page and its workers say to each other: dicts of plain values, which structured clone carries as they are.

The page says: start, piece, stored, reset, external, work, load, run, describe, cancel, withdraw, dispose; link, help and unlink, of a worker that takes
shares of another's runs. The worker says: ready, settled (its end will be noticed), spent (memory of a piece, to be used again), answer, failure. `call` numbers a question and its
answer. Numbers of tensors travel as bytes; memory that the sender does not need any more is moved, the rest is copied.
"""

from __future__ import annotations

from typing import cast

from edgeflow.backends.contract import Feed, Held, MemoryUse, Placement
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_view, bytes_memory, error_stack, new_array, own_bytes, set_error_stack
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import ValueInfo


class Parcel:
    """A message under way: its fields, and the memory that moves with it."""

    def __init__(self, kind: str) -> None:
        self.fields: dict[str, object] = {'kind': kind}
        self.transfer: list[object] = []

    def add_bytes(self, data: Bytes, give: bool) -> Bytes:
        """The bytes to put into a field. give: the sender gives their memory up; what is shared or only a part is copied."""
        own = own_bytes(data, give and not self._has(bytes_memory(data)))
        self.transfer.append(bytes_memory(own))
        return own

    def add_feeds(self, feeds: dict[str, Feed], give: bool) -> None:
        """Put tensors into the field 'feeds'."""
        self.fields['feeds'] = [[name, self._row(feeds[name], give)] for name in feeds]
        self.fields['held'] = [[name, cast(Held, feeds[name].held).number] for name in feeds if feeds[name].held is not None]

    def _row(self, feed: Feed, give: bool) -> list[object]:
        items: list[object] = [self._row(item, give) if isinstance(item, Feed) else item for item in feed.items]
        return [feed.dtype, feed.shape, self.add_bytes(array_bytes(feed.data), give), items]

    def _has(self, memory: object) -> bool:
        for other in self.transfer:
            if other is memory:
                return True
        return False


def read_feeds(message: dict[str, object]) -> dict[str, Feed]:
    """What add_feeds() put in."""
    feeds: dict[str, Feed] = {}
    for row in cast('list[list]', message['feeds']):
        feeds[row[0]] = _read_row(row[1])
    return feeds


def _read_row(row: list) -> Feed:
    dtype: str = row[0]
    items: list[object] = row[3]
    if dtype in ['string', 'sequence', 'map', 'none']:
        return Feed(dtype, row[1], new_array('uint8', 0), [_read_row(item) if isinstance(item, list) else item for item in items])
    return Feed(dtype, row[1], array_view(dtype, row[2]))


def infos_fields(infos: list[ValueInfo]) -> list[object]:
    """Declared inputs or outputs as plain values."""
    return [[info.name, info.dtype, info.shape] for info in infos]


def read_infos(fields: object) -> list[ValueInfo]:
    """The other way round."""
    return [ValueInfo(row[0], row[1], row[2]) for row in cast('list[list]', fields)]


def memory_fields(use: MemoryUse) -> list[int]:
    """A MemoryUse as plain values."""
    return [use.total, use.weights, use.arena, use.plans, use.gpu]


def read_memory(fields: object) -> MemoryUse:
    """The other way round."""
    row = cast('list[int]', fields)
    return MemoryUse(row[0], row[1], row[2], row[3], row[4])


def placement_fields(placement: Placement) -> list[object]:
    """A Placement as plain values."""
    return [placement.device, placement.nodes, placement.fallback, placement.reasons]


def read_placement(fields: object) -> Placement:
    """The other way round."""
    row = cast('list', fields)
    return Placement(row[0], row[1], row[2], row[3])


def error_fields(error: Exception) -> dict[str, object]:
    """An error as plain values. What is no EdgeflowError is a fault of ours, 'internal'."""
    if isinstance(error, EdgeflowError):
        return {'code': error.code, 'message': error.message, 'details': plain(error.details), 'stack': error_stack(error)}
    return {'code': 'internal', 'message': str(error), 'details': {}, 'stack': error_stack(error)}


def read_error(fields: object) -> EdgeflowError:
    """The error as it was raised, with the stack of the thread that raised it."""
    row = cast('dict[str, object]', fields)
    error = EdgeflowError(cast(str, row['code']), cast(str, row['message']), cast('dict[str, object]', row['details']))
    set_error_stack(error, cast(str, row['stack']))
    return error


def plain(value: object) -> object:
    """A value of an error's details in a form that structured clone carries: numbers, texts, lists and dicts; others as text."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        items: dict[str, object] = {}
        for key in value:
            items[key] = plain(value[key])
        return items
    return str(value)
