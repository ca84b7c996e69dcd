"""The ratchet: what passing.txt lists passes. All but large models in CPython; those and Chromium are `make conformance`."""

from __future__ import annotations

import pytest

from tests.conformance.cases import all_cases
from tests.conformance.in_cpython import judge
from tests.conformance.run import recorded
from toolchain.wasm import build_wasm


# Large models, and those of test_sklearn.py.
ELSEWHERE = ('light/', 'sklearn/')


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


def test_every_listed_case_is_one_of_onnx() -> None:
    assert {name for name in recorded() if not name.startswith('sklearn/')} <= all_cases().keys()


@pytest.mark.parametrize('name', sorted(name for name in recorded() if not name.startswith(ELSEWHERE)))
def test_case(name: str) -> None:
    assert judge(all_cases()[name]) == (None, True)
