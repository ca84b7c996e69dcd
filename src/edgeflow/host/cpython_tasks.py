"""Tasks in CPython through asyncio; and that CPython has no workers: models run in the process. CPython only."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import WorkerHandle, WorkerPort

_running: set[asyncio.Future[object]] = set()


async def pause() -> None:
    await asyncio.sleep(0)


def start_task(work: Callable[[], Awaitable[object]]) -> None:
    task = asyncio.ensure_future(work())
    _running.add(task)
    task.add_done_callback(_running.discard)


class _Deferred:
    """host.port.Deferred over an asyncio future."""

    def __init__(self) -> None:
        self._future: asyncio.Future = asyncio.get_running_loop().create_future()

    def resolve(self, value: object) -> None:
        if not self._future.done():
            self._future.set_result(value)

    def reject(self, error: Exception) -> None:
        if not self._future.done():
            self._future.set_exception(error)
            self._future.exception()

    async def result(self) -> object:
        return await asyncio.shield(self._future)


def new_deferred() -> _Deferred:
    return _Deferred()


async def readable_stream(pull: Callable[[], Awaitable[object]], cancel: Callable[[], Awaitable[None]]) -> AsyncIterator[object]:
    try:
        while (item := await pull()) is not None:
            yield item
    finally:
        await cancel()


def error_stack(error: Exception) -> str:
    return ''.join(traceback.format_exception(error))


def set_error_stack(error: Exception, stack: str) -> None:
    error.add_note(stack)


# Workers


def default_workers() -> int:
    return 0


def part_addresses() -> object:
    """Python imports what it needs."""
    return {}


def find_parts_in(wasm_folder: Callable[[], str | None]) -> None:
    """Python imports what it needs."""


def use_part_addresses(found: object) -> None:
    """There are no workers to be told."""


def spawn_worker(address: str | None) -> WorkerHandle:
    raise EdgeflowError('platform', 'CPython has no web workers', {'url': address})


def worker_port() -> WorkerPort | None:
    return None


class ChannelPort:
    """host.port.MessagePort between two parts of one process: messages come in order, in a later turn of the loop."""

    def __init__(self) -> None:
        self.other: ChannelPort | None = None
        self._callback: Callable[[object], None] | None = None
        self._waiting: list[object] = []

    def post(self, message: object, transfer: list[object]) -> None:
        if self.other is not None:
            asyncio.get_running_loop().call_soon(self.other._hear, message)

    def on_message(self, callback: Callable[[object], None]) -> None:
        self._callback = callback
        waiting = self._waiting
        self._waiting = []
        for message in waiting:
            callback(message)

    def close(self) -> None:
        if self.other is not None:
            self.other.other = None
        self.other = None

    def _hear(self, message: object) -> None:
        if self._callback is None:
            self._waiting.append(message)
        else:
            self._callback(message)


def new_channel() -> list[object]:
    ends = [ChannelPort(), ChannelPort()]
    ends[0].other = ends[1]
    ends[1].other = ends[0]
    return [ends[0], ends[1]]


def open_port(end: object) -> ChannelPort:
    assert isinstance(end, ChannelPort)
    return end


def own_bytes(data: memoryview, give: bool) -> memoryview:
    return data if give else memoryview(bytearray(data))


def bytes_memory(data: memoryview) -> object:
    return data.obj
