"""Every tensor operation against numpy, on generated shapes, types and values: in CPython, and the same cases in Node."""

from __future__ import annotations

import asyncio
import builtins
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import edgeflow
from edgeflow import EdgeflowError, tensor, with_memory_scope
from tests.memory.node_side import NodeSide, to_numpy

FLOATS = ['float16', 'float32', 'float64']
INTS = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64']
DTYPES = [*FLOATS, *INTS, 'bool']
TOLERANCE = {'float16': (2e-3, 1e-3), 'float32': (2e-5, 1e-5), 'float64': (1e-11, 1e-11)}


@pytest.fixture(scope='module')
def node(dist: Path) -> Iterator[NodeSide]:
    asyncio.run(edgeflow.load_operations())
    side = NodeSide(dist / 'edgeflow.js')
    yield side
    side.close()


def arrays(dtypes: list[str] = DTYPES, shapes: st.SearchStrategy | None = None, wild: bool = False) -> st.SearchStrategy:
    """Arrays of any of these types: any integers; floats of moderate size, or with nan, infinity and the largest half floats too."""
    found = shapes if shapes is not None else hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)

    def of(dtype: str) -> st.SearchStrategy:
        if dtype in FLOATS:
            return hnp.arrays(dtype, found, elements=st.floats(width=16) if wild else st.floats(-60, 60, width=16))
        return hnp.arrays(dtype, found)

    return st.sampled_from(dtypes).flatmap(of)


