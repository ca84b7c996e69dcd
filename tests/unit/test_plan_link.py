"""From steps with pointers to words: addresses of constants, offsets in the arena, literals behind the tape."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.plan.link import link, literal_words
from edgeflow.plan.values import Pointer, Step, Value

KERNELS: dict[str, int] = {'copy': 7, 'fill': 9}


def placed(number: int, offset: int) -> Value:
    value = Value(number, f'v{number}', 'uint8', [64])
    value.offset = offset
    return value


def literal(number: int, dtype: str, numbers: list[int]) -> Value:
    value = Value(number, f'v{number}', dtype, [len(numbers)])
    value.constant = True
    value.literal = numbers
    return value


def test_words_are_kernel_number_count_and_arguments() -> None:
    tape = link([Step('copy', [1, -2]), Step('fill', [])], KERNELS, [])
    assert tape.words == [7, 2, 1, -2, 9, 0]
    assert tape.step_words == 6


def test_pointers_into_the_arena_are_listed() -> None:
    base = placed(1, 128)
    view = placed(2, -1)
    view.base = base
    view.base_offset = 16
    tape = link([Step('copy', [5, Pointer(base, 4), Pointer(view, 4)])], KERNELS, [])
    assert tape.words == [7, 3, 5, 132, 148]
    assert tape.arena_words == [3, 4]


def test_pointers_to_constants_are_addresses() -> None:
    weight = placed(1, -1)
    weight.constant = True
    weight.address = 65536
    tape = link([Step('copy', [Pointer(weight, 64)])], KERNELS, [])
    assert tape.words == [7, 1, 65600]
    assert tape.arena_words == []
    assert tape.tape_words == []


def test_literals_lie_behind_the_steps_eight_byte_aligned_and_once_each() -> None:
    table = literal(1, 'int32', [3, 4, 5])
    shape = literal(2, 'int64', [2, -1])
    tape = link([Step('copy', [Pointer(table, 0), Pointer(shape, 8)]), Step('fill', [Pointer(table, 4)])], KERNELS, [])
    assert tape.step_words == 7
    assert tape.literal_offsets == {1: 32, 2: 48}
    assert tape.words == [7, 2, 32, 56, 9, 1, 36, 0, 3, 4, 5, 0, 2, 0, -1, -1]
    assert tape.tape_words == [2, 3, 6]


def test_literals_without_a_reader_can_be_asked_for() -> None:
    tape = link([], KERNELS, [literal(5, 'int64', [12])])
    assert tape.step_words == 0
    assert tape.words == [12, 0]
    assert tape.literal_offsets == {5: 0}


@pytest.mark.parametrize('number, words', [
    (0, [0, 0]), (1, [1, 0]), (-1, [-1, -1]), (2147483648, [-2147483648, 0]), (4294967295, [-1, 0]), (4294967296, [0, 1]),
    (-4294967297, [-1, -2]), (9007199254740991, [-1, 2097151]),
])
def test_int64_literals_are_two_words(number: int, words: list[int]) -> None:
    assert literal_words(literal(1, 'int64', [number])) == words


def test_unknown_kernel_is_named() -> None:
    with pytest.raises(EdgeflowError, match="no kernel 'blur'") as e:
        link([Step('blur', [])], KERNELS, [])
    assert e.value.code == 'platform'


def test_value_that_was_never_written_is_named() -> None:
    with pytest.raises(EdgeflowError, match="'v3'"):
        link([Step('copy', [Pointer(placed(3, -1), 0)])], KERNELS, [])


def test_weight_without_plain_contents_is_named() -> None:
    weight = placed(4, -1)
    weight.constant = True
    with pytest.raises(EdgeflowError, match="'v4'"):
        link([Step('copy', [Pointer(weight, 0)])], KERNELS, [])
