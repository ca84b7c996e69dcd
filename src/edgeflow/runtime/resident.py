"""Tensors on the GPU of a worker: the page has their numbers, the worker has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgeflow.backends.contract import Feed, Held
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_array, start_task, watch_collection
from edgeflow.host.port import CollectionWatch, GpuBuffer
from edgeflow.runtime.messages import Parcel, read_feeds
from edgeflow.runtime.pool import PoolWorker
from edgeflow.runtime.proxy import Tenancy


@dataclass
class _Here:
    """What this thread keeps for its page, by number; and on the page, who is told of tensors that nobody disposed of."""

    kept: dict[int, Held]
    numbers: int = 0
    watch: CollectionWatch | None = None


_here = _Here({})


class RemoteHeld:
    """contract.Held of a worker. It is a tenant there: the worker lives as long as it."""

    def __init__(self, tenancy: Tenancy, number: int, size: int) -> None:
        self.place: object = tenancy.worker
        self.number: int = number
        self.size: int = size
        self._tenancy: Tenancy | None = Tenancy(tenancy.pool, tenancy.worker, number)
        tenancy.worker.models = tenancy.worker.models + 1
        if _here.watch is None:
            _here.watch = watch_collection(lambda ended: release(cast(Tenancy, ended)))
        _here.watch.watch(self, self._tenancy)

    def buffer(self) -> GpuBuffer:
        raise EdgeflowError('internal', 'the buffer is in a worker', {})

    async def fetch(self) -> Feed:
        if self._tenancy is None:
            raise EdgeflowError('disposed', 'expected a living tensor; this one, on the GPU, was disposed', {})
        answer = await cast(PoolWorker, self.place).ask(question('fetch', self.number)).answer()
        return read_feeds(answer)['']

    def free(self) -> None:
        tenancy = self._tenancy
        if tenancy is not None:
            self._tenancy = None
            if _here.watch is not None:
                _here.watch.forget(self)
            release(tenancy)


def question(action: str, number: int) -> Parcel:
    """What a page asks about a tensor."""
    parcel = Parcel('held')
    parcel.fields['action'] = action
    parcel.fields['tensor'] = number
    return parcel


def release(tenancy: Tenancy) -> None:
    """The worker frees a tensor."""
    async def tell() -> None:
        try:
            await tenancy.worker.ask(question('free', tenancy.number)).answer()
        except EdgeflowError:
            # The worker is gone, and the tensor with it.
            return
        finally:
            tenancy.pool.leave(tenancy.worker)

    start_task(tell)


def held_there(results: dict[str, Feed], answer: dict[str, object], tenancy: Tenancy) -> None:
    """On the page: the results that a worker has kept."""
    for row in cast('list[list]', answer['kept']):
        feed = results[row[0]]
        results[row[0]] = Feed(feed.dtype, feed.shape, new_array('uint8', 0), [], RemoteHeld(tenancy, row[1], row[2]))


def find_held(feeds: dict[str, Feed], message: dict[str, object]) -> None:
    """In the worker: the feeds that it has. 'disposed' for one that was freed."""
    for row in cast('list[list]', message['held']):
        feed = feeds[row[0]]
        feeds[row[0]] = Feed(feed.dtype, feed.shape, feed.data, [], living(row[1]))


def keep_here(results: dict[str, Feed], parcel: Parcel) -> None:
    """In the worker: keep results for the page, which is told their numbers."""
    rows: list[object] = []
    for name in results:
        held = results[name].held
        if held is not None:
            _here.numbers = _here.numbers + 1
            held.number = _here.numbers
            _here.kept[held.number] = held
            rows.append([name, held.number, held.size])
    parcel.fields['kept'] = rows


async def answer_held(message: dict[str, object]) -> Parcel:
    """In the worker: do what the page asks about a tensor."""
    parcel = Parcel('answer')
    number = cast(int, message['tensor'])
    held = living(number)
    if message['action'] == 'fetch':
        parcel.add_feeds({'': await held.fetch()}, True)
    else:
        _here.kept.pop(number)
        held.free()
    return parcel


def living(number: int) -> Held:
    held = _here.kept.get(number)
    if held is None:
        raise EdgeflowError('disposed', 'expected a living tensor; this one, on the GPU, was disposed', {})
    return held
