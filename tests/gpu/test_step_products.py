"""Products of one row in steps of sessions: several of a row, its norm and what makes it, and an addition behind, against numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu import device
from edgeflow.backends.webgpu.sessions import session_kernels
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import tensor

EPSILON = 1e-5


@pytest.fixture(autouse=True, params=[True, False], ids=['software', 'many-threads'])
def threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels divided as on a software adapter and as on others."""
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), software=request.param))
    monkeypatch.setattr(device._shared, 'gpu', None)


class Graph:
    """Collects nodes and weights."""

    def __init__(self, k: int, bits: int, zeros: bool, bias: bool) -> None:
        self.rng = np.random.default_rng(k + bits)
        self.k, self.bits, self.zeros, self.bias = k, bits, zeros, bias
        self.nodes: list[object] = []
        self.tensors: list[object] = []

    def weight(self, name: str, array: np.ndarray) -> str:
        self.tensors.append(numpy_helper.from_array(array, name))
        return name

    def product(self, source: str, name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
        """A MatMulNBits; the matrix that its codes stand for, and its bias."""
        block, bits, k = 32, self.bits, self.k
        blocks = -(-k // block)
        codes = self.rng.integers(0, 1 << bits, (n, blocks, block), np.uint8)
        scales = self.rng.uniform(0.01, 0.1, (n, blocks)).astype(np.float32)
        packed = codes if bits == 8 else codes[..., 0::2] | codes[..., 1::2] << 4
        inputs = [source, self.weight(name + '.b', packed), self.weight(name + '.s', scales)]
        middle = np.full((n, blocks), 1 << bits - 1, np.uint8)
        if self.zeros:
            middle = self.rng.integers(0, 1 << bits, (n, blocks), np.uint8)
            wide = np.pad(middle, [(0, 0), (0, blocks % 2)])
            inputs.append(self.weight(name + '.z', (middle if bits == 8 else wide[:, 0::2] | wide[:, 1::2] << 4).reshape(-1)))
        bias = np.zeros(n, np.float32)
        if self.bias:
            bias = self.rng.standard_normal(n, np.float32)
            inputs = [*inputs, *[''] * (5 - len(inputs)), self.weight(name + '.bias', bias)]
        self.nodes.append(helper.make_node('MatMulNBits', inputs, [name], name, domain='com.microsoft', K=k, N=n, bits=bits, block_size=block))
        matrix = (codes.astype(np.float32) - middle[..., None]) * scales[..., None]
        return matrix.reshape(n, -1)[:, :k].T, bias

    def node(self, op: str, inputs: list[str], output: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], output, **attributes))

    async def run(self, feeds: dict[str, np.ndarray], outputs: list[str]) -> tuple[Model, dict[str, np.ndarray]]:
        """What the model gives, its products made as in a step."""
        def info(name: str, shape: list[int] | None) -> object:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(self.nodes, 'step', [info(name, list(x.shape)) for name, x in feeds.items()], [info(name, None) for name in outputs],
                                  self.tensors)
        opsets = [helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)]
        data = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
        model = await create_model(memoryview(data), {}, 'webgpu')
        model._executable._machine.sessions = session_kernels()
        results = await model.run({name: tensor(x.reshape(-1).tolist(), list(x.shape), 'float32') for name, x in feeds.items()})
        return model, {name: np.array(result.data, np.float32) for name, result in results.items()}


def kernels(model: Model) -> list[str]:
    [plan] = model._executable._plans.values()
    return [step.kernel for step in plan.draft.steps()]


def normed(x: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.mean(x.astype(np.float64) ** 2) + EPSILON) * gamma


