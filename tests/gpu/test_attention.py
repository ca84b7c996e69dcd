"""Attention, rotary embedding and the tables of decoders on the GPU against numpy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.webgpu import lower_attention
from tests.gpu.driver import gpu, run_node


@pytest.fixture(params=['tiles', 'rows', 'rows of a GPU'], scope='module', autouse=True)
def kernel(request: pytest.FixtureRequest) -> Iterator[None]:
    """Which kernel takes attention, and with how many threads: that depends on how many queries there are, and on the adapter."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lower_attention, 'FEW_OF_SOFTWARE', 1 if request.param == 'tiles' else 2**30)
        if request.param == 'rows of a GPU':
            patch.setattr(gpu(), 'features', replace(gpu().features, software=False))
        yield


def normal(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def attended(q: np.ndarray, k: np.ndarray, v: np.ndarray, scale: float, added: np.ndarray | float = 0.0, softcap: float = 0.0) -> np.ndarray:
    """Attention of [batch, heads, rows, width] as it is written; `added` to the scores."""
    share = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, share, 1), np.repeat(v, share, 1)
    scores = q.astype(np.float64) @ k.swapaxes(-1, -2) * scale
    if softcap:
        scores = softcap * np.tanh(scores / softcap)
    scores = scores + added
    with np.errstate(invalid='ignore'):
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        return weights / weights.sum(-1, keepdims=True) @ v


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 2), groups=st.integers(1, 2), share=st.integers(1, 2), s=st.sampled_from([1, 3, 33, 70]), t=st.sampled_from([1, 5, 65, 300]),
       widths=st.sampled_from([(8, 8), (64, 64), (6, 10), (32, 16), (128, 128), (256, 64)]), mask=st.sampled_from(['', 'added', 'bool']))
