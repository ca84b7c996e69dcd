"""Fixtures of the tests that meet the real platform: a server with bad manners, a store folder of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.host.server import Server, serving
from toolchain.wasm import build_wasm


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv('EDGEFLOW_CACHE', str(tmp_path / 'cache'))
    return tmp_path / 'cache'


@pytest.fixture(scope='session')
def kernels() -> None:
    """The .wasm files in dist/, up to date."""
    build_wasm()
