"""Plans divided between GPU and WASM: where values lie, and that they cross once."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import tensor

X = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)


@pytest.fixture(autouse=True)
def relu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only Relu runs on the GPU, whatever else could."""
    for key in list(GPU_LOWERINGS):
        if key != 'Relu':
            monkeypatch.delitem(GPU_LOWERINGS, key)


async def load(nodes: list[onnx.NodeProto], outputs: list[str], weights: dict[str, np.ndarray], shape: list[int | str] | None = None) -> Model:
    x = helper.make_tensor_value_info('x', TensorProto.FLOAT, shape or [2, 3])
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, 'g', [x], infos, [numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)])
    return await create_model(memoryview(model.SerializeToString()), {}, 'webgpu')


async def run(model: Model, x: np.ndarray) -> dict[str, np.ndarray]:
    return {name: result.data.reshape(result.shape) for name, result in (await model.run({'x': tensor(x)})).items()}


def node(op: str, inputs: list[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=output, **attributes)


async def test_values_cross_where_they_must() -> None:
    weight = np.array([10, -10, 0], np.float32)
    model = await load([
        node('Sub', ['x', 'w'], 'a'),
        node('Relu', ['a'], 'b'),
        node('Reshape', ['b', 'flat'], 'c'),
        node('Relu', ['c'], 'd'),
        node('Mul', ['d', 'd'], 'e'),
        node('Relu', ['x'], 'f'),
        node('Sub', ['f', 'x'], 'g'),
    ], ['b', 'e', 'g', 'd'], {'w': weight, 'flat': np.array([-1], np.int64)})
    for x in [X, X * 3]:
        got = await run(model, x)
        relu = np.maximum(x - weight, 0)
        np.testing.assert_array_equal(got['b'], relu)
        np.testing.assert_array_equal(got['d'], relu.reshape(-1))
        np.testing.assert_array_equal(got['e'], (relu * relu).reshape(-1))
        np.testing.assert_array_equal(got['g'], np.maximum(x, 0) - x)
    plan = await model.describe_plan({'x': [2, 3]})
    assert plan.count('upload') == 1 and plan.count('download') == 2


async def test_a_view_that_begins_within_a_value() -> None:
    x = np.linspace(-9, 9, 70, dtype=np.float32).reshape(10, 7)
    model = await load([
        node('Relu', ['x'], 'a'),
        node('Slice', ['a', 'start', 'end'], 'b'),
        node('Relu', ['b'], 'c'),
    ], ['c', 'b'], {'start': np.array([6], np.int64), 'end': np.array([9], np.int64)}, ['n', 7])
    got = await run(model, x)
    np.testing.assert_array_equal(got['c'], np.maximum(x, 0)[6:9])
    np.testing.assert_array_equal(got['b'], np.maximum(x, 0)[6:9])


async def test_other_shapes_and_back_again() -> None:
    model = await load([node('Relu', ['x'], 'a'), node('Neg', ['a'], 'b'), node('Relu', ['b'], 'c')], ['c', 'a'], {}, ['n', 7])
    for n in [3, 90, 1, 90, 3, 0]:
        x = np.linspace(-9, 9, n * 7, dtype=np.float32).reshape(n, 7)
        got = await run(model, x)
        np.testing.assert_array_equal(got['a'], np.maximum(x, 0))
        np.testing.assert_array_equal(got['c'], np.maximum(-np.maximum(x, 0), 0))
    memory = model.memory()
    assert memory.arena > 0
    model.dispose()
    assert model.memory().total == 0


@pytest.mark.parametrize('dtype', [np.float32, np.float16])
async def test_a_large_weight_is_on_the_gpu_and_comes_back_for_wasm(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(GPU_LOWERINGS, 'Mul', lambda b, node, inputs, outputs: False)
    weight = np.linspace(-1, 1, 4096).astype(dtype)
    model = await load([
        helper.make_node('Cast', ['w'], ['v'], to=TensorProto.FLOAT), node('Mul', ['v', 'x'], 'b'), node('Relu', ['b'], 'c'),
    ], ['c'], {'w': weight}, [4096])
    before = model.memory().weights
    assert before >= weight.nbytes
    for x in [np.ones(4096, np.float32), np.full(4096, 2, np.float32)]:
        np.testing.assert_array_equal((await run(model, x))['c'], np.maximum(weight.astype(np.float32) * x, 0))


async def test_a_closed_model_says_so() -> None:
    model = await load([node('Relu', ['x'], 'a')], ['a'], {})
    model.dispose()
    with pytest.raises(EdgeflowError) as e:
        await run(model, X)
    assert e.value.code == 'disposed'
