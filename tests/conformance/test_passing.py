"""The ratchet: what passing.txt lists passes. All cases in CPython; Chromium is `make conformance`."""

from __future__ import annotations

import pytest

from tests.conformance.cases import node_cases
from tests.conformance.in_cpython import judge
from tests.conformance.run import recorded
from toolchain.wasm import build_wasm


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


def test_every_listed_case_is_one_of_onnx() -> None:
    assert recorded() <= node_cases().keys()


@pytest.mark.parametrize('name', sorted(recorded()))
def test_case(name: str) -> None:
    assert judge(node_cases()[name]) is None