def test_attention(batch: int, groups: int, share: int, s: int, t: int, widths: tuple[int, int], mask: str) -> None:
    q, k, v = normal((batch, groups * share, s, widths[0])), normal((batch, groups, t, widths[0]), 1), normal((batch, groups, t, widths[1]), 2)
    inputs, added = [q, k, v], np.zeros(())
    if mask == 'added':
        inputs.append(normal((batch, 1, 1, t), 3))
        added = inputs[3]
    elif mask == 'bool':
        keep = np.random.default_rng(4).random((s, t)) < 0.6
        keep[:, t // 2] = True
        inputs.append(keep)
        added = np.where(keep, 0, -np.inf)
    [y] = run_node('edgeflow:Sdpa', inputs, {'scale': 0.25})
    np.testing.assert_allclose(y, attended(q, k, v, 0.25, added), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('width', [6, 8])
def test_attention_of_transposed_tensors(width: int) -> None:
    q, k, v = normal((2, 5, 3, width)), normal((2, 3, width, 7), 1), normal((1, 7, 3, width), 2)
    [y] = run_node('edgeflow:Sdpa', [q, k, v], {'q_perm': [0, 2, 1, 3], 'k_perm': [0, 1, 3, 2], 'v_perm': [0, 2, 1, 3], 'out_perm': [0, 2, 1, 3]})
    expected = attended(q.transpose(0, 2, 1, 3), k.transpose(0, 1, 3, 2), np.repeat(v, 2, 0).transpose(0, 2, 1, 3), 1.0)
    np.testing.assert_allclose(y, expected.transpose(0, 2, 1, 3), rtol=1e-4, atol=1e-5)


def test_queries_that_see_nothing_and_numbers_that_are_none() -> None:
    q, k, v = normal((1, 1, 5, 8)), normal((1, 1, 40, 8), 1), normal((1, 1, 40, 8), 2)
    keep = np.ones((5, 40), bool)
    keep[1] = False
    keep[2, :39] = False
    [y] = run_node('edgeflow:Sdpa', [q, k, v, keep])
    assert np.isnan(y).all(-1).tolist() == [[[False, True, False, False, False]]]
    np.testing.assert_allclose(y[0, 0, 2], v[0, 0, 39], rtol=1e-6)
    [y] = run_node('edgeflow:CachedAttention', [q, k[:, :, :5], v[:, :, :5], k[:, :, :35], v[:, :, :35], keep, k, v], {'guard': 1})
    assert (y[0, 0, 1] == 0).all() and not np.isnan(y).any()
    q[0, 0, 3, 0] = np.nan
    [y] = run_node('edgeflow:Sdpa', [q, k, v])
    assert np.isnan(y).all(-1).tolist() == [[[False, False, False, True, False]]]
    lowest = np.full((5, 40), -3.4028235e38, np.float32)
    [y] = run_node('edgeflow:Sdpa', [np.zeros_like(q), k, v, lowest])
    np.testing.assert_allclose(y[0, 0, 0], v[0, 0].mean(0), rtol=1e-4, atol=1e-6)


def turned(x: np.ndarray, cos: np.ndarray, sin: np.ndarray, interleaved: bool) -> np.ndarray:
    """x [..., width] by angles whose cos and sin are [..., width / 2]."""
    pair = (x[..., ::2], x[..., 1::2]) if interleaved else np.split(x, 2, -1)
    made = (pair[0] * cos - pair[1] * sin, pair[1] * cos + pair[0] * sin)
    return np.stack(made, -1).reshape(x.shape) if interleaved else np.concatenate(made, -1)


def angles(positions: int, half: int) -> tuple[np.ndarray, np.ndarray]:
    table = np.arange(positions)[:, None] / 10.0 ** (np.arange(half) / half)
    return np.cos(table).astype(np.float32), np.sin(table).astype(np.float32)


@pytest.mark.parametrize('shape', [(2, 3, 5, 8), (1, 2, 4, 12)])
def test_rotary_of_halves(shape: tuple[int, ...]) -> None:
    x = normal(shape)
    cos, sin = (np.concatenate([table, table], -1)[None, None] for table in angles(shape[2], shape[3] // 2))
    [y] = run_node('edgeflow:Rotary', [x, cos, sin], {'half': shape[3] // 2})
    half = shape[3] // 2
    np.testing.assert_allclose(y, turned(x, cos[..., :half], sin[..., :half], False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('interleaved', [0, 1])
@pytest.mark.parametrize('flat', [False, True])
@pytest.mark.parametrize('whole', [False, True])
def test_rotary_embedding(interleaved: int, flat: bool, whole: bool) -> None:
    x = normal((2, 3, 4, 8))
    cos, sin = angles(20, 4)
    positions = np.array([[3, 1, 0, 7], [9, 10, 11, 12]]) if whole else np.array([5])
    given = x.transpose(0, 2, 1, 3).reshape(2, 4, 24) if flat else x
    [y] = run_node('com.microsoft:RotaryEmbedding', [given, positions, cos, sin], {'interleaved': interleaved, 'num_heads': 3})
    at = positions if whole else np.broadcast_to(5 + np.arange(4), (2, 4))
    expected = turned(x, cos[at][:, None], sin[at][:, None], bool(interleaved))
    np.testing.assert_allclose(y, expected.transpose(0, 2, 1, 3).reshape(2, 4, 24) if flat else expected, rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(rows=st.sampled_from([1, 3]), past=st.sampled_from([0, 5]), packed=st.booleans(), interleaved=st.sampled_from([-1, 0, 1]),
       softcap=st.sampled_from([0.0, 2.0]), window=st.sampled_from([-1, 2]), norms=st.booleans())
def test_grouped_queries(rows: int, past: int, packed: bool, interleaved: int, softcap: float, window: int, norms: bool) -> None:
    batch, heads, groups, width = 2, 4, 2, 8
    q, k, v = normal((batch, rows, heads, width)), normal((batch, rows, groups, width), 1), normal((batch, rows, groups, width), 2)
    flat = [x.reshape(batch, rows, -1) for x in (q, k, v)]
    old = [normal((batch, groups, past, width), 3), normal((batch, groups, past, width), 4)]
    # The second row of the batch has a shorter past, unless there is none.
    held = [past, max(0, past - 2)]
    cos, sin = angles(20, width // 2)
    gamma = [normal((width,), 5), normal((width,), 6)]
    inputs = [*([np.concatenate(flat, -1), None, None] if packed else flat), *(old if past else [None, None]),
              np.array([n + rows - 1 for n in held], np.int32), np.array([past + rows], np.int32), *([cos, sin] if interleaved >= 0 else [None, None])]
    if norms:
        inputs += [None] * 5 + gamma
    y, keys, values = run_node(
        'com.microsoft:GroupQueryAttention', inputs,
        {'num_heads': heads, 'kv_num_heads': groups, 'do_rotary': int(interleaved >= 0), 'rotary_interleaved': max(0, interleaved),
         'softcap': softcap, 'local_window_size': window, 'qk_norm_epsilon': 1e-6}, outputs=3, known=[6])

    def ready(x: np.ndarray, row: int, scale: np.ndarray) -> np.ndarray:
        x = x[row].transpose(1, 0, 2)
        if norms:
            x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * scale
        at = held[row] + np.arange(rows)
        return x if interleaved < 0 else turned(x, cos[at], sin[at], interleaved == 1)

    for row in range(batch):
        n = held[row]
        total_k = np.concatenate([old[0][row, :, :n], ready(k, row, gamma[1])], 1)
        total_v = np.concatenate([old[1][row, :, :n], v[row].transpose(1, 0, 2)], 1)
        place, key = n + np.arange(rows)[:, None], np.arange(n + rows)
        seen = (key <= place) & ((window < 0) | (key > place - window))
        expected = attended(ready(q, row, gamma[0])[None], total_k[None], total_v[None], width ** -0.5, np.where(seen, 0, -np.inf), softcap)
        np.testing.assert_allclose(y[row], expected[0].transpose(1, 0, 2).reshape(rows, -1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(keys[row, :, :n + rows], total_k, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(values[row, :, :n + rows], total_v, rtol=1e-5, atol=1e-6)
        assert (keys[row, :, n + rows:] == 0).all() and (values[row, :, n + rows:] == 0).all()


@pytest.mark.parametrize('past', [0, 3])
@pytest.mark.parametrize('causal', [0, 1])
def test_multi_head_attention(past: int, causal: int) -> None:
    batch, heads, rows, width = 2, 2, 3, 8
    q, k, v = (normal((batch, rows, heads, width), i) for i in range(3))
    old = [normal((batch, heads, past, width), 3), normal((batch, heads, past, width), 4)]
    bias = normal((1, heads, rows, past + rows), 5)
    inputs = [*(x.reshape(batch, rows, -1) for x in (q, k, v)), None, None, bias, *(old if past else [])]
    y, keys, values = run_node('com.microsoft:MultiHeadAttention', inputs, {'num_heads': heads, 'unidirectional': causal}, outputs=3)
    total = [np.concatenate([before, new.transpose(0, 2, 1, 3)], 2) for before, new in zip(old, (k, v), strict=True)]
    np.testing.assert_allclose(keys, total[0])
    np.testing.assert_allclose(values, total[1])
    late = np.arange(past + rows) > past + np.arange(rows)[:, None]
    expected = attended(q.transpose(0, 2, 1, 3), *total, width ** -0.5, bias + np.where(late & bool(causal), -np.inf, 0))
    np.testing.assert_allclose(y, expected.transpose(0, 2, 1, 3).reshape(batch, rows, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('packed', [False, True])
@pytest.mark.parametrize('zeros', [False, True])
def test_rows_of_a_quantised_table(packed: bool, zeros: bool) -> None:
    random = np.random.default_rng(5)
    rows, width, block = 6, 64, 16
    codes = random.integers(0, 16, (rows, width)).astype(np.uint8)
    scales = random.random((rows, width // block)).astype(np.float32)
    points = random.integers(0, 16, scales.shape).astype(np.uint8)
    pack = (lambda x: x[:, ::2] | x[:, 1::2] << 4) if packed else (lambda x: x)
    indices = np.array([[0, 5, -1], [2, 2, 3]])
    [y] = run_node('com.microsoft:GatherBlockQuantized', [pack(codes), indices, scales, *([pack(points)] if zeros else [])],
                   {'bits': 4, 'block_size': block, 'gather_axis': 0, 'quantize_axis': 1}, weights=[0, 2, 3])
    middle = np.repeat(points, block, 1).astype(np.float32) if zeros else 8.0
    np.testing.assert_allclose(y, ((codes - middle) * np.repeat(scales, block, 1))[indices], rtol=1e-6)


@pytest.mark.parametrize('mask', ['', 'lengths', 'keys', 'queries', 'bias', 'causal'])
def test_attention_of_onnxruntime(mask: str) -> None:
    batch, length, heads, width = 2, 5, 2, 8
    x, weights, bias = normal((batch, length, 12)), normal((12, 3 * heads * width), 1), normal((3 * heads * width,), 2)
    random = np.random.default_rng(3)
    inputs = [x, weights, bias]
    added = np.zeros(())
    if mask == 'lengths':
        inputs.append(np.array([3, 5], np.int32))
        added = np.where(np.arange(length) < inputs[3][:, None], 0, -50.0)[:, None, None]
    elif mask == 'keys' or mask == 'queries':
        inputs.append(random.integers(0, 2, (batch, length) if mask == 'keys' else (batch, length, length)).astype(np.int32))
        added = np.where(inputs[3], 0, -50.0).reshape(batch, 1, -1, length)
    elif mask == 'bias':
        inputs += [None, None, normal((1, heads, length, length), 4)]
        added = inputs[5]
    elif mask == 'causal':
        added = np.where(np.tri(length), 0, -np.inf)
    [y] = run_node('com.microsoft:Attention', inputs, {'num_heads': heads, 'mask_filter_value': -50.0, 'unidirectional': int(mask == 'causal')})
    q, k, v = ((x @ weights + bias).reshape(batch, length, 3, heads, width).transpose(2, 0, 3, 1, 4))
    expected = attended(q, k, v, width ** -0.5, added)
    np.testing.assert_allclose(y, expected.transpose(0, 2, 1, 3).reshape(batch, length, -1), rtol=1e-4, atol=1e-5)
