"""Models of tests/models with bytes broken at random: an EdgeflowError or a graph, and the same one in CPython and in JS.

Reading, verify and all passes run on each. 200 cases a test, 2,000 with --hypothesis-profile=nightly.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import hypothesis.strategies as st
import onnx
import pytest
from hypothesis import given

from edgeflow.backends.wasm.load import fetch_rare
from edgeflow.errors import EdgeflowError
from edgeflow.ir.printer import print_graph
from edgeflow.ir.verify import verify, verify_operators
from edgeflow.onnx.reader import read_model
from edgeflow.passes.pipeline import run_passes
from tests.onnx.evaluate import MODELS
from toolchain.paths import BUILD

CODES = {'invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing'}
MODEL_FILES = sorted(str(path.relative_to(MODELS)) for path in MODELS.glob('*/onnx/*.onnx') if path.stat().st_size < 360000)
Edit = tuple[int, int, str]


@cache
def contents(name: str) -> bytes:
    return (MODELS / name).read_bytes()


@cache
def structure(name: str) -> list[tuple[int, int]]:
    """Spans of the file that are no weights: that is where breaking bytes tells something."""
    data = contents(name)
    spans, start = [], 0
    payloads = []
    for tensor in onnx.load(MODELS / name, load_external_data=False).graph.initializer:
        if len(tensor.raw_data) > 64:
            payloads.append((data.find(tensor.raw_data), len(tensor.raw_data)))
    for at, size in sorted(payloads):
        if at > start:
            spans.append((start, at))
        start = max(start, at + size)
    return [*spans, (start, len(data))]


@st.composite
def broken_models(draw: st.DrawFn) -> tuple[str, list[Edit], int]:
    """A file, edits [offset, removed, inserted], and how many bytes are left of it."""
    name = draw(st.sampled_from(MODEL_FILES))
    spans = structure(name)
    total = sum(end - start for start, end in spans)
    edits: list[Edit] = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 1, 2, 4]))):
        at = draw(st.integers(0, total - 1))
        for start, end in spans:
            if at < end - start:
                at += start
                break
            at -= end - start
        kind = draw(st.sampled_from(['flip', 'flip', 'byte', 'insert', 'remove', 'varint']))
        if kind == 'flip':
            old = contents(name)[at]
            edits.append((at, 1, bytes([old ^ 1 << draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7]))]).hex()))
        elif kind == 'byte':
            edits.append((at, 1, draw(st.binary(min_size=1, max_size=1)).hex()))
        elif kind == 'insert':
            edits.append((at, 0, draw(st.binary(min_size=1, max_size=8)).hex()))
        elif kind == 'remove':
            edits.append((at, draw(st.integers(1, 40)), ''))
        else:
            huge = draw(st.sampled_from(['ff' * 9 + '01', 'ffffffff0f', 'ff7f', '80' * 9 + '00', 'ff' * 10, '8080808008']))
            edits.append((at, 1, huge))
    size = len(contents(name)) + 100
    if not edits or draw(st.integers(0, 9)) == 0:
        size = draw(st.integers(0, len(contents(name))))
    return name, edits, size


def broken(name: str, edits: list[Edit], size: int) -> bytes:
    data = contents(name)
    for offset, removed, inserted in edits:
        data = data[:offset] + bytes.fromhex(inserted) + data[offset + removed:]
    return data[:size]


class Mutant:
    """A model's bytes, shown by what was done to them."""

    def __init__(self, data: bytes, story: str) -> None:
        self.data = data
        self.story = story

    def __repr__(self) -> str:
        return f'<{self.story}>'


@st.composite
def mutated_models(draw: st.DrawFn) -> Mutant:
    """Valid protobuf that breaks the rules of the graph: names, arity, attributes, constants, order, types."""
    name = draw(st.sampled_from(MODEL_FILES))
    model = onnx.ModelProto.FromString(contents(name))
    story = name
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        kind = draw(st.sampled_from(sorted(MUTATIONS)))
        MUTATIONS[kind](draw, model.graph)
        story += f' {kind}'
    return Mutant(model.SerializeToString(), story)


def any_node(draw: st.DrawFn, graph: onnx.GraphProto) -> onnx.NodeProto:
    return graph.node[draw(st.integers(0, len(graph.node) - 1))]


def any_name(draw: st.DrawFn, graph: onnx.GraphProto) -> str:
    node = any_node(draw, graph)
    return draw(st.sampled_from([*node.output, *node.input, 'nothing', '', graph.input[0].name, graph.output[0].name]))


