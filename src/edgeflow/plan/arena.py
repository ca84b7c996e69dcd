"""Offsets in the arena: values that are alive at the same time get memory of their own, others may share."""

from __future__ import annotations

from edgeflow.plan.lifetimes import Lifetime

ALIGNMENT = 64


def place_values(lives: list[Lifetime], alignment: int = ALIGNMENT) -> int:
    """Set the offset of every value and return the size of the arena.

    Greedy by size (Pisarchyk and Lee 2020, "Efficient Memory Management for Deep Neural Net Inference"): the largest
    value first, each at the lowest offset where nothing that is alive at the same time lies.
    """
    order = sorted(lives, key=lambda life: (-life.value.size, life.first, life.value.number))
    placed: list[Lifetime] = []
    arena_size = 0
    for life in order:
        size = life.value.size
        offset = 0
        for i in range(len(placed)):
            other = placed[i]
            if other.first > life.last or other.last < life.first:
                continue
            if offset + size <= other.value.offset:
                break
            end = align(other.value.offset + other.value.size, alignment)
            if end > offset:
                offset = end
        life.value.offset = offset
        slot = _slot(placed, offset)
        placed.insert(slot, life)
        if offset + size > arena_size:
            arena_size = offset + size
    return align(arena_size, alignment)


def align(size: int, alignment: int) -> int:
    """`size` rounded up to a multiple of `alignment`."""
    return (size + alignment - 1) // alignment * alignment


def _slot(placed: list[Lifetime], offset: int) -> int:
    """Where in `placed`, which is sorted by offset, a value at `offset` belongs."""
    low = 0
    high = len(placed)
    while low < high:
        middle = (low + high) // 2
        if placed[middle].value.offset <= offset:
            low = middle + 1
        else:
            high = middle
    return low


def live_peak(lives: list[Lifetime]) -> int:
    """The most bytes alive at once: no arena can be smaller."""
    changes: dict[int, int] = {}
    for life in lives:
        changes[life.first] = changes.get(life.first, 0) + life.value.size
        changes[life.last + 1] = changes.get(life.last + 1, 0) - life.value.size
    now = 0
    peak = 0
    for step in sorted(changes.keys()):
        now = now + changes[step]
        if now > peak:
            peak = now
    return peak
