"""Which devices may run a model, which comes first, and going on on the next one."""

from __future__ import annotations

import pytest

from edgeflow.backends.choose import candidates, choose_device
from edgeflow.backends.contract import Feed
from edgeflow.env import Fallback, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of
from edgeflow.host.port import AbortSignal, Machine
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.host.platform import new_bytes
from edgeflow.runtime.chain import Chain, difference, is_fault
from edgeflow.runtime.cost import by_cost, cost, count_work
from edgeflow.runtime.opening import Opened


@pytest.mark.parametrize('given, expected', [
    ('auto', 'auto'), ('fastest', 'fastest'), ('wasm', 'wasm'), ('gpu', 'webgpu'), ('cpu', 'wasm'), ('webnn-npu', 'webnn-npu'),
    (['webgpu', 'cpu'], 'webgpu,wasm'), (['wasm'], 'wasm'),
])
def test_names_of_devices(given: object, expected: str) -> None:
    assert choose_device(given) == expected


@pytest.mark.parametrize('given', ['cuda', '', [], ['auto', 'wasm'], ['webgpu', 'wasn'], 7])
def test_other_names_are_refused(given: object) -> None:
    with pytest.raises(EdgeflowError) as caught:
        choose_device(given)
    assert caught.value.code == 'invalid-argument'


async def test_named_devices_are_all_that_is_tried() -> None:
    assert await candidates('webgpu') == ['webgpu']
    assert await candidates('webgpu,wasm') == ['webgpu', 'wasm']
    assert (await candidates('auto'))[-1] == 'wasm'


async def test_env_excludes_devices() -> None:
    try:
        env.devices = []
        with pytest.raises(EdgeflowError) as caught:
            await candidates('auto')
        assert caught.value.code == 'platform'
        env.devices = ['wasm']
        assert await candidates('fastest') == ['wasm']
        # Who names one means it.
        assert await candidates('webgpu') == ['webgpu']
    finally:
        env.devices = None


async def never_opened(signal: AbortSignal | None, device: str) -> Opened:
    raise EdgeflowError('internal', 'expected nothing to be opened', {})


