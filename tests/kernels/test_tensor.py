"""Generic tensor kernels through wasmtime against numpy: every type, ranks 0 to 6, broadcasting, empty dims, NaN, infinities.

One file because all kernels share the strategies and the comparison at its head.
"""

from __future__ import annotations

import math

import ml_dtypes
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeflow.backends.wasm.lower_elementwise import BINARY_IDS, UNARY_IDS
from edgeflow.backends.wasm.strides import broadcast_strides, collapse, row_major
from edgeflow.ir.dtype import DTYPE_CODES
from tests.kernels.driver import VARIANTS, At, InOut, KernelFailed, Kernels, Out, Scratch, kernels, real

# An eighth of what the profile asks for: there are many tests here, each of many elements.
few = settings(max_examples=max(10, settings().max_examples // 8), deadline=None)

ERROR_INDEX, ERROR_DIVISION = 1, 2
INTEGERS = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64']
FLOATS = ['float32', 'float64']
DTYPES = [*INTEGERS, *FLOATS]
ITEMS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@pytest.fixture(scope='module', params=VARIANTS)
def wasm(request: pytest.FixtureRequest) -> Kernels:
    return kernels(request.param)


def code(dtype: object) -> int:
    return DTYPE_CODES[np.dtype(dtype).name]


def shapes(least: int = 0, most: int = 6, side: int = 4, smallest: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(smallest, side), min_size=least, max_size=most).map(tuple)


def elements(dtype: str) -> st.SearchStrategy:
    """Ordinary numbers, and the odd ones: extremes, NaN, infinities, both zeros."""
    if dtype == 'bool':
        return st.booleans()
    if dtype in FLOATS:
        odd = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5])
        return st.one_of(st.floats(-100, 100, width=32, allow_subnormal=False), odd)
    info = np.iinfo(dtype)
    return st.one_of(st.integers(max(info.min, -20), 20), st.sampled_from([info.min, info.max, 0, 1]))


def arrays(dtype: str, shape: object) -> st.SearchStrategy[np.ndarray]:
    return hnp.arrays(dtype, shape, elements=elements(dtype), fill=st.nothing())


@st.composite
def broadcast_pairs(draw: st.DrawFn, dtypes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    both = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=6, max_side=4, min_side=0))
    dtype = draw(st.sampled_from(dtypes))
    return draw(arrays(dtype, both.input_shapes[0])), draw(arrays(dtype, both.input_shapes[1]))


def loops(shape: tuple[int, ...], *inputs: np.ndarray) -> list[int]:
    """rank, dims and strides with which the kernels read inputs broadcast to a shape."""
    found = collapse(list(shape), [broadcast_strides(list(x.shape), list(shape)) for x in inputs])
    words = [len(found.dims), *found.dims]
    for strides in found.strides:
        words.extend(strides)
    return words


def plain_loops(shape: tuple[int, ...], *inputs: np.ndarray) -> list[int]:
    """The same without joining dims."""
    dims = list(shape) or [1]
    words = [len(dims), *dims]
    for x in inputs:
        words.extend(broadcast_strides(list(x.shape), list(shape)) or [0])
    return words


def binary(wasm: Kernels, op: int, x: np.ndarray, y: np.ndarray, dtype: object, joined: bool = True) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, y.shape)
    words = (loops if joined else plain_loops)(shape, x, y)
    return wasm.run('binary', op, code(x.dtype), code(y.dtype), code(dtype), x, y, Out(shape, dtype), *words)[0]


def same(got: np.ndarray, expected: np.ndarray, ulps: float = 0.5) -> None:
    assert got.shape == expected.shape
    if got.dtype.kind == 'f':
        # Below the normal numbers an ulp is the smallest one, whatever the number.
        least = int(ulps) * np.finfo(got.dtype).smallest_subnormal
        np.testing.assert_allclose(got, expected.astype(got.dtype), rtol=2 * ulps * np.finfo(got.dtype).eps, atol=least)
    else:
        np.testing.assert_array_equal(got, expected)


BINARY = {
    0: np.add, 1: np.subtract, 2: np.multiply, 7: np.minimum, 8: np.maximum, 9: lambda x, y: np.where(x < 0, x * y, x),
    15: np.equal, 16: np.less, 17: np.less_equal,
}


@pytest.mark.parametrize('op', BINARY)
@few
@given(pair=broadcast_pairs(DTYPES), joined=st.booleans())
def test_binary_of_every_type(wasm: Kernels, op: int, pair: tuple[np.ndarray, np.ndarray], joined: bool) -> None:
    with np.errstate(all='ignore'):
        expected = BINARY[op](*pair)
    same(binary(wasm, op, *pair, np.bool_ if op >= 15 else pair[0].dtype, joined), expected)


