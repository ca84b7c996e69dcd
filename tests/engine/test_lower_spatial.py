"""Convolutions, poolings and resizing with random geometry, against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.wasm.load import fetch_rare
from edgeflow.backends.wasm.lower_spatial import SPATIAL_LOWERINGS
from edgeflow.backends.wasm.lowerings import LOWERINGS, MORE_LOWERINGS, VISION_OPS, WIDE_OPS
from tests.engine.node_models import check_node


@st.composite
def geometries(draw: st.DrawFn) -> dict:
    """A small image with 1 to 3 spatial dims, and windows that fit into it."""
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    kernel = [draw(st.integers(1, 4)) for _ in range(rank)]
    dilations = [draw(st.integers(1, 2)) for _ in range(rank)]
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    pads = [draw(st.integers(0, k - 1)) for k in kernel] + [draw(st.integers(0, k - 1)) for k in kernel]
    most = 24 if rank < 3 else 7
    image = [draw(st.integers(max(1, extents[i] - pads[i] - pads[rank + i]), extents[i] + most)) for i in range(rank)]
    return {
        'kernel': kernel, 'image': image, 'pads': pads, 'dilations': dilations, 'batch': draw(st.integers(1, 2)),
        'strides': [draw(st.integers(1, 3)) for _ in range(rank)], 'seed': draw(st.integers(0, 1000)),
    }


def windows(g: dict) -> dict:
    return {key: g[key] for key in ('strides', 'dilations', 'pads')}


def normal(g: dict, *shapes: list[int]) -> list[np.ndarray]:
    rng = np.random.default_rng(g['seed'])
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@settings(max_examples=60)
@given(geometries(), st.sampled_from([(1, 3, 5), (1, 1, 9), (2, 2, 3), (4, 1, 1), (3, 1, 2), (1, 17, 2)]), st.booleans())
async def test_conv(g: dict, filters: tuple[int, int, int], with_bias: bool) -> None:
    groups, channels, per_group = filters
    x, w, bias = normal(g, [g['batch'], groups * channels, *g['image']], [groups * per_group, channels, *g['kernel']], [groups * per_group])
    await check_node('Conv', [x, w, bias] if with_bias else [x, w], ['float32'], [1, 2], group=groups, atol=1e-4, **windows(g))


@settings(max_examples=40)
@given(geometries(), st.sampled_from([(1, 3, 5), (2, 2, 3), (3, 1, 1)]), st.booleans())
async def test_conv_transpose(g: dict, filters: tuple[int, int, int], with_bias: bool) -> None:
    groups, channels, per_group = filters
    x, w, bias = normal(g, [g['batch'], groups * channels, *g['image']], [groups * channels, per_group, *g['kernel']], [groups * per_group])
    pads = [0] * len(g['pads'])
    await check_node('ConvTranspose', [x, w, bias] if with_bias else [x, w], ['float32'], group=groups, atol=1e-4,
                     **{**windows(g), 'pads': pads})


@pytest.mark.parametrize('channels', [3, 100])
async def test_conv_integer_is_exact(channels: int) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(0, 256, (1, channels, 9, 9)).astype(np.uint8)
    w = rng.integers(0, 256, (4, channels, 3, 3)).astype(np.uint8)
    await check_node('ConvInteger', [x, w, np.array(3, np.uint8), np.array(7, np.uint8)], ['int32'], rtol=0, atol=0, pads=[1, 1, 1, 1])


@settings(max_examples=40)
@given(geometries(), st.sampled_from(['MaxPool', 'AveragePool']), st.booleans(), st.booleans())
async def test_pool(g: dict, op: str, ceil: bool, padded: bool) -> None:
    extra = {'count_include_pad': int(padded)} if op == 'AveragePool' else {'dilations': g['dilations']}
    g = {**g, 'image': [max(n, k) for n, k in zip(g['image'], g['kernel'], strict=True)]}
    [x] = normal(g, [g['batch'], 3, *g['image']])
    await check_node(op, [x], ['float32'], kernel_shape=g['kernel'], strides=g['strides'], pads=g['pads'], ceil_mode=int(ceil), **extra)


@pytest.mark.parametrize('kernel', [5, 320])
@pytest.mark.parametrize(('op', 'extra'), [('MaxPool', {}), ('AveragePool', {}), ('AveragePool', {'count_include_pad': 1})])
async def test_a_window_that_is_wider_than_the_image(op: str, extra: dict[str, int], kernel: int) -> None:
    x = np.random.default_rng(3).standard_normal((1, 64, 2, 3)).astype(np.float32)
    geometry = {'kernel_shape': [kernel, kernel], 'strides': [kernel, kernel], 'pads': [1, 0, 1, 0], 'ceil_mode': 1}
    await check_node(op, [x], ['float32'], **geometry, **extra)


async def test_the_core_knows_what_is_in_the_parts() -> None:
    await fetch_rare()
    assert SPATIAL_LOWERINGS.keys() == set(VISION_OPS)
    assert LOWERINGS.keys() & MORE_LOWERINGS.keys() == set(WIDE_OPS)


MODES = ['asymmetric', 'half_pixel', 'pytorch_half_pixel', 'align_corners']


@settings(max_examples=60)
@given(
    st.sampled_from([('nearest', 'floor'), ('nearest', 'round_prefer_ceil'), ('linear', 'floor'), ('cubic', 'floor')]), st.sampled_from(MODES),
    st.lists(st.integers(1, 9), min_size=2, max_size=2), st.lists(st.integers(1, 20), min_size=2, max_size=2),
)
async def test_resize(mode: tuple[str, str], transform: str, image: list[int], sizes: list[int]) -> None:
    if mode[0] == 'nearest':
        # Whole multiples: in between, places lie so near to halves that float32, in which onnxruntime computes them, decides.
        sizes = [n * (1 + k % 3) for n, k in zip(image, sizes, strict=True)]
    x = np.random.default_rng(1).standard_normal((2, 3, *image)).astype(np.float32)
    empty = np.zeros(0, np.float32)
    await check_node('Resize', [x, empty, empty, np.array([2, 3, *sizes], np.int64)], ['float32'], [1, 2, 3], atol=1e-4, mode=mode[0],
                     nearest_mode=mode[1], coordinate_transformation_mode=transform)


async def test_normalisations() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((2, 3, 5, 7)).astype(np.float32)
    scale, bias, mean = (rng.standard_normal(3).astype(np.float32) for _ in range(3))
    await check_node('BatchNormalization', [x, scale, bias, mean, np.abs(mean) + 0.5], ['float32'], [1, 2, 3, 4], atol=1e-4)
    await check_node('InstanceNormalization', [x, scale, bias], ['float32'], [1, 2], atol=1e-4)
