"""Operators that are made of others (backends/wasm/more/compose.py) run on one side."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor


async def run_graph(nodes: list[onnx.NodeProto], output: str, x: np.ndarray) -> tuple[np.ndarray, dict[str, int], dict[str, int]]:
    """The output of a graph of one input 'x', and what its placement says of nodes and fallback."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ['x', output]]
    infos[0] = helper.make_tensor_value_info('x', TensorProto.FLOAT, list(x.shape))
    proto = helper.make_model(helper.make_graph(nodes, 'g', infos[:1], infos[1:]), opset_imports=[helper.make_opsetid('', 17)])
    model = await create_model(memoryview(proto.SerializeToString()), {}, 'webgpu')
    try:
        result = (await model.run({'x': tensor(x)}))[output]
        placement = model.placement()
        return result.data.reshape(result.shape), placement.nodes, placement.fallback
    finally:
        model.dispose()


NODES = [
    helper.make_node('MeanVarianceNormalization', ['x'], ['normed'], name='normed'),
    helper.make_node('Abs', ['normed'], ['y'], name='y'),
]


def normed(x: np.ndarray) -> np.ndarray:
    return np.abs((x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True))


async def test_an_operator_made_of_others_is_on_the_gpu_with_all_of_them() -> None:
    x = np.random.default_rng(1).normal(size=(2, 3, 4, 5)).astype(np.float32)
    y, nodes, fallback = await run_graph(NODES, 'y', x)
    np.testing.assert_allclose(y, normed(x), rtol=1e-5, atol=1e-6)
    assert nodes == {'MeanVarianceNormalization': 1, 'Abs': 1}
    assert fallback == {}


@pytest.mark.parametrize('missing', ['ReduceMean', 'Sub', 'Mul', 'Div'])
async def test_an_operator_made_of_others_is_on_wasm_as_a_whole_where_the_gpu_lacks_one(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(GPU_LOWERINGS, missing)
    x = np.random.default_rng(2).normal(size=(2, 3, 4, 5)).astype(np.float32)
    y, nodes, fallback = await run_graph(NODES, 'y', x)
    np.testing.assert_allclose(y, normed(x), rtol=1e-5, atol=1e-6)
    assert nodes == {'Abs': 1}
    assert fallback == {'MeanVarianceNormalization': 1}