@pytest.mark.parametrize('op', [10, 11, 12])
@few
@given(pair=broadcast_pairs([*INTEGERS, 'bool']))
def test_bits(wasm: Kernels, op: int, pair: tuple[np.ndarray, np.ndarray]) -> None:
    same(binary(wasm, op, *pair, pair[0].dtype), {10: np.bitwise_and, 11: np.bitwise_or, 12: np.bitwise_xor}[op](*pair))


@few
@given(pair=broadcast_pairs(DTYPES))
def test_division_truncates_and_refuses_integer_zeros(wasm: Kernels, pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    if x.dtype.kind == 'f':
        with np.errstate(all='ignore'):
            same(binary(wasm, 3, x, y, x.dtype), x / y)
        return
    shape = np.broadcast_shapes(x.shape, y.shape)
    if (np.broadcast_to(y, shape) == 0).any():
        with pytest.raises(KernelFailed) as failed:
            binary(wasm, 3, x, y, x.dtype)
        assert failed.value.error == ERROR_DIVISION
        return
    wide, by = (np.broadcast_to(a, shape).astype(object) for a in pair)
    quotient = np.array([abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1) for p, q in zip(wide.flat, by.flat, strict=True)], object)
    wrapped = np.array([int(v) % 2 ** (8 * x.itemsize) for v in quotient], f'u{x.itemsize}').view(x.dtype).reshape(shape)
    same(binary(wasm, 3, x, y, x.dtype), wrapped)


@pytest.mark.parametrize('op, expected', [(5, np.mod), (6, np.fmod)])
@few
@given(pair=broadcast_pairs(DTYPES))
def test_remainders(wasm: Kernels, op: int, expected: np.ufunc, pair: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = pair
    shape = np.broadcast_shapes(x.shape, y.shape)
    if x.dtype.kind != 'f' and (np.broadcast_to(y, shape) == 0).any():
        with pytest.raises(KernelFailed):
            binary(wasm, op, x, y, x.dtype)
        return
    with np.errstate(all='ignore'):
        same(binary(wasm, op, x, y, x.dtype), expected(x, y), 2)


@few
@given(x=hnp.arrays(np.float32, st.integers(1, 300), elements=st.floats(-2.0**100, 2.0**100, width=32)), y=elements('float32'))
def test_pow_of_floats(wasm: Kernels, x: np.ndarray, y: float) -> None:
    exponent = np.array([y], np.float32)
    with np.errstate(all='ignore'):
        expected = np.power(x.astype(np.float64), np.float64(exponent)).astype(np.float32)
    same(binary(wasm, 4, x, exponent, np.float32), expected, 1)


@few
@given(pair=broadcast_pairs(['int32', 'int64', 'uint8']), exponent=st.integers(0, 9))
def test_pow_of_integers_wraps(wasm: Kernels, pair: tuple[np.ndarray, np.ndarray], exponent: int) -> None:
    x = pair[0]
    same(binary(wasm, 4, x, np.array(exponent, x.dtype), x.dtype), np.power(x, x.dtype.type(exponent)))


def test_pow_of_mixed_types(wasm: Kernels) -> None:
    same(binary(wasm, 4, np.array([1, 2, 3], np.int32), np.array([4, 5, 6], np.float32), np.int32), np.array([1, 32, 729], np.int32))
    same(binary(wasm, 4, np.array([1.5, 2, -3], np.float32), np.array([2, -1, 3], np.int64), np.float32), np.array([2.25, 0.5, -27], np.float32))


UNARY = {
    'Abs': np.abs, 'Neg': np.negative, 'Sign': np.sign, 'Ceil': np.ceil, 'Floor': np.floor, 'Round': np.rint, 'Sqrt': np.sqrt,
    'Reciprocal': lambda x: 1 / x, 'Relu': lambda x: np.where(x < 0, 0, x), 'Softsign': lambda x: x / (1 + np.abs(x)),
    'Sigmoid': lambda x: np.where(x < 0, np.exp(x) / (1 + np.exp(x)), 1 / (1 + np.exp(-x))),
    'Softplus': lambda x: np.logaddexp(x, 0), 'Exp': np.exp, 'Log': np.log, 'Sin': np.sin, 'Cos': np.cos, 'Tan': np.tan, 'Asin': np.arcsin,
    'Acos': np.arccos, 'Atan': np.arctan, 'Sinh': np.sinh, 'Cosh': np.cosh, 'Tanh': np.tanh, 'Asinh': np.arcsinh, 'Acosh': np.arccosh,
    'Atanh': np.arctanh, 'Erf': np.vectorize(math.erf, otypes=[np.float64]),
}


def unary(wasm: Kernels, name: str, x: np.ndarray, dtype: object = None, alpha: float = 0, beta: float = 0) -> np.ndarray:
    result = x.dtype if dtype is None else dtype
    return wasm.run('unary', UNARY_IDS[name], code(x.dtype), code(result), x, Out(x.shape, result), x.size, real(alpha), real(beta))[0]


@pytest.mark.parametrize('name', UNARY)
@few
@given(x=hnp.arrays(np.float32, st.integers(0, 200), elements=st.floats(width=32)))
def test_unary_float32(wasm: Kernels, name: str, x: np.ndarray) -> None:
    """Rounded once from double: within one unit in the last place of the exact result, over the whole range of float32."""
    wide = x.astype(np.float64)
    with np.errstate(all='ignore'):
        expected = UNARY[name](wide)
        if name == 'Softsign':
            expected = np.where(np.isinf(wide), np.nan, expected)
        if name == 'Sigmoid':
            expected = np.where(wide == np.inf, 1, np.where(wide == -np.inf, 0, expected))
        narrow = expected.astype(np.float32)
    got = unary(wasm, name, x)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(narrow))
    with np.errstate(all='ignore'):
        np.testing.assert_allclose(got, narrow, rtol=1.2e-7, atol=1.5e-45)


