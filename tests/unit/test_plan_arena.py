"""Offsets in the arena: values that live at the same time lie apart, and memory is used again."""

from __future__ import annotations

import pytest

from edgeflow.plan.arena import align, live_peak, place_values
from edgeflow.plan.lifetimes import Lifetime
from edgeflow.plan.values import Value


def life(number: int, size: int, first: int, last: int) -> Lifetime:
    return Lifetime(Value(number, f'v{number}', 'uint8', [size]), first, last)


def assert_apart(lives: list[Lifetime], arena_size: int) -> None:
    """No two values that live at the same time share a byte, and all lie in the arena, aligned."""
    for i in range(len(lives)):
        a = lives[i]
        assert a.value.offset >= 0
        assert a.value.offset % 64 == 0
        assert a.value.offset + a.value.size <= arena_size
        for j in range(i):
            b = lives[j]
            together = a.first <= b.last and b.first <= a.last
            apart = a.value.offset + a.value.size <= b.value.offset or b.value.offset + b.value.size <= a.value.offset
            assert apart or not together


def test_values_of_a_chain_take_turns() -> None:
    lives = [life(i + 1, 64, i, i + 1) for i in range(10)]
    assert place_values(lives) == 128
    assert_apart(lives, 128)


def test_values_that_live_at_once_lie_side_by_side() -> None:
    lives = [life(1, 100, 0, 5), life(2, 30, 0, 5), life(3, 64, 0, 5)]
    assert place_values(lives) == 256
    assert [x.value.offset for x in lives] == [0, 192, 128]


def test_small_value_fills_the_gap_below_a_large_one() -> None:
    # given two large values, one after the other, with another beside both
    lives = [life(1, 1024, 0, 1), life(2, 512, 0, 3), life(3, 512, 2, 3), life(4, 256, 2, 3)]
    # when they are placed, then the last two share the place of the first
    assert place_values(lives) == 1536
    assert [x.value.offset for x in lives] == [0, 1024, 0, 512]


def test_empty_values_take_no_room() -> None:
    lives = [life(1, 0, 0, 9), life(2, 64, 0, 9), life(3, 0, 0, 9)]
    assert place_values(lives) == 64


def test_no_values_no_arena() -> None:
    assert place_values([]) == 0
    assert live_peak([]) == 0


@pytest.mark.parametrize('seed', [1, 2, 3, 4, 5, 6, 7, 8])
def test_made_up_plans_keep_values_apart_and_near_the_least_possible(seed: int) -> None:
    lives: list[Lifetime] = []
    state = seed
    for i in range(80):
        state = (state * 1103515245 + 12345) % 2147483648
        first = (state // 65536) % 60
        state = (state * 1103515245 + 12345) % 2147483648
        last = first + (state // 65536) % 9
        state = (state * 1103515245 + 12345) % 2147483648
        lives.append(life(i + 1, 64 * ((state // 65536) % 50), first, last))
    arena_size = place_values(lives)
    assert_apart(lives, arena_size)
    peak = live_peak(lives)
    assert peak <= arena_size
    assert arena_size <= 1.3 * peak


def test_live_peak_is_the_largest_sum_at_one_step() -> None:
    assert live_peak([life(1, 100, 0, 2), life(2, 50, 2, 3), life(3, 70, 3, 4)]) == 150


@pytest.mark.parametrize('size, expected', [(0, 0), (1, 64), (64, 64), (65, 128)])
def test_align_rounds_up(size: int, expected: int) -> None:
    assert align(size, 64) == expected
