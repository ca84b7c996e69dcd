"""WebNN is an API of browsers; CPython has none. See host/port.py for the contract."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.host.port import NnContext


async def open_webnn(device_type: str, on_lost: Callable[[str], None]) -> NnContext | None:
    """A context on a device type ('cpu', 'gpu', 'npu'; '': the browser's choice); None where there is none."""
    return None
