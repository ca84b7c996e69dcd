"""The device that models share: lost and opened again, out of memory, integers beyond 32 bits, several models."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import numpy as np
import pytest
import wgpu
from onnx import TensorProto, helper

from edgeflow.api import load_model
from edgeflow.backends.webgpu.device import shared_gpu
from edgeflow.errors import EdgeflowError
from edgeflow.host.cpython_gpu import Device
from edgeflow.runtime.memory import memory_stats
from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import Tensor, tensor
from tests.engine.cases import MODELS, Case, assert_close, text_encoder_cases
from tests.gpu.test_models import load

CASE = next(case for case in text_encoder_cases() if case.model == 'bert-mini-sentence/onnx/model.onnx')


async def check(model: Model, case: Case = CASE) -> None:
    results = await model.run(case.inputs())
    for name, array in case.arrays('out:').items():
        assert_close(case.variant, results[name].data.reshape(array.shape), array)


async def device() -> Device:
    gpu = await shared_gpu()
    assert gpu is not None
    return gpu.device


async def test_a_model_whose_device_was_lost_is_loaded_again() -> None:
    model = await load_model(str(MODELS / CASE.model), device='webgpu')
    await check(model)
    before = await device()
    before.destroy()
    assert memory_stats().models[-1].total == 0
    await check(model)
    assert await device() is not before
    model.dispose()


async def test_what_ran_when_the_device_was_lost_fails() -> None:
    model = await load_model(str(MODELS / CASE.model), device='webgpu')
    other = await load_model(str(MODELS / CASE.model), device='webgpu')
    await check(model)
    await check(other)
    losing = await device()
    run = losing.run

    async def lose(*arguments: object) -> object:
        losing.destroy()
        return await run(*arguments)

    losing.run = lose
    with pytest.raises(EdgeflowError) as e:
        await check(model)
    assert e.value.code == 'device-lost'
    await check(model)
    await check(other)
    model.dispose()
    other.dispose()


async def test_a_model_that_cannot_be_loaded_again_says_so() -> None:
    model = await load(CASE.model)
    await check(model)
    (await device()).destroy()
    with pytest.raises(EdgeflowError) as e:
        await check(model)
    assert e.value.code == 'device-lost'
    model.dispose()


class Buffers:
    """The buffers of a device that live. refuse: from which one on there is no memory."""

    def __init__(self, of: Device, monkeypatch: pytest.MonkeyPatch) -> None:
        self.living: set[int] = set()
        self.made: int = 0
        self.refuse: int | None = None
        self.keep: list[object] = []
        make, free = of.buffer, of.free

        def counted(*arguments: object) -> object:
            self.made += 1
            if self.refuse is not None and self.made > self.refuse:
                raise EdgeflowError('out-of-memory', 'the GPU refused memory: by order of the test', {})
            buffer = make(*arguments)
            self.keep.append(buffer)
            self.living.add(id(buffer))
            return buffer

        def freed(buffer: object) -> None:
            self.living.remove(id(buffer))
            free(buffer)

        monkeypatch.setattr(of, 'buffer', counted)
        monkeypatch.setattr(of, 'free', freed)


@pytest.mark.parametrize('again', [False, True])
async def test_nothing_is_kept_when_memory_runs_out(again: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = 'bert-mini-sentence/onnx/model.onnx'
    buffers = Buffers(await device(), monkeypatch)
    model = await load(path)
    await check(model)
    total = buffers.made
    model.dispose()
    assert buffers.living == set()
    for refuse in range(0, total, max(1, total // 8)):
        buffers.made = 0
        buffers.refuse = refuse
        model = None
        with pytest.raises(EdgeflowError) as e:
            model = await load(path)
            await check(model)
        assert e.value.code == 'out-of-memory'
        buffers.refuse = None
        if model is not None:
            if again:
                await check(model)
            model.dispose()
        assert buffers.living == set()


def refuse_from(of: Device, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the adapter itself does not, refuse memory for buffers of `size` bytes and more, as wgpu-py tells it."""
    make = of.raw.create_buffer

    def made(**options: object) -> object:
        buffer = make(**options)
        if options['size'] >= size:
            buffer.destroy()
            raise wgpu.GPUOutOfMemoryError('by order of the test')
        return buffer

    monkeypatch.setattr(of.raw, 'create_buffer', made)


# SwiftShader refuses 2^30 bytes by itself.
@pytest.mark.parametrize('most', [2**30, 2**26])
@pytest.mark.parametrize('location', ['host', 'gpu'])
async def test_an_allocation_that_is_too_large(location: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (('a', ['n', 1]), ('b', [1, 'm']), ('y', ['n', 'm']))]
    graph = helper.make_graph([helper.make_node('Add', ['a', 'b'], ['y'])], 'g', infos[:2], infos[2:])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString()
    side = math.isqrt(min(most, (await device()).limit('maxStorageBufferBindingSize')) // 4)
    refuse_from(await device(), 4 * side * side, monkeypatch)
    buffers = Buffers(await device(), monkeypatch)
    model = await create_model(memoryview(data), {}, 'webgpu')

    async def run(n: int) -> Tensor:
        one = np.ones(n, np.float32)
        return (await model.run({'a': tensor(one.reshape(n, 1)), 'b': tensor(one.reshape(1, n))}, location=location))['y']

    first = await run(2)
    living, held = len(buffers.living), memory_stats().gpu.size
    with pytest.raises(EdgeflowError) as e:
        await run(side)
    assert e.value.code == 'out-of-memory'
    second = await run(2)
    assert (await first.read()).tolist() == (await second.read()).tolist() == [2.0] * 4
    second.dispose()
    assert (len(buffers.living), memory_stats().gpu.size) == (living, held)
    first.dispose()
    model.dispose()
    assert buffers.living == set()


async def test_an_integer_beyond_32_bits_is_an_error() -> None:
    model = await load(CASE.model)
    inputs = CASE.inputs()
    bad: dict[str, Tensor] = dict(inputs)
    ids = inputs['input_ids']
    bad['input_ids'] = tensor(np.full(ids.shape, 2**32 + 1, np.int64))
    with pytest.raises(EdgeflowError) as e:
        await model.run(bad)
    assert e.value.code == 'run-failed' and 'input_ids' in e.value.message
    await check(model)
    model.dispose()


async def test_an_index_out_of_range_names_its_node_and_leaves_the_model_usable() -> None:
    model = await load(CASE.model)
    inputs = CASE.inputs()
    bad: dict[str, Tensor] = dict(inputs)
    bad['input_ids'] = tensor(np.full(inputs['input_ids'].shape, 10**6, np.int64))
    with pytest.raises(EdgeflowError) as e:
        await model.run(bad)
    assert e.value.code == 'run-failed' and 'embeddings' in e.value.message
    await check(model)
    model.dispose()


async def test_models_share_the_device(say: Callable[[str], None]) -> None:
    cases = {case.model: case for case in text_encoder_cases() if '/onnx/model.onnx' in case.model}
    models = await asyncio.gather(*[load(path) for path in cases])
    await asyncio.gather(*[check(model, case) for _ in range(2) for model, case in zip(models, cases.values(), strict=True)])
    held = sum(model.memory().gpu for model in models)
    assert held > 0 and memory_stats().gpu.size >= held
    for model in models:
        model.dispose()