@pytest.mark.parametrize('name', UNARY)
@few
@given(x=hnp.arrays(np.float64, st.integers(0, 50), elements=st.floats(-1e4, 1e4)))
def test_unary_float64(wasm: Kernels, name: str, x: np.ndarray) -> None:
    with np.errstate(all='ignore'):
        expected = UNARY[name](x)
        got = unary(wasm, name, x)
        np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
        np.testing.assert_allclose(got, expected, rtol=4e-15, atol=1e-300)


def test_sines_of_huge_numbers(wasm: Kernels) -> None:
    """Where a few bits of the argument are all that is left: exact values by mpmath-free means, sin(2^k) from numpy's own reduction."""
    x = np.array([2.0**k * s for k in range(20, 128) for s in (1.0, -1.3, 1.7)], np.float32)
    for name, function in (('Sin', np.sin), ('Cos', np.cos), ('Tan', np.tan)):
        np.testing.assert_allclose(unary(wasm, name, x), function(x.astype(np.float64)).astype(np.float32), rtol=1.2e-7)
    wide = np.array([1e22, 2.0**1000, -1e300, 1.7976931348623157e308])
    np.testing.assert_allclose(unary(wasm, 'Sin', wide), np.sin(wide), rtol=1e-15)


@pytest.mark.parametrize('name, function', [
    ('HardSigmoid', lambda x, a, b: np.clip(a * x + b, 0, 1)), ('LeakyRelu', lambda x, a, b: np.where(x < 0, a * x, x)),
    ('ThresholdedRelu', lambda x, a, b: np.where((x > a) | np.isnan(x), x, 0)), ('Elu', lambda x, a, b: np.where(x < 0, a * np.expm1(x), x)),
    ('Selu', lambda x, a, b: np.where(x < 0, b * a * np.expm1(x), b * x)), ('Celu', lambda x, a, b: np.where(x < 0, a * np.expm1(x / a), x)),
    ('Swish', lambda x, a, b: x / (1 + np.exp(-a * x))), ('Mish', lambda x, a, b: x * np.tanh(np.logaddexp(x, 0))),
    ('Shrink', lambda x, a, b: np.where(x < -a, x + b, np.where(x > a, x - b, x * 0))),
    ('HardSwish', lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1)),
])
@few
@given(x=hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(-50, 50, width=32)), alpha=st.sampled_from([0.25, 1.5]), beta=st.sampled_from([0.5, 2]))
def test_unary_with_parameters(wasm: Kernels, name: str, function: object, x: np.ndarray, alpha: float, beta: float) -> None:
    with np.errstate(all='ignore'):
        expected = function(x.astype(np.float64), alpha, beta).astype(np.float32)
    np.testing.assert_allclose(unary(wasm, name, x, None, alpha, beta), expected, rtol=1.2e-7, atol=1e-44)


@pytest.mark.parametrize('dtype', INTEGERS)
@few
@given(data=st.data())
def test_unary_integers(wasm: Kernels, dtype: str, data: st.DataObject) -> None:
    x = data.draw(arrays(dtype, st.integers(0, 300)))
    same(unary(wasm, 'Abs', x), np.abs(x))
    same(unary(wasm, 'Neg', x), np.negative(x))
    same(unary(wasm, 'Sign', x), np.sign(x))
    same(unary(wasm, 'Relu', x), np.maximum(x, 0))
    same(unary(wasm, 'BitwiseNot', x), ~x)


@few
@given(x=arrays('float32', st.integers(0, 300)), flags=st.tuples(st.booleans(), st.booleans()))
def test_predicates(wasm: Kernels, x: np.ndarray, flags: tuple[bool, bool]) -> None:
    same(unary(wasm, 'IsNaN', x, np.bool_), np.isnan(x))
    same(unary(wasm, 'IsInf', x, np.bool_, *flags), (np.isneginf(x) & flags[0]) | (np.isposinf(x) & flags[1]))
    same(unary(wasm, 'Not', x > 0), ~(x > 0))


