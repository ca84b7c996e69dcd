"""What follows a convolution is computed by its kernel on a GPU: additions, activations, bounds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu import device, lower_conv
from edgeflow.backends.webgpu.products import Division
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor

DIVISION = Division(4, 1, 8, 8, 32, 4)


def conv(x: str, w: str, y: str, **attributes: object) -> object:
    return helper.make_node('Conv', [x, w, 'bias'], [y], y, kernel_shape=[3, 3], pads=[1] * 4, **attributes)


def node(op: str, inputs: list[str], output: str, **attributes: object) -> object:
    return helper.make_node(op, inputs, [output], output, **attributes)


BLOCK = [conv('x', 'w1', 'a'), node('Relu', ['a'], 'b'), conv('b', 'w2', 'c'), node('Add', ['c', 'x'], 'd'), node('Relu', ['d'], 'y')]
# Both sides of the addition are convolutions.
BRANCHES = [conv('x', 'w1', 'a'), conv('x', 'w2', 'b'), node('Add', ['a', 'b'], 'c'), node('Relu', ['c'], 'y')]
BOUNDED = [conv('x', 'w1', 'a'), node('Clip', ['a', 'low', 'high'], 'b'), conv('b', 'deep', 'c', group=8), node('Clip', ['c', 'low', 'high'], 'd'),
           node('HardSwish', ['d'], 'y')]
GATED = [conv('x', 'w1', 'a'), node('Sigmoid', ['a'], 'b'), node('Mul', ['a', 'b'], 'y')]
# What cannot be an end: another shape, an infinite bound, a result that is read twice.
OTHERWISE = [conv('x', 'w1', 'a'), node('Mul', ['a', 'factor'], 'b'), conv('b', 'w2', 'c'), node('Clip', ['c', '', 'infinite'], 'd'), conv('d', 'w1', 'e'),
             node('Neg', ['e'], 'f'), node('Sub', ['e', 'f'], 'y')]


@pytest.mark.parametrize('size', [8, 7])
@pytest.mark.parametrize('parts', [1, 3])
@pytest.mark.parametrize(('nodes', 'kernels'), [
    (BLOCK, {'conv_tiles': 2}), (BRANCHES, {'conv_tiles': 2}), (BOUNDED, {'conv_tiles': 1, 'conv_rows': 1}), (GATED, {'conv_tiles': 1}),
    (OTHERWISE, {'conv_tiles': 3, 'chain': 3}),
], ids=['block', 'branches', 'bounded', 'gated', 'otherwise'])
async def test_ends(monkeypatch: pytest.MonkeyPatch, nodes: list, kernels: dict[str, int], parts: int, size: int) -> None:
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=False))
    monkeypatch.setattr(device._shared, 'gpu', None)
    monkeypatch.setattr(lower_conv, 'choose_tiles', lambda *given: (DIVISION, parts))
    rng = np.random.default_rng(size)
    arrays = {'w1': (8, 8, 3, 3), 'w2': (8, 8, 3, 3), 'deep': (8, 1, 3, 3), 'bias': (8,), 'factor': (8, 1, 1)}
    weights = {name: rng.standard_normal(shape, np.float32) for name, shape in arrays.items()}
    weights |= {'low': np.array(-0.5, np.float32), 'high': np.array(6, np.float32), 'infinite': np.array(np.inf, np.float32)}
    x = rng.standard_normal((2, 8, size, size), np.float32)
    read = {name for each in nodes for name in each.input}
    graph = helper.make_graph(nodes, 'g', [helper.make_tensor_value_info('x', TensorProto.FLOAT, ['batch', 8, size, size])],
                              [helper.make_tensor_value_info('y', TensorProto.FLOAT, None)],
                              [numpy_helper.from_array(array, name) for name, array in weights.items() if name in read])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=8).SerializeToString()
    [expected] = onnxruntime.InferenceSession(data, providers=['CPUExecutionProvider']).run(None, {'x': x})
    model = await create_model(memoryview(data), {}, 'webgpu')
    results = await model.run({'x': tensor(x.reshape(-1).tolist(), list(x.shape), 'float32')})
    np.testing.assert_allclose(np.array(results['y'].data, np.float32).reshape(expected.shape), expected, rtol=1e-3, atol=1e-3)
    [plan] = model._executable._plans.values()
    made = Counter(step.kernel for step in plan.draft.steps())
    if parts == 1:
        assert made == kernels
    else:
        # The chain that adds the sums up takes what follows with it.
        assert made['conv_tiles'] == kernels['conv_tiles'] and made['chain'] <= kernels['conv_tiles'] + kernels.get('chain', 0)
    model.dispose()
