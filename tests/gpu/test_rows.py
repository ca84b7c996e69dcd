"""Reductions, softmax, normalisations and other kernels of rows on the GPU against numpy, also with several threads a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.webgpu import lower_axis, lower_norm, lower_reduce
from edgeflow.backends.webgpu.builder import GpuBuilder
from tests.gpu.driver import run_node

Lanes = Callable[[GpuBuilder, int, int], dict[str, int]]


@pytest.fixture(params=[1, 8, 256], scope='module', autouse=True)
def lanes(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many threads a row has: what lanes_of() gives depends on the adapter."""
    def fixed(b: GpuBuilder, rows: int, units: int) -> dict[str, int]:
        return {'GROUP': max(64, request.param), 'LANES': request.param}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_reduce, 'lanes_of', fixed)
        patch.setattr(lower_axis, 'lanes_of', fixed)
        patch.setattr(lower_norm, 'lanes_of', fixed)
        yield request.param


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


REDUCTIONS: dict[str, Callable[..., np.ndarray]] = {
    'ReduceSum': np.sum, 'ReduceMean': np.mean, 'ReduceMax': np.max, 'ReduceMin': np.min, 'ReduceProd': np.prod,
    'ReduceL2': lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
}


@settings(max_examples=20, deadline=None)
@given(shape=st.lists(st.sampled_from([1, 2, 3, 5, 8, 33]), min_size=1, max_size=4), data=st.data(), name=st.sampled_from(sorted(REDUCTIONS)),
       keep=st.sampled_from([0, 1]))
def test_reductions(shape: list[int], data: st.DataObject, name: str, keep: int) -> None:
    axes = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True, min_size=1))
    x = normal(tuple(shape), len(shape))
    [y] = run_node(name, [x, np.array(axes)], {'keepdims': keep}, known=[1])
    expected = REDUCTIONS[name](x.astype(np.float64), axis=tuple(axes), keepdims=bool(keep))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-4)


def test_reductions_of_integers_and_of_nothing() -> None:
    x = np.arange(-20, 20).reshape(8, 5)
    for name, function in [('ReduceSum', np.sum), ('ReduceMax', np.max), ('ReduceMin', np.min)]:
        [y] = run_node(name, [x, np.array([0])], {'keepdims': 0}, known=[1])
        np.testing.assert_array_equal(y, function(x, 0))
    nothing = np.zeros((3, 0), np.float32)
    for name, value in [('ReduceSum', 0), ('ReduceMax', -np.inf), ('ReduceMin', np.inf), ('ReduceProd', 1)]:
        [y] = run_node(name, [nothing, np.array([1])], {'keepdims': 0}, known=[1])
        np.testing.assert_array_equal(y, np.full(3, value, np.float32))


def test_what_is_no_number_makes_reductions_so() -> None:
    x = normal((3, 70))
    x[1, 33] = np.nan
    for name in ['ReduceSum', 'ReduceMax', 'ReduceMin']:
        [y] = run_node(name, [x, np.array([1])], {'keepdims': 0}, known=[1])
        assert np.isnan(y).tolist() == [False, True, False]


@settings(max_examples=15, deadline=None)
@given(shape=st.lists(st.sampled_from([1, 2, 3, 7, 8, 70]), min_size=1, max_size=3), axis=st.integers(0, 2), name=st.sampled_from(['Softmax', 'LogSoftmax']))
def test_softmax(shape: list[int], axis: int, name: str) -> None:
    axis = axis % len(shape)
    x = 20 * normal(tuple(shape), axis)
    [y] = run_node(name, [x], {'axis': axis})
    wide = x.astype(np.float64)
    logs = wide - np.log(np.exp(wide - wide.max(axis, keepdims=True)).sum(axis, keepdims=True)) - wide.max(axis, keepdims=True)
    np.testing.assert_allclose(y, np.exp(logs) if name == 'Softmax' else logs, rtol=2e-5, atol=1e-6)


