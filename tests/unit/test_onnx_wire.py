from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import bytes_of
from edgeflow.onnx.wire import WireReader


def reader_of(values: list[int]) -> WireReader:
    return WireReader(bytes_of(values), 0, len(values), 0)


@pytest.mark.parametrize('values, number', [
    ([0], 0), ([1], 1), ([127], 127), ([128, 1], 128), ([172, 2], 300), ([255, 255, 255, 255, 15], 4294967295),
    ([128, 128, 128, 128, 16], 4294967296), ([128, 128, 128, 128, 128, 32], 1099511627776),
    ([255, 255, 255, 255, 255, 255, 255, 15], 9007199254740991),
    ([255, 255, 255, 255, 255, 255, 255, 255, 255, 1], -1), ([128, 255, 255, 255, 255, 255, 255, 255, 255, 1], -128),
    ([254, 255, 255, 255, 239, 255, 255, 255, 255, 1], -4294967298),
    ([129, 128, 128, 128, 128, 128, 128, 240, 255, 1], -9007199254740991),
    ([255, 255, 255, 255, 255, 255, 255, 255, 127], 9007199254740991),
    ([128, 128, 128, 128, 128, 128, 128, 128, 128, 1], -9007199254740991),
])
def test_integers(values: list[int], number: int) -> None:
    reader = reader_of([8] + values)
    assert reader.next_field() == 1
    assert reader.integer_field() == number
    assert reader.next_field() == 0


def test_words_are_exact_where_numbers_are_not() -> None:
    reader = reader_of([255, 255, 255, 255, 255, 255, 255, 255, 127])
    reader.words()
    assert [reader.low, reader.high] == [4294967295, 2147483647]


def test_fields_in_any_order_and_unknown_fields_skipped() -> None:
    reader = reader_of([26, 2, 104, 105, 8, 5, 37, 0, 0, 192, 63, 41, 1, 2, 3, 4, 5, 6, 7, 8, 160, 6, 1])
    assert reader.next_field() == 3
    assert reader.text() == 'hi'
    assert reader.next_field() == 1
    assert reader.integer_field() == 5
    assert reader.next_field() == 4
    assert reader.float_field() == 1.5
    assert reader.next_field() == 5
    reader.skip()
    assert reader.next_field() == 100
    reader.skip()
    assert reader.next_field() == 0


def test_nested_messages_end_where_their_length_says() -> None:
    reader = reader_of([10, 4, 8, 1, 16, 2, 16, 7])
    assert reader.next_field() == 1
    inner = reader.message()
    assert [inner.next_field(), inner.integer_field()] == [1, 1]
    assert [inner.next_field(), inner.integer_field()] == [2, 2]
    assert inner.next_field() == 0
    assert [reader.next_field(), reader.integer_field()] == [2, 7]


def test_repeated_numbers_packed_and_not() -> None:
    reader = reader_of([8, 1, 10, 3, 2, 128, 1, 8, 3, 18, 8, 0, 0, 128, 63, 0, 0, 0, 192, 21, 0, 0, 0, 64])
    ints: list[int] = []
    floats: list[float] = []
    number = reader.next_field()
    while number != 0:
        if number == 1:
            reader.integers(ints)
        else:
            reader.floats(floats)
        number = reader.next_field()
    assert ints == [1, 2, 128, 3]
    assert floats == [1.0, -2.0, 2.0]


@pytest.mark.parametrize('values', [
    [8], [8, 128], [10, 5, 1], [10, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], [13, 0, 0], [9, 1, 2, 3, 4], [0, 0],
    [11, 12], [12], [14, 1], [15], [255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1],
    [8, 128, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1],
])
def test_broken_messages(values: list[int]) -> None:
    reader = reader_of(values)
    with pytest.raises(EdgeflowError, match='no valid ONNX model') as error:
        while reader.next_field() != 0:
            reader.skip()
    assert error.value.code == 'invalid-model'


@pytest.mark.parametrize('values', [[10, 1, 255], [10, 2, 195, 40], [10, 3, 237, 160, 128]])
def test_texts_that_are_not_utf8(values: list[int]) -> None:
    reader = reader_of(values)
    reader.next_field()
    with pytest.raises(EdgeflowError, match='not UTF-8'):
        reader.text()


def test_texts_keep_every_character() -> None:
    reader = reader_of([10, 4, 239, 187, 191, 97, 10, 4, 240, 159, 152, 128, 10, 0])
    texts: list[str] = []
    while reader.next_field() != 0:
        texts.append(reader.text())
    assert texts == ['\ufeffa', '\U0001f600', '']


def test_wrong_wire_type() -> None:
    reader = reader_of([8, 1])
    reader.next_field()
    with pytest.raises(EdgeflowError, match='wire type 0; expected 2'):
        reader.text()