@few
@given(data=st.data(), dtype=st.sampled_from([*DTYPES, 'bool']))
def test_where(wasm: Kernels, data: st.DataObject, dtype: str) -> None:
    parts = data.draw(hnp.mutually_broadcastable_shapes(num_shapes=3, max_dims=6, max_side=4, min_side=0)).input_shapes
    condition = data.draw(arrays('bool', parts[0]))
    x, y = data.draw(arrays(dtype, parts[1])), data.draw(arrays(dtype, parts[2]))
    expected = np.where(condition, x, y)
    words = loops(expected.shape, condition, x, y)
    same(wasm.run('where', x.itemsize, condition, x, y, Out(expected.shape, x.dtype), *words)[0], expected)


@few
@given(data=st.data(), item=st.sampled_from([1, 2, 4, 8]))
def test_copies_between_any_strides(wasm: Kernels, data: st.DataObject, item: int) -> None:
    """A view of numpy's (sliced both ways, transposed, broadcast) is copied to where another view of the same shape lies."""
    shape = data.draw(shapes(1, 5, 7))
    source = np.arange(math.prod(shape)).astype(ITEMS[item]).reshape(shape)
    view = source
    if source.size:
        view = view[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1, -2]))) for _ in shape)]
    view = view.transpose(data.draw(st.permutations(range(len(shape)))))
    if data.draw(st.booleans()):
        view = np.broadcast_to(view, (2, *view.shape))
    target = np.zeros(tuple(d + 1 for d in view.shape), ITEMS[item])
    expected = target.copy()
    expected[tuple(slice(0, d) for d in view.shape)] = view
    start = (view.__array_interface__['data'][0] - source.__array_interface__['data'][0]) // item if view.size else 0
    run = collapse(list(view.shape), [[s // item for s in view.strides], row_major(list(target.shape))])
    words = [len(run.dims), *run.dims, *run.strides[0], *run.strides[1]]
    got = wasm.run('copy_nd', item, At(source, start * item), InOut(target), *words)[0]
    np.testing.assert_array_equal(got, expected)


@few
@given(data=st.data(), rows=st.integers(0, 70), columns=st.integers(0, 70), batch=st.integers(1, 2))
def test_transposes_by_tiles(wasm: Kernels, data: st.DataObject, rows: int, columns: int, batch: int) -> None:
    x = np.arange(batch * rows * columns, dtype=np.float32).reshape(batch, rows, columns)
    words = [3, batch, columns, rows, rows * columns, 1, columns, rows * columns, rows, 1]
    same(wasm.run('copy_nd', 4, x, Out((batch, columns, rows)), *words)[0], x.transpose(0, 2, 1))


CASTS = [*DTYPES, 'bool', 'float16', 'bfloat16']


@pytest.mark.parametrize('source', CASTS)
@few
@given(data=st.data())
def test_casts_to_every_type(wasm: Kernels, source: str, data: st.DataObject) -> None:
    from_type = np.dtype(ml_dtypes.bfloat16 if source == 'bfloat16' else source)
    wide = 'float32' if source in ('float16', 'bfloat16') else source
    with np.errstate(all='ignore'):
        x = data.draw(arrays(wide, st.integers(0, 300))).astype(from_type)
    for target in CASTS:
        check_cast(wasm, source, x, target)


def check_cast(wasm: Kernels, source: str, x: np.ndarray, target: str) -> None:
    from_type, to_type = x.dtype, np.dtype(ml_dtypes.bfloat16 if target == 'bfloat16' else target)
    with np.errstate(all='ignore'):
        if target in ('float16', 'bfloat16'):
            expected = x.astype(np.float64).astype(np.float32).astype(to_type)
        elif from_type.kind in 'fV' and to_type.kind in 'iu':
            # Toward zero; 32 and 64 bits saturate, fewer wrap; NaN is 0.
            info = np.iinfo(to_type)
            exact = [0 if math.isnan(v) else v if math.isinf(v) else int(v) for v in x.astype(np.float64).tolist()]
            low, high = (info.min, info.max) if to_type.itemsize >= 4 else (-(2**63), 2**63 - 1)
            held = [int(min(max(v, low), high)) if not math.isinf(v) else (high if v > 0 else low) for v in exact]
            expected = np.array([v % 2 ** (8 * to_type.itemsize) for v in held], f'u{to_type.itemsize}').view(to_type)
        else:
            expected = x.astype(to_type)
    got = wasm.run('cast', DTYPE_CODES[source], DTYPE_CODES[target], x.view(np.uint16) if from_type.itemsize == 2 else x,
                   Out(x.shape, np.uint16 if target in ('float16', 'bfloat16') else to_type), x.size)[0].view(to_type)
    np.testing.assert_array_equal(got.astype(np.float64) if to_type.kind in 'fV' else got, expected.astype(np.float64) if to_type.kind in 'fV' else expected)


@few
@given(x=hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(width=64)), name=st.sampled_from(['float16', 'bfloat16']))
def test_doubles_round_once_to_sixteen_bits(wasm: Kernels, x: np.ndarray, name: str) -> None:
    target = np.dtype(np.float16 if name == 'float16' else ml_dtypes.bfloat16)
    got = wasm.run('cast', 11, DTYPE_CODES[name], x, Out(x.shape, np.uint16), x.size)[0].view(target).astype(np.float64)
    with np.errstate(all='ignore'):
        if name == 'float16':
            np.testing.assert_array_equal(got, x.astype(np.float16).astype(np.float64))
        else:
            step = np.float64(np.abs(got)) * 2.0**-8
            ordinary = np.isfinite(got) & (np.abs(x) > 1e-37)
            assert (np.abs(got - x)[ordinary] <= step[ordinary]).all()


@few
@given(signed=st.booleans(), bits=st.sampled_from([2, 4]), data=st.data())
def test_types_of_less_than_a_byte_are_unpacked(wasm: Kernels, signed: bool, bits: int, data: st.DataObject) -> None:
    packed = data.draw(hnp.arrays(np.uint8, st.integers(1, 40)))
    codes = np.stack([packed >> i & 2**bits - 1 for i in range(0, 8, bits)], -1).reshape(-1).astype(np.int64)
    expected = np.where(signed & (codes >= 2 ** (bits - 1)), codes - 2**bits, codes)
    n = data.draw(st.integers(0, codes.size))
    kind = {(True, 4): 22, (False, 4): 21, (True, 2): 26, (False, 2): 25}[signed, bits]
    same(wasm.run('cast', kind + 64, 7, packed, Out(n, np.int64), n)[0], expected[:n])
    # In memory each has a byte.
    held = wasm.run('cast', 7, kind, expected, Out(expected.size, np.int8), expected.size)[0]
    same(held, expected.astype(np.int8))
    same(wasm.run('cast', kind, 1, held, Out(expected.size, np.float32), expected.size)[0], expected.astype(np.float32))


SMALL_FLOATS = {
    17: ml_dtypes.float8_e4m3fn, 18: ml_dtypes.float8_e4m3fnuz, 19: ml_dtypes.float8_e5m2, 20: ml_dtypes.float8_e5m2fnuz, 23: ml_dtypes.float4_e2m1fn,
    24: ml_dtypes.float8_e8m0fnu,
}


@pytest.mark.parametrize('kind', SMALL_FLOATS)
def test_every_small_float_is_widened(wasm: Kernels, kind: int) -> None:
    codes = np.arange(16 if kind == 23 else 256).astype(np.uint8)
    same(wasm.run('cast', kind, 1, codes, Out(codes.size), codes.size)[0], codes.view(SMALL_FLOATS[kind]).astype(np.float32))


@pytest.mark.parametrize('kind', [17, 18, 19, 20, 23])
@few
@given(x=hnp.arrays(np.float32, st.integers(1, 60), elements=st.floats(width=32)))
def test_small_floats_are_the_nearest(wasm: Kernels, kind: int, x: np.ndarray) -> None:
    form = SMALL_FLOATS[kind]
    got = wasm.run('cast', 1, kind + (256 if kind != 23 else 0), x, Out(x.size, np.uint8), x.size)[0]
    with np.errstate(all='ignore'):
        expected = x.astype(form)
    np.testing.assert_array_equal(got.view(form).astype(np.float32), expected.astype(np.float32))
    # By default float8 saturates.
    got = wasm.run('cast', 1, kind, x, Out(x.size, np.uint8), x.size)[0].view(form).astype(np.float32)
    limit = float(ml_dtypes.finfo(form).max)
    np.testing.assert_array_equal(got, np.where(np.isnan(x), expected.astype(np.float32), x.clip(-limit, limit).astype(form).astype(np.float32)))


def reduce_words(shape: tuple[int, ...], axes: list[int]) -> list[int]:
    strides = row_major(list(shape))
    parts = [collapse([shape[i] for i in side], [[strides[i] for i in side]])
             for side in ([i for i in range(len(shape)) if i not in axes], axes)]
    words = [len(part.dims) for part in parts]
    for part in parts:
        words.extend([*part.dims, *part.strides[0]])
    return words


REDUCTIONS = {
    0: np.sum, 1: np.mean, 2: np.max, 3: np.min, 4: np.prod, 5: lambda x, axis: np.sum(np.abs(x), axis),
    6: lambda x, axis: np.sqrt(np.sum(x * x, axis)), 7: lambda x, axis: np.sum(x * x, axis), 8: lambda x, axis: np.log(np.sum(x, axis)),
    9: lambda x, axis: np.logaddexp.reduce(x, axis, initial=-np.inf) if axis else x,
}


@pytest.mark.parametrize('op', REDUCTIONS)
@few
@given(data=st.data())
def test_reductions_of_floats(wasm: Kernels, op: int, data: st.DataObject) -> None:
    shape = data.draw(shapes(1, 5, 5, 1))
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1))))
    x = data.draw(arrays('float32', shape))
    kept = tuple(d for i, d in enumerate(shape) if i not in axes)
    got = wasm.run('reduce', op, 1, x, Out(kept), *reduce_words(shape, axes))[0]
    with np.errstate(all='ignore'):
        expected = REDUCTIONS[op](x.astype(np.float64), axis=tuple(axes)).astype(np.float32)
    np.testing.assert_allclose(got, expected, rtol=2e-6, atol=1e-5)


