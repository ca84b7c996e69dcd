"""ONNX's own node tests of the operators that the generic kernels carry, through the whole engine.

Inputs that give a shape (axes, repeats, k ...) are made initializers first, because planning needs them: PLANNED, and all
integer inputs of tests that spell an operator out in several nodes.
"""

from __future__ import annotations

import asyncio
import functools

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests

from edgeflow.backends.wasm.lower_convert import CONVERT_LOWERINGS
from edgeflow.backends.wasm.lower_elementwise import ELEMENTWISE_LOWERINGS
from edgeflow.backends.wasm.lower_indexing import INDEXING_LOWERINGS
from edgeflow.backends.wasm.lower_movement import MOVEMENT_LOWERINGS
from edgeflow.backends.wasm.lower_reduce import REDUCE_LOWERINGS
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor
from toolchain.wasm import build_wasm

OPS = {'Constant', 'Shape', 'Size'}.union(
    CONVERT_LOWERINGS, ELEMENTWISE_LOWERINGS, INDEXING_LOWERINGS, MOVEMENT_LOWERINGS, REDUCE_LOWERINGS)
PLANNED: dict[str, list[int]] = {
    'Compress': [1], 'ConstantOfShape': [0], 'CumProd': [1], 'CumSum': [1], 'Dropout': [2], 'Expand': [1], 'OneHot': [1], 'Pad': [1, 3],
    'Range': [0, 1, 2], 'Reshape': [1], 'Slice': [1, 2, 3, 4], 'Split': [1], 'Squeeze': [1], 'Tile': [1], 'TopK': [1], 'Unsqueeze': [1],
    **{name: [1] for name in REDUCE_LOWERINGS if name.startswith('Reduce')},
}
TYPES = {onnx.TensorProto.DataType.Value(name) for name in (
    'FLOAT', 'DOUBLE', 'FLOAT16', 'BFLOAT16', 'INT8', 'INT16', 'INT32', 'INT64', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'BOOL')}
# float16 is computed in float32 and rounded once, at the border.
HALF = {'float16': 1e-3, 'bfloat16': 1e-2}
def kinds(case: TestCase) -> set[int]:
    """The element types of all inputs and outputs; -1 for what is no tensor."""
    graph = case.model.graph
    return {info.type.tensor_type.elem_type if info.type.HasField('tensor_type') else -1 for info in [*graph.input, *graph.output]}


@functools.cache
def cases() -> dict[str, TestCase]:
    found: dict[str, TestCase] = {}
    for case in load_model_tests(kind='node'):
        if case.model is None or not case.data_sets:
            continue
        ops = {(node.domain, node.op_type) for node in case.model.graph.node}
        if all(domain == '' and op in OPS for domain, op in ops) and kinds(case) <= TYPES:
            found[case.name] = case
    return found


def frozen(case: TestCase, inputs: list[np.ndarray]) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """The model with the inputs that planning needs as initializers, and the inputs that are left."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    feeds = {info.name: plain(array) for info, array in zip(model.graph.input, inputs, strict=False)}
    expanded = len(model.graph.node) > 1
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            planned = index in PLANNED.get(node.op_type, []) or (expanded and name in feeds and feeds[name].dtype.kind == 'i')
            if planned and name in feeds:
                model.graph.initializer.append(numpy_helper.from_array(feeds.pop(name), name))
    left = [info for info in model.graph.input if info.name in feeds]
    del model.graph.input[:]
    model.graph.input.extend(left)
    return model, feeds


async def run(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    loaded = await create_model(memoryview(model.SerializeToString()), {}, 'wasm')
    try:
        results = await loaded.run({name: given(array) for name, array in feeds.items()})
        return [np.array(results[info.name].tolist()).reshape(results[info.name].shape) for info in model.graph.output]
    finally:
        loaded.dispose()


def plain(array: np.ndarray | onnx.TensorProto) -> np.ndarray:
    return numpy_helper.to_array(array) if isinstance(array, onnx.TensorProto) else array


def given(array: np.ndarray) -> object:
    array = np.ascontiguousarray(array).reshape(np.shape(array))
    if array.dtype.name == 'bfloat16':
        return tensor(array.view(np.uint16), list(array.shape), dtype='bfloat16')
    return tensor(array, list(array.shape))


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


@pytest.mark.parametrize('name', sorted(cases()))
def test_node(name: str) -> None:
    case = cases()[name]
    for inputs, outputs in case.data_sets:
        model, feeds = frozen(case, inputs)
        got = asyncio.run(run(model, feeds))
        for result, expected in zip(got, outputs, strict=True):
            expected = np.asarray(plain(expected))
            assert result.shape == expected.shape
            half = HALF.get(expected.dtype.name, 0)
            np.testing.assert_allclose(result.astype(np.float64), expected.astype(np.float64), rtol=max(case.rtol, half), atol=max(case.atol, half))
