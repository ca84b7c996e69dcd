"""Every case of tests/models on the GPU, in CPython, against what onnxruntime gave; and what runs where."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeflow.backends.webgpu import device
from edgeflow.runtime.model import Model, create_model
from tests.engine.cases import (
    MODELS, Case, assert_close, decoder_cases, rounds_activations, text_encoder_cases, tolerance_of, vision_audio_cases,
)

CASES = [*text_encoder_cases(), *decoder_cases(), *vision_audio_cases()]

# What may run on WASM in the middle of a plan. A Cast only where the model's inputs and outputs are float16.
ON_WASM = {'Cast'}
# Sums, divisions and powers of a GPU are its own, within what WGSL allows. Where that moves one activation of this file to the next code, 5 of 3,600 results
# are up to 2.4 % of the largest off, on an H100.
HARDWARE = os.environ.get('EDGEFLOW_GPU') == 'hardware'
MOVED = 'whisper-mini/onnx/encoder_model_quantized.onnx'


async def load(path: str) -> Model:
    file = MODELS / path
    external = {other.name: memoryview(other.read_bytes()) for other in file.parent.glob(file.name + '_data*')}
    return await create_model(memoryview(file.read_bytes()), external, 'webgpu')


def exact(case: Case) -> dict[str, np.ndarray]:
    """What onnxruntime gives if it may not round activations to 8 bits, which kernels for few rows and for software adapters do not do."""
    model = onnx.load(MODELS / case.model)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == 'accuracy_level':
                attribute.i = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, case.arrays('in:')), strict=True))


def rounded_products(model: Model) -> int:
    """How many products the model's plans have whose activations are rounded to 8 bits."""
    plans = model._executable._plans.values()
    return sum(step.kernel == 'matmul_blocks' for plan in plans for group in plan.draft.groups for step in group.steps)


@pytest.mark.parametrize('case', CASES, ids=str)
async def test_outputs_are_those_of_onnxruntime(case: Case) -> None:
    model = await load(case.model)
    try:
        results = await model.run(case.inputs())
        rounded = rounds_activations(case.model) and 'f16' not in case.variant and rounded_products(model) == 0
        expected = exact(case) if rounded else case.arrays('out:')
        assert sorted(results) == sorted(expected)
        for name, array in expected.items():
            assert results[name].shape == list(array.shape)
            tolerance = case.variant if rounded else 'rounded_fp16' if HARDWARE and case.model == MOVED else tolerance_of(case)
            assert_close(tolerance, results[name].data.reshape(array.shape), array)
        placement = model.placement()
        assert placement.device == 'webgpu' and placement.nodes
        assert placement.reasons.keys() == placement.fallback.keys()
        assert set(placement.fallback) <= ON_WASM, placement
    finally:
        model.dispose()


async def test_rounded_activations_give_what_onnxruntime_gives_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU that is none in name only: codes and their blocks are those of onnxruntime."""
    [case] = [case for case in CASES if str(case) == 'smollm2-mini:model_q4.1']
    found = device.features_of
    with monkeypatch.context() as patch:
        patch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=False))
        patch.setattr(device._shared, 'gpu', None)
        model = await load(case.model)
        results = await model.run(case.inputs())
        assert rounded_products(model) == 14
        wanted = case.arrays('out:')['logits']
        logits = results['logits'].data.reshape(wanted.shape)
        if HARDWARE:
            assert_close('rounded', logits, wanted)
        else:
            np.testing.assert_allclose(logits, wanted, rtol=0, atol=1e-4)
        model.dispose()