@few
@given(data=st.data(), dtype=st.sampled_from(INTEGERS), op=st.sampled_from([0, 2, 3, 4, 7]))
def test_reductions_of_integers(wasm: Kernels, data: st.DataObject, dtype: str, op: int) -> None:
    shape = data.draw(shapes(1, 5, 5, 1))
    axes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    x = data.draw(arrays(dtype, shape))
    kept = tuple(d for i, d in enumerate(shape) if i not in axes)
    with np.errstate(all='ignore'):
        expected = {0: lambda: x.sum(tuple(axes), dtype), 2: lambda: x.max(tuple(axes)), 3: lambda: x.min(tuple(axes)),
                    4: lambda: x.prod(tuple(axes), dtype), 7: lambda: (x * x).sum(tuple(axes), dtype)}[op]()
    same(wasm.run('reduce', op, code(dtype), x, Out(kept, dtype), *reduce_words(shape, axes))[0], np.asarray(expected))


@few
@given(rows=st.integers(1, 5), columns=st.integers(1, 700), across=st.booleans(), seed=st.integers(0, 99))
def test_long_sums_stay_exact(wasm: Kernels, rows: int, columns: int, across: bool, seed: int) -> None:
    x = np.random.default_rng(seed).normal(size=(rows, columns)).astype(np.float32)
    axis = 0 if across else 1
    got = wasm.run('reduce', 0, 1, x, Out(x.shape[1 - axis]), *reduce_words(x.shape, [axis]))[0]
    np.testing.assert_allclose(got, x.astype(np.float64).sum(axis), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize('op, expected', [(0, 0), (2, -math.inf), (3, math.inf), (4, 1), (6, 0), (8, -math.inf), (9, -math.inf)])
def test_reductions_of_nothing(wasm: Kernels, op: int, expected: float) -> None:
    x = np.zeros((2, 0, 3), np.float32)
    same(wasm.run('reduce', op, 1, x, Out((2, 3)), *reduce_words(x.shape, [1]))[0], np.full((2, 3), expected))


@few
@given(data=st.data(), dtype=st.sampled_from(DTYPES), least=st.booleans(), last=st.booleans())
def test_arg_reduce(wasm: Kernels, data: st.DataObject, dtype: str, least: bool, last: bool) -> None:
    shape = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 300), st.integers(0, 3)))
    x = data.draw(hnp.arrays(dtype, shape, elements=elements(dtype)))
    turned = x[:, ::-1] if last else x
    expected = np.argmin(turned, 1) if least else np.argmax(turned, 1)
    if last:
        expected = shape[1] - 1 - expected
    same(wasm.run('arg_reduce', code(dtype), x, Out((shape[0], shape[2]), np.int64), *shape, least + 2 * last)[0], expected)