class Listening:
    """What env.on_fallback hears, for `with`."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __enter__(self) -> Listening:
        env.on_fallback = self.hear
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        env.on_fallback = None

    def hear(self, fallback: Fallback) -> None:
        error = fallback.error
        self.heard.append(f'{fallback.model}: {fallback.device} > {fallback.next}, {error.code if isinstance(error, EdgeflowError) else "?"}')


def failing(chain: Chain, code: str, tried: list[str], good: str):
    """Work that only one device can do."""

    async def work() -> str:
        tried.append(chain.device)
        if chain.device != good:
            raise EdgeflowError(code, 'made to fail', {})
        return 'done'

    return work


@pytest.mark.parametrize('code', ['device-lost', 'internal', 'out-of-memory', 'platform', 'wrong-results', 'file-missing', 'worker-lost'])
async def test_a_fault_of_the_device_hands_over(code: str) -> None:
    chain = Chain('m', ['webgpu', 'webnn', 'wasm'], never_opened)
    tried: list[str] = []
    with Listening() as listening:
        assert await chain.attempt(failing(chain, code, tried, 'wasm')) == 'done'
    assert tried == ['webgpu', 'webnn', 'wasm']
    assert listening.heard == [f'm: webgpu > webnn, {code}', f'm: webnn > wasm, {code}']


@pytest.mark.parametrize('code', ['run-failed', 'invalid-input', 'aborted', 'disposed', 'unsupported-op', 'timeout'])
async def test_what_another_device_would_not_mend_is_raised(code: str) -> None:
    chain = Chain('m', ['webgpu', 'wasm'], never_opened)
    tried: list[str] = []
    with Listening() as listening, pytest.raises(EdgeflowError) as caught:
        await chain.attempt(failing(chain, code, tried, 'wasm'))
    assert caught.value.code == code
    assert tried == ['webgpu'] and listening.heard == [] and chain.device == 'webgpu'


async def test_the_last_device_s_error_is_raised() -> None:
    chain = Chain('m', ['webgpu', 'wasm'], never_opened)
    tried: list[str] = []
    with Listening(), pytest.raises(EdgeflowError) as caught:
        await chain.attempt(failing(chain, 'internal', tried, 'none'))
    assert caught.value.code == 'internal'
    assert tried == ['webgpu', 'wasm']


async def test_who_meets_a_failure_second_follows() -> None:
    """Two pieces of work on one device that fails are one event, and both are done on the next."""
    chain = Chain('m', ['webgpu', 'webnn', 'wasm'], never_opened)
    done: list[str] = []

    async def first() -> str:
        if chain.device == 'webgpu':
            # While it ran, another one has met the failure.
            await chain.attempt(failing(chain, 'device-lost', done, 'webnn'))
            raise EdgeflowError('device-lost', 'made to fail', {})
        return chain.device

    with Listening() as listening:
        assert await chain.attempt(first) == 'webnn'
    assert len(listening.heard) == 1


async def test_a_loss_between_two_runs() -> None:
    chain = Chain('m', ['webgpu', 'wasm'], never_opened)
    with Listening() as listening:
        chain.lose()
        assert chain.device == 'wasm'
        chain.lose()
    assert chain.device == 'wasm' and len(listening.heard) == 1


def test_an_int64_that_a_gpu_has_no_room_for_is_its_fault() -> None:
    assert is_fault(EdgeflowError('run-failed', '', {'name': 'x', 'bits': 32}))
    assert not is_fault(EdgeflowError('run-failed', '', {'name': 'x'}))


def feed(values: list[float], dtype: str = 'float32') -> Feed:
    return Feed(dtype, [len(values)], array_of(dtype, values))


def test_results_may_differ_as_arithmetic_does() -> None:
    values = [1.0, -2.0, 4.0] + [0.5] * 97
    near = [x + 0.001 for x in values]
    assert difference(feed(near), feed(values)) is None
    assert difference(feed([-1.0] + values[1:]), feed(values)) is not None
    # Each within reach, but all of them.
    assert difference(feed([x + 0.1 for x in values]), feed(values)) is not None
    assert difference(feed([math_nan()] + values[1:]), feed(values)) is not None
    assert difference(feed([math_nan()] + values[1:]), feed([math_nan()] + values[1:])) is None
    assert difference(feed(values[1:]), feed(values)) is not None
    assert difference(feed([1, 2], 'int64'), feed([1, 3], 'int64')) is None


def math_nan() -> float:
    return float('nan')


def table(shape: list[int], dtype: str = 'float32') -> TensorData:
    size = 4
    for dim in shape:
        size = size * dim
    return TensorData(dtype, shape, new_bytes(size))


def test_products_count_for_each_token() -> None:
    nodes = [Node('Gather', '', 'g', ['table', 'ids'], ['x']), Node('MatMul', '', 'm', ['x', 'w'], ['y'])]
    inputs = [ValueInfo('ids', 'int64', ['batch', 'tokens'])]
    graph = Graph('g', inputs, [ValueInfo('y', 'float32', None)], nodes, {'table': table([100, 8]), 'w': table([8, 16])})
    assert count_work(graph) == [2.0 * 8 * 16 * 64, 4.0 * (800 + 128), 2.0]
    decoder = Graph('g', [*inputs, ValueInfo('past_key_values.0.key', 'float32', ['batch', 2, 'past', 4])], graph.outputs, nodes, graph.initializers)
    assert count_work(decoder)[0] == 2.0 * 8 * 16


def test_convolutions_count_for_each_pixel_that_they_make() -> None:
    nodes = [
        Node('Conv', '', 'c', ['image', 'k'], ['x'], {'strides': [2, 2]}), Node('GlobalAveragePool', '', 'p', ['x'], ['y']),
        Node('Gemm', '', 'd', ['y', 'w'], ['z']),
    ]
    inputs = [ValueInfo('image', 'float32', ['batch', 3, 'height', 32])]
    graph = Graph('g', inputs, [ValueInfo('z', 'float32', None)], nodes, {'k': table([8, 3, 3, 3]), 'w': table([8, 10])})
    assert count_work(graph)[0] == 2.0 * 8 * 27 * (224 * 32 / 4) + 2.0 * 80


HERE = Machine('a GPU', False, [], {}, [], 4, 'a browser')


def test_small_models_stay_on_wasm() -> None:
    small = [2e6, 400e3, 100.0]
    minilm = [1.4e9, 90e6, 400.0]
    assert by_cost(['webgpu', 'wasm'], small, HERE) == ['wasm', 'webgpu']
    assert by_cost(['webgpu', 'wasm'], minilm, HERE) == ['webgpu', 'wasm']
    # A token of SmolLM2-135M: many nodes, most of which are fused.
    assert by_cost(['webgpu', 'wasm'], [212e6, 180e6, 7360.0], HERE) == ['webgpu', 'wasm']
    assert cost('wasm', minilm, HERE) < cost('wasm', minilm, Machine('', False, [], {}, [], 1, ''))
