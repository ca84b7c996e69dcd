"""A model that comes in pieces gives the same graph, and the same results, as one in a single piece."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeflow.errors import EdgeflowError
from edgeflow.onnx.pieces import Pieces
from edgeflow.onnx.skeleton import LARGE, skeleton
from edgeflow.onnx.reader import external_files, read_head, read_model
from edgeflow.runtime.model import create_model
from edgeflow.runtime.loading import open_files
from edgeflow.runtime.opening import MODEL, ModelFiles
from edgeflow.backends.contract import Feed

MODELS = Path(__file__).resolve().parents[1] / 'models'


def in_pieces(data: bytes, cuts: list[int]) -> Pieces:
    edges = sorted({0, *(cut % max(1, len(data)) for cut in cuts)})
    return Pieces({start: memoryview(data[start:stop]) for start, stop in zip(edges, [*edges[1:], len(data)], strict=True)})


def big_model(seed: int) -> bytes:
    """Large and small initializers, raw and typed data, between them everything a graph has."""
    rng = np.random.default_rng(seed)
    weights = {'a': rng.normal(size=(200, 130)), 'b': rng.normal(size=(130,)), 'c': rng.normal(size=(130, 140)), 'd': rng.normal(size=(140, 131))}
    tensors = [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()]
    tensors[3] = helper.make_tensor('d', TensorProto.FLOAT, (140, 131), weights['d'].astype(np.float32).ravel().tolist())
    nodes = [
        helper.make_node('MatMul', ['x', 'a'], ['h']), helper.make_node('Add', ['h', 'b'], ['i']), helper.make_node('MatMul', ['i', 'c'], ['j']),
        helper.make_node('Transpose', ['d'], ['e'], perm=[1, 0]), helper.make_node('Gemm', ['j', 'e'], ['y'], transB=1),
    ]
    graph = helper.make_graph(
        nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['n', 200])],
        [helper.make_tensor_value_info('y', TensorProto.FLOAT, ['n', 131])], tensors)
    buffer = io.BytesIO()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)]), buffer)
    return buffer.getvalue()


@settings(max_examples=60)
@given(st.integers(0, 3), st.lists(st.integers(0, 1 << 20), max_size=12))
def test_the_graph_is_the_same(seed: int, cuts: list[int]) -> None:
    data = big_model(seed)
    pieces = in_pieces(data, cuts)
    head = read_head(memoryview(data)[:cuts[0] if cuts else None])
    small = skeleton(pieces, head.size)
    if len(pieces.parts) > 1:
        assert len(small) < len(data) - 2 * LARGE
    expected = read_model(memoryview(data)).graph
    # The skeleton's nodes stand where the file's did.
    got = read_model(small, lambda location: pieces, head).graph
    assert [node.op for node in got.nodes] == [node.op for node in expected.nodes]
    for name, tensor in expected.initializers.items():
        other = got.initializers[name]
        assert (other.dtype, other.shape, other.size()) == (tensor.dtype, tensor.shape, len(tensor.data))
        assert bytes(other.whole()) == bytes(tensor.data)


async def results(files: ModelFiles, feeds: dict[str, Feed], outputs: list[str]) -> list[np.ndarray]:
    opened = await open_files(files, 'wasm', lambda: False)
    got = await opened.executable.run(feeds, outputs)
    return [got[name].data for name in outputs]


@pytest.mark.usefixtures('dist')
async def test_the_results_are_the_same() -> None:
    data = big_model(5)
    feeds = {'x': Feed('float32', [3, 200], np.random.default_rng(1).normal(size=600).astype(np.float32))}
    whole, pieces = ModelFiles(), ModelFiles()
    whole.receive(MODEL, 0, memoryview(data))
    for start in reversed(range(0, len(data), 50_001)):
        pieces.receive(MODEL, start, memoryview(data[start:start + 50_001]))
    expected, got = await results(whole, feeds, ['y']), await results(pieces, feeds, ['y'])
    np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.usefixtures('dist')
async def test_external_data_in_pieces() -> None:
    folder = MODELS / 'xlm-roberta-mini' / 'onnx'
    model, weights = (folder / 'model.onnx').read_bytes(), (folder / 'model.onnx_data').read_bytes()
    files = ModelFiles()
    for start in range(0, len(model), 777):
        files.receive(MODEL, start, memoryview(model[start:start + 777]))
    assert await files.external_files() == ['model.onnx_data'] == external_files(memoryview(model))
    for start in range(0, len(weights), 70_000):
        files.receive('model.onnx_data', start, memoryview(weights[start:start + 70_000]))
    loaded = await create_model(memoryview(model), {'model.onnx_data': memoryview(weights)}, 'wasm')
    feeds = {info.name: Feed('int64', [1, 4], np.array([0, 5, 6, 2] if info.name == 'input_ids' else [1] * 4)) for info in loaded.inputs}
    outputs = [info.name for info in loaded.outputs]
    expected = await loaded._executable.run(feeds, outputs)
    for got, name in zip(await results(files, feeds, outputs), outputs, strict=True):
        np.testing.assert_array_equal(got, expected[name].data)


@settings(max_examples=150)
@given(st.integers(0, 400_000), st.integers(0, 255), st.integers(1, 300_000))
def test_damaged_files_are_refused_or_read(position: int, byte: int, cut: int) -> None:
    data = bytearray(big_model(1))
    data[position % len(data)] = byte
    try:
        pieces = in_pieces(bytes(data), [cut])
        read_model(skeleton(pieces), lambda location: pieces)
    except EdgeflowError as error:
        assert error.code in ('invalid-model', 'invalid-graph', 'unsupported-op', 'file-missing')


def test_gaps_are_a_fault_of_ours() -> None:
    with pytest.raises(EdgeflowError) as e:
        Pieces({0: memoryview(b'ab'), 3: memoryview(b'c')})
    assert e.value.code == 'internal'
