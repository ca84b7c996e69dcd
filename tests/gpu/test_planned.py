"""Which graphs a GPU can plan: exactly those that WASM plans, of ONNX's own cases; the others are interpreted on WASM."""

from __future__ import annotations

import asyncio

import pytest

from edgeflow.backends.wasm.load import fetch_operators
from edgeflow.backends.webgpu.planned import can_be_planned
from edgeflow.errors import EdgeflowError
from edgeflow.onnx.reader import read_model
from edgeflow.runtime.model import create_model
from tests.conformance.cases import Case, all_cases
from tests.conformance.in_cpython import given
from tests.conformance.run import recorded
from toolchain.wasm import build_wasm


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


def cases() -> list[Case]:
    """Every sixth case."""
    found = all_cases()
    return [found[name] for name in sorted(recorded() & found.keys()) if not name.startswith('light/')][::6]


async def is_interpreted(case: Case) -> bool:
    model = await create_model(memoryview(case.model), {}, 'wasm')
    try:
        await model.run({name: given(x) for name, x in case.runs[0][0].items()})
        return model._executable._interpreter is not None
    finally:
        model.dispose()


async def foreseen(case: Case) -> bool:
    graph = read_model(memoryview(case.model)).graph
    await fetch_operators(graph)
    return can_be_planned(graph)


def test_what_can_be_planned_is_foreseen() -> None:
    wrong = []
    for case in cases():
        try:
            if asyncio.run(is_interpreted(case)) == asyncio.run(foreseen(case)):
                wrong.append(case.name)
        except EdgeflowError as error:
            wrong.append(f'{case.name}: {error.message}')
    assert wrong == []
