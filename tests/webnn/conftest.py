"""Every test here has a WebNN that keeps the specification's rules (recorder.py)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.backends.webnn import device
from tests.webnn.recorder import Context
from toolchain.wasm import build_wasm


@pytest.fixture(scope='session', autouse=True)
def _binaries() -> None:
    build_wasm()


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[Context]:
    """The contexts that were opened."""
    opened: list[Context] = []

    async def open_webnn(device_type: str, on_lost: Callable[[str], None]) -> Context:
        opened.append(Context(on_lost, device_type))
        return opened[-1]

    monkeypatch.setattr(device, 'open_webnn', open_webnn)
    monkeypatch.setattr(device, '_shared', device._Shared())
    return opened