def assert_near(got: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(got, wanted.reshape(-1), rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize(('k', 'bits', 'zeros', 'bias'), [
    (64, 4, False, False), (48, 4, True, False), (1152, 4, False, True), (80, 8, True, True), (256, 8, False, False),
])
async def test_products_of_a_normed_row(k: int, bits: int, zeros: bool, bias: bool) -> None:
    g = Graph(k, bits, zeros, bias)
    x = g.rng.standard_normal((1, 1, k), np.float32) * 3
    gamma = g.rng.uniform(0.5, 2, k).astype(np.float32)
    g.node('SimplifiedLayerNormalization', ['x', g.weight('gamma', gamma)], 'h', axis=-1, epsilon=EPSILON)
    names = ['q', 'k', 'v']
    wanted = {}
    for name, n in zip(names, [36, 12, 20], strict=True):
        matrix, added = g.product('h', name, n)
        wanted[name] = normed(x[0, 0], gamma) @ matrix + added
    model, got = await g.run({'x': x}, names)
    for name in names:
        assert_near(got[name], wanted[name])
    # As many in one dispatch as can be bound beside the row, gamma and the results; the norm has none.
    together = (model._executable._machine.gpu.features.buffers - 3) // (2 + zeros + bias)
    assert kernels(model) == ['step_product'] * -(-len(names) // together)
    model.dispose()
    assert model.memory().total == 0


@pytest.mark.parametrize(('bits', 'swapped'), [(4, False), (4, True), (8, False)])
async def test_a_row_that_a_chain_makes_and_an_addition(bits: int, swapped: bool) -> None:
    g = Graph(96, bits, False, False)
    feeds = {name: g.rng.standard_normal((1, 1, 96), np.float32) for name in ['gate', 'up']}
    feeds['x'] = g.rng.standard_normal((1, 1, 40), np.float32)
    g.node('Sigmoid', ['gate'], 'sigmoid')
    g.node('Mul', ['gate', 'sigmoid'], 'silu')
    g.node('Mul', ['silu', 'up'], 'h')
    matrix, _ = g.product('h', 'down', 40)
    g.node('Add', ['x', 'down'] if swapped else ['down', 'x'], 'y')
    model, got = await g.run(feeds, ['y'])
    gate = feeds['gate'][0, 0]
    assert_near(got['y'], (gate / (1 + np.exp(-gate)) * feeds['up'][0, 0]) @ matrix + feeds['x'][0, 0])
    software = model._executable._machine.gpu.features.software
    assert kernels(model) == (['chain'] if software else []) + ['step_product']
    model.dispose()


@pytest.mark.parametrize('read', [True, False])
async def test_a_skip_norm_is_an_addition_and_a_factor(read: bool) -> None:
    g = Graph(64, 4, False, False)
    feeds = {name: g.rng.standard_normal((1, 1, 64), np.float32) for name in ['x', 'context']}
    gamma = g.rng.uniform(0.5, 2, 64).astype(np.float32)
    first, _ = g.product('context', 'p', 64)
    made = ['h', '', '', 'sum'] if read else ['h']
    g.nodes.append(helper.make_node('SkipSimplifiedLayerNormalization', ['x', 'p', g.weight('gamma', gamma)], made, 'norm', domain='com.microsoft', epsilon=EPSILON))
    second, _ = g.product('h', 'y', 36)
    model, got = await g.run(feeds, ['y', 'sum'] if read else ['y'])
    total = feeds['context'][0, 0] @ first + feeds['x'][0, 0]
    assert_near(got['y'], normed(total, gamma) @ second)
    if read:
        assert_near(got['sum'], total)
    assert kernels(model) == ['step_product', 'step_product']
    model.dispose()


async def test_a_result_that_others_read_too_is_written() -> None:
    g = Graph(64, 4, False, False)
    x = g.rng.standard_normal((1, 1, 64), np.float32)
    gamma = g.rng.uniform(0.5, 2, 64).astype(np.float32)
    g.node('SimplifiedLayerNormalization', ['x', g.weight('gamma', gamma)], 'h', axis=-1, epsilon=EPSILON)
    matrix, _ = g.product('h', 'p', 64)
    g.node('Add', ['p', 'x'], 'sum')
    g.node('Mul', ['p', 'h'], 'y')
    _, got = await g.run({'x': x}, ['sum', 'y', 'h'])
    h = normed(x[0, 0], gamma)
    assert_near(got['h'], h)
    assert_near(got['sum'], h @ matrix + x[0, 0])
    assert_near(got['y'], h @ matrix * h)


async def test_weights_larger_than_a_binding_stay_on_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    found = device.features_of
    monkeypatch.setattr(device, 'features_of', lambda opened: replace(found(opened), binding=65536))
    g = Graph(128, 4, False, False)
    x = g.rng.standard_normal((1, 1, 128), np.float32)
    wanted = {}
    for name, n in [('q', 36), ('large', 1500), ('v', 20)]:
        matrix, _ = g.product('x', name, n)
        wanted[name] = x[0, 0] @ matrix
    model, got = await g.run({'x': x}, list(wanted))
    for name in wanted:
        assert_near(got[name], wanted[name])
    assert model.placement().fallback == {}
    model.dispose()
