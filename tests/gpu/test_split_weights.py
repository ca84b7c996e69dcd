"""Weights larger than what a kernel can bind, on a device with low limits: gathered and multiplied in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeflow.backends.webgpu import device as devices
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor

BINDING = 65536
rng = np.random.default_rng(5)


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shared device binds 64 KiB at most."""
    import wgpu

    request = wgpu.GPUAdapter.request_device_sync

    def limited(adapter: object, **options: object) -> object:
        options['required_limits'] = {**options['required_limits'], 'max-storage-buffer-binding-size': BINDING}
        return request(adapter, **options)

    monkeypatch.setattr(wgpu.GPUAdapter, 'request_device_sync', limited)
    monkeypatch.setattr(devices._shared, 'gpu', None)
    yield
    if devices._shared.gpu is not None:
        devices._shared.gpu.device.destroy()


def run(nodes: list, weights: dict[str, np.ndarray], feeds: dict[str, np.ndarray], dtype: int = TensorProto.FLOAT) -> tuple[np.ndarray, dict[str, int]]:
    """The output `y` of a model, and what ran on WASM."""
    kinds = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}
    infos = [helper.make_tensor_value_info(name, kinds[array.dtype], array.shape) for name, array in feeds.items()]
    graph = helper.make_graph(nodes, 'g', infos, [helper.make_tensor_value_info('y', dtype, None)],
                              [numpy_helper.from_array(array, name) for name, array in weights.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 20), helper.make_opsetid('com.microsoft', 1)], ir_version=9)

    async def once() -> tuple[np.ndarray, dict[str, int]]:
        loaded = await create_model(memoryview(model.SerializeToString()), {}, 'webgpu')
        try:
            assert devices._shared.gpu.features.binding == BINDING
            [y] = (await loaded.run({name: tensor(array) for name, array in feeds.items()})).values()
            return y.data.reshape(y.shape), loaded.placement().fallback
        finally:
            loaded.dispose()

    return asyncio.run(once())


TABLE = rng.standard_normal((1000, 60)).astype(np.float32)


@pytest.mark.usefixtures('low_limits')
@pytest.mark.parametrize('dtype', [np.float32, np.int8])
def test_rows_of_a_large_table(dtype: type) -> None:
    table = TABLE if dtype is np.float32 else rng.integers(-128, 128, (1000, 140)).astype(np.int8)
    ids = np.array([[0, 1, 255, 256, 257], [511, 512, 998, 999, -1], [-1000, -488, 3, 700, 767]], np.int64)
    y, on_wasm = run([helper.make_node('Gather', ['t', 'ids'], ['y'])], {'t': table}, {'ids': ids}, TensorProto.FLOAT if dtype is np.float32 else TensorProto.INT8)
    np.testing.assert_array_equal(y, table[ids])
    assert on_wasm == {}


@pytest.mark.usefixtures('low_limits')
@pytest.mark.parametrize('index', [1000, -1001])
def test_an_index_out_of_range_is_an_error_still(index: int) -> None:
    with pytest.raises(EdgeflowError, match='range'):
        run([helper.make_node('Gather', ['t', 'ids'], ['y'])], {'t': TABLE}, {'ids': np.array([5, index], np.int64)})


@pytest.mark.usefixtures('low_limits')
@pytest.mark.parametrize('m', [1, 3, 10])
@pytest.mark.parametrize('across', [False, True])
def test_products_with_a_large_matrix(m: int, across: bool) -> None:
    w = TABLE * np.float32(0.1)
    x = rng.standard_normal((m, 1000 if not across else 60)).astype(np.float32)
    bias = rng.standard_normal(60 if not across else 1000).astype(np.float32)
    nodes = [helper.make_node('Gemm', ['x', 'w', 'b'], ['h'], transB=int(across)), helper.make_node('Relu', ['h'], ['y'])]
    y, on_wasm = run(nodes, {'w': w, 'b': bias}, {'x': x})
    np.testing.assert_allclose(y, np.maximum(x @ (w.T if across else w) + bias, 0), rtol=2e-4, atol=2e-4)
    assert on_wasm == {}


@pytest.mark.usefixtures('low_limits')
@pytest.mark.parametrize('m', [1, 8])
def test_products_with_large_weights_in_blocks(m: int) -> None:
    n, k = 1500, 128
    codes = rng.integers(0, 16, (n, k))
    scales = rng.random((n, k // 32)).astype(np.float32) * np.float32(0.1)
    packed = (codes[:, 0::2] | codes[:, 1::2] << 4).astype(np.uint8).reshape(n, k // 32, 16)
    x = rng.standard_normal((m, k)).astype(np.float32)
    y, on_wasm = run([helper.make_node('MatMulNBits', ['x', 'w', 's'], ['y'], domain='com.microsoft', K=k, N=n, bits=4, block_size=32)],
                     {'w': packed, 's': scales}, {'x': x})
    np.testing.assert_allclose(y, x @ ((codes - 8) * scales.repeat(32, 1)).T, rtol=1e-3, atol=1e-3)
    assert on_wasm == {}


@pytest.mark.usefixtures('low_limits')
def test_what_cannot_be_split_runs_on_wasm() -> None:
    x = rng.standard_normal((1000, 1)).astype(np.float32)
    y, on_wasm = run([helper.make_node('Add', ['x', 't'], ['s']), helper.make_node('ReduceMax', ['s'], ['y'], keepdims=0)], {'t': TABLE}, {'x': x})
    np.testing.assert_allclose(y, (x + TABLE).max())
    assert 'Add' in on_wasm
