"""Layer norms of a few rows, which the products that read them compute on a GPU."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu import device
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor


@pytest.mark.parametrize(('rows', 'width', 'wide', 'buffers', 'products', 'norms'), [
    (8, 64, 128, 10, 2, 0),
    (33, 96, 96, 10, 3, 0),
    (1, 72, 64, 10, 2, 0),
    # So few can be bound that there is no room for the norm's factors.
    (8, 64, 128, 5, 2, 1),
    # Rows that are no multiple of four; so many that each workgroup would do too much again.
    (5, 66, 66, 10, 3, 1),
    (600, 64, 64, 10, 2, 1),
])
async def test_norms_within_products(monkeypatch: pytest.MonkeyPatch, rows: int, width: int, wide: int, buffers: int, products: int, norms: int) -> None:
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=False, buffers=buffers))
    monkeypatch.setattr(device._shared, 'gpu', None)
    rng = np.random.default_rng(rows)
    # A mean that the sum of squares alone would lose.
    x = rng.standard_normal((1, rows, width), np.float32) + 300
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in {
        'gamma': (width,), 'beta': (width,), 'up': (width, wide), 'other': (width, wide), 'down': (wide, width), 'bias': (width,)}.items()}
    nodes = [
        helper.make_node('LayerNormalization', ['x', 'gamma', 'beta'], ['n'], 'norm', axis=-1, epsilon=1e-3),
        helper.make_node('MatMul', ['n', 'up'], ['h'], 'up'), helper.make_node('MatMul', ['n', 'other'], ['o'], 'other'), helper.make_node('MatMul', ['h', 'down'], ['d'], 'down'),
        helper.make_node('Add', ['d', 'bias'], ['e'], 'bias'), helper.make_node('Add', ['e', 'n'], ['y'], 'residual'),
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ['y', 'o']]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, 'block', [helper.make_tensor_value_info('x', TensorProto.FLOAT, list(x.shape))], outputs, tensors)
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()
    model = await create_model(memoryview(data), {}, 'webgpu')
    results = await model.run({'x': tensor(x.reshape(-1).tolist(), list(x.shape), 'float32')})
    exact = x[0].astype(np.float64)
    normed = (exact - exact.mean(1, keepdims=True)) / np.sqrt(exact.var(1, keepdims=True) + 1e-3) * weights['gamma'] + weights['beta']
    wanted = {'y': normed @ weights['up'] @ weights['down'] + weights['bias'] + normed, 'o': normed @ weights['other']}
    for name, array in wanted.items():
        np.testing.assert_allclose(np.array(results[name].data, np.float32).reshape(array.shape), array, rtol=2e-3, atol=2e-3 * np.abs(array).max())
    [plan] = model._executable._plans.values()
    assert sorted(step.kernel for step in plan.draft.steps()) == [['matmul_normed', 'matmul_slices'][norms]] * products + ['norm'] * norms
    model.dispose()
