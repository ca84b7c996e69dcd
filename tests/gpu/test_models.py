"""Every case of tests/models on the GPU, in CPython, against what onnxruntime gave; and what runs where."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeflow.runtime.model import Model, create_model
from tests.engine.cases import (
    MODELS, Case, assert_close, decoder_cases, rounds_activations, text_encoder_cases, tolerance_of, vision_audio_cases,
)

CASES = [*text_encoder_cases(), *decoder_cases(), *vision_audio_cases()]

# What may run on WASM in the middle of a plan. A Cast only where the model's inputs and outputs are float16.
ON_WASM = {'Cast'}
# Products of quantised activations one after the other: where a sum is rounded otherwise, codes are one off, and then those behind them.
MANY_CODES = 'wav2vec2-ctc-mini/onnx/model_quantized.onnx'


async def load(path: str) -> Model:
    file = MODELS / path
    external = {other.name: memoryview(other.read_bytes()) for other in file.parent.glob(file.name + '_data*')}
    return await create_model(memoryview(file.read_bytes()), external, 'webgpu')


def exact(case: Case) -> dict[str, np.ndarray]:
    """What onnxruntime gives if it may not round activations to 8 bits, which no kernel here does."""
    model = onnx.load(MODELS / case.model)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == 'accuracy_level':
                attribute.i = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, case.arrays('in:')), strict=True))


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    model = await load(case.model)
    try:
        results = await model.run(case.inputs())
        rounded = rounds_activations(case.model) and 'f16' not in case.variant
        expected = exact(case) if rounded else case.arrays('out:')
        assert sorted(results) == sorted(expected)
        for name, array in expected.items():
            assert results[name].shape == list(array.shape)
            tolerance = case.variant if rounded else 'rounded_fp16' if case.model == MANY_CODES else tolerance_of(case)
            assert_close(tolerance, results[name].data.reshape(array.shape), array)
        placement = model.placement()
        assert placement.device == 'webgpu' and placement.nodes
        assert placement.reasons.keys() == placement.fallback.keys()
        assert set(placement.fallback) <= ON_WASM, placement
    finally:
        model.dispose()
