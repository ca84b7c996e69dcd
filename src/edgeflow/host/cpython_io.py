"""Network, files and storage in CPython: httpx, the file system, sqlite3, and an AbortController like the browser's."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import unquote, urlsplit

import httpx

from edgeflow.errors import EdgeflowError
from edgeflow.host import port
from edgeflow.host.cpython_arrays import new_bytes

T = TypeVar('T')

# What is built lies in the package if a wheel has brought it (setup.py), in a clone where it is made.
INSTALLED = Path(__file__).resolve().parents[1] / 'kernels'
REPOSITORY = Path(__file__).resolve().parents[3]
BUILT = INSTALLED if INSTALLED.is_dir() else REPOSITORY / 'dist'
SHADERS = (INSTALLED if INSTALLED.is_dir() else REPOSITORY) / 'wgsl'


# Cancelling


class AbortSignal:
    """Tells work that its caller no longer wants it; see AbortController."""

    def __init__(self) -> None:
        self.aborted = False
        self._callbacks: list[Callable[[], object]] = []

    def _listen(self, callback: Callable[[], object]) -> Callable[[], None]:
        self._callbacks.append(callback)

        def stop() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return stop


class AbortController:
    """Python's counterpart of the browser's AbortController: hand out `.signal`, call `.abort()` to cancel."""

    def __init__(self) -> None:
        self.signal = AbortSignal()

    def abort(self) -> None:
        if self.signal.aborted:
            return
        self.signal.aborted = True
        callbacks, self.signal._callbacks = self.signal._callbacks, []
        for callback in callbacks:
            callback()


def signal_aborted(signal: port.AbortSignal | None) -> bool:
    return signal is not None and signal.aborted


def on_abort(signal: port.AbortSignal | None, callback: Callable[[], object]) -> Callable[[], None]:
    if signal is None:
        return lambda: None
    if signal.aborted:
        callback()
        return lambda: None
    return cast(AbortSignal, signal)._listen(callback)


def _aborted(what: str) -> EdgeflowError:
    return EdgeflowError('aborted', f'{what} was cancelled through its signal')


async def _unless_aborted(work: Awaitable[T], signal: port.AbortSignal | None, what: str) -> T:
    """Await `work`, but stop it and raise 'aborted' as soon as the signal says so, from whatever thread."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.call_soon_threadsafe(task.cancel)

    stop_listening = on_abort(signal, stop)
    try:
        return await task
    except asyncio.CancelledError:
        task.cancel()
        if signal_aborted(signal):
            raise _aborted(what) from None
        raise
    finally:
        stop_listening()


# Network

_tls: list[ssl.SSLContext] = []


def _tls_context() -> ssl.SSLContext:
    if not _tls:
        _tls.append(httpx.create_ssl_context())
    return _tls[0]


def _network_error(url: str, error: Exception) -> EdgeflowError:
    reason = str(error) or type(error).__name__
    return EdgeflowError('http', f'{url}: expected an answer, got a network failure ({reason})', {'url': url})


class _Response:
    """host.port.Response over httpx; it owns its client, so that cancel() or the end of the body frees everything."""

    def __init__(self, client: httpx.AsyncClient, answer: httpx.Response, signal: port.AbortSignal | None) -> None:
        self._client = client
        self._answer = answer
        self._signal = signal
        self._parts: AsyncIterator[memoryview] | None = None
        self._rest = memoryview(b'')
        self.status = answer.status_code
        self.url = str(answer.url)

    def header(self, name: str) -> str | None:
        return self._answer.headers.get(name)

    async def take(self, size: int, on_bytes: Callable[[int], None]) -> memoryview:
        self._parts = self._parts or self.chunks()
        buffer, filled = new_bytes(size), 0
        while filled < size:
            if not self._rest:
                self._rest = await anext(self._parts, memoryview(b''))
                if not self._rest:
                    break
            head, self._rest = self._rest[:size - filled], self._rest[size - filled:]
            buffer[filled:filled + len(head)] = head
            filled += len(head)
            on_bytes(len(head))
        return buffer[:filled]

    async def chunks(self) -> AsyncIterator[memoryview]:
        parts = self._answer.aiter_bytes()
        try:
            while True:
                part = await _unless_aborted(_next(parts), self._signal, self.url)
                if part is None:
                    return
                if part:
                    yield memoryview(part)
        except httpx.HTTPError as error:
            raise _network_error(self.url, error) from None
        finally:
            await self.cancel()

    async def store(self, size: int, on_bytes: Callable[[int], None], give: bool, more: int) -> None:
        return None

    async def body(self) -> memoryview:
        whole = bytearray()
        async for part in self.chunks():
            whole += part
        return memoryview(whole)

    async def cancel(self) -> None:
        await self._answer.aclose()
        await self._client.aclose()


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)


async def fetch(url: str, headers: dict[str, str], signal: port.AbortSignal | None, cache: str = 'default') -> _Response:
    if signal_aborted(signal):
        raise _aborted(url)
    client = httpx.AsyncClient(verify=_tls_context(), follow_redirects=True, timeout=httpx.Timeout(30.0, read=120.0))
    try:
        request = client.build_request('GET', url, headers=headers)
        answer = await _unless_aborted(client.send(request, stream=True), signal, url)
        return _Response(client, answer, signal)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        await client.aclose()
        raise _network_error(url, error) from None
    except BaseException:
        await client.aclose()
        raise


