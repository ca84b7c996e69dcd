"""Loading files of a model: from the cache, from the network into it, or from disk."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    gather, is_url, join_bytes, new_abort_controller, new_bytes, on_abort, read_file, reads_files, signal_aborted,
)
from edgeflow.host.port import AbortSignal, Bytes
from edgeflow.runtime.opening import Receiver
from edgeflow.store.downloads import obtain
from edgeflow.store.progress import Progress
from edgeflow.store.transfer import Transfer
from edgeflow.store.transfer_records import Client, Source, freshness


@dataclass(frozen=True)
class Wanted:
    """A file to load: where it is, what progress events call it, and whether it may be absent.

    into: takes the bytes as they come, as the file `location` of a model; None: they are given back whole.
    """

    address: str
    name: str
    optional: bool = False
    into: Receiver | None = None
    location: str = ''


async def load_file(address: str, name: str, progress: Progress, signal: AbortSignal | None) -> Bytes:
    """The bytes of one file. `name` is what progress events call it.

    EdgeflowError: 'file-missing' if there is none, 'http' for other bad answers, broken connections and bodies that
    are cut off, 'checksum', 'aborted'.
    """
    data = await find_file(address, name, progress, signal)
    if data is None:
        raise missing(address, name)
    return data


def missing(address: str, name: str) -> EdgeflowError:
    """The error for a file that is not there."""
    return EdgeflowError(
        'file-missing', f"expected the file '{name}' at {address}; there is none", {'url': address, 'file': name},
    )


async def find_file(address: str, name: str, progress: Progress, signal: AbortSignal | None) -> Bytes | None:
    """As load_file, but None for a file that is not there."""
    return await find(Wanted(address, name, True), progress, signal)


async def find(wanted: Wanted, progress: Progress, signal: AbortSignal | None) -> Bytes | None:
    """The bytes of a file, nothing if they went elsewhere; None for a file that is not there."""
    name = wanted.name
    address = wanted.address
    if signal_aborted(signal):
        raise _aborted(name)
    progress.initiate(name)
    if not reads_files() or is_url(address):
        data = await _fetch(wanted, progress, signal)
    else:
        data = await read_file(address)
        if signal_aborted(signal):
            raise _aborted(name)
        if data is not None:
            progress.download(name, len(data))
            progress.advance(name, len(data))
            if wanted.into is not None:
                wanted.into.receive(wanted.location, 0, data)
                data = new_bytes(0)
    progress.done(name)
    return data


async def _fetch(wanted: Wanted, progress: Progress, signal: AbortSignal | None) -> Bytes | None:
    name = wanted.name
    chunks: dict[int, Bytes] = {}
    into = wanted.into
    told: list[int] = []
    totals: list[int | None] = []

    def take(start: int, data: Bytes) -> None:
        if into is not None:
            into.receive(wanted.location, start, data, totals[-1])
        else:
            chunks[start] = data

    async def take_place(start: int, size: int, place: object) -> bool:
        return into is not None and await into.read_stored(wanted.location, start, size, place, totals[-1])

    def hear(transfer: Transfer) -> None:
        totals.append(transfer.chunks.total)
        if len(totals) > 1:
            totals.pop(0)
        if transfer.course.answered and len(told) == 0:
            told.append(0)
            progress.download(name, transfer.chunks.total)
        loaded = transfer.connections.bytes_here()
        if len(told) > 0 and loaded != told[-1]:
            told.append(loaded)
            told.pop(0)
            progress.reach(name, loaded)

    def reset() -> None:
        chunks.clear()
        if into is not None:
            into.reset(wanted.location)

    # Servers compress texts, and have no parts of what they compress: only weights are asked for in parts.
    ranged = into is not None
    client = Client(take, hear, reset) if into is None else Client(take, hear, reset, into.room, take_place)
    found = await obtain(Source(wanted.address, ranged, fresh=freshness()), client, signal)
    if not found:
        return None
    if into is not None and len(told) > 0 and told[0] == 0:
        into.receive(wanted.location, 0, new_bytes(0))
    parts = [chunks[start] for start in sorted(chunks.keys())]
    return parts[0] if len(parts) == 1 else join_bytes(parts)


async def load_files(files: list[Wanted], progress: Progress, signal: AbortSignal | None) -> list[Bytes | None]:
    """Several files at once, in the order asked for; None for optional ones that are absent.

    If one fails, the others are cancelled and its error is raised when all transfers have ended.
    """
    controller = new_abort_controller()
    stop_listening = on_abort(signal, lambda: controller.abort())
    failures: list[Exception] = []

    async def load(file: Wanted) -> Bytes | None:
        try:
            data = await find(file, progress, controller.signal)
            if data is None and not file.optional:
                raise missing(file.address, file.name)
            return data
        except Exception as error:
            failures.append(error)
            controller.abort()
            return None

    for file in files:
        progress.initiate(file.name)
    try:
        loaded = await gather([load(file) for file in files])
    finally:
        stop_listening()
    if len(failures) > 0:
        raise failures[0]
    return loaded


def _aborted(name: str) -> EdgeflowError:
    return EdgeflowError('aborted', f"loading '{name}' was cancelled through its signal", {'file': name})
