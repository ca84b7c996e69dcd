"""Encoder-decoders in CPython through wasmtime: their past in pages, their encoder's states kept once, texts of one model in one run."""

from __future__ import annotations

import asyncio

import numpy as np
import onnxruntime
import pytest

import edgeflow.backends.wasm.executable as executable
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import Model
from edgeflow.runtime.tensor import Tensor, tensor
from tests.engine.cases import MODELS, load

FILES = [f'{name}-mini/onnx/decoder_model_merged.onnx' for name in ('t5', 'marian', 'whisper')]
# How far apart the two likeliest tokens are at least where the runtimes have to agree.
MARGIN = 0.005


def states_of(path: str, length: int, seed: int = 3) -> np.ndarray:
    """States of an encoder: any numbers serve."""
    session = onnxruntime.InferenceSession(str(MODELS / path), providers=['CPUExecutionProvider'])
    width = next(x.shape[2] for x in session.get_inputs() if x.name == 'encoder_hidden_states')
    return np.random.default_rng(seed).standard_normal((1, length, width)).astype(np.float32)


def inputs_of(path: str, states: np.ndarray, mask: list[int] | None = None) -> dict[str, Tensor]:
    inputs = {'encoder_hidden_states': tensor(states)}
    if 'whisper' not in path:
        inputs['encoder_attention_mask'] = tensor(np.array([[1] * states.shape[1] if mask is None else mask], np.int64))
    return inputs


def logits_of(path: str, ids: list[int], states: np.ndarray, mask: list[int] | None = None) -> np.ndarray:
    """What onnxruntime gives without a cache, [tokens, vocabulary]."""
    session = onnxruntime.InferenceSession(str(MODELS / path), providers=['CPUExecutionProvider'])
    feeds = {'input_ids': np.array([ids], np.int64), 'encoder_hidden_states': states, 'use_cache_branch': np.array([False])}
    for x in session.get_inputs():
        if x.name == 'encoder_attention_mask':
            feeds[x.name] = np.array([[1] * states.shape[1] if mask is None else mask], np.int64)
        elif x.name.startswith('past'):
            feeds[x.name] = np.zeros((1, x.shape[1], 1, x.shape[3]), np.float32)
    return session.run(['logits'], feeds)[0][0]


def assert_tokens(got: list[int], logits: np.ndarray) -> None:
    """The tokens are the likeliest, wherever that is clear."""
    best = np.sort(logits, -1)
    clear = best[:, -1] - best[:, -2] > MARGIN
    assert clear.mean() > 0.5
    np.testing.assert_array_equal(np.array(got)[clear], logits.argmax(-1)[clear])


async def follow(model: Model, ids: list[int], inputs: dict[str, Tensor], first: int = 1) -> list[int]:
    """The token that comes after each of the ids, from the `first` on."""
    session = await model.open_session(inputs)
    found = [(await session.prompt(ids[:first])).token_id]
    for token in ids[first:]:
        found.append((await session.feed([token])).token_id)
    session.dispose()
    return found


