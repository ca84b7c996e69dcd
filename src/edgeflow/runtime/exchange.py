"""Between what users give and get (tensors, lists of them, None, dicts) and what an Executable takes and gives (Feeds)."""

from __future__ import annotations

from typing import cast

from edgeflow.backends.contract import Feed
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import native_mapping, new_array, to_dict
from edgeflow.ir.graph import ValueInfo
from edgeflow.runtime.tensor import Tensor, tensor


def tensor_feed(tensor: Tensor) -> Feed:
    """A tensor as an executable takes it."""
    if tensor.dtype == 'string':
        return Feed('string', tensor.shape, new_array('uint8', 0), cast('list[object]', tensor.data))
    if tensor._held is not None:
        return Feed(tensor.dtype, tensor.shape, new_array('uint8', 0), [], tensor._held)
    return Feed(tensor.dtype, tensor.shape, tensor.data)


async def bring_feeds(feeds: dict[str, Feed], place: object) -> None:
    """Fetch what is held elsewhere than at `place` (Executable.place)."""
    for name in feeds:
        held = feeds[name].held
        if held is not None and held.place is not place:
            feeds[name] = await held.fetch()


def nested_feed(info: ValueInfo, dtype: str, given: object) -> Feed:
    """A list of tensors for 'seq(...)', None or what it holds for 'optional(...)', a dict for 'map(...)'. EdgeflowError 'invalid-input' for all else."""
    if dtype[:9] == 'optional(':
        return Feed('none', [0], new_array('uint8', 0)) if given is None else nested_feed(info, dtype[9:-1], given)
    if dtype[:4] == 'seq(' and isinstance(given, list):
        items: list[object] = [nested_feed(info, dtype[4:-1], item) for item in given]
        return Feed('sequence', [len(items)], new_array('uint8', 0), items)
    if isinstance(given, Tensor) and given.dtype == dtype:
        return tensor_feed(given)
    if dtype[:4] == 'map(' and not isinstance(given, Tensor):
        return _map_feed(dtype[dtype.find(',') + 1:-1], to_dict(given))
    raise EdgeflowError('invalid-input', f"input '{info.name}': expected {info.dtype}: a list of tensors for seq, None for an empty optional, a dict for map",
                        {'name': info.name, 'expected': info.dtype})


def _map_feed(dtype: str, entries: dict[str, object]) -> Feed:
    """A dict of numbers or texts."""
    items: list[object] = []
    for value in entries.values():
        items.append(tensor_feed(tensor(cast('float | str', value), [], cast('None', dtype))))
    items.append(Feed('string', [len(items)], new_array('uint8', 0), cast('list[object]', list(entries.keys()))))
    return Feed('map', [len(items)], new_array('uint8', 0), items)


def given_value(feed: Feed) -> Tensor:
    """What users get: a tensor; for a sequence a list, for an optional without an element None, for a map a dict of numbers or texts."""
    if feed.dtype == 'string':
        return Tensor('string', feed.shape, feed.items)
    if feed.dtype == 'none':
        return cast('Tensor', None)
    if feed.dtype == 'sequence':
        return cast('Tensor', [given_value(cast('Feed', item)) for item in feed.items])
    if feed.dtype == 'map':
        entries: dict[str, object] = {}
        keys = cast('Feed', feed.items[-1]).items
        for i in range(len(keys)):
            entries[cast('str', keys[i])] = given_value(cast('Feed', feed.items[i])).tolist()
        return cast('Tensor', native_mapping(entries))
    return Tensor(feed.dtype, feed.shape, feed.data, feed.held)


def dispose_all(value: object) -> None:
    """Dispose a tensor, or those of a list."""
    if isinstance(value, list):
        for item in value:
            dispose_all(item)
    elif isinstance(value, Tensor):
        value.dispose()