def mutate_input(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = any_node(draw, graph)
    if node.input:
        node.input[draw(st.integers(0, len(node.input) - 1))] = any_name(draw, graph)


def mutate_arity(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    names = draw(st.sampled_from(['input', 'output']))
    values = getattr(any_node(draw, graph), names)
    if draw(st.booleans()) and values:
        values.pop()
    else:
        values.append(any_name(draw, graph) if names == 'input' else draw(st.sampled_from(['', 'more'])))


def mutate_output(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = any_node(draw, graph)
    if node.output:
        node.output[0] = any_name(draw, graph)


def mutate_operator(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = any_node(draw, graph)
    node.op_type = draw(st.sampled_from([any_node(draw, graph).op_type, 'If', 'Constant', 'Unknown', 'MatMulInteger', 'Softmax']))
    node.domain = draw(st.sampled_from(['', '', 'com.microsoft', 'other', 'edgeflow']))


def mutate_attribute(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    node = any_node(draw, graph)
    name = draw(st.sampled_from(['axis', 'axes', 'perm', 'to', 'keepdims', 'value', 'allowzero', 'epsilon', 'transB', 'start', 'split']))
    numbers = st.integers(-5, 12) | st.sampled_from([2**62, -(2**62), 2**31, 10**9])
    value = draw(numbers | st.lists(numbers, min_size=1, max_size=5) | st.floats(width=32) | st.sampled_from(['text', ['a', 'b']]))
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def mutate_removal(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    if draw(st.booleans()) and len(graph.node) > 1:
        graph.node.remove(any_node(draw, graph))
    else:
        del any_node(draw, graph).attribute[:]


def mutate_constant(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    """Another shape of as many elements, other elements, or another type of the same width."""
    tensors = [*graph.initializer, *(a.t for node in graph.node for a in node.attribute if a.type == onnx.AttributeProto.TENSOR)]
    if not tensors:
        return
    small = [tensor for tensor in tensors if len(tensor.raw_data) <= 64]
    tensor = draw(st.sampled_from(small if small and draw(st.booleans()) else tensors))
    kind = draw(st.sampled_from(['shape', 'flat', 'elements', 'type']))
    if kind == 'shape':
        tensor.dims.append(1)
    elif kind == 'flat':
        count = 1
        for dim in tensor.dims:
            count *= dim
        del tensor.dims[:]
        tensor.dims.append(count)
    elif kind == 'elements' and tensor.raw_data:
        tensor.raw_data = draw(st.binary(min_size=8, max_size=8)) * (len(tensor.raw_data) // 8) + bytes(len(tensor.raw_data) % 8)
    else:
        tensor.data_type = {1: 6, 6: 1, 7: 11, 11: 7, 2: 3, 3: 9, 9: 2, 10: 5}.get(tensor.data_type, tensor.data_type)


def mutate_border(draw: st.DrawFn, graph: onnx.GraphProto) -> None:
    info = draw(st.sampled_from([*graph.input, *graph.output]))
    kind = draw(st.sampled_from(['dims', 'symbols', 'dtype', 'rank', 'name']))
    shape = info.type.tensor_type.shape
    if kind == 'name':
        info.name = any_name(draw, graph)
    elif kind == 'rank':
        info.type.tensor_type.ClearField('shape')
    elif kind == 'dtype':
        info.type.tensor_type.elem_type = draw(st.integers(0, 24))
    else:
        for dim in shape.dim:
            if kind == 'dims':
                dim.dim_value = draw(st.sampled_from([0, 1, 2, 5, 2**31, 2**50, 2**63 - 1, -1]))
            else:
                dim.dim_param = draw(st.sampled_from(['n', '', '4', '(4*n)', 'min(n,4)', 'a + b', '@0:x', '日本']))


MUTATIONS = {
    'input': mutate_input, 'arity': mutate_arity, 'output': mutate_output, 'operator': mutate_operator, 'removal': mutate_removal,
    'attribute': mutate_attribute, 'constant': mutate_constant, 'border': mutate_border,
}


def outcome(data: bytes) -> dict[str, str]:
    try:
        graph = read_model(memoryview(data)).graph
        verify(graph)
        verify_operators(graph)
        before = print_graph(graph)
        run_passes(graph)
        verify(graph)
        return {'text': hashlib.sha256((before + print_graph(graph)).encode()).hexdigest()}
    except EdgeflowError as error:
        assert error.code in CODES
        return {'code': error.code}


@pytest.fixture(scope='module')
def in_node(dist: Path) -> Iterator[Callable[[str, list[Edit], int], dict[str, str]]]:
    """The same, in a Node process that lives as long as the tests."""
    asyncio.run(fetch_rare())
    script = Path(__file__).with_name('read_models.mjs')
    process = subprocess.Popen(
        ['node', str(script), str(BUILD / 'js')], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    )

    def ask(name: str, edits: list[Edit], size: int) -> dict[str, str]:
        process.stdin.write(json.dumps({'path': str(MODELS / name), 'edits': edits, 'size': size}) + '\n')
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    assert process.wait(10) == 0


@given(broken_models())
def test_broken_models(in_node: Callable[[str, list[Edit], int], dict[str, str]], case: tuple[str, list[Edit], int]) -> None:
    ours = outcome(broken(*case))
    assert in_node(*case) == ours


@given(mutated_models())
def test_mutated_models(in_node: Callable[[str, list[Edit], int], dict[str, str]], case: Mutant) -> None:
    ours = outcome(case.data)
    assert in_node(MODEL_FILES[0], [(0, len(contents(MODEL_FILES[0])), case.data.hex())], len(case.data)) == ours


@pytest.mark.parametrize('name', MODEL_FILES)
def test_whole_models(in_node: Callable[[str, list[Edit], int], dict[str, str]], name: str) -> None:
    assert in_node(name, [], len(contents(name))) == outcome(contents(name))
