"""What is begun before it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import start_task


def start_ahead(work: Callable[[], Awaitable[object]]) -> None:
    """Begin what is surely needed later. An EdgeflowError is not raised here: whoever needs it meets it again."""
    start_task(lambda: _tried(work))


async def _tried(work: Callable[[], Awaitable[object]]) -> None:
    try:
        await work()
    except EdgeflowError:
        return