def test_softmax_of_what_is_infinite_or_no_number() -> None:
    x = np.array([[0, 1, np.nan, 1, 2], [-np.inf] * 5, [-np.inf, 0, 1, -np.inf, -np.inf], [-3e38, -3e38, -3e38, -3e38, -3e38]], np.float32)
    [y] = run_node('Softmax', [x])
    np.testing.assert_allclose(y, [[np.nan] * 5, [np.nan] * 5, [0, 0.26894143, 0.73105857, 0, 0], [0.2] * 5], rtol=1e-6)


def normed(x: np.ndarray, mean: bool, epsilon: float) -> np.ndarray:
    x = x.astype(np.float64)
    x = x - x.mean(-1, keepdims=True) if mean else x
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(0, 5), width=st.sampled_from([1, 3, 8, 100]), key=st.sampled_from(['LayerNormalization', 'SimplifiedLayerNormalization']))
def test_layer_norm(rows: int, width: int, key: str) -> None:
    x, gamma, beta = 5 + normal((2, rows, width)), normal((width,), 1), normal((width,), 2)
    inputs = [x, gamma, beta] if key == 'LayerNormalization' else [x, gamma]
    [y] = run_node(key, inputs, {'epsilon': 1e-3})
    expected = normed(x, key == 'LayerNormalization', 1e-3) * gamma + (beta if len(inputs) > 2 else 0)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(width=st.sampled_from([3, 8, 100]), repeats=st.booleans(), bias=st.booleans(), mean=st.booleans())
