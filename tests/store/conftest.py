"""Fixtures of the store's tests: a server with faults, a cache folder of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from edgeflow.store.entries import close_files
from tests.store.faults import FaultServer, fault_server


@pytest.fixture(scope='session')
def faults() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


@pytest.fixture
async def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Path]:
    """An empty cache, closed again afterwards."""
    monkeypatch.setenv('EDGEFLOW_CACHE', str(tmp_path / 'cache'))
    await close_files()
    yield tmp_path / 'cache'
    await close_files()
