"""Products by matrix units (wgsl/matmul_matrices.wgsl), beside numpy. No software adapter has such units: here every thread of a subgroup does the whole
matrix by functions of the same meaning in float32; on the machine's GPU, `node bench/gpu_bench.mjs matrices` runs the kernel as it is."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from edgeflow.backends.webgpu import device, products
from edgeflow.backends.webgpu.builder import Dispatch
from tests.gpu.driver import gpu, run_node
from tests.gpu.test_dense import filled

LOAD = '''fn load_NAME(start: u32, pitch: u32) -> array<f32, COUNT> {
  var x: array<f32, COUNT>;
  for (var i = 0u; i < COUNTu; i++) { x[i] = TILE[start + i / WIDTHu * pitch + i % WIDTHu]; }
  return x;
}
'''
MULTIPLY = '''fn multiplied(u0: array<f32, UCOUNT>, v0: array<f32, VCOUNT>, c0: array<f32, CCOUNT>) -> array<f32, CCOUNT> {
  var u = u0; var v = v0; var c = c0;
  for (var i = 0u; i < CCOUNTu; i++) { for (var k = 0u; k < DEPTHu; k++) { c[i] += u[i / WIDEu * DEPTHu + k] * v[k * WIDEu + i % WIDEu]; } }
  return c;
}
'''


def emulated(text: str, shape: list[int]) -> str:
    """The kernel without matrix units and float16."""
    rows, columns, depth = shape
    text = re.sub(r'^(enable|diagnostic).*$', '', text, flags=re.M).replace('f16', 'f32')
    text = re.sub(r'subgroup_matrix_result<[^>]*>\(\)', f'array<f32, {rows * columns}>()', text)
    text = re.sub(r'subgroupMatrixLoad<subgroup_matrix_(left|right)<[^>]*>, row_major>\(&\w+, ', r'load_\1(', text)
    text = text.replace('subgroupMatrixMultiplyAccumulate', 'multiplied')
    text = re.sub(r'subgroupMatrixStore<row_major>\(&made, mine, (\w+), \w+\);',
                  rf'if (t % 32u == 0u) {{ for (var e = 0u; e < {rows * columns}u; e++) {{ made[mine + e] = \1[e]; }} }}', text)
    assert 'subgroupMatrix' not in text and 'subgroup_matrix' not in text
    for name, tile, count, width in [('left', 'tile_a', rows * depth, depth), ('right', 'tile_b', depth * columns, columns)]:
        text += LOAD.replace('NAME', name).replace('COUNT', str(count)).replace('TILE', tile).replace('WIDTH', str(width))
    return text + (MULTIPLY.replace('UCOUNT', str(rows * depth)).replace('VCOUNT', str(depth * columns)).replace('CCOUNT', str(rows * columns))
                   .replace('DEPTH', str(depth)).replace('WIDE', str(columns)))


@pytest.mark.parametrize(('shape', 'batch', 'm', 'n', 'k'), [([16, 8, 16], 1, 70, 68, 36), ([8, 8, 8], 2, 40, 36, 64)])
def test_products_by_matrix_units(shape: list[int], batch: int, m: int, n: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels: list[str] = []
    written = device.shader_text

    def text_of(dispatch: Dispatch) -> str:
        kernels.append(dispatch.kernel)
        return emulated(written(dispatch), shape)

    monkeypatch.setattr(device, 'shader_text', text_of)
    monkeypatch.setattr(products, 'MATRIX_KINDS', ['f32'])
    monkeypatch.setattr(products, 'MATRIX_PARTS', [(16, 1)])
    monkeypatch.setattr(gpu(), 'features', dataclasses.replace(gpu().features, matrix=shape, storage=products.MATRIX_STORAGE, software=False))
    rng = np.random.default_rng(k)
    a, w, bias, skip = filled(rng, [batch, m, k]), filled(rng, [batch, k, n]), filled(rng, [n]), filled(rng, [batch, m, n])
    [y] = run_node('edgeflow:MatMul', [a, w, bias, skip], {'activation': 'relu'})
    assert y is not None and kernels == ['matmul_matrices']
    np.testing.assert_allclose(y, np.maximum(a @ w + bias, 0) + skip, rtol=2e-4, atol=2e-4)


def test_what_matrix_units_do_not_take() -> None:
    features = dataclasses.replace(gpu().features, matrix=[16, 8, 8], storage=products.MATRIX_STORAGE)
    assert products.choose_matrices(features, 4096, 4096, 1) is not None
    assert products.choose_matrices(features, 64, 64, 1) is None
    assert products.choose_matrices(dataclasses.replace(features, storage=16384), 4096, 4096, 1) is None
    assert products.choose_matrices(dataclasses.replace(features, matrix=[]), 4096, 4096, 1) is None


class _Seen(Exception):
    """Before anything is compiled: no software adapter compiles it."""


def test_which_products_matrix_units_take(monkeypatch: pytest.MonkeyPatch) -> None:
    kernels: list[str] = []

    def seen(dispatch: Dispatch) -> str:
        kernels.append(dispatch.kernel)
        raise _Seen

    monkeypatch.setattr(device, 'shader_text', seen)
    monkeypatch.setattr(gpu(), 'features', dataclasses.replace(gpu().features, matrix=[16, 8, 8], storage=products.MATRIX_STORAGE, software=False, f16=True))
    a = np.zeros([2048, 1024], np.float32)
    for weights in [np.float16, np.float32]:
        with pytest.raises(_Seen):
            run_node('edgeflow:MatMul', [a, np.zeros([1024, 1024], weights)], weights=[1])
    assert kernels == ['matmul_matrices', 'matmul']
