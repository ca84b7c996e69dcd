"""Bytes, arrays, JSON: the same answers from both platforms."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    array_bytes, array_copy, array_dtype, array_flat, array_ints, array_list, array_of, array_shape, array_size,
    array_view, as_bytes, bytes_of, copy_bytes, float_bits, join_bytes, json_parse, json_text, native_mapping, new_array,
    new_bytes, plain_list, random_bytes, read_f32, read_f64, read_i32, read_i64, read_u32, to_dict, utf8_decode,
    utf8_encode, write_i32s,
)


def ints(data: object) -> list[int]:
    return array_list(array_view('uint8', data))


def test_new_bytes_are_zero_and_writable() -> None:
    data = new_bytes(3)
    data[1] = 7
    assert len(data) == 3
    assert ints(data) == [0, 7, 0]


def test_slices_are_views() -> None:
    data = bytes_of([1, 2, 3, 4])
    part = data[1:3]
    part[0] = 9
    assert ints(data) == [1, 9, 3, 4]


def test_as_bytes_takes_bytes_and_nothing_else() -> None:
    data = as_bytes(bytes_of([1, 2]))
    assert data is not None
    assert ints(data) == [1, 2]
    assert as_bytes('text') is None
    assert as_bytes(None) is None
    assert as_bytes([1, 2]) is None


def test_join_bytes() -> None:
    assert ints(join_bytes([bytes_of([1]), new_bytes(0), bytes_of([2, 3])])) == [1, 2, 3]
    assert len(join_bytes([])) == 0


def test_copy_bytes() -> None:
    target = new_bytes(4)
    copy_bytes(target, 1, bytes_of([5, 6]))
    copy_bytes(target, 4, new_bytes(0))
    assert ints(target) == [0, 5, 6, 0]


@pytest.mark.parametrize('offset', [-1, 3, 100])
def test_copy_bytes_stays_inside(offset: int) -> None:
    with pytest.raises(IndexError):
        copy_bytes(new_bytes(4), offset, bytes_of([5, 6]))


def test_utf8_both_ways() -> None:
    text = 'Grüße, 東京 🙂\n'
    assert utf8_decode(utf8_encode(text)) == text
    assert len(utf8_encode('🙂')) == 4
    assert utf8_decode(utf8_encode('\ufeffx')) == '\ufeffx'


@pytest.mark.parametrize('bad', [[0xFF], [0xC3], [0xED, 0xA0, 0x80], [0xC0, 0x80]])
def test_invalid_utf8_is_a_value_error(bad: list[int]) -> None:
    with pytest.raises(ValueError):
        utf8_decode(bytes_of(bad))


def test_numbers_are_little_endian_at_any_offset() -> None:
    data = bytes_of([0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0])
    assert read_u32(data, 1) == 4294967294
    assert read_i32(data, 1) == -2
    assert read_i64(data, 1) == -2
    assert read_f32(bytes_of([9, 0, 0, 0x80, 0x3F]), 1) == 1.0
    assert read_f64(bytes_of([9, 0, 0, 0, 0, 0, 0, 0xF8, 0x3F]), 1) == 1.5
    assert read_u32(data[1:], 0) == 4294967294


def test_reading_outside_is_an_index_error() -> None:
    data = new_bytes(8)
    with pytest.raises(IndexError):
        read_u32(data, 5)
    with pytest.raises(IndexError):
        read_i64(data, 1)
    with pytest.raises(IndexError):
        read_f32(data[0:4], 1)


def test_float_bits() -> None:
    assert float_bits(1.0) == 0x3F800000
    assert float_bits(-1.0) == 0x3F800000 - 2147483648
    assert float_bits(1e300) == float_bits(float('inf'))
    assert float_bits(0.1) == 0x3DCCCCCD


def test_write_i32s_wraps_unsigned_words() -> None:
    data = new_bytes(12)
    write_i32s(data, 4, [4294967295, -2])
    assert ints(data) == [0, 0, 0, 0, 255, 255, 255, 255, 254, 255, 255, 255]


@pytest.mark.parametrize('dtype', [
    'float32', 'float64', 'float16', 'int8', 'int16', 'int32', 'int64', 'uint8', 'uint16', 'uint32', 'uint64',
])
def test_arrays_of_each_dtype(dtype: str) -> None:
    array = array_of(dtype, [0, 1, 2, 100])
    assert array_size(array) == 4
    assert array_shape(array) == [4]
    again = array_view(dtype, array_bytes(array))
    assert array_bytes(again)[0:1] == bytes_of([0])
    if array_dtype(array) == dtype:
        assert array_list(array) == [0, 1, 2, 100]
    else:
        assert dtype == 'float16'
        assert array_list(array) == [0, 0x3C00, 0x4000, 0x5640]


def test_float16_bits_are_rounded_to_even() -> None:
    bits = array_view('uint16', array_bytes(array_of('float16', [1.0, -2.0, 65504.0, 65520.0, 5.960464477539063e-08, 1.00048828125])))
    assert array_list(bits) == [0x3C00, 0xC000, 0x7BFF, 0x7C00, 1, 0x3C00]
    more = array_view('uint16', array_bytes(array_of('float16', [1.00146484375, 0.0, 2.0**-25, 2.0**-14, 2.0**-14 - 2.0**-26])))
    assert array_list(more) == [0x3C02, 0, 0, 0x0400, 0x0400]


def test_bfloat16_holds_bits() -> None:
    array = array_of('bfloat16', [1.0, -2.0, 1.00390625, 1.01171875, float('inf')])
    assert array_dtype(array) == 'uint16'
    assert array_list(array) == [0x3F80, 0xC000, 0x3F80, 0x3F82, 0x7F80]


def test_integers_wrap_and_fractions_are_cut() -> None:
    assert array_list(array_of('uint8', [300, -1, 2.9])) == [44, 255, 2]
    assert array_list(array_of('int8', [200, -2.9])) == [-56, -2]
    assert array_list(array_of('int32', [4294967295, 2.5])) == [-1, 2]
    assert array_list(array_of('int64', [-5, 2.5])) == [-5, 2]


def test_bool_arrays_hold_0_and_1() -> None:
    array = array_of('bool', [True, False, True])
    assert ints(array_bytes(array)) == [1, 0, 1]
    assert ints(array_bytes(array_of('bool', [5, 0]))) == [1, 0]


def test_int64_beyond_exact_numbers() -> None:
    data = bytes_of([255, 255, 255, 255, 255, 255, 255, 0x7F, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80])
    array = array_view('int64', data)
    with pytest.raises(EdgeflowError) as e:
        array_list(array)
    assert e.value.code == 'invalid-argument'
    assert array_ints(array) == [9007199254740991, 3, -9007199254740991]
    assert array_ints(array_of('float32', [2.0])) == [2]


def test_views_share_memory_and_copies_do_not() -> None:
    data = new_bytes(8)
    view = array_view('int32', data)
    copy = array_copy('int32', data)
    data[4] = 3
    assert array_list(view) == [0, 3]
    assert array_list(copy) == [0, 0]


def test_unaligned_views_read_right() -> None:
    data = bytes_of([9, 1, 0, 0, 0, 2, 0, 0, 0])
    assert array_list(array_view('int32', data[1:])) == [1, 2]
    assert array_list(array_view('int64', data[1:])) == [8589934593]


def test_array_views_need_whole_elements() -> None:
    with pytest.raises(EdgeflowError) as e:
        array_view('int32', new_bytes(7))
    assert e.value.code == 'invalid-argument'
    with pytest.raises(EdgeflowError) as e:
        array_copy('int32', new_bytes(7))
    assert e.value.code == 'invalid-argument'


def test_dtypes_without_arrays() -> None:
    for dtype in ['string', 'complex64']:
        with pytest.raises(EdgeflowError) as e:
            new_array(dtype, 2)
        assert e.value.code == 'invalid-argument'
        assert dtype in e.value.message


def test_array_dtype_of_other_things() -> None:
    assert array_dtype([1, 2]) is None
    assert array_dtype('ab') is None
    assert array_dtype(None) is None
    assert array_dtype(3) is None


def test_array_flat_shares_memory() -> None:
    array = array_of('float32', [1.0, 2.0])
    array_flat(array)[0] = 5.0
    assert array_list(array) == [5.0, 2.0]


def test_plain_list_gives_numbers_and_shape() -> None:
    assert plain_list([[1, 2, 3], [4, 5, 6]]) == ([1, 2, 3, 4, 5, 6], [2, 3])
    assert plain_list(7) == ([7], [])
    assert plain_list([]) == ([], [0])
    assert plain_list([[], []]) == ([], [2, 0])
    assert plain_list([[[True]]]) == ([True], [1, 1, 1])
    assert plain_list([array_of('float32', [1.5, 2.0]), array_of('float32', [3.0, 4.0])]) == ([1.5, 2.0, 3.0, 4.0], [2, 2])


def test_plain_list_of_other_things_is_none() -> None:
    assert plain_list('12') is None
    assert plain_list(['a']) is None
    assert plain_list([None]) is None
    assert plain_list(None) is None


@pytest.mark.parametrize('ragged', [[[1, 2], [3]], [[1], 2], [1, [2]], [[[1]], [[1, 2]]]])
def test_ragged_lists(ragged: list) -> None:
    with pytest.raises(EdgeflowError) as e:
        plain_list(ragged)
    assert e.value.code == 'invalid-argument'


def test_json_both_ways() -> None:
    text = '{"a":[1,2.5,null,true,"ü\\n"],"__proto__":{"b":{}}}'
    value = json_parse(text)
    assert isinstance(value, dict)
    assert value['a'] == [1, 2.5, None, True, 'ü\n']
    assert list(value.keys()) == ['a', '__proto__']
    assert value['__proto__'] == {'b': {}}
    assert json_parse(json_text(value)) == value
    assert json_text({'x': ['é', 1]}) == '{"x":["é",1]}'


@pytest.mark.parametrize('text', ['', '{', "{'a': 1}", '[1,]', '{"a":1}x', '[NaN]', '[-Infinity]'])
def test_bad_json_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        json_parse(text)


def test_json_that_is_nested_too_deeply_is_a_value_error() -> None:
    with pytest.raises(ValueError):
        json_parse('[' * 1000000 + ']' * 1000000)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_json_has_no_nan(value: float) -> None:
    with pytest.raises(ValueError):
        json_text({'a': [value]})


def test_mappings_both_ways() -> None:
    d: dict[str, object] = {'b': 1, 'a': 2}
    assert to_dict(native_mapping(d)) == d
    assert list(to_dict(native_mapping(d)).keys()) == ['b', 'a']
    assert to_dict(d) == d
    for bad in [[1], 'text', 3, None]:
        with pytest.raises(EdgeflowError) as e:
            to_dict(bad)
        assert e.value.code == 'invalid-argument'


def test_random_bytes_differ() -> None:
    assert len(random_bytes(16)) == 16
    assert ints(random_bytes(16)) != ints(random_bytes(16))


def test_memory_that_no_platform_has() -> None:
    with pytest.raises(EdgeflowError) as e:
        new_bytes(2**53 - 1)
    assert e.value.code == 'out-of-memory'
