"""These tests need transformers and torch, which `make test-nightly` installs, and Firefox; `make test` leaves them out as a whole."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if config.getoption('--hypothesis-profile') != 'nightly' else None
