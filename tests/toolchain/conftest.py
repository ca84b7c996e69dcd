"""One Node process for all tests of the toolchain."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.toolchain.both_runtimes import Node


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    process = Node()
    yield process
    process.close()