def test_skip_layer_norm(width: int, repeats: bool, bias: bool, mean: bool) -> None:
    x, skip = normal((2, 3, width)), normal((1, 3, width) if repeats else (2, 3, width), 1)
    gamma, beta, extra = normal((width,), 2), normal((width,), 3), normal((width,), 4)
    total = x + skip + (extra if bias else 0)
    added = extra if bias else None
    inputs = [x, skip, gamma, beta, added] if mean else [x, skip, gamma, added]
    key = 'com.microsoft:SkipLayerNormalization' if mean else 'com.microsoft:SkipSimplifiedLayerNormalization'
    while inputs[-1] is None:
        inputs.pop()
    y, _, _, sums = run_node(key, inputs, {'epsilon': 1e-5}, outputs=4, wanted=[0, 3])
    np.testing.assert_allclose(sums, total, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(y, normed(total, mean, 1e-5) * gamma + (beta if mean else 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('position_ids', [False, True])
def test_embed_layer_norm(position_ids: bool) -> None:
    ids, segments = np.array([[1, 4, 2], [0, 3, 3]], np.int32), np.array([[0, 1, 1], [0, 0, 1]], np.int32)
    words, places, kinds, gamma, beta = normal((5, 8)), normal((6, 8), 1), normal((2, 8), 2), normal((8,), 3), normal((8,), 4)
    mask = np.array([[1, 1, 0], [1, 1, 1]], np.int32)
    positions = np.array([[2, 0, 5]], np.int32) if position_ids else None
    inputs = [ids, segments, words, places, kinds, gamma, beta, mask, positions]
    y, lengths, sums = run_node('com.microsoft:EmbedLayerNormalization', inputs if position_ids else inputs[:8], {'epsilon': 1e-5}, outputs=3)
    total = words[ids] + places[[2, 0, 5] if position_ids else [0, 1, 2]] + kinds[segments]
    np.testing.assert_allclose(sums, total, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(lengths, [2, 3])
    np.testing.assert_allclose(y, normed(total, True, 1e-5) * gamma + beta, rtol=1e-4, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(shape=st.lists(st.sampled_from([1, 2, 3, 40]), min_size=1, max_size=3), axis=st.integers(0, 2), last=st.sampled_from([0, 1]),
       name=st.sampled_from(['ArgMax', 'ArgMin']))
def test_arg_max(shape: list[int], axis: int, last: int, name: str) -> None:
    axis = axis % len(shape)
    x = np.round(normal(tuple(shape)) * 2)
    [y] = run_node(name, [x], {'axis': axis, 'keepdims': 0, 'select_last_index': last})
    find = np.argmax if name == 'ArgMax' else np.argmin
    expected = shape[axis] - 1 - find(np.flip(x, axis), axis) if last else find(x, axis)
    np.testing.assert_array_equal(y, expected)


def test_arg_max_of_a_vocabulary() -> None:
    x = normal((2, 70001))
    x[0, [69999, 401, 70000]] = 9
    x[1, [60000, 50000]] = np.nan
    [y] = run_node('ArgMax', [x], {'axis': -1, 'keepdims': 0})
    assert y.tolist() == [401, 50000]


@settings(max_examples=12, deadline=None)
@given(shape=st.lists(st.sampled_from([0, 1, 3, 70]), min_size=1, max_size=2), axis=st.integers(0, 1), reverse=st.sampled_from([0, 1]),
       exclusive=st.sampled_from([0, 1]), whole=st.booleans())
def test_cumulated_sums(shape: list[int], axis: int, reverse: int, exclusive: int, whole: bool) -> None:
    axis = axis % len(shape)
    x = np.round(normal(tuple(shape)) * 5).astype(np.int64 if whole else np.float32)
    [y] = run_node('CumSum', [x, np.array(axis)], {'reverse': reverse, 'exclusive': exclusive}, known=[1])
    turned = np.flip(x, axis) if reverse else x
    sums = np.cumsum(turned, axis) - (turned if exclusive else 0)
    np.testing.assert_array_equal(y, np.flip(sums, axis) if reverse else sums)


@settings(max_examples=12, deadline=None)
@given(rows=st.integers(1, 3), n=st.sampled_from([1, 5, 90]), largest=st.sampled_from([0, 1]), axis=st.sampled_from([0, 1]), data=st.data())
def test_top_k(rows: int, n: int, largest: int, axis: int, data: st.DataObject) -> None:
    x = np.round(normal((rows, n)) * 3)
    k = data.draw(st.integers(1, x.shape[axis]))
    values, indices = run_node('TopK', [x, np.array([k])], {'axis': axis, 'largest': largest}, outputs=2, known=[1])
    order = np.argsort(-x if largest else x, axis, kind='stable').take(range(k), axis)
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, axis))


def test_top_k_of_all_there_is_with_what_is_no_number() -> None:
    x = np.array([[1, np.nan, -np.inf, np.inf, 1]], np.float32)
    values, indices = run_node('TopK', [x, np.array([5])], outputs=2, known=[1])
    assert indices.tolist() == [[1, 3, 0, 4, 2]] and math.isnan(values[0, 0])


@settings(max_examples=12, deadline=None)
@given(size=st.integers(3, 9), kernel=st.integers(1, 3), stride=st.integers(1, 2), pad=st.integers(0, 1), dilation=st.integers(1, 2), counted=st.sampled_from([0, 1]))
def test_poolings(size: int, kernel: int, stride: int, pad: int, dilation: int, counted: int) -> None:
    pad = min(pad, kernel - 1)
    extent = (kernel - 1) * dilation + 1
    if extent > size:
        return
    x = normal((1, 2, size, size + 1))
    attributes = {'kernel_shape': [kernel, kernel], 'strides': [stride, stride], 'pads': [pad] * 4, 'dilations': [dilation, dilation]}
    padded = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (extent, extent), (2, 3))[:, :, ::stride, ::stride, ::dilation, ::dilation]
    [y] = run_node('MaxPool', [x], attributes)
    np.testing.assert_array_equal(y, np.nanmax(windows, (4, 5)))
    [y] = run_node('AveragePool', [x], {**attributes, 'count_include_pad': counted})
    expected = np.nansum(windows, (4, 5)) / kernel ** 2 if counted else np.nanmean(windows, (4, 5))
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
