"""The WebNN contexts of this thread, which all its models share."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.host.port import NnContext
from edgeflow.host.webnn import open_webnn


class Nn:
    """A context, and who hears of its loss."""

    def __init__(self, context: NnContext, losers: list[Callable[[], None]]) -> None:
        self.context: NnContext = context
        self.losers: list[Callable[[], None]] = losers


class _Shared:
    """By device type; opened when first asked for, and again when lost."""

    def __init__(self) -> None:
        self.open: dict[str, Nn] = {}


_shared = _Shared()


async def shared_nn(device_type: str) -> Nn | None:
    """The context for a device type of WebNN ('cpu', 'gpu', 'npu'; '': the browser's choice); None where there is none."""
    found = _shared.open.get(device_type)
    if found is not None and not found.context.lost:
        return found
    losers: list[Callable[[], None]] = []

    def lose(reason: str) -> None:
        for hear in list(losers):
            hear()

    context = await open_webnn(device_type, lose)
    # Another model may have opened it in the meantime.
    found = _shared.open.get(device_type)
    if found is not None and not found.context.lost:
        if context is not None:
            context.destroy()
        return found
    if context is None:
        return None
    made = Nn(context, losers)
    _shared.open[device_type] = made
    return made
