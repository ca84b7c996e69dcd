"""Tasks in CPython through asyncio; and that CPython has no workers: models run in the process. CPython only."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable

from edgeflow.errors import EdgeflowError

_running: set[asyncio.Task] = set()


async def pause() -> None:
    await asyncio.sleep(0)


def start_task(work: Callable[[], Awaitable[object]]) -> None:
    task = asyncio.get_running_loop().create_task(work())
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


def spawn_worker(address: str | None) -> object:
    raise EdgeflowError('platform', 'CPython has no web workers', {'url': address})


def worker_port() -> None:
    return None


def own_bytes(data: memoryview, give: bool) -> memoryview:
    return data if give else memoryview(bytearray(data))


def bytes_memory(data: memoryview) -> object:
    return data.obj
