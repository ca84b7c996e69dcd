"""Elementwise, movement and indexing operators on the GPU against numpy: odd shapes, broadcasting, nothing at all, NaN and infinities."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor
from tests.gpu.driver import NotTaken, run_node

SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.5, 1e-3, 88.0, 100.0, -100.0, np.inf, -np.inf, np.nan, 12.25], np.float32)
erf = np.vectorize(math.erf, otypes=[np.float64])


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


UNARY: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    'Abs': np.abs, 'Neg': np.negative, 'Sign': np.sign, 'Ceil': np.ceil, 'Floor': np.floor, 'Round': np.round, 'Sqrt': np.sqrt,
    'Reciprocal': np.reciprocal, 'Relu': lambda x: np.where(x < 0, 0, x), 'Exp': np.exp, 'Log': np.log, 'Tanh': np.tanh,
    'Sigmoid': sigmoid, 'Softplus': softplus, 'Erf': erf, 'IsNaN': np.isnan, 'IsInf': np.isinf, 'Gelu': lambda x: 0.5 * x * (1 + erf(x / math.sqrt(2))),
    'HardSigmoid': lambda x: np.clip(0.2 * x + 0.5, 0, 1), 'LeakyRelu': lambda x: np.where(x < 0, 0.01 * x, x),
}


@pytest.mark.parametrize('name', sorted(UNARY))
@pytest.mark.filterwarnings('ignore::RuntimeWarning')
def test_what_is_no_number_or_infinite_goes_through_functions(name: str) -> None:
    [y] = run_node(name, [SPECIAL])
    expected = UNARY[name](SPECIAL.astype(np.float64))
    # The largest float32 is below exp(100).
    with np.errstate(over='ignore'):
        expected = expected.astype(y.dtype)
    if name == 'Exp':
        expected[8] = y[8]
        assert y[8] == pytest.approx(np.exp(88.0), rel=1e-5)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=4e-7)


@pytest.mark.parametrize(('name', 'function'), [('Sin', np.sin), ('Cos', np.cos)])
def test_sines_of_large_angles(name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
    x = np.concatenate([np.linspace(-9000, 9000, 301), np.linspace(-4, 4, 101), [np.nan, np.inf]]).astype(np.float32)
    [y] = run_node(name, [x])
    with np.errstate(invalid='ignore'):
        np.testing.assert_allclose(y, function(x.astype(np.float64)), atol=1e-6)


@st.composite
def broadcast_shapes(draw: st.DrawFn, count: int) -> tuple[list[tuple[int, ...]], tuple[int, ...]]:
    """Shapes that go together, and theirs together."""
    full = draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 5, 8]), min_size=1, max_size=4))
    shapes = []
    for _ in range(count):
        rank = draw(st.integers(0, len(full)))
        shapes.append(tuple(draw(st.sampled_from([1, dim])) for dim in full[len(full) - rank:]))
    return shapes, np.broadcast_shapes(*shapes)


BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    'Add': np.add, 'Div': np.divide, 'Max': np.maximum, 'Min': np.minimum, 'Less': np.less, 'GreaterOrEqual': np.greater_equal, 'Equal': np.equal,
}


def numbers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Mostly ordinary numbers."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape).astype(np.float32)
    odd = random.random(shape) < 0.1
    return np.where(odd, random.choice(SPECIAL, shape), x)


@settings(max_examples=40, deadline=None)
@given(shapes=broadcast_shapes(2), name=st.sampled_from(sorted(BINARY)), seed=st.integers(0, 99))
def test_binary_operators_broadcast(shapes: tuple[list[tuple[int, ...]], tuple[int, ...]], name: str, seed: int) -> None:
    a, b = numbers(shapes[0][0], seed), numbers(shapes[0][1], seed + 100)
    [y] = run_node(name, [a, b])
    with np.errstate(all='ignore'):
        np.testing.assert_allclose(y, BINARY[name](a, b), rtol=3e-7)


@settings(max_examples=25, deadline=None)
@given(shapes=broadcast_shapes(3), seed=st.integers(0, 99), dtype=st.sampled_from([np.float32, np.int64, np.bool_]))
def test_where_broadcasts(shapes: tuple[list[tuple[int, ...]], tuple[int, ...]], seed: int, dtype: type) -> None:
    random = np.random.default_rng(seed)
    condition = random.random(shapes[0][0]) < 0.5
    a, b = (random.integers(-5, 5, shape).astype(dtype) for shape in shapes[0][1:])
    [y] = run_node('Where', [condition, a, b])
    np.testing.assert_array_equal(y, np.where(condition, a, b))


@settings(max_examples=25, deadline=None)
@given(size=st.integers(1, 9), fmod=st.sampled_from([0, 1]), seed=st.integers(0, 99))
def test_integer_division_and_remainder(size: int, fmod: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    a = random.integers(-40, 40, size)
    b = random.choice([-7, -3, -1, 1, 2, 5], size)
    [y] = run_node('Mod', [a, b], {'fmod': fmod})
    np.testing.assert_array_equal(y, np.fmod(a, b) if fmod else np.mod(a, b))
    [y] = run_node('Div', [a, b])
    np.testing.assert_array_equal(y, np.trunc(a / b).astype(np.int64))


@pytest.mark.parametrize('exponent', [2.0, 3.0, 0.5, -1.0, 1.5, 0.0])
@pytest.mark.parametrize('known', [[], [1]])
def test_powers(exponent: float, known: list[int]) -> None:
    x = np.array([0, 1, -1, 2, -3, 0.5, -0.25, 7, np.nan, np.inf, -np.inf], np.float32)
    [y] = run_node('Pow', [x, np.array(exponent, np.float32)], known=known)
    expected = [math.inf if v == 0 and exponent < 0 else math.nan if -math.inf < v < 0 and exponent % 1 else math.pow(v, exponent) for v in x]
    np.testing.assert_allclose(y, expected, rtol=3e-6)


def test_a_whole_power_of_a_negative_number() -> None:
    x = np.array([-2, -2, -2, 0, -3], np.float32)
    [y] = run_node('Pow', [x, np.array([3, 4, -1, 0, 5], np.float32)])
    np.testing.assert_allclose(y, [-8, 16, -0.5, 1, -243], rtol=1e-5)


@pytest.mark.parametrize('name', ['uint8', 'int8', 'int32', 'bool', 'float32'])
def test_casts(name: str) -> None:
    code = {'float32': 1, 'uint8': 2, 'int8': 3, 'int32': 6, 'bool': 9}[name]
    for x in [np.array([0, 1.7, -1.7, 300.2, -200], np.float32), np.array([0, 5, -7, 300, -200]), np.array([True, False, True])]:
        [y] = run_node('Cast', [x], {'to': code})
        np.testing.assert_array_equal(y, (x.astype(np.int64) if name in ('uint8', 'int8') else x).astype(name))


def test_a_cast_to_float16_keeps_its_digits() -> None:
    x = np.array([1 / 3, -1e5, 65504, 65519.9, -65520, 2049, 2051, 0.1, 3e-5, 6.1e-5, 8.9e-8, -1e-9, np.nan, np.inf, 0], np.float32)
    with np.errstate(over='ignore'):
        for given in [x, np.array([2049, -4099, 7])]:
            [y] = run_node('Cast', [given], {'to': 10})
            np.testing.assert_array_equal(y, given.astype(np.float16).astype(np.float32))


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), data=st.data())
def test_transpose_and_slice(shape: list[int], data: st.DataObject) -> None:
    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    perm = data.draw(st.permutations(range(len(shape))))
    [y] = run_node('Transpose', [x], {'perm': list(perm)})
    np.testing.assert_array_equal(y, x.transpose(perm))
    starts, ends, steps = [], [], []
    for dim in shape:
        starts.append(data.draw(st.integers(-dim - 1, dim + 1)))
        ends.append(data.draw(st.integers(-dim - 1, dim + 1)))
        steps.append(data.draw(st.sampled_from([1, 2, -1])))
    [y] = run_node('Slice', [x, *(np.array(list_) for list_ in (starts, ends, list(range(len(shape))), steps))], known=[1, 2, 3, 4])
    expected = x
    for axis, (start, end, step) in enumerate(zip(starts, ends, steps, strict=True)):
        low = None if step < 0 and end < -shape[axis] else end
        expected = expected[(slice(None),) * axis + (slice(start, low, step),)]
    np.testing.assert_array_equal(y, expected)


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(0, 5), min_size=1, max_size=10), axis=st.integers(0, 2), inner=st.sampled_from([1, 3, 4]))
def test_concat_of_many(sizes: list[int], axis: int, inner: int) -> None:
    shapes = [[2, 3, inner] for _ in sizes]
    for shape, size in zip(shapes, sizes, strict=True):
        shape[axis] = size
    parts = [np.full(shape, i, np.float32) + np.arange(np.prod(shape)).reshape(shape) / 100 for i, shape in enumerate(shapes)]
    [y] = run_node('Concat', [part.astype(np.float32) for part in parts], {'axis': axis})
    np.testing.assert_array_equal(y, np.concatenate(parts, axis).astype(np.float32))


@pytest.mark.parametrize('mode', ['constant', 'edge', 'reflect', 'wrap'])
def test_pad(mode: str) -> None:
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    [y] = run_node('Pad', [x, np.array([1, 2, 3, 0, 1, 2])], {'mode': mode}, known=[1])
    np.testing.assert_array_equal(y, np.pad(x, [(1, 0), (2, 1), (3, 2)], mode))


@settings(max_examples=30, deadline=None)
@given(shape=st.lists(st.sampled_from([1, 2, 3, 4, 8]), min_size=1, max_size=3), axis=st.integers(0, 2), over=st.lists(st.integers(0, 4), max_size=2),
       weights=st.sampled_from([np.float32, np.uint8, np.int8, np.int64]), seed=st.integers(0, 99))
def test_gather(shape: list[int], axis: int, over: list[int], weights: type, seed: int) -> None:
    """8-bit tables are weights, four elements a word."""
    random = np.random.default_rng(seed)
    axis = axis % len(shape)
    table = random.integers(0, 100, shape).astype(weights)
    indices = random.integers(-shape[axis], shape[axis], over)
    [y] = run_node('Gather', [table, indices], {'axis': axis}, weights=[0] if np.dtype(weights).itemsize == 1 else [])
    np.testing.assert_array_equal(y, np.take(table, indices, axis))


@pytest.mark.parametrize('index', [3, -4])
@pytest.mark.parametrize('key', ['Gather', 'GatherElements', 'GatherND', 'ScatterElements', 'ScatterND'])
def test_an_index_out_of_range_fails_the_run(key: str, index: int) -> None:
    table = np.zeros((3, 4), np.float32)
    indices = {'GatherND': [[index, 0]], 'ScatterND': [[index, 0]], 'Gather': [0, index]}.get(key, [[0, 0, 0, index]])
    updates = {'ScatterElements': [np.ones((1, 4), np.float32)], 'ScatterND': [np.ones(1, np.float32)]}.get(key, [])
    with pytest.raises(EdgeflowError, match=key):
        run_node(key, [table, np.array(indices), *updates])


@pytest.mark.parametrize('reduction', ['none', 'add', 'mul', 'min', 'max'])
@pytest.mark.parametrize('dtype', [np.float32, np.int64])
def test_scatters_combine_what_meets(reduction: str, dtype: type) -> None:
    random = np.random.default_rng(3)
    data = random.integers(-9, 9, (5, 4)).astype(dtype)
    rows = np.array([[1], [3], [0]] if reduction == 'none' else [[1], [3], [1]])
    updates = random.integers(-9, 9, (3, 4)).astype(dtype)
    [y] = run_node('ScatterND', [data, rows, updates], {'reduction': reduction})
    expected = data.copy()
    combine = {'none': lambda a, b: b, 'add': np.add, 'mul': np.multiply, 'min': np.minimum, 'max': np.maximum}[reduction]
    for row, update in zip(rows[:, 0], updates, strict=True):
        expected[row] = combine(expected[row], update)
    np.testing.assert_array_equal(y, expected)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 3), columns=st.sampled_from([3, 8, 16]), block=st.sampled_from([0, 4]), dtype=st.sampled_from([np.uint8, np.int8]))
def test_dequantize_and_quantize(rows: int, columns: int, block: int, dtype: type) -> None:
    random = np.random.default_rng(columns)
    x = random.integers(0, 100, (rows, columns)).astype(dtype)
    if block and columns % block:
        return
    scale = random.random((rows, columns // block) if block else columns).astype(np.float32) + 0.1
    zero = random.integers(0, 9, scale.shape).astype(dtype)
    attributes = {'axis': 1, 'block_size': block}
    wide = [np.repeat(part, block, 1) if block else part for part in (scale, zero)]
    for weights in [[], [0, 2]]:
        [y] = run_node('DequantizeLinear', [x, scale, zero], attributes, weights=weights)
        np.testing.assert_allclose(y, (x.astype(np.float32) - wide[1].astype(np.float32)) * wide[0], rtol=1e-6)
    [q] = run_node('QuantizeLinear', [y, scale, zero], attributes)
    np.testing.assert_array_equal(q, x)


def test_types_without_a_kernel_are_left_to_wasm() -> None:
    with pytest.raises(NotTaken):
        run_node('Pow', [np.zeros(3, np.int32), np.zeros(3, np.int32)])
    with pytest.raises(NotTaken):
        run_node('Mod', [np.zeros(3, np.float32), np.ones(3, np.float32)], {'fmod': 1})


async def test_a_chain_that_one_other_reads_becomes_part_of_it() -> None:
    """Gather -> Mul -> Add -> Tanh in one dispatch, whose bad index is still the Gather's."""
    table, scale, bias = (np.random.default_rng(i).standard_normal(shape).astype(np.float32) for i, shape in enumerate([(5, 8), (8,), (3, 1)]))
    nodes = [helper.make_node('Gather', ['table', 'ids'], ['a'], name='look-up'), helper.make_node('Mul', ['a', 'scale'], ['b']),
             helper.make_node('Add', ['b', 'bias'], ['c']), helper.make_node('Tanh', ['c'], ['d'], name='end'),
             # Read twice, so it is stored.
             helper.make_node('Neg', ['d'], ['e']), helper.make_node('Mul', ['e', 'd'], ['f'])]
    graph = helper.make_graph(
        nodes, 'chain', [helper.make_tensor_value_info('ids', TensorProto.INT64, ['n'])], [helper.make_tensor_value_info('f', TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in [('table', table), ('scale', scale), ('bias', bias)]])
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 17)], ir_version=9).SerializeToString()
    model = await create_model(memoryview(data), {}, 'webgpu')
    ids = np.array([4, 0, -2])
    results = await model.run({'ids': tensor(ids)})
    expected = np.tanh(table[ids] * scale + bias)
    np.testing.assert_allclose(results['f'].data.reshape(3, 8), -expected * expected, rtol=1e-5, atol=1e-6)
    assert model.placement().nodes == {'Tanh': 1, 'Mul': 1}
    with pytest.raises(EdgeflowError, match='look-up'):
        await model.run({'ids': tensor(np.array([1, 5, 0]))})
    model.dispose()