@few
@given(data=st.data(), dtype=st.sampled_from(['float32', 'float64', 'int32', 'int64', 'uint8']), flags=st.integers(0, 7))
def test_cumulate(wasm: Kernels, data: st.DataObject, dtype: str, flags: int) -> None:
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 20), st.integers(0, 3)))
    x = data.draw(hnp.arrays(dtype, shape, elements=st.integers(0 if dtype == 'uint8' else -3, 3)))
    turned = x[:, ::-1] if flags & 2 else x
    expected = (np.cumprod if flags & 4 else np.cumsum)(turned, 1, dtype)
    if flags & 1:
        first = np.full((shape[0], 1, shape[2]), 1 if flags & 4 else 0, dtype)
        expected = np.concatenate([first, expected[:, :-1]], 1)[:, :shape[1]]
    expected = expected[:, ::-1] if flags & 2 else expected
    same(wasm.run('cumulate', code(dtype), x, Out(shape, dtype), *shape, flags)[0], expected)


@few
@given(data=st.data(), dtype=st.sampled_from(DTYPES), largest=st.booleans())
def test_top_k(wasm: Kernels, data: st.DataObject, dtype: str, largest: bool) -> None:
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 200), st.integers(1, 3)))
    x = np.nan_to_num(data.draw(hnp.arrays(dtype, shape, elements=elements(dtype))), nan=3)
    k = data.draw(st.integers(0, shape[1]))
    ranks = x.astype(object)
    order = np.argsort(-ranks if largest else ranks, axis=1, kind='stable')[:, :k]
    out = (shape[0], k, shape[2])
    values, indices, _ = [*wasm.run('top_k', code(dtype), x, Out(out, dtype), Out(out, np.int64), *shape, k, int(largest), Scratch(16 * k)), None]
    same(indices, order)
    same(values, np.take_along_axis(x, order, 1))