# Files


def is_url(source: str) -> bool:
    return source.startswith(('http://', 'https://', 'blob:', 'data:'))


def reads_files() -> bool:
    return True


def _read(path: str) -> memoryview | None:
    if path.startswith('file:'):
        path = unquote(urlsplit(path).path)
    try:
        with open(path, 'rb') as file:
            buffer = bytearray(os.fstat(file.fileno()).st_size)
            size = file.readinto(buffer)
            return memoryview(buffer)[:size]
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise EdgeflowError('file-missing', f'{path} cannot be read: {error.strerror}', {'path': path}) from None


async def read_file(path: str) -> memoryview | None:
    return await asyncio.to_thread(_read, path)


async def load_asset(name: str, location: str | None) -> memoryview:
    """A built file: from `location` (a folder or an address), else from the package or the clone."""
    if location is not None and is_url(location):
        answer = await fetch(f'{location.removesuffix("/")}/{name}', {}, None)
        if answer.status != 200:
            await answer.cancel()
            raise EdgeflowError(
                'file-missing', f'{answer.url}: expected status 200, got {answer.status}',
                {'url': answer.url, 'status': answer.status},
            )
        return await answer.body()
    path = str((Path(location) if location is not None else BUILT) / name)
    data = await read_file(path)
    if data is None:
        raise EdgeflowError('file-missing', f'{path} is not there; `make build` makes it', {'path': path})
    return data


# Storage


def free_headers(url: str) -> bool:
    return True


async def open_place(place: object, size: int) -> port.StoredPiece | None:
    return None


async def storage_room() -> list[int | None]:
    return [None, None]


async def persist_storage() -> bool:
    return True


async def with_lock(name: str, signal: port.AbortSignal | None, work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class _Sha256:
    """host.port.Sha256."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()

    def update(self, data: memoryview) -> None:
        self._state.update(data)

    def hex(self) -> str:
        return self._state.hexdigest()


def new_sha256() -> _Sha256:
    return _Sha256()


def reuse_memory_of(data: memoryview) -> None:
    """Memory is cheap here: nothing is kept."""


def forget_spare_memory() -> None:
    """As reuse_memory_of()."""


def hold_memory(data: memoryview) -> None:
    """CPython frees memory when its last reference goes."""


def drop_memory(data: memoryview) -> None:
    """As hold_memory."""


def _store_path(name: str) -> Path:
    folder = os.environ.get('EDGEFLOW_CACHE') or Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'edgeflow'
    return Path(folder) / f'{name}.sqlite3'


class _SqliteStore:
    """host.port.KeyValueStore: one table of byte strings, in WAL mode, every call in a thread."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._base.execute('PRAGMA journal_mode = WAL')
        self._base.execute('CREATE TABLE IF NOT EXISTS entries (key TEXT NOT NULL UNIQUE, value BLOB NOT NULL)')

    async def _run(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock:
                return work()
        try:
            return await asyncio.to_thread(locked)
        except (sqlite3.Error, OverflowError) as error:
            full = getattr(error, 'sqlite_errorcode', None) == sqlite3.SQLITE_FULL
            raise EdgeflowError('quota-exceeded' if full else 'platform', f'the store failed: {error}') from None

    async def get(self, key: str) -> memoryview | None:
        def work() -> memoryview | None:
            row = self._base.execute('SELECT value FROM entries WHERE key = ?', (key,)).fetchone()
            return None if row is None else memoryview(bytearray(row[0]))
        return await self._run(work)

    async def place(self, key: str) -> object | None:
        return None

    async def put(self, key: str, value: memoryview) -> None:
        def work() -> None:
            self._base.execute(
                'INSERT INTO entries (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
                (key, value),
            )
        await self._run(work)

    async def fetch(self, url: str, headers: dict[str, str], signal: port.AbortSignal | None, cache: str) -> None:
        return None

    async def delete(self, key: str) -> None:
        def work() -> None:
            self._base.execute('DELETE FROM entries WHERE key = ?', (key,))
        await self._run(work)

    async def delete_all(self, prefix: str) -> None:
        def work() -> None:
            self._base.execute('DELETE FROM entries WHERE substr(key, 1, ?) = ?', (len(prefix), prefix))
        await self._run(work)

    async def keys(self, prefix: str) -> list[str]:
        def work() -> list[str]:
            rows = self._base.execute(
                'SELECT key FROM entries WHERE substr(key, 1, ?) = ? ORDER BY key', (len(prefix), prefix),
            )
            return [row[0] for row in rows]
        return await self._run(work)

    async def close(self) -> None:
        await self._run(self._base.close)


async def open_store(name: str) -> _SqliteStore:
    try:
        return await asyncio.to_thread(_SqliteStore, _store_path(name))
    except (sqlite3.Error, OSError) as error:
        raise EdgeflowError('platform', f'the store {name!r} cannot be opened: {error}', {'name': name}) from None