@pytest.mark.parametrize('path', FILES)
async def test_a_long_text_beyond_a_plan_of_its_capacity(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = await load(path)
    states = states_of(path, 70)
    ids = [int(x) for x in np.random.default_rng(1).integers(5, 300, 300 if 't5' in path else 60)]
    # Marian's and Whisper's tables have few positions, so that their plans are made smaller instead.
    monkeypatch.setattr('edgeflow.backends.wasm.decoder.FIRST_CAPACITY', 256 if 't5' in path else 16)
    made: list[int] = []
    plan = executable.make_wasm_plan
    monkeypatch.setattr(executable, 'make_wasm_plan', lambda *given: made.append(1) or plan(*given))
    assert_tokens(await follow(model, ids, inputs_of(path, states)), logits_of(path, ids, states))
    # One for the states, one for the first token, and one for each capacity.
    assert len(made) == 4
    assert (await model._executable.decoder())._pages is not None


@pytest.mark.parametrize('path', FILES)
async def test_a_prompt_of_several_tokens_behind_others(path: str) -> None:
    model = await load(path)
    states = states_of(path, 9)
    ids = [7, 8, 9, 10, 11, 12, 13, 14]
    expected = logits_of(path, ids, states)
    session = await model.open_session(inputs_of(path, states))
    got = [(await session.prompt(ids[:3])).token_id, (await session.feed(ids[3:6])).token_id, (await session.feed(ids[6:])).token_id]
    assert_tokens(got, expected[[2, 5, 7]])
    assert (await session.prompt(ids[:6])).token_id == got[1]


@pytest.mark.parametrize('path', FILES)
async def test_texts_of_different_states_share_runs(path: str) -> None:
    model = await load(path)
    lengths = [3, 64, 65, 150]
    texts = [[5, 9, 9 + i, 20, 21 + i, 40, 41, 42] for i in range(4)]
    inputs = [lambda i=i: inputs_of(path, states_of(path, lengths[i], i)) for i in range(4)]
    alone = [await follow(model, texts[i], inputs[i](), 1 + i % 2) for i in range(4)]
    decoder = await model._executable.decoder()
    runs: list[int] = []
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        runs.append(len(feedings))
        return await advance(feedings, control)

    decoder.advance = counted
    assert await asyncio.gather(*[follow(model, texts[i], inputs[i](), 1 + i % 2) for i in range(4)]) == alone
    assert runs.count(4) >= 4
    assert decoder.cache_memory().arena == 0


@pytest.mark.parametrize('path', FILES[:2])
async def test_states_that_the_mask_hides(path: str) -> None:
    model = await load(path)
    states = states_of(path, 6)
    mask = [1, 1, 0, 1, 0, 0]
    ids = [7, 8, 9, 10, 11, 12, 30, 31]
    assert_tokens(await follow(model, ids, inputs_of(path, states, mask)), logits_of(path, ids, states, mask))
    for wrong in [[0] * 6, [1] * 5]:
        session = await model.open_session(inputs_of(path, states, wrong))
        with pytest.raises(EdgeflowError, match='expected 6 elements') as e:
            await session.prompt([5])
        assert e.value.code == 'invalid-input'


async def test_what_a_session_is_given_is_checked() -> None:
    path = FILES[0]
    model = await load(path)
    right = inputs_of(path, states_of(path, 4))
    states = right['encoder_hidden_states']
    wrong: list[tuple[dict[str, Tensor], str]] = [
        ({}, "'encoder_attention_mask' is missing"), ({**right, 'input_ids': tensor([[1]])}, "no input 'input_ids'"),
        ({**right, 'encoder_hidden_states': tensor(np.zeros((2, 4, 36), np.float32))}, r'expected float32 \[1, '),
        ({**right, 'encoder_hidden_states': tensor(np.zeros((1, 4, 35), np.float32))}, r'got float32 \[1, 4, 35\]'),
    ]
    for inputs, text in wrong:
        with pytest.raises(EdgeflowError, match=text) as e:
            await model.open_session(inputs)
        assert e.value.code == 'invalid-input'
    assert states.shape == [1, 4, 36]


async def test_a_bias_that_is_not_known_to_be_one_by_distance_is_obeyed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('edgeflow.passes.fuse_cached_attention._by_distance', lambda *given: False)
    path = FILES[0]
    model = await load(path)
    states = states_of(path, 5)
    ids = list(range(10, 30))
    assert_tokens(await follow(model, ids, inputs_of(path, states)), logits_of(path, ids, states))
    assert (await model._executable.decoder())._pages is None


async def test_forks_share_the_states_and_all_of_it_comes_back() -> None:
    path = FILES[0]
    model = await load(path)
    decoder = await model._executable.decoder()
    states = states_of(path, 130)
    session = await model.open_session(inputs_of(path, states))
    await session.prompt([5, 6, 7])
    before = decoder.cache_memory().arena
    others = [await session.fork() for _ in range(3)]
    await asyncio.gather(*[one.feed([7 + i]) for i, one in enumerate([session, *others])])
    # Of 3 pages of states and one of the text, only that of the text is copied.
    assert decoder.cache_memory().arena == before // 4 * 7
    session.dispose()
    for i, one in enumerate(others):
        assert_tokens([(await one.feed([9])).token_id], logits_of(path, [5, 6, 7, 8 + i, 9], states)[-1:])
        one.dispose()
    assert decoder.cache_memory().arena == 0
