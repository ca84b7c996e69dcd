"""Attention to keys and values in sessions' pages, by its kernels, beside numpy: pages of float32 and of float16."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pytest

from edgeflow.backends.wasm.pages import MOST_ROWS, PAGE, ROW_WORDS
from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.cached_step import StepAttention, attend_step
from edgeflow.backends.webgpu.lower_cached import Seeing, Turning, append, attend, whole
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.values import Value
from tests.gpu.driver import _Constants, _execute, gpu

GROUPS = 2
SHARE = 3


class Session:
    """A session of `cached` tokens whose pages lie scattered in a pool; keys, values: [tokens, GROUPS, width]."""

    def __init__(self, width: int, cached: int, half: bool, threads: bool) -> None:
        self.rng = np.random.default_rng(width + cached)
        self.width, self.cached = width, cached
        self.kind = np.float16 if half else np.float32
        features = gpu().features
        self.b = GpuBuilder(_Constants(), dataclasses.replace(features, software=features.software and not threads))
        pairs = (width + 1) // 2
        self.size = 2 * GROUPS * PAGE * pairs
        count = (cached + 8) // PAGE + 1
        self.places = self.rng.permutation(count) * self.size
        table = np.zeros(MOST_ROWS * ROW_WORDS + count, np.int32)
        table[[0, 2]] = cached, MOST_ROWS * ROW_WORDS
        table[MOST_ROWS * ROW_WORDS:] = self.places
        self.pool = np.zeros((count * self.size, 2), self.kind)
        self.keys, self.values = (self.drawn([cached, GROUPS, width]).astype(self.kind).astype(np.float32) for _ in range(2))
        for token in range(cached):
            self.put(self.pool, token, self.keys[token], self.values[token])
        self.arrays: dict[int, np.ndarray] = {}
        self.table = self.given(table)
        self.pool_value = self.given(self.pool.reshape(-1), 'float32')
        self.pool_value.initializer = 'pool'
        self.pool_value.half = half
        self.cache = CacheLayout(self.table, {}, [0, GROUPS * PAGE * pairs], 0, self.pool_value)

    def drawn(self, shape: list[int]) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(np.float32)

    def given(self, array: np.ndarray, dtype: str = '') -> Value:
        value = self.b.new_value('given', dtype or array.dtype.name, list(array.shape))
        self.arrays[value.number] = array
        return value

    def put(self, pool: np.ndarray, token: int, keys: np.ndarray, values: np.ndarray) -> None:
        """A token's keys and values [GROUPS, width] into an array of the pool's form."""
        pairs = (self.width + 1) // 2
        page = pool[self.places[token // PAGE]:][:self.size]
        odd = ((0, 0), (0, self.width % 2))
        page[:self.size // 2].reshape(GROUPS, pairs, PAGE, 2)[:, :, token % PAGE] = np.pad(keys, odd).reshape(GROUPS, pairs, 2)
        page[self.size // 2:].reshape(GROUPS, PAGE, pairs, 2)[:, token % PAGE] = np.pad(values, odd).reshape(GROUPS, pairs, 2)

    def run(self, output: Value) -> tuple[np.ndarray, np.ndarray]:
        """What was made, and the pool behind it."""
        made, pool = asyncio.run(_execute(self.b, self.arrays, [output, self.pool_value]))
        assert made is not None and pool is not None
        return made, pool.reshape(-1, 2)


def attention(queries: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: float, window: int, softcap: float) -> np.ndarray:
    """A query a head: [heads, width], of all keys [tokens, GROUPS, width] up to its own, the last."""
    made = []
    first = max(0, len(keys) - window) if window > 0 else 0
    for head, query in enumerate(queries):
        scores = keys[first:, head // SHARE].astype(np.float64) @ query * scale
        scores = softcap * np.tanh(scores / softcap) if softcap > 0 else scores
        powers = np.exp(scores - scores.max())
        made.append(powers @ values[first:, head // SHARE] / powers.sum())
    return np.array(made)


CASES = [(16, 3, 0, 0.0), (64, 0, 0, 0.0), (64, 333, 0, 0.0), (64, 640, 100, 0.0), (48, 130, 0, 5.0), (128, 200, 0, 0.0), (256, 70, 0, 0.0), (80, 64, 0, 0.0)]


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('threads', [False, True])
@pytest.mark.parametrize(('width', 'cached', 'window', 'softcap'), CASES)
def test_a_token_attends_to_pages_and_is_appended(width: int, cached: int, window: int, softcap: float, threads: bool, half: bool) -> None:
    s = Session(width, cached, half, threads)
    q, k, v = s.drawn([1, GROUPS * SHARE, 1, width]), s.drawn([1, GROUPS, 1, width]), s.drawn([1, GROUPS, 1, width])
    values = [s.given(x) for x in (q, k, v)]
    y = s.b.temporary('float32', [1, GROUPS * SHARE, 1, width])
    strides = [GROUPS * SHARE * width, GROUPS * width, GROUPS * width]
    assert attend_step(s.b, s.cache, StepAttention(
        values, [0, 0, 0], strides, y, GROUPS * SHARE, GROUPS, width, s.cache.offsets, 0.3, cached, window=window, softcap=softcap))
    made, pool = s.run(y)
    k, v = k.reshape(1, GROUPS, width), v.reshape(1, GROUPS, width)
    expected = attention(q.reshape(-1, width), np.concatenate([s.keys, k]), np.concatenate([s.values, v]), 0.3, window, softcap)
    np.testing.assert_allclose(made.reshape(-1, width), expected, rtol=1e-4, atol=2e-5)
    wanted = s.pool.copy()
    s.put(wanted, cached, k[0], v[0])
    np.testing.assert_allclose(pool, wanted, rtol=1e-3 if half else 0)


@pytest.mark.parametrize('half', [False, True])
@pytest.mark.parametrize('threads', [False, True])
@pytest.mark.parametrize(('width', 'cached', 'rows', 'window'), [(9, 62, 5, 0), (64, 190, 7, 0), (64, 190, 6, 70), (256, 3, 4, 2), (16, 0, 3, 0)])
def test_several_tokens_are_appended_and_attend(width: int, cached: int, rows: int, window: int, threads: bool, half: bool) -> None:
    s = Session(width, cached, half, threads)
    q, k, v = s.drawn([1, GROUPS * SHARE, rows, width]), s.drawn([1, GROUPS, rows, width]), s.drawn([1, GROUPS, rows, width])
    values = [s.given(x) for x in (q, k, v)]
    y = s.b.temporary('float32', [1, GROUPS * SHARE, rows, width])
    append(s.b, s.cache, whole(values[1]), whole(values[2]), s.cache.offsets, Turning())
    attend(s.b, s.cache, whole(values[0]), GROUPS, whole(y), s.cache.offsets, Seeing(0.3, cached, 0, window))
    made, pool = s.run(y)
    k, v = (x[0].transpose(1, 0, 2).astype(s.kind).astype(np.float32) for x in (k, v))
    wanted = s.pool.copy()
    for row in range(rows):
        keys, seen = np.concatenate([s.keys, k[:row + 1]]), np.concatenate([s.values, v[:row + 1]])
        np.testing.assert_allclose(made[0, :, row], attention(q[0, :, row], keys, seen, 0.3, window, 0), rtol=1e-4, atol=2e-5)
        s.put(wanted, cached + row, k[row], v[row])
    # An adapter may round to either neighbour.
    np.testing.assert_allclose(pool, wanted, rtol=1e-3 if half else 0)


def test_what_float16_cannot_hold_is_the_largest_that_it_can() -> None:
    s = Session(64, 0, True, True)
    k = np.full([1, GROUPS, 1, 64], 1e6, np.float32)
    v = np.full([1, GROUPS, 1, 64], -7e4, np.float32)
    values = [s.given(x) for x in (k, v)]
    append(s.b, s.cache, whole(values[0]), whole(values[1]), s.cache.offsets, Turning())
    _, pool = s.run(values[0])
    wanted = s.pool.copy()
    s.put(wanted, 0, np.full([GROUPS, 64], 65504, np.float16), np.full([GROUPS, 64], -65504, np.float16))
    np.testing.assert_array_equal(pool, wanted)
