"""Small products of the same rows, which a GPU makes in one dispatch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu import device
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor


@pytest.fixture(autouse=True)
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=False, buffers=8))
    monkeypatch.setattr(device._shared, 'gpu', None)


@pytest.mark.parametrize(('rows', 'k', 'widths', 'bias', 'dispatches'), [
    (8, 64, [32, 32, 32], True, 1),
    (1, 48, [64, 64], False, 1),
    # k that is no multiple of four; more matrices than can be bound; results that no view can begin at; another width.
    (4, 50, [64, 64, 64], True, 1),
    (16, 32, [8] * 5, True, 2),
    (3, 32, [12, 12, 12], True, 3),
    (8, 64, [32, 64, 32], False, 2),
])
async def test_products_of_the_same_rows(rows: int, k: int, widths: list[int], bias: bool, dispatches: int) -> None:
    rng = np.random.default_rng(k)
    x = rng.standard_normal((1, rows, k), np.float32)
    nodes, tensors, wanted = [], [], {}
    for i, n in enumerate(widths):
        w = rng.standard_normal((k, n), np.float32)
        tensors.append(numpy_helper.from_array(w, f'w{i}'))
        wanted[f'y{i}'] = x[0] @ w
        if not bias:
            nodes.append(helper.make_node('MatMul', ['x', f'w{i}'], [f'y{i}'], f'product{i}'))
            continue
        b = rng.standard_normal(n, np.float32)
        tensors.append(numpy_helper.from_array(b, f'b{i}'))
        wanted[f'y{i}'] += b
        nodes += [helper.make_node('MatMul', ['x', f'w{i}'], [f'p{i}'], f'product{i}'), helper.make_node('Add', [f'p{i}', f'b{i}'], [f'y{i}'], f'add{i}')]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted]
    graph = helper.make_graph(nodes, 'products', [helper.make_tensor_value_info('x', TensorProto.FLOAT, list(x.shape))], outputs, tensors)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()
    model = await create_model(memoryview(data), {}, 'webgpu')
    results = await model.run({'x': tensor(x.reshape(-1).tolist(), list(x.shape), 'float32')})
    for name, array in wanted.items():
        np.testing.assert_allclose(np.array(results[name].data, np.float32).reshape(array.shape), array, rtol=1e-4, atol=1e-4)
    [plan] = model._executable._plans.values()
    assert len(plan.draft.steps()) == dispatches
    model.dispose()
