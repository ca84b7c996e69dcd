"""Decoders as exporters wrote them some years ago: positions and parts of tables by the past's length, causal masks that they bring along."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor

VOCABULARY, WIDTH, LONGEST = 40, 16, 64
LOWEST = float(np.finfo(np.float32).min)


class Writer:
    """A graph's nodes and constants, one after the other."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.constants: list = []
        self.random = np.random.default_rng(2)

    def constant(self, value: object, dtype: type = np.int64) -> str:
        name = f'c{len(self.constants)}'
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def weight(self, *shape: int) -> str:
        return self.constant(self.random.standard_normal(shape), np.float32)

    def op(self, kind: str, *inputs: str, out: str = '', **attributes: object) -> str:
        name = out or f'v{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name


def decoder(style: str, table: int = LONGEST) -> bytes:
    """gpt2: positions counted from the past, a causal table of so many tokens. llama: position_ids, a table of angles that is cut off."""
    w = Writer()
    number, zero, one, two = w.op, w.constant(0), w.constant(1), w.constant(2)
    new = number('Gather', number('Shape', 'input_ids'), one)
    past = number('Gather', number('Shape', 'past_key_values.0.key'), two)
    total = number('Add', past, new)
    many, few = (number('Unsqueeze', x, w.constant([0])) for x in (total, new))
    x = number('Gather', w.weight(VOCABULARY, WIDTH), 'input_ids')
    if style == 'gpt2':
        places = number('Reshape', number('Unsqueeze', number('Range', past, total, one), w.constant([0])), number('Concat', w.constant([-1]), few, axis=0))
        x = number('Add', x, number('Gather', w.weight(LONGEST, WIDTH), places))
    heads = [number('Transpose', number('Reshape', number('MatMul', x, w.weight(WIDTH, WIDTH)), w.constant([0, 0, 2, 8])), perm=[0, 2, 1, 3]) for _ in range(3)]
    if style == 'llama':
        angles = number('Slice', w.weight(1, 1, LONGEST, 8), w.constant([0]), many, w.constant([2]))
        turned = number('Unsqueeze', number('Gather', number('Squeeze', angles, w.constant([0, 1])), 'position_ids'), w.constant([1]))
        heads[:2] = [number('Mul', head, turned) for head in heads[:2]]
    keys, values = (number('Concat', f'past_key_values.0.{kind}', head, out=f'present.0.{kind}', axis=2) for kind, head in zip(('key', 'value'), heads[1:], strict=True))
    scores = number('Div', number('MatMul', heads[0], number('Transpose', keys, perm=[0, 1, 3, 2])), w.constant(2.5, np.float32))
    lowest = w.constant(LOWEST, np.float32)
    if style == 'gpt2':
        start = number('Unsqueeze', number('Sub', total, new), w.constant([0]))
        rows = number('Slice', w.constant(np.tril(np.ones((1, 1, table, table))), np.bool_), start, many, w.constant([2]))
        scores = number('Where', number('Slice', rows, w.constant([0]), many, w.constant([3])), scores, lowest)
        shown = number('Cast', number('Unsqueeze', 'attention_mask', w.constant([1, 2])), to=TensorProto.FLOAT)
        scores = number('Add', scores, number('Mul', number('Sub', w.constant(1, np.float32), shown), lowest))
    else:
        seen = number('LessOrEqual', number('Range', zero, total, one), number('Unsqueeze', number('Range', past, total, one), w.constant([1])))
        scores = number('Add', scores, number('Unsqueeze', number('Where', seen, w.constant(0, np.float32), lowest), w.constant([0, 1])))
    attended = number('Transpose', number('MatMul', number('Softmax', scores, axis=-1), values), perm=[0, 2, 1, 3])
    x = number('Add', x, number('MatMul', number('Reshape', attended, w.constant([0, 0, WIDTH])), w.weight(WIDTH, WIDTH)))
    number('MatMul', x, w.weight(WIDTH, VOCABULARY), out='logits')
    inputs = [('input_ids', TensorProto.INT64, ['b', 's']), ('attention_mask', TensorProto.INT64, ['b', 't'])]
    inputs += [('position_ids', TensorProto.INT64, ['b', 's'])] if style == 'llama' else []
    inputs += [(f'past_key_values.0.{kind}', TensorProto.FLOAT, ['b', 2, 'p', 8]) for kind in ('key', 'value')]
    outputs = [('logits', ['b', 's', VOCABULARY]), ('present.0.key', ['b', 2, 't', 8]), ('present.0.value', ['b', 2, 't', 8])]
    graph = helper.make_graph(w.nodes, 'old', [helper.make_tensor_value_info(*one) for one in inputs],
                              [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs], w.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8).SerializeToString()


