"""Every case of tests/models that WASM runs, on the GPU, in CPython, against what onnxruntime gave; and what runs where."""

from __future__ import annotations

import pytest

from edgeflow.runtime.model import Model, create_model
from tests.engine.cases import MODELS, Case, assert_close, decoder_cases, text_encoder_cases, tolerance_of

CASES = [*text_encoder_cases(), *decoder_cases()]


async def load(path: str) -> Model:
    file = MODELS / path
    external = {other.name: memoryview(other.read_bytes()) for other in file.parent.glob(file.name + '_data*')}
    return await create_model(memoryview(file.read_bytes()), external, 'webgpu')


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    model = await load(case.model)
    try:
        results = await model.run(case.inputs())
        expected = case.arrays('out:')
        assert sorted(results) == sorted(expected)
        for name, array in expected.items():
            assert results[name].shape == list(array.shape)
            assert_close(tolerance_of(case), results[name].data.reshape(array.shape), array)
        placement = model.placement()
        assert placement.device == 'webgpu' and placement.nodes
        assert placement.reasons.keys() == placement.fallback.keys()
    finally:
        model.dispose()
