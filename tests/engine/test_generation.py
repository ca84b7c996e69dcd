"""Generation sessions in CPython through wasmtime: the tokens of cases/generate.json, batches, rewinding, cancelling, memory."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from edgeflow.backends.generation import use_choosers
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.host.port import NumericArray
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import Tensor, tensor
from tests.engine.cases import MODELS, load, rounds_activations


@dataclass(frozen=True)
class Wanted:
    path: str
    prompt: dict[str, Any]
    new_ids: list[int]
    margin: float

    def __str__(self) -> str:
        return f'{self.path.replace("/onnx/", ":")}-{len(self.prompt.get("input_ids", []))}'


def wanted(encoder_decoder: bool) -> list[Wanted]:
    found = []
    for path in sorted(MODELS.glob('*/cases/generate.json')):
        for prompt in json.loads(path.read_text())['prompts']:
            for file, expected in prompt['files'].items():
                if ('decoder_input_ids' in prompt) == encoder_decoder:
                    name = f'{path.parents[1].name}/{file}'
                    found.append(Wanted(name, prompt, expected['new_ids'], expected['min_top2_margin']))
    return found


async def generate(model: Model, prompt: list[int], count: int, inputs: dict[str, Tensor] | None = None) -> list[int]:
    session = await model.open_session(inputs)
    ids = [(await session.prompt(prompt)).token_id]
    while len(ids) < count:
        ids.append((await session.feed([ids[-1]])).token_id)
    session.dispose()
    return ids


@pytest.mark.parametrize('case', wanted(False), ids=str)
async def test_greedy_tokens_are_those_of_onnxruntime(case: Wanted) -> None:
    model = await load(case.path)
    got = await generate(model, case.prompt['input_ids'], len(case.new_ids))
    decoder = await model._executable.decoder()
    assert decoder._pages is not None
    # A few codes of rounded activations more or less, and the float16 of tensors between operators, may decide between close tokens.
    if case.margin > (0.05 if rounds_activations(case.path) and 'f16' in case.path else 0.005):
        assert got == case.new_ids
    model.dispose()


def states_of_audio(path: str) -> np.ndarray:
    """What the encoder of a speech model makes of its recorded audio, by onnxruntime."""
    encoder = onnxruntime.InferenceSession(str(MODELS / path), providers=['CPUExecutionProvider'])
    with np.load(MODELS / path.split('/')[0] / 'cases/preprocess.npz') as audio:
        return encoder.run(None, {'input_features': audio['out:input_features'].astype(np.float32)})[0]


@pytest.mark.parametrize('case', wanted(True), ids=str)
async def test_an_encoder_decoder_generates_the_tokens_of_onnxruntime(case: Wanted) -> None:
    encoder_path = case.path.replace('decoder_model_merged', 'encoder_model')
    if 'input_ids' in case.prompt:
        encoder = await load(encoder_path)
        ids = np.array([case.prompt['input_ids']], np.int64)
        mask = tensor(np.ones_like(ids))
        encoded = await encoder.run({'input_ids': tensor(ids), 'attention_mask': mask})
        inputs = {'encoder_hidden_states': encoded['last_hidden_state'], 'encoder_attention_mask': mask}
    else:
        inputs = {'encoder_hidden_states': tensor(states_of_audio(encoder_path))}
    model = await load(case.path)
    got = await generate(model, case.prompt['decoder_input_ids'], len(case.new_ids), inputs)
    assert (await model._executable.decoder())._pages is not None
    if case.margin > (0.05 if 'quantized' in case.path else 0.005):
        assert got == case.new_ids


SMOL = 'smollm2-mini/onnx/model.onnx'


async def test_streams_of_one_model_share_runs_and_give_what_each_alone_gives() -> None:
    model = await load(SMOL)
    prompts = [[1, 5, 9], [7, 8, 9, 10, 11, 12], [3], [20, 21, 22, 23]]
    alone = [await generate(model, prompt, 30) for prompt in prompts]
    runs: list[int] = []
    decoder = await model._executable.decoder()
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        runs.append(len(feedings))
        return await advance(feedings, control)

    decoder.advance = counted
    together = await asyncio.gather(*[generate(model, prompt, 30) for prompt in prompts])
    assert together == alone
    assert runs.count(4) >= 20
    # A session whose prompt is longer than a page, beside a short one.
    long = list(range(1, 200))
    expected = await generate(model, long, 20)
    assert (await asyncio.gather(generate(model, long, 20), generate(model, [4, 4], 20)))[0] == expected


async def test_a_prompt_in_parts_is_the_prompt_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model = await load(SMOL)
    prompt = [int(x) for x in np.random.default_rng(0).integers(0, 500, 150)]
    at_once = await generate(model, prompt, 8)
    monkeypatch.setattr('edgeflow.backends.wasm.decoder.CHUNK', 37)
    assert await generate(model, prompt, 8) == at_once


async def test_only_what_a_prompt_does_not_share_is_computed() -> None:
    model = await load(SMOL)
    session = await model.open_session()
    first = await session.prompt([1, 2, 3, 4, 5, 6])
    await session.feed([first.token_id])
    fed: list[int] = []
    decoder = await model._executable.decoder()
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        fed.append(len(feedings[0].ids))
        return await advance(feedings, control)

    decoder.advance = counted
    again = await session.prompt([1, 2, 3, 4, 9, 10])
    assert fed == [2]
    assert again.token_id == (await generate(model, [1, 2, 3, 4, 9, 10], 1))[0]
    assert (await session.prompt([1, 2, 3, 4, 9, 10])).token_id == again.token_id
    assert session.ids == [1, 2, 3, 4, 9, 10]


async def test_memory_follows_the_tokens_and_all_of_it_comes_back() -> None:
    model = await load(SMOL)
    heap = model._executable._machine.engine.heap
    await generate(model, [1] * 64, 300)
    before = heap.used
    session = await model.open_session()
    token = await session.prompt([1] * 64)
    small = session.memory().arena
    for _ in range(130):
        token = await session.feed([token.token_id])
    assert session.memory().arena == 4 * small
    session.rewind(64)
    assert session.memory().arena == small
    total = model.memory().total
    for _ in range(5):
        for _ in range(100):
            token = await session.feed([token.token_id])
        session.rewind(64)
    assert model.memory().total == total
    session.dispose()
    session.dispose()
    assert (await model._executable.decoder()).cache_memory().arena == 0
    assert heap.used == before
    with pytest.raises(EdgeflowError) as e:
        await session.feed([1])
    assert e.value.code == 'disposed'



async def test_a_session_that_is_disposed_in_the_middle_of_a_step_harms_no_other() -> None:
    model = await load(SMOL)
    expected = await generate(model, [1, 2, 3], 12)
    decoder = await model._executable.decoder()
    used: list[int] = []
    for turns in range(8):
        session, other = await model.open_session(), await model.open_session()
        ids = [(await session.prompt([1, 2, 3])).token_id]
        last = (await other.prompt([9] * 70)).token_id
        lost = asyncio.ensure_future(other.feed([last]))
        kept = asyncio.ensure_future(session.feed([ids[-1]]))
        for _ in range(turns):
            await asyncio.sleep(0)
        other.dispose()
        ids.append((await kept).token_id)
        await asyncio.gather(lost, return_exceptions=True)
        while len(ids) < 12:
            ids.append((await session.feed([ids[-1]])).token_id)
        assert ids == expected
        used.append(decoder.cache_memory().arena)
        session.dispose()
    assert len(set(used)) == 1
    assert decoder.cache_memory().arena == 0


async def test_a_fork_goes_on_by_itself_and_shares_what_both_have() -> None:
    model = await load(SMOL)
    decoder = await model._executable.decoder()
    prompt = [int(x) for x in np.random.default_rng(1).integers(0, 500, 150)]
    session = await model.open_session()
    first = await session.prompt(prompt)
    page = session.memory().arena // 3
    others = [await session.fork() for _ in range(3)]
    assert session.memory().arena == 3 * page, 'nothing is copied yet'
    assert [other.ids for other in others] == [prompt] * 3
    # Each with another token: only the last page, which is not full, is copied; the last that has it keeps it.
    await asyncio.gather(*[one.feed([7 + i]) for i, one in enumerate([session, *others])])
    assert decoder.cache_memory().arena == (2 + 4) * page
    for i, one in enumerate([session, *others]):
        assert (await one.feed([3])).token_id == (await generate(model, [*prompt, 7 + i, 3], 1))[0]
    # A text that is rewound into a shared page writes to one of its own.
    others[0].rewind(70)
    assert (await others[0].feed([5])).token_id == (await generate(model, [*prompt[:70], 5], 1))[0]
    assert (await others[1].prompt(prompt)).token_id == first.token_id
    session.dispose()
    assert (await others[2].feed([4])).token_id == (await generate(model, [*prompt, 9 + 1, 3, 4], 1))[0]
    for other in others:
        other.dispose()
    assert decoder.cache_memory().arena == 0
    with pytest.raises(EdgeflowError) as e:
        await session.fork()
    assert e.value.code == 'disposed'


async def test_what_uses_a_session_while_a_step_of_it_runs_is_refused() -> None:
    model = await load(SMOL)
    session = await model.open_session()
    await session.prompt([1, 2, 3])
    step = asyncio.ensure_future(session.feed([4]))
    await asyncio.sleep(0)
    for use in [session.fork, lambda: session.feed([5]), lambda: session.prompt([1, 9])]:
        with pytest.raises(EdgeflowError, match='at rest') as e:
            await use()
        assert e.value.code == 'invalid-argument'
    assert session.ids == [1, 2, 3]
    token = await step
    assert session.ids == [1, 2, 3, 4]
    other = await session.fork()
    assert (await other.feed([token.token_id])).token_id == (await session.feed([token.token_id])).token_id


async def test_what_a_run_in_company_did_for_a_step_that_was_cancelled_is_forgotten() -> None:
    model = await load(SMOL)
    decoder = await model._executable.decoder()
    one, other = await model.open_session(), await model.open_session()
    await one.prompt([1, 2, 3])
    await other.prompt([7, 8])
    controller = new_abort_controller()
    advance = decoder.advance

    async def late(feedings: list, control: object = None) -> list:
        chosen = await advance(feedings, control)
        controller.abort()
        await asyncio.sleep(0)
        return chosen

    decoder.advance = late
    steps = await asyncio.gather(one.feed([4], signal=controller.signal), other.feed([9]), return_exceptions=True)
    decoder.advance = advance
    assert steps[0].code == 'aborted'
    assert one.ids == [1, 2, 3]
    fork = await one.fork()
    expected = (await generate(model, [1, 2, 3, 5], 1))[0]
    assert [(await session.feed([5])).token_id for session in (one, fork)] == [expected] * 2


async def test_a_fork_without_pages() -> None:
    data = sliding_window(2)
    model = await create_model(memoryview(data), {}, 'wasm')
    session = await model.open_session()
    first = await session.prompt([1, 2, 3])
    assert (await model._executable.decoder())._pages is None
    other = await session.fork()
    ids = [(await one.feed([token])).token_id for one, token in [(session, 4), (other, 5)]]
    assert ids == [by_onnxruntime(data, [1, 2, 3, token], 1)[0] for token in (4, 5)]
    assert (await other.prompt([1, 2, 3])).token_id == first.token_id


async def test_a_step_that_fails_leaves_the_session_as_it_was() -> None:
    model = await load(SMOL)
    session = await model.open_session()
    token = await session.prompt([1, 2, 3])
    with pytest.raises(EdgeflowError, match='index is out of range') as e:
        await session.feed([token.token_id, 10**6])
    assert e.value.code == 'run-failed'
    assert session.ids == [1, 2, 3]
    expected = await generate(model, [1, 2, 3], 6)
    ids = [token.token_id]
    while len(ids) < 6:
        ids.append((await session.feed([ids[-1]])).token_id)
    assert ids == expected
    with pytest.raises(EdgeflowError, match='expected tokens') as e:
        await session.feed([])
    assert e.value.code == 'invalid-argument'


@dataclass
class SecondBest:
    """A chooser of the tests."""

    token_id: int = 0
    logprob: float | None = None
    top: tuple = ()

    def choose(self, logits: NumericArray) -> SecondBest:
        order = np.argsort(logits)
        return SecondBest(int(order[-2]), float(logits[order[-2]]))

    def draw(self, later: int) -> None:
        return None


@pytest.mark.parametrize('path', [SMOL, 'llama3-mini-genai/onnx/model_mha.onnx', 'qwen2-mini-genai/onnx/model_fp16.onnx'])
async def test_a_chooser_sees_the_logits_of_the_last_token(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('edgeflow.backends.generation._makers', [])

    async def second_best(choosing: object) -> SecondBest:
        return SecondBest()

    use_choosers(second_best)
    model = await load(path)
    session = await model.open_session()
    chosen = await session.begin([3, 1, 4, 1, 5], {'which': 'second'})
    feeds = {info.name: info for info in model.inputs}
    ids = np.array([[3, 1, 4, 1, 5]], np.int64)
    inputs = {'input_ids': tensor(ids), 'attention_mask': tensor(np.ones_like(ids)), 'position_ids': tensor(np.arange(5, dtype=np.int64)[None])}
    inputs = {name: value for name, value in inputs.items() if name in feeds}
    for name, info in feeds.items():
        if name.startswith('past'):
            inputs[name] = tensor(np.zeros((1, info.shape[1], 0, info.shape[3]), info.dtype))
    logits = (await model.run(inputs))['logits']
    last = logits.data.reshape(logits.shape)[0, -1].astype(np.float32)
    assert chosen.token_id == int(np.argsort(last)[-2])
    assert (await session.prompt([3, 1, 4, 1, 5])).token_id == int(last.argmax())
    assert abs(chosen.logprob - last[chosen.token_id]) <= 2e-2 * np.abs(last).max()


async def test_what_is_no_decoder_has_no_sessions() -> None:
    model = await load('bert-mini-sentence/onnx/model.onnx')
    with pytest.raises(EdgeflowError, match='no decoder') as e:
        await model.open_session()
    assert e.value.code == 'unsupported-op'


def sliding_window(window: int) -> bytes:
    """The model with a mask that shows a token only the `window` last ones."""
    model = onnx.load(MODELS / SMOL)
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == 'LessOrEqual')
    compared = model.graph.node[at]
    keys, queries = compared.input
    causal = compared.output[0]
    compared.output[0] = causal + '#causal'
    model.graph.initializer.append(numpy_helper.from_array(np.array(window, np.int64), 'window'))
    added = [helper.make_node('Sub', [queries, 'window'], ['first']), helper.make_node('Greater', [keys, 'first'], ['near']),
             helper.make_node('And', [causal + '#causal', 'near'], [causal])]
    for offset, node in enumerate(added):
        model.graph.node.insert(at + 1 + offset, node)
    return model.SerializeToString()


def by_onnxruntime(model: bytes, prompt: list[int], count: int) -> list[int]:
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    made: list[int] = []
    for _ in range(count):
        ids = np.array([prompt + made], np.int64)
        feeds = {'input_ids': ids, 'attention_mask': np.ones_like(ids), 'position_ids': np.arange(ids.size, dtype=np.int64)[None]}
        feeds |= {x.name: np.zeros((1, x.shape[1], 0, x.shape[3]), np.float32) for x in session.get_inputs() if x.name.startswith('past')}
        made.append(int(session.run(['logits'], feeds)[0][0, -1].argmax()))
    return made


async def test_a_mask_that_is_not_plainly_causal_is_noticed_and_obeyed() -> None:
    data = sliding_window(8)
    model = await create_model(memoryview(data), {}, 'wasm')
    # Within the window there is nothing to notice; the step that leaves it goes on by the graph's own tensors, all sessions with it.
    other = await model.open_session()
    await other.prompt([9, 8, 7])
    assert (await model._executable.decoder())._pages is not None
    expected = by_onnxruntime(data, [1, 2, 3, 4], 20)
    assert await generate(model, [1, 2, 3, 4], 20) == expected
    assert (await model._executable.decoder())._pages is None
    assert [(await other.feed([6])).token_id] == by_onnxruntime(data, [9, 8, 7, 6], 1)
    plain = await load(SMOL)
    assert await generate(plain, [1, 2, 3, 4], 20) != expected
