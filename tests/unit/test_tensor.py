"""Tensors: what tensor() takes, what it infers, and what it refuses."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_dtype, array_list, array_of, array_size
from edgeflow.runtime.tensor import Tensor, tensor


def refused(data: object, shape: list[int] | None, dtype: str | None) -> EdgeflowError:
    with pytest.raises(EdgeflowError) as e:
        tensor(data, shape, dtype)
    assert e.value.code == 'invalid-argument'
    return e.value


def test_nested_lists_give_the_shape_and_float32() -> None:
    t = tensor([[1, 2, 3], [4, 5, 6]])
    assert t.dtype == 'float32'
    assert t.shape == [2, 3]
    assert t.size == 6
    assert array_dtype(t.data) == 'float32'
    assert array_list(t.data) == [1, 2, 3, 4, 5, 6]
    assert t.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_number_is_a_scalar() -> None:
    t = tensor(2.5)
    assert t.shape == []
    assert t.size == 1
    assert t.tolist() == 2.5


def test_empty_lists() -> None:
    assert tensor([]).shape == [0]
    assert tensor([]).tolist() == []
    assert tensor([[], []]).shape == [2, 0]
    assert tensor([[], []]).tolist() == [[], []]
    assert tensor([], [0, 3]).tolist() == []
    assert tensor([], [3, 0]).tolist() == [[], [], []]


def test_bools() -> None:
    t = tensor([[True], [False]])
    assert t.dtype == 'bool'
    assert t.tolist() == [[True], [False]]
    assert tensor([True, 2]).dtype == 'float32'


def test_a_flat_list_takes_a_shape() -> None:
    t = tensor([1, 2, 3, 4, 5, 6, 7, 8], [2, 2, 2], 'int64')
    assert t.dtype == 'int64'
    assert t.tolist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert tensor([[1, 2], [3, 4]], [4]).tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize('dtype', [
    'float32', 'float16', 'float64', 'bfloat16', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64',
])
def test_every_dtype_gives_its_numbers_back(dtype: str) -> None:
    t = tensor([[0, 1], [2, 96]], None, dtype)
    assert t.dtype == dtype
    assert array_size(t.data) == 4
    assert t.tolist() == [[0, 1], [2, 96]]


def test_16_bit_floats_give_numbers_back() -> None:
    values = [0.5, -1.25, 65504.0, float('-inf'), 2.0**-24]
    assert tensor(values, None, 'float16').tolist() == values
    assert tensor([0.5, -1.25, float('inf'), 2.0**-126], None, 'bfloat16').tolist() == [0.5, -1.25, float('inf'), 2.0**-126]
    nan = tensor([float('nan')], None, 'bfloat16').tolist()[0]
    assert nan != nan


def test_arrays_keep_their_dtype_and_memory() -> None:
    array = array_of('int32', [1, 2, 3, 4])
    t = tensor(array, [2, 2])
    assert t.dtype == 'int32'
    array[3] = 9
    assert t.tolist() == [[1, 2], [3, 9]]
    assert tensor(array).shape == [4]


def test_storage_types() -> None:
    t = tensor(array_of('uint8', [1, 0]), None, 'bool')
    assert t.dtype == 'bool'
    assert t.tolist() == [True, False]
    assert tensor(array_of('uint16', [0x3C00, 0xC000]), None, 'float16').tolist() == [1.0, -2.0]
    assert tensor(array_of('uint16', [0x3F80, 0xC000]), None, 'bfloat16').tolist() == [1.0, -2.0]


def test_types_of_less_than_a_byte_have_a_byte_for_each_number() -> None:
    t = tensor([[1, -8], [7, 0]], None, 'int4')
    assert [t.shape, t.size, array_dtype(t.data), t.tolist()] == [[2, 2], 4, 'int8', [[1, -8], [7, 0]]]
    assert tensor(array_of('uint8', [3, 0]), None, 'uint2').tolist() == [3, 0]
    for values, dtype in [([8], 'int4'), ([-1], 'uint4'), ([4], 'uint2'), ([-3], 'int2')]:
        assert f'{values[0]}' in refused(values, None, dtype).message


@pytest.mark.parametrize('dtype, bits, numbers', [
    ('float8e4m3fn', [0x38, 0xC0, 0x01, 0x7E], [1, -2, 0.001953125, 448]), ('float8e4m3fnuz', [0x40, 0x01, 0x7F], [1, 0.0009765625, 240]),
    ('float8e5m2', [0x3C, 0x7C, 0x01], [1, float('inf'), 0.0000152587890625]), ('float8e5m2fnuz', [0x40, 0x7F], [1, 57344]),
    ('float8e8m0', [127, 0, 130], [1, 2.0 ** -127, 8]), ('float4e2m1', [2, 1, 15, 7], [1, 0.5, -6, 6]),
])
def test_small_floats_are_made_of_their_bits(dtype: str, bits: list[int], numbers: list[float]) -> None:
    assert tensor(array_of('uint8', bits), None, dtype).tolist() == numbers
    assert 'array of its bits' in refused([1], None, dtype).message


def test_small_floats_that_are_no_numbers() -> None:
    for dtype, bits in [('float8e4m3fn', 0xFF), ('float8e4m3fnuz', 0x80), ('float8e5m2', 0x7D), ('float8e5m2fnuz', 0x80), ('float8e8m0', 255)]:
        x = tensor(array_of('uint8', [bits]), None, dtype).tolist()
        assert isinstance(x, list)
        assert x[0] != x[0]


def test_what_is_refused() -> None:
    assert 'int32' in refused(array_of('float32', [1]), None, 'int32').message
    refused(array_of('uint8', [2]), None, 'bool')
    refused(['a', 1], None, None)
    refused([['a'], 'b'], None, 'string')
    refused(None, None, None)
    refused([[1, 2], [3]], None, None)
    assert refused([1, 2, 3], [2, 2], None).details == {'expected': 4, 'got': 3}
    refused(array_of('float32', [1, 2, 3]), [2], None)
    refused([1, 2], [-1, -2], None)
    refused([1, 2, 3], [1.5, 2], None)
    assert "did you mean 'float32'" in refused([1], None, 'flaot32').message
    refused([1], None, 'string')


def test_texts() -> None:
    t = tensor([['a', 'b'], ['c', '']])
    assert t.dtype == 'string' and t.shape == [2, 2]
    assert t.data == ['a', 'b', 'c', '']
    assert t.tolist() == [['a', 'b'], ['c', '']]
    assert tensor('word').shape == []
    assert tensor([], [0, 3], 'string').shape == [0, 3]


def test_disposed_tensors_raise() -> None:
    t = tensor([1, 2])
    assert not t.disposed
    t.dispose()
    t.dispose()
    assert t.disposed
    assert t.shape == [2]
    with pytest.raises(EdgeflowError) as e:
        array_size(t.data)
    assert e.value.code == 'disposed'
    with pytest.raises(EdgeflowError) as e:
        t.tolist()
    assert e.value.code == 'disposed'


def test_repr() -> None:
    t = Tensor('int64', [1, 2], array_of('int64', [1, 2]))
    assert repr(t) == 'Tensor(int64 [1, 2])'
    t.dispose()
    assert repr(t) == 'Tensor(int64 [1, 2], disposed)'


def test_int64_beyond_exact_numbers_is_an_error() -> None:
    t = Tensor('int64', [1], array_of('int64', [9007199254740991]))
    assert t.tolist() == [9007199254740991]
    t.data[0] = t.data[0] + t.data[0]
    with pytest.raises(EdgeflowError) as e:
        t.tolist()
    assert e.value.code == 'invalid-argument'