@few
@given(data=st.data(), dtype=st.sampled_from(['float32', 'int64', 'uint8', 'int16']), index=st.sampled_from(['int32', 'int64']))
def test_gather(wasm: Kernels, data: st.DataObject, dtype: str, index: str) -> None:
    outer, dim, inner = data.draw(st.tuples(st.integers(0, 4), st.integers(1, 5), st.integers(0, 70)))
    x = np.arange(outer * dim * inner).astype(dtype).reshape(outer, dim, inner)
    at = data.draw(hnp.arrays(index, st.integers(0, 9), elements=st.integers(-dim - 1, dim)))
    words = [inner * x.itemsize, x, at, code(index), Out((outer, at.size, inner), dtype), outer, dim, at.size]
    if outer and ((at < -dim) | (at >= dim)).any():
        with pytest.raises(KernelFailed) as failed:
            wasm.run('gather', *words)
        assert failed.value.error == ERROR_INDEX
        return
    same(wasm.run('gather', *words)[0], x[:, at] if outer else np.zeros((0, at.size, inner), dtype))


@few
@given(data=st.data(), dtype=st.sampled_from(['float32', 'int64', 'uint8', 'int16']))
def test_gather_and_scatter_elements(wasm: Kernels, data: st.DataObject, dtype: str) -> None:
    shape = data.draw(shapes(1, 4, 4, 1))
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    wanted = tuple(data.draw(st.integers(0, 5 if i == axis else d)) for i, d in enumerate(shape))
    dim = shape[axis]
    at = data.draw(hnp.arrays(np.int64, wanted, elements=st.integers(-dim, dim - 1)))
    strides = row_major(list(shape))
    axis_stride, strides[axis] = strides[axis], 0
    run = collapse(list(wanted), [strides])
    words = [axis_stride, dim, len(run.dims), *run.dims, *run.strides[0]]
    narrow = x[tuple(slice(0, d) if i != axis else slice(None) for i, d in enumerate(wanted))]
    same(wasm.run('gather_elements', x.itemsize, x, at, 7, Out(wanted, dtype), *words)[0], np.take_along_axis(narrow, at, axis))
    updates = data.draw(hnp.arrays(dtype, wanted, elements=st.integers(0, 9)))
    for reduction in (-1, 0, 2, 7, 8):
        expected = x.copy()
        for place in np.ndindex(*wanted):
            to = list(place)
            to[axis] = int(at[place]) % dim
            old, new = expected[tuple(to)], updates[place]
            with np.errstate(all='ignore'):
                expected[tuple(to)] = {-1: new, 0: old + new, 2: old * new, 7: min(old, new), 8: max(old, new)}[reduction]
        same(wasm.run('scatter_elements', code(dtype), InOut(x), at, 7, updates, reduction, *words)[0], expected)


@few
@given(data=st.data(), dtype=st.sampled_from(['float32', 'int64', 'uint8']))
def test_gather_and_scatter_nd(wasm: Kernels, data: st.DataObject, dtype: str) -> None:
    shape = data.draw(shapes(1, 4, 4, 1))
    depth = data.draw(st.integers(1, len(shape)))
    x = np.arange(math.prod(shape)).astype(dtype).reshape(shape)
    count = data.draw(st.integers(0, 6))
    at = np.array([[data.draw(st.integers(-d, d - 1)) for d in shape[:depth]] for _ in range(count)], np.int64).reshape(count, depth)
    inner = shape[depth:]
    block = math.prod(inner)
    words = [depth, *shape[:depth], *row_major(list(shape[:depth]))]
    places = [tuple(int(v) for v in row) for row in at]
    got = wasm.run('gather_nd', block * x.itemsize, x, at, Out((count, *inner), dtype), 1, count, math.prod(shape[:depth]), *words)[0]
    same(got, np.array([x[p] for p in places], dtype).reshape(count, *inner))
    updates = data.draw(hnp.arrays(dtype, (count, *inner), elements=st.integers(0, 9)))
    for reduction in (-1, 0):
        expected = x.copy()
        for p, update in zip(places, updates, strict=True):
            expected[p] = update if reduction < 0 else expected[p] + update
        same(wasm.run('scatter_nd', code(dtype), InOut(x), at, updates, count, block, reduction, *words)[0], expected)


