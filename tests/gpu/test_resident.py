"""Outputs that stay on the GPU (location='gpu') and feed the next model there."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from edgeflow.backends.webgpu.device import shared_gpu
from edgeflow.errors import EdgeflowError
from edgeflow.host.cpython_gpu import Device
from edgeflow.runtime.memory import memory_stats
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.scope import memory_scope
from edgeflow.runtime.tensor import Tensor, tensor
from tests.gpu.test_models import load

PATH = 'bert-mini-sentence/onnx/model.onnx'
IDS = np.array([[2, 5, 9, 3, 7]])
INPUTS = {'input_ids': tensor(IDS), 'attention_mask': tensor(np.ones_like(IDS)), 'token_type_ids': tensor(np.zeros_like(IDS))}


async def made(nodes: list[object], inputs: dict[str, tuple[int, list[object]]], outputs: dict[str, tuple[int, list[object]]], device: str = 'webgpu') -> Model:
    def infos(given: dict[str, tuple[int, list[object]]]) -> list[object]:
        return [helper.make_tensor_value_info(name, dtype, dims) for name, (dtype, dims) in given.items()]

    graph = helper.make_graph(nodes, 'g', infos(inputs), infos(outputs))
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString()
    return await create_model(memoryview(data), {}, device)


async def doubling(device: str = 'webgpu') -> Model:
    """y = x + x and z = max(x, 0)."""
    nodes = [helper.make_node('Add', ['x', 'x'], ['y']), helper.make_node('Relu', ['x'], ['z'])]
    dims = ['b', 's', 'h']
    return await made(nodes, {'x': (TensorProto.FLOAT, dims)}, {'y': (TensorProto.FLOAT, dims), 'z': (TensorProto.FLOAT, dims)}, device)


async def hidden(model: Model, **options: object) -> Tensor:
    return next(iter((await model.run(INPUTS, **options)).values()))


class Traffic:
    """Bytes that are read from the GPU and written to it."""

    def __init__(self, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: int = 0
        self.written: int = 0
        run, write = device.run, device.write

        async def counted(commands: list, reads: list) -> list[memoryview]:
            self.read += sum(piece.size for piece in reads)
            return await run(commands, reads)

        def counted_write(buffer: object, offset: int, data: memoryview, again: bool = False) -> None:
            self.written += len(data)
            write(buffer, offset, data, again)

        monkeypatch.setattr(device, 'run', counted)
        monkeypatch.setattr(device, 'write', counted_write)


async def device() -> Device:
    gpu = await shared_gpu()
    assert gpu is not None
    return gpu.device


async def test_what_stays_feeds_the_next_model_without_crossing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = await load(PATH), await doubling()
    plain = (await hidden(first)).data
    x = await hidden(first, location='gpu')
    expected = await second.run({'x': x}, outputs=['y'])
    traffic = Traffic(await device(), monkeypatch)
    # What picks rows of an embedding has flags, which are read with the outputs.
    flags = 4 * len(first._executable._plans[next(iter(first._executable._plans))].failing)
    x = await hidden(first, location='gpu')
    assert x.location == 'gpu' and x.dtype == 'float32' and x.shape == [1, 5, plain.size // 5]
    assert traffic.read == flags
    traffic.read = traffic.written = 0
    y = (await second.run({'x': x}, location='gpu', outputs=['y']))['y']
    z = (await second.run({'x': y}, location='gpu', outputs=['y']))['y']
    assert (traffic.read, traffic.written) == (0, 0)
    np.testing.assert_array_equal(await z.read(), 4 * plain)
    np.testing.assert_array_equal(await x.read(), plain)
    assert traffic.read == 2 * plain.nbytes
    np.testing.assert_array_equal(expected['y'].data, 2 * plain)
    assert expected['y'].location == 'host' and (await expected['y'].read()) is expected['y'].data
    first.dispose()
    second.dispose()


async def test_it_outlives_its_model_and_is_counted_until_it_is_disposed() -> None:
    before = memory_stats()
    model = await load(PATH)
    plain = (await hidden(model)).data
    held = model.memory().gpu
    with memory_scope() as scope:
        x = (await scope.run(model, INPUTS, location='gpu'))['last_hidden_state']
        assert memory_stats().gpu.size == before.gpu.size + held + plain.nbytes
        assert memory_stats().host.size == before.host.size
        model.dispose()
        assert memory_stats().gpu.size == before.gpu.size + plain.nbytes
        np.testing.assert_array_equal(await x.read(), plain)
    assert x.disposed and memory_stats().gpu.size == before.gpu.size
    with pytest.raises(EdgeflowError) as e:
        await x.read()
    assert e.value.code == 'disposed'


async def test_its_numbers_are_asked_for() -> None:
    model = await load(PATH)
    x = await hidden(model, location='gpu')
    for look in (lambda: x.data, x.tolist):
        with pytest.raises(EdgeflowError) as e:
            look()
        assert e.value.code == 'invalid-argument' and 'read()' in e.value.message
    with pytest.raises(EdgeflowError) as e:
        await model.run(INPUTS, location='gp')
    assert e.value.code == 'invalid-argument' and "'gpu'" in e.value.message
    x.dispose()
    model.dispose()


async def test_who_is_elsewhere_takes_it_by_way_of_the_host() -> None:
    """A model on WASM, which has no location to leave anything at."""
    first, second = await load(PATH), await doubling('wasm')
    x = await hidden(first, location='gpu')
    assert len(await second.profile({'x': x})) == 2
    y = (await second.run({'x': x}, location='gpu'))['y']
    assert y.location == 'host'
    np.testing.assert_array_equal(y.data, 2 * await x.read())
    for it in (x, first, second):
        it.dispose()


async def test_integers_bools_and_what_runs_on_wasm_within_a_model() -> None:
    """In GPU memory they are 32-bit words. Products of float64 run on WASM: their input is brought there, their output is on the host."""
    nodes = [
        helper.make_node('Greater', ['x', 'zero'], ['above']), helper.make_node('Cast', ['x'], ['whole'], to=TensorProto.INT64),
        helper.make_node('Constant', [], ['zero'], value=helper.make_tensor('zero', TensorProto.FLOAT, [], [0.0])),
        helper.make_node('Cast', ['x'], ['d'], to=TensorProto.DOUBLE), helper.make_node('Mul', ['d', 'd'], ['square']),
    ]
    first = await made([nodes[2], *nodes[:2], *nodes[3:]], {'x': (TensorProto.FLOAT, ['n'])},
                       {'above': (TensorProto.BOOL, ['n']), 'whole': (TensorProto.INT64, ['n']), 'square': (TensorProto.DOUBLE, ['n'])})
    second = await made([helper.make_node('Not', ['a'], ['not']), helper.make_node('Neg', ['w'], ['minus'])],
                        {'a': (TensorProto.BOOL, ['n']), 'w': (TensorProto.INT64, ['n'])}, {'not': (TensorProto.BOOL, ['n']), 'minus': (TensorProto.INT64, ['n'])})
    x = np.float32([-3, 2.5, 0, 70000, -2**30])
    made_of_x = await first.run({'x': tensor(x)}, location='gpu')
    assert {name: it.location for name, it in made_of_x.items()} == {'above': 'gpu', 'whole': 'gpu', 'square': 'host'}
    np.testing.assert_array_equal(made_of_x['square'].data, x.astype(np.float64) ** 2)
    assert (await made_of_x['above'].read()).tolist() == [False, True, False, True, False]
    results = await second.run({'a': made_of_x['above'], 'w': made_of_x['whole']})
    assert results['not'].data.tolist() == [True, False, True, False, True]
    assert results['minus'].data.tolist() == [3, -2, 0, -70000, 2**30]
    on_wasm = await made([helper.make_node('Cast', ['x'], ['d'], to=TensorProto.DOUBLE), helper.make_node('Mul', ['d', 'd'], ['y'])],
                         {'x': (TensorProto.INT64, ['n'])}, {'y': (TensorProto.DOUBLE, ['n'])})
    assert (await on_wasm.run({'x': made_of_x['whole']}))['y'].data.tolist() == [9, 4, 0, 4.9e9, 2.0**60]
    empty = await first.run({'x': tensor(np.float32([]))}, location='gpu')
    assert (await empty['above'].read()).size == 0
    for model in (first, second, on_wasm):
        model.dispose()


async def test_giving_it_up_with_a_run() -> None:
    model = await doubling()
    size = memory_stats().gpu.size
    x = (await model.run({'x': tensor(np.ones([1, 2, 3], np.float32))}, location='gpu', outputs=['y']))['y']
    y = (await model.run({'x': x}, transfer=True))['y']
    assert x.disposed and y.data.tolist() == [4.0] * 6
    with pytest.raises(EdgeflowError) as e:
        await model.run({'x': x})
    assert e.value.code == 'disposed'
    model.dispose()
    assert memory_stats().gpu.size <= size


async def test_a_run_that_fails_keeps_nothing() -> None:
    model = await load(PATH)
    await hidden(model)
    size = memory_stats().gpu.size
    bad = {**INPUTS, 'input_ids': tensor(np.full_like(IDS, 10**6))}
    with pytest.raises(EdgeflowError) as e:
        await model.run(bad, location='gpu')
    assert e.value.code == 'run-failed' and memory_stats().gpu.size == size
    lost = await hidden(model, location='gpu')
    (await device()).destroy()
    with pytest.raises(EdgeflowError) as e:
        await lost.read()
    assert e.value.code == 'device-lost'
    lost.dispose()
    model.dispose()