@st.composite
def pairs(draw: st.DrawFn, dtypes: list[str] = DTYPES) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays whose shapes broadcast."""
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=4, min_side=0)).input_shapes
    return draw(arrays(dtypes, st.just(shapes[0]), True)), draw(arrays(dtypes, st.just(shapes[1]), True))


@st.composite
def with_axis(draw: st.DrawFn, dtypes: list[str] = DTYPES, min_side: int = 0, wild: bool = False) -> tuple[np.ndarray, int]:
    array = draw(arrays(dtypes, hnp.array_shapes(min_dims=1, max_dims=4, min_side=min_side, max_side=4), wild))
    return array, draw(st.integers(-array.ndim, array.ndim - 1))


def as_tensors(x: object) -> object:
    if isinstance(x, np.ndarray):
        return tensor(x)
    return [as_tensors(item) for item in x] if isinstance(x, list) else x


def compare(got: np.ndarray, expected: np.ndarray, where: str) -> None:
    assert got.dtype == expected.dtype, where
    assert got.shape == expected.shape, where
    if expected.dtype.name in TOLERANCE:
        rtol, atol = TOLERANCE[expected.dtype.name]
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, equal_nan=True, err_msg=where)
    else:
        np.testing.assert_array_equal(got, expected, err_msg=where)


def check(node: NodeSide, name: str, args: list[object], expected: np.ndarray, options: dict[str, object] | None = None) -> None:
    """The operation gives `expected` in both worlds, and leaves no tensor behind."""
    given_options = options if options is not None else {}

    def work(_: object) -> np.ndarray:
        return to_numpy(getattr(edgeflow, name)(*[as_tensors(x) for x in args], **given_options)).copy()

    before = edgeflow.memory_stats().tensors
    compare(with_memory_scope(work), np.asarray(expected), 'CPython')
    assert edgeflow.memory_stats().tensors == before
    compare(node.call(name, *args, *([given_options] if given_options else [])), np.asarray(expected), 'Node')
    assert node.tensors == 0


def quiet(function: Callable[[], np.ndarray]) -> np.ndarray:
    """numpy warns of nan and overflow; here they are expected."""
    with np.errstate(all='ignore'), warnings.catch_warnings():
        warnings.simplefilter('ignore', RuntimeWarning)
        return function()


@given(pair=pairs(), name=st.sampled_from(['add', 'sub', 'mul', 'div']))
def test_arithmetic(node: NodeSide, pair: tuple[np.ndarray, np.ndarray], name: str) -> None:
    a, b = pair
    if name == 'sub' and a.dtype == b.dtype == np.bool_:
        for call in (lambda: edgeflow.sub(tensor(a), tensor(b)), lambda: node.call('sub', a, b)):
            with pytest.raises(EdgeflowError) as e:
                call()
            assert e.value.code == 'invalid-argument'
        return
    function = {'add': np.add, 'sub': np.subtract, 'mul': np.multiply, 'div': np.true_divide}[name]
    check(node, name, [a, b], quiet(lambda: function(a, b)))


@given(array=arrays(), x=st.one_of(st.integers(0, 100), st.floats(-60, 60, width=16), st.booleans()), name=st.sampled_from(['add', 'mul', 'div']))
def test_bare_numbers_take_the_type_of_the_tensor(node: NodeSide, array: np.ndarray, x: float, name: str) -> None:
    # Whole numbers are integers here; beside floats that makes no difference.
    beside = int(x) if not isinstance(x, bool) and x == int(x) and array.dtype.kind != 'f' else x
    if not isinstance(beside, bool) and array.dtype.kind in 'iu' and isinstance(beside, int):
        assume(np.iinfo(array.dtype).min <= beside <= np.iinfo(array.dtype).max)
    function = {'add': np.add, 'mul': np.multiply, 'div': np.true_divide}[name]
    check(node, name, [array, x], quiet(lambda: function(array, beside)))


@given(data=st.data(), dtypes=st.tuples(st.sampled_from(DTYPES), st.sampled_from(DTYPES)))
def test_matmul(node: NodeSide, data: st.DataObject, dtypes: tuple[str, str]) -> None:
    shapes = data.draw(hnp.mutually_broadcastable_shapes(signature='(m?,k),(k,n?)->(m?,n?)', max_dims=2, max_side=4, min_side=0)).input_shapes
    a = data.draw(arrays([dtypes[0]], st.just(shapes[0])))
    b = data.draw(arrays([dtypes[1]], st.just(shapes[1])))
    expected = quiet(lambda: np.asarray(np.matmul(a, b)))
    if expected.dtype == np.float16:
        expected = quiet(lambda: np.matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16))
    assume(expected.dtype.kind != 'f' or np.abs(np.where(np.isfinite(expected), expected, 0)).astype(np.float64).max(initial=0) < 1e16)
    got = [with_memory_scope(lambda _: to_numpy(edgeflow.matmul(tensor(a), tensor(b))).copy()), node.call('matmul', a, b)]
    for found in got:
        assert found.dtype == expected.dtype and found.shape == expected.shape
        if expected.dtype.kind != 'f':
            np.testing.assert_array_equal(found, expected)
        else:
            terms = quiet(lambda: np.abs(np.matmul(np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64)))))
            bound = TOLERANCE[expected.dtype.name][0] * terms + 1e-3
            finite = np.isfinite(expected)
            np.testing.assert_array_equal(np.isfinite(found), finite)
            assert np.all(np.abs(np.where(finite, found.astype(np.float64) - expected.astype(np.float64), 0)) <= bound)


def float_for(array: np.ndarray) -> np.ndarray:
    return array.astype(quiet(lambda: np.tanh(array)).dtype)


def stable_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    wide = x.astype(np.float64)
    powers = np.exp(wide - wide.max(axis=axis, keepdims=True, initial=-np.inf))
    return (powers / powers.sum(axis=axis, keepdims=True)).astype(x.dtype)


@given(array=arrays(wild=True), name=st.sampled_from(['relu', 'sigmoid', 'tanh']))
def test_functions(node: NodeSide, array: np.ndarray, name: str) -> None:
    if name == 'relu':
        expected = np.maximum(array, 0)
    elif name == 'tanh':
        expected = np.tanh(array)
    else:
        x = float_for(array).astype(np.float64)
        expected = quiet(lambda: 1 / (1 + np.exp(-x))).astype(float_for(array).dtype)
    check(node, name, [array], expected)


@given(case=with_axis(min_side=1))
def test_softmax(node: NodeSide, case: tuple[np.ndarray, int]) -> None:
    array, axis = case
    check(node, 'softmax', [array, axis], stable_softmax(float_for(array), axis))


@given(data=st.data(), array=arrays(), keepdims=st.booleans(), name=st.sampled_from(['sum', 'mean']))
def test_sum_and_mean(node: NodeSide, data: st.DataObject, array: np.ndarray, keepdims: bool, name: str) -> None:
    axes = st.lists(st.sampled_from(range(array.ndim)), unique=True) if array.ndim else st.just([])
    axis = data.draw(st.one_of(st.none(), axes, *([st.integers(-array.ndim, array.ndim - 1)] if array.ndim else [])))
    numpy_axis = tuple(axis) if isinstance(axis, list) else axis
    function = np.sum if name == 'sum' else np.mean
    expected = quiet(lambda: np.asarray(function(array, axis=numpy_axis, keepdims=keepdims)))
    check(node, name, [array, axis], expected, {'keepdims': keepdims})


@given(case=with_axis(min_side=1, wild=True), whole=st.booleans(), keepdims=st.booleans())
def test_argmax(node: NodeSide, case: tuple[np.ndarray, int], whole: bool, keepdims: bool) -> None:
    array, axis = case
    along = None if whole else axis
    check(node, 'argmax', [array, along], np.asarray(np.argmax(array, axis=along, keepdims=keepdims)), {'keepdims': keepdims})


@given(array=st.just(np.array([1, np.nan, 3, np.nan], np.float32)), name=st.sampled_from(['argmax', 'sum', 'relu', 'softmax']))
def test_nan_goes_through(node: NodeSide, array: np.ndarray, name: str) -> None:
    expected = {'argmax': np.argmax(array), 'sum': np.float32(np.nan), 'relu': np.maximum(array, 0), 'softmax': np.full(4, np.nan, np.float32)}[name]
    check(node, name, [array], np.asarray(expected))


@given(data=st.data(), case=with_axis(wild=True), count=st.integers(1, 3))
def test_concat(node: NodeSide, data: st.DataObject, case: tuple[np.ndarray, int], count: int) -> None:
    array, axis = case
    parts = [array]
    for _ in range(count):
        shape = list(array.shape)
        shape[axis] = data.draw(st.integers(0, 3))
        parts.append(data.draw(arrays(shapes=st.just(tuple(shape)))))
    along = None if data.draw(st.booleans()) else axis
    check(node, 'concat', [parts, along], np.concatenate(parts, axis=along))


@given(data=st.data(), array=arrays(wild=True))
def test_shapes(node: NodeSide, data: st.DataObject, array: np.ndarray) -> None:
    order = data.draw(st.permutations(range(array.ndim)))
    check(node, 'transpose', [array, list(order)], array.transpose(order))
    check(node, 'transpose', [array], array.T)
    check(node, 'reshape', [array, [array.size]], array.reshape(array.size))
    check(node, 'reshape', [array, list(reversed(array.shape))], array.reshape(array.shape[::-1]))
    if array.size > 0:
        check(node, 'reshape', [array, [-1, 1]], array.reshape(-1, 1))


@given(data=st.data(), array=arrays(wild=True))
def test_slice(node: NodeSide, data: st.DataObject, array: np.ndarray) -> None:
    part = st.one_of(st.none(), st.integers(-6, 6))
    count = data.draw(st.integers(0, array.ndim))
    starts, stops, steps = (
        [data.draw(part) for _ in range(count)], [data.draw(part) for _ in range(count)],
        [data.draw(part.filter(lambda x: x != 0)) for _ in range(count)])
    ranges = tuple(builtins.slice(*three) for three in zip(starts, stops, steps))
    check(node, 'slice', [array, starts, stops, steps], array[ranges])


@given(dims=st.lists(st.integers(0, 5), max_size=3), value=st.integers(0, 1), dtype=st.sampled_from(DTYPES))
def test_filled(node: NodeSide, dims: list[int], value: int, dtype: str) -> None:
    check(node, 'zeros', [dims, dtype], np.zeros(dims, dtype))
    check(node, 'ones', [dims, dtype], np.ones(dims, dtype))
    check(node, 'full', [dims, value * 7, dtype], np.full(dims, value * 7, dtype))


@given(start=st.integers(-20, 20), span=st.integers(-40, 40), step=st.sampled_from([-2.5, -1, -0.25, 0.5, 1, 3]), dtype=st.sampled_from(FLOATS))
def test_ranges(node: NodeSide, start: int, span: int, step: float, dtype: str) -> None:
    stop = start + span
    check(node, 'arange', [start, stop, step, dtype], np.arange(start, stop, step, np.float64).astype(dtype))
    check(node, 'linspace', [start, stop, abs(span), dtype], np.linspace(start, stop, abs(span), dtype=dtype))
    check(node, 'linspace', [start, stop, abs(span), 'int64'], np.linspace(start, stop, abs(span), dtype=np.int64))
    check(node, 'arange', [abs(span), None, 1, 'int64'], np.arange(abs(span)))


@given(n=st.integers(0, 5), m=st.one_of(st.none(), st.integers(0, 5)), k=st.integers(-6, 6), dtype=st.sampled_from(DTYPES))
def test_eye(node: NodeSide, n: int, m: int | None, k: int, dtype: str) -> None:
    check(node, 'eye', [n, m, k, dtype], np.eye(n, m, k, dtype))


def lowbias32(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def chance(count: int, seed: int, stream: int) -> np.ndarray:
    low, high = np.array([seed % 2**32], np.uint32), np.array([seed // 2**32 % 2**32], np.uint32)
    key = lowbias32(lowbias32(low + np.uint32(2654435769 + stream)) ^ high)
    other = lowbias32(key + np.uint32(2246822507))
    return lowbias32(lowbias32(np.arange(count, dtype=np.uint32) ^ key) + other)


@given(dims=st.lists(st.integers(0, 5), max_size=3), seed=st.integers(-(2**53) + 1, 2**53 - 1), dtype=st.sampled_from(FLOATS))
def test_seeded_chance(node: NodeSide, dims: list[int], seed: int, dtype: str) -> None:
    """The same numbers as the same generator in numpy, in both worlds."""
    bits = {'float64': 32, 'float32': 24, 'float16': 11}[dtype]
    count = int(np.prod(dims, dtype=np.int64))
    with np.errstate(over='ignore'):
        uniform = ((chance(count, seed, 0) >> np.uint32(32 - bits)).astype(np.float64) * 2.0**-bits).astype(dtype).reshape(dims)
        radius = np.sqrt(-2 * np.log((chance(count, seed, 1).astype(np.float64) + 0.5) * 2.0**-32))
        normal = (radius * np.cos(chance(count, seed, 2).astype(np.float64) * 2.0**-31 * np.pi)).astype(dtype).reshape(dims)
    check(node, 'random', [dims], uniform, {'seed': seed, 'dtype': dtype})
    check(node, 'randn', [dims], normal, {'seed': seed, 'dtype': dtype})


def test_chance_looks_like_chance() -> None:
    asyncio.run(edgeflow.load_operations())
    n = 200_000
    uniform = to_numpy(edgeflow.random([n], seed=11, dtype='float64'))
    normal = to_numpy(edgeflow.randn([n], seed=11, dtype='float64'))
    assert uniform.min() >= 0 and uniform.max() < 1
    assert abs(uniform.mean() - 0.5) * np.sqrt(12 * n) < 4
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) * np.sqrt(n) < 4
    counts = np.histogram(uniform, 100, (0, 1))[0]
    assert 40 < ((counts - n / 100) ** 2 / (n / 100)).sum() < 180
    assert abs(normal.mean()) * np.sqrt(n) < 4
    assert abs(normal.var() - 1) * np.sqrt(n / 2) < 4
    assert abs((normal**4).mean() - 3) * np.sqrt(n / 96) < 4
    other = to_numpy(edgeflow.random([n], seed=12, dtype='float64'))
    assert abs(np.corrcoef(uniform, other)[0, 1]) * np.sqrt(n) < 4
    assert not np.array_equal(to_numpy(edgeflow.random([8])), to_numpy(edgeflow.random([8])))
