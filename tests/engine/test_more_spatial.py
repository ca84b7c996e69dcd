"""The rarer operators on images, against onnxruntime, where ONNX's own tests have few cases or none."""

from __future__ import annotations

import numpy as np
import pytest

from tests.engine.node_models import check_node

RNG = np.random.default_rng(4)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize('p', [1, 2, 3])
async def test_lp_pooling(p: int) -> None:
    x = normal(2, 3, 9, 8)
    await check_node('LpPool', [x], ['float32'], kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1], p=p)
    await check_node('GlobalLpPool', [x], ['float32'], p=p, rtol=1e-4)


@pytest.mark.parametrize('size', [1, 3, 5])
async def test_local_response(size: int) -> None:
    await check_node('LRN', [normal(2, 6, 3, 4)], ['float32'], size=size, alpha=0.01, beta=0.6, bias=1.5)


@pytest.mark.parametrize('storage_order', [0, 1])
async def test_indices_of_maxima(storage_order: int) -> None:
    await check_node('MaxPool', [normal(2, 3, 7, 8)], ['float32', 'int64'], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 1],
                     storage_order=storage_order)


async def test_maxima_of_regions() -> None:
    rois = np.array([[0, 0, 0, 7, 7], [1, 2, 3, 6, 5], [1, 5, 5, 12, 12]], np.float32)
    await check_node('MaxRoiPool', [normal(2, 3, 10, 12), rois], ['float32'], pooled_shape=[3, 2], spatial_scale=0.8)


@pytest.mark.parametrize('mode', ['half_pixel', 'output_half_pixel'])
@pytest.mark.parametrize('ratio', [0, 2])
async def test_aligned_regions(mode: str, ratio: int) -> None:
    rois = np.array([[0, 0, 7, 7], [2.5, 3, 6, 5.5], [-3, 5, 12, 12]], np.float32)
    await check_node('RoiAlign', [normal(2, 3, 10, 12), rois, np.array([0, 1, 1], np.int64)], ['float32'], output_height=3, output_width=4,
                     sampling_ratio=ratio, spatial_scale=0.7, coordinate_transformation_mode=mode, rtol=1e-4)


@pytest.mark.parametrize('mode', ['linear', 'nearest', 'cubic'])
@pytest.mark.parametrize('padding', ['zeros', 'border', 'reflection'])
@pytest.mark.parametrize('align', [0, 1])
async def test_samples_of_a_grid(mode: str, padding: str, align: int) -> None:
    grid = RNG.uniform(-1.6, 1.6, (2, 5, 4, 2)).astype(np.float32)
    await check_node('GridSample', [normal(2, 3, 6, 7), grid], ['float32'], opset=20, mode=mode, padding_mode=padding, align_corners=align,
                     rtol=1e-3, atol=1e-4)


async def test_columns_to_images() -> None:
    x = normal(2, 3 * 6, 20)
    await check_node('Col2Im', [x, np.array([6, 8], np.int64), np.array([2, 3], np.int64)], ['float32'], [1, 2], opset=18, strides=[1, 2],
                     pads=[0, 1, 0, 1])


async def test_maxima_put_back() -> None:
    x = normal(1, 2, 3, 3)
    indices = np.stack([np.sort(RNG.permutation(36)[:9]).reshape(3, 3) + 36 * c for c in range(2)])[None].astype(np.int64)
    await check_node('MaxUnpool', [x, indices], ['float32'], kernel_shape=[2, 2], strides=[2, 2])
