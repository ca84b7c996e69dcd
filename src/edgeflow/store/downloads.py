"""download(): files into the cache, with pause and resume; and how callers of one page share a transfer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import join_bytes, new_abort_controller, new_deferred, now, on_abort, signal_aborted, start_task
from edgeflow.host.port import AbortController, AbortSignal, Bytes, Deferred
from edgeflow.options import public
from edgeflow.store.cache import cache
from edgeflow.store.entries import FileRecord, FileStore, open_files
from edgeflow.store.ranges import is_sha256
from edgeflow.store.transfer import Transfer
from edgeflow.store.transfer_records import Client, Limits, Source, freshness

TELL_MS = 50.0
SPEED_MS = 3000.0


@dataclass(frozen=True)
class DownloadProgress:
    """How far a download is. loaded, total: bytes, total None while unknown. reused: bytes that were in the cache before.

    speed: bytes a second over the last seconds. time_left: seconds at that speed, None while unknown. chunks_done, chunks: how
    many parts are stored, and how many there are. connections: to the server, now.
    """

    loaded: int
    total: int | None
    reused: int
    speed: float
    time_left: float | None
    chunks_done: int
    chunks: int
    connections: int


_running: dict[str, Transfer] = {}


async def obtain(source: Source, client: Client, signal: AbortSignal | None) -> bool:
    """Bring a file to `client`, by a transfer of its own or one that is under way for another caller.

    False: there is no such file. A client that takes bytes has them all when this returns; for one that does not, the file is
    stored. EdgeflowError: 'http', 'checksum', 'aborted', 'quota-exceeded', 'platform'.
    """
    while True:
        if signal_aborted(signal):
            raise EdgeflowError('aborted', f'loading {source.url} was cancelled through its signal', {'url': source.url})
        transfer = _running.get(source.url)
        if transfer is None:
            transfer = _start(source, client)
        elif transfer.open_to_more() and source.sha256 in ['', transfer.course.source.sha256]:
            transfer.join(client)
        else:
            await _outcome(transfer.ended, signal, lambda: None, True)
            continue
        chosen: Transfer = transfer
        waited = chosen.ended if client.on_chunk is None else chosen.delivered
        found = await _outcome(waited, signal, lambda: chosen.leave(client), False)
        if not found:
            return False
        if client.on_chunk is None:
            if chosen.chunks.record.complete:
                return True
        elif client.generation == chosen.chunks.record.generation and len(client.received) == chosen.chunks.record.count():
            return True


def _start(source: Source, client: Client) -> Transfer:
    transfer = Transfer(source, [client])
    _running[source.url] = transfer

    async def forget() -> None:
        try:
            await transfer.ended.result()
        except Exception:
            # Its clients hear of it.
            pass
        finally:
            # Also where the loop ends before it.
            if _running.get(source.url) is transfer:
                _running.pop(source.url)

    start_task(forget)
    transfer.start()
    return transfer


async def discard(url: str) -> None:
    """Drop a file from the cache, also one that is yet being stored."""
    transfer = _running.get(url)
    if transfer is not None:
        await _outcome(transfer.ended, None, lambda: None, True)
    await cache.delete(url)


async def _outcome(waited: Deferred, signal: AbortSignal | None, leave: Callable[[], None], quiet: bool) -> bool:
    """What a transfer resolves with, unless the signal comes first. quiet: its failure is not ours."""
    mine = new_deferred()

    async def follow() -> None:
        try:
            mine.resolve(await waited.result())
        except Exception as error:
            if quiet:
                mine.resolve(True)
            else:
                mine.reject(error)

    def give_up() -> None:
        mine.reject(EdgeflowError('aborted', 'loading a file was cancelled through its signal', {}))

    start_task(follow)
    stop_listening = on_abort(signal, give_up)
    done: list[bool] = []
    try:
        found = cast(bool, await mine.result())
        done.append(True)
        return found
    finally:
        stop_listening()
        if len(done) == 0:
            leave()


class Download:
    """A file on its way into the cache. Made by download(). `await done()`, then read it by bytes() or chunks().

    url: its address. paused: whether pause() holds it.
    """

    def __init__(self, source: Source, on_progress: Callable[[DownloadProgress], None] | None, signal: AbortSignal | None) -> None:
        self.url: str = source.url
        self.paused: bool = False
        self._source: Source = source
        self._on_progress: Callable[[DownloadProgress], None] | None = on_progress
        self._signal: AbortSignal | None = signal
        self._controller: AbortController = new_abort_controller()
        self._finished: Deferred = new_deferred()
        self._resumed: Deferred = new_deferred()
        self._transfer: Transfer | None = None
        self._memory: dict[int, Bytes] = {}
        self._times: list[float] = []
        self._sizes: list[int] = []
        self._told: float = 0.0
        start_task(self._run)

    def pause(self) -> None:
        """End the connections; what is here stays."""
        if not self.paused:
            self.paused = True
            self._resumed = new_deferred()
            self._controller.abort()

    def resume(self) -> None:
        """Go on after pause()."""
        if self.paused:
            self.paused = False
            self._resumed.resolve(None)

    async def done(self) -> None:
        """Wait until the whole file is stored and, if its SHA-256 is known, verified.

        EdgeflowError: 'file-missing', 'http', 'checksum', 'aborted', 'quota-exceeded', 'platform'.
        """
        await self._finished.result()

    async def bytes(self) -> Bytes:
        """The whole file, once it is here. Files beyond 2 GiB are better read by chunks()."""
        parts: list[Bytes] = []
        async for part in self.chunks():
            parts.append(part)
        return parts[0] if len(parts) == 1 else join_bytes(parts)

    async def chunks(self) -> AsyncIterator[Bytes]:
        """The file part by part, in order, once it is here."""
        await self.done()
        if len(self._memory) > 0 or self._transfer is None:
            for start in sorted(self._memory.keys()):
                yield self._memory[start]
            return
        files = await open_files()
        record = None if files is None else await files.find(self.url)
        if files is None or record is None:
            raise EdgeflowError('file-missing', f'{self.url} is no longer in the cache', {'url': self.url})
        for index in range(record.count()):
            yield await read_chunk(files, record, index)

    def progress(self) -> DownloadProgress:
        """How far it is."""
        transfer = self._transfer
        if transfer is None:
            return DownloadProgress(0, self._source.size, 0, 0.0, None, 0, 0, 0)
        loaded = transfer.connections.bytes_here()
        states = transfer.chunk_map()
        span = self._times[-1] - self._times[0] if len(self._times) > 1 else 0.0
        speed = (self._sizes[-1] - self._sizes[0]) * 1000.0 / span if span > 0 and not self.paused else 0.0
        total = transfer.chunks.total
        left = (total - loaded) / speed if total is not None and speed > 0 else None
        return DownloadProgress(
            loaded, total, transfer.chunks.reused, max(0.0, speed), left, len([state for state in states if state == 2]), len(states),
            0 if self.paused else len(transfer.connections.lanes))

    def chunk_map(self) -> list[int]:
        """For every chunk, in order: 0 missing, 1 on its way, 2 here."""
        return [] if self._transfer is None else self._transfer.chunk_map()

    async def _run(self) -> None:
        stop_listening = on_abort(self._signal, lambda: self._controller.abort())
        try:
            while True:
                if signal_aborted(self._signal):
                    raise EdgeflowError('aborted', f'the download of {self.url} was cancelled through its signal', {'url': self.url})
                if self.paused:
                    await _outcome(self._resumed, self._signal, lambda: None, False)
                if await self._go():
                    break
            self._tell(True)
            self._finished.resolve(None)
        except Exception as error:
            self._finished.reject(error)
        finally:
            stop_listening()

    async def _go(self) -> bool:
        """One stretch, until the end or a pause; whether it was the end."""
        self._controller = new_abort_controller()
        keeps = await open_files() is not None

        def take(start: int, data: Bytes) -> None:
            self._memory[start] = data

        def reset() -> None:
            self._memory = {}

        client = Client(None if keeps else take, lambda transfer: self._hear(transfer), reset)
        try:
            found = await obtain(self._source, client, self._controller.signal)
        except EdgeflowError as error:
            # By the signal, which _run() sees, or by pause(), though resume() may have been called since.
            if error.code == 'aborted' and signal_aborted(self._controller.signal):
                return False
            raise
        if not found:
            raise EdgeflowError('file-missing', f'expected a file at {self.url}; there is none', {'url': self.url})
        return True

    def _hear(self, transfer: Transfer) -> None:
        self._transfer = transfer
        self._tell(False)

    def _tell(self, at_once: bool) -> None:
        time = now()
        if not at_once and time - self._told < TELL_MS or self._transfer is None:
            return
        self._told = time
        if len(self._sizes) > 0 and self._sizes[-1] > self._transfer.connections.bytes_here():
            self._times = []
            self._sizes = []
        self._times.append(time)
        self._sizes.append(self._transfer.connections.bytes_here())
        while len(self._times) > 2 and time - self._times[0] > SPEED_MS:
            self._times.pop(0)
            self._sizes.pop(0)
        if self._on_progress is not None:
            self._on_progress(self.progress())


async def read_chunk(files: FileStore, record: FileRecord, index: int) -> Bytes:
    """A stored chunk; 'file-missing' if the platform has lost it."""
    data = await files.read(record, index)
    if data is None:
        raise EdgeflowError('file-missing', f'a part of {record.url} is no longer in the cache', {'url': record.url, 'chunk': index})
    return data


@public
def download(
    url: str,
    *,
    sha256: str | None = None,
    size: int | None = None,
    chunk_size: int = 4194304,
    connections: int = 4,
    retries: int = 6,
    stall_timeout: float = 30000.0,
    retry_delay: float = 300.0,
    on_progress: Callable[[DownloadProgress], None] | None = None,
    signal: AbortSignal | None = None,
) -> Download:
    """Bring a file into the cache, or go on where an earlier visit was cut off. loadModel() and pipeline() then find it there.

    sha256, size: what the file must have; an error if it has not. chunk_size: bytes that are stored at a time. connections: the
    most there are at once; a server that is fast over one gets no more. retries: how many failures in a row are forgiven.
    stall_timeout: ms without a byte after which a connection is given up; there is no limit for the whole. retry_delay: ms before
    the first new attempt, doubled for each further one. on_progress: hears how it goes. signal: an AbortSignal that ends it and
    keeps what is there.
    EdgeflowError (of done()): 'file-missing', 'http', 'checksum', 'aborted', 'quota-exceeded', 'platform'.
    """
    digest = '' if sha256 is None else sha256.lower()
    if digest != '' and not is_sha256(digest):
        raise EdgeflowError('invalid-argument', f"sha256: expected 64 hexadecimal digits, got '{sha256}'", {'got': sha256})
    if not isinstance(url, str) or url == '':
        raise EdgeflowError('invalid-argument', 'url: expected the address of a file', {})
    positive: dict[str, object] = {'chunkSize': chunk_size, 'connections': connections, 'stallTimeout': stall_timeout}
    for name in positive:
        value = positive[name]
        if not isinstance(value, (int, float)) or value < 1:
            raise EdgeflowError('invalid-argument', f'{name}: expected a number from 1 up, got {value}', {'got': value})
    limits = Limits(chunk_size, connections, retries, stall_timeout, retry_delay)
    return Download(Source(url, True, digest, size, freshness(), limits), on_progress, signal)
