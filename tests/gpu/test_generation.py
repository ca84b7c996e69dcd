"""Generation sessions on the GPU, whose keys and values stay there: the tokens of cases/generate.json, and what WASM's sessions do, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

import tests.engine.test_generation as on_wasm
from edgeflow.backends.webgpu import device
from edgeflow.runtime.model import create_model
from tests.engine.cases import rounds_activations
from tests.engine.test_generation import Wanted, generate, wanted
from tests.gpu.test_models import load

# Kinds of graphs: merged decoders, grouped queries packed or not, norms of heads, windows, weights of 4 bits.
FILES = [
    'gpt2-mini/onnx/decoder_model_merged.onnx', 'smollm2-mini/onnx/model_q4f16.onnx', 'gemma2-mini-genai/onnx/model.onnx',
    'llama3-mini-genai/onnx/model_q4_qdq.onnx', 'qwen2-mini-genai/onnx/model_fp16.onnx', 'qwen3-nano-genai/onnx/model.onnx',
]
# Weights of 4 bits with and without zero points, norms of heads.
MANY = ['smollm2-mini/onnx/model_q4f16.onnx', 'llama3-mini-genai/onnx/model_q4_qdq.onnx', 'qwen3-nano-genai/onnx/model.onnx']
ENCODER_DECODERS = [
    't5-mini/onnx/decoder_model_merged.onnx', 'whisper-mini/onnx/decoder_model_merged.onnx',
    'whisper-mini/onnx/decoder_model_merged_fp16.onnx', 'marian-mini/onnx/decoder_model_merged.onnx',
]


@pytest.fixture(autouse=True)
def load_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_wasm, 'load', load)
    monkeypatch.setattr(on_wasm, 'create_model', lambda data, files, device: create_model(data, files, 'webgpu'))


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels divided as on a GPU that is none in name only."""
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=False))
    monkeypatch.setattr(device._shared, 'gpu', None)
    yield
    device._shared.gpu = None


@pytest.mark.parametrize('case', [case for case in wanted(False) if case.path in MANY], ids=str)
async def test_greedy_tokens_with_many_threads(case: Wanted, many_threads: None) -> None:
    await test_greedy_tokens_are_those_of_onnxruntime(case)


@pytest.mark.parametrize('case', [case for case in wanted(False) if case.path in FILES], ids=str)
async def test_greedy_tokens_are_those_of_onnxruntime(case: Wanted) -> None:
    model = await load(case.path)
    got = await generate(model, case.prompt['input_ids'], len(case.new_ids))
    if case.margin > (0.05 if rounds_activations(case.path) else 0.005):
        assert got == case.new_ids
    decoder = await model._executable.decoder()
    assert decoder._pages is not None and decoder._pages.used == 0
    # One plan for the prompt, one for all other tokens.
    assert sum(len(sibling._plans) for sibling in model._executable._siblings) == 2
    assert model.memory().gpu > 0
    model.dispose()
    assert model.memory().total == 0


@pytest.mark.parametrize('case', [case for case in wanted(True) if case.path in ENCODER_DECODERS], ids=str)
async def test_an_encoder_decoder_generates_the_tokens_of_onnxruntime(case: Wanted) -> None:
    await on_wasm.test_an_encoder_decoder_generates_the_tokens_of_onnxruntime(case)


@pytest.mark.parametrize(('path', 'item'), [('smollm2-mini/onnx/model_q4f16.onnx', 2), ('smollm2-mini/onnx/model_q4.onnx', 4)])
async def test_pages_hold_the_type_of_the_past(path: str, item: int) -> None:
    model = await load(path)
    session = await model.open_session()
    await session.prompt([1] * 70)
    decoder = await model._executable.decoder()
    assert decoder._pages is not None
    token = sum(past.heads * past.width for past in decoder._pages.pasts)
    assert session.memory().arena == 2 * 64 * token * item
    model.dispose()


async def test_streams_of_one_model_share_runs() -> None:
    await on_wasm.test_streams_of_one_model_share_runs_and_give_what_each_alone_gives()


async def test_a_prompt_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    await on_wasm.test_a_prompt_in_parts_is_the_prompt_at_once(monkeypatch)


async def test_a_fork_goes_on_by_itself() -> None:
    await on_wasm.test_a_fork_goes_on_by_itself_and_shares_what_both_have()


async def test_a_mask_that_is_not_plainly_causal() -> None:
    await on_wasm.test_a_mask_that_is_not_plainly_causal_is_noticed_and_obeyed()


async def test_a_step_that_fails_leaves_the_session_as_it_was() -> None:
    await on_wasm.test_a_step_that_fails_leaves_the_session_as_it_was()


async def test_a_session_that_is_disposed_in_the_middle_of_a_step() -> None:
    await on_wasm.test_a_session_that_is_disposed_in_the_middle_of_a_step_harms_no_other()
