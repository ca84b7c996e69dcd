"""Generation sessions on the GPU: the tokens of cases/generate.json."""

from __future__ import annotations

import pytest

from tests.engine.cases import rounds_activations
from tests.engine.test_generation import Wanted, generate, wanted
from tests.gpu.test_models import load

# One file of a kind: plain attention, grouped queries, weights of 4 bits, a norm and a window of its own.
FILES = ['gpt2-mini/onnx/decoder_model_merged.onnx', 'llama3-mini-genai/onnx/model_q4.onnx', 'qwen2-mini/onnx/model.onnx', 'gemma2-mini-genai/onnx/model.onnx']
COUNT = 12


@pytest.mark.parametrize('case', [case for case in wanted(False) if case.path in FILES], ids=str)
async def test_greedy_tokens_are_those_of_onnxruntime(case: Wanted) -> None:
    model = await load(case.path)
    got = await generate(model, case.prompt['input_ids'], COUNT)
    if case.margin > (0.05 if rounds_activations(case.path) else 0.005):
        assert got == case.new_ids[:COUNT]
    model.dispose()
    assert model.memory().total == 0