@pytest.mark.parametrize('bad', [4, -5, 2**33, -(2**40)])
def test_indices_out_of_range_are_refused(wasm: Kernels, bad: int) -> None:
    x, at = np.arange(8, dtype=np.float32).reshape(4, 2), np.array([[1], [bad]], np.int64)
    for name, words in {
        'gather': [8, x, at, 7, Out((2, 2)), 1, 4, 2],
        'gather_nd': [8, x, at, Out((2, 2)), 1, 2, 4, 1, 4, 1],
        'scatter_nd': [1, InOut(x), at, x[:2], 2, 2, -1, 1, 4, 1],
        'gather_elements': [4, x, at, 7, Out((2, 1)), 2, 4, 2, 2, 1, 0, 1],
        'scatter_elements': [1, InOut(x), at, 7, x[:2, :1], -1, 2, 4, 2, 2, 1, 0, 1],
    }.items():
        with pytest.raises(KernelFailed) as failed:
            wasm.run(name, *words)
        assert failed.value.error == ERROR_INDEX, name


@few
@given(data=st.data())
def test_one_hot(wasm: Kernels, data: st.DataObject) -> None:
    outer, depth, inner = data.draw(st.tuples(*[st.integers(0, 4)] * 3))
    at = data.draw(hnp.arrays(np.int64, (outer, inner), elements=st.integers(-6, 6)))
    values = np.array([2, 7], np.int16)
    expected = np.where((at % depth if depth else at)[:, None] == np.arange(depth)[None, :, None], 7, 2)
    expected = np.where(((at < -depth) | (at >= depth))[:, None], 2, expected).astype(np.int16).reshape(outer, depth, inner)
    same(wasm.run('one_hot', 2, at, values, Out(expected.shape, np.int16), outer, depth, inner)[0], expected)


@few
@given(data=st.data(), item=st.sampled_from([1, 2, 4, 8]), upper=st.booleans(), k=st.integers(-7, 7))
def test_trilu(wasm: Kernels, data: st.DataObject, item: int, upper: bool, k: int) -> None:
    shape = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(0, 6)))
    x = (np.arange(math.prod(shape)) + 1).astype(ITEMS[item]).reshape(shape)
    got = wasm.run('trilu', item, x, Out(shape, x.dtype), *shape, np.array(k, np.int64), int(upper))[0]
    same(got, np.triu(x, k) if upper else np.tril(x, k))


@few
@given(start=st.integers(-50, 50), step=st.integers(-5, 5), n=st.integers(0, 300), dtype=st.sampled_from(['int16', 'int32', 'int64', 'float32', 'float64']))
def test_range(wasm: Kernels, start: int, step: int, n: int, dtype: str) -> None:
    first, by = np.array(start, dtype), np.array(step, dtype)
    same(wasm.run('range', code(dtype), first, by, Out(n, dtype), n)[0], (start + step * np.arange(n)).astype(dtype))


@few
@given(data=st.data(), target=st.sampled_from(['uint8', 'int8', 'uint16', 'int16']), zero=st.booleans())
def test_quantize_and_back(wasm: Kernels, data: st.DataObject, target: str, zero: bool) -> None:
    outer, n, inner = data.draw(st.tuples(st.integers(0, 3), st.integers(1, 5), st.integers(0, 140)))
    block = data.draw(st.integers(1, n))
    blocks = -(-n // block)
    scale = data.draw(hnp.arrays(np.float32, (outer, blocks, inner), elements=st.sampled_from([0.5, 0.1, 2.0, 3.0])))
    info = np.iinfo(target)
    point = data.draw(hnp.arrays(target, scale.shape, elements=st.integers(0, info.max))) if zero else np.zeros(scale.shape, target)
    x = data.draw(hnp.arrays(np.float32, (outer, n, inner), elements=st.floats(-1e6, 1e6, width=32)))
    words = [outer, n, inner, blocks * inner, inner, 1, block]
    wide = [np.repeat(a, block, 1)[:, :n] for a in (scale, point)]
    expected = np.clip(np.rint(x / wide[0]).astype(np.float64) + wide[1], info.min, info.max).astype(target)
    got = wasm.run('quantize_linear', 1, code(target), 1, x, scale, point if zero else None, Out(x.shape, target), *words)[0]
    same(got, expected)
    back = (expected.astype(np.int32) - wide[1].astype(np.int32)).astype(np.float32) * wide[0]
    same(wasm.run('dequantize_linear', code(target), 1, 1, expected, scale, point if zero else None, Out(x.shape), *words)[0], back)


def test_every_binary_operation_has_a_number_of_its_own() -> None:
    shared = {'And': 'BitwiseAnd', 'Or': 'BitwiseOr', 'Xor': 'BitwiseXor'}
    rest = {name: number for name, number in BINARY_IDS.items() if name not in shared}
    assert len(set(rest.values())) == len(rest)
    assert all(BINARY_IDS[name] == BINARY_IDS[other] for name, other in shared.items())