def tokens_of(data: bytes, ids: list[int]) -> list[int]:
    """The likeliest token after each of the ids, by onnxruntime without a past."""
    session = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider'])
    feeds = {x.name: np.zeros((1, 2, 0, 8), np.float32) for x in session.get_inputs() if x.name.startswith('past')}
    told = {'input_ids': [ids], 'attention_mask': [[1] * len(ids)], 'position_ids': [list(range(len(ids)))]}
    feeds |= {x.name: np.array(told[x.name], np.int64) for x in session.get_inputs() if x.name in told}
    return session.run(['logits'], feeds)[0][0].argmax(-1).tolist()


@pytest.mark.parametrize('style, table, pages', [('gpt2', LONGEST, True), ('llama', LONGEST, True), ('gpt2', 50, False)])
async def test_tokens_are_those_of_onnxruntime(style: str, table: int, pages: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A causal table of 50 tokens fits the plan for 16, not the next one, for 64: then the graph's own past serves."""
    monkeypatch.setattr('edgeflow.backends.wasm.decoder.FIRST_CAPACITY', 16)
    data = decoder(style, table)
    ids = [int(x) for x in np.random.default_rng(4).integers(0, VOCABULARY, 49)]
    expected = tokens_of(data, ids)
    model = await create_model(memoryview(data), {}, 'wasm')
    session = await model.open_session()
    got = [(await session.prompt(ids[:3])).token_id, (await session.feed(ids[3:6])).token_id]
    used = await model._executable.decoder()
    assert used._pages is not None
    for token in ids[6:]:
        got.append((await session.feed([token])).token_id)
    assert got == [expected[2], *expected[5:]]
    assert (used._pages is not None) == pages


@pytest.mark.parametrize('shown', [True, False])
async def test_attention_whose_mask_chooses_scores_or_a_low_number(shown: bool) -> None:
    w = Writer()
    k, v = w.op('Neg', 'k'), w.op('Neg', 'v')
    scores, low = w.op('MatMul', 'q', w.op('Transpose', k, perm=[0, 1, 3, 2])), w.constant(LOWEST, np.float32)
    chosen = w.op('Where', 'mask', *([scores, low] if shown else [low, scores]))
    w.op('MatMul', w.op('Softmax', chosen, axis=-1), v, out='y')
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 8]) for name in ('q', 'k', 'v')]
    inputs.append(helper.make_tensor_value_info('mask', TensorProto.BOOL, [1, 1, 4, 4]))
    graph = helper.make_graph(w.nodes, 'g', inputs, [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)], w.constants)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 15)], ir_version=8).SerializeToString()
    feeds = {name: w.random.standard_normal((1, 2, 4, 8)).astype(np.float32) for name in ('q', 'k', 'v')}
    feeds['mask'] = np.tril(np.ones((1, 1, 4, 4))).astype(bool) == shown
    model = await create_model(memoryview(data), {}, 'wasm')
    assert model.placement().nodes.get('edgeflow:Sdpa') == 1
    got = (await model.run({name: tensor(array) for name, array in feeds.items()}))['y']
    expected = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider']).run(None, feeds)[0]
    np.testing.assert_allclose(got.data.reshape(got.shape), expected, rtol=1e-4, atol=1e-5)
