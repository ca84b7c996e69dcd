"""Strides: row-major and broadcast ones, and collapsing dims so that kernels walk over as few as possible."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.dtype import ITEM_BITS
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import Value, Word


def row_major(shape: list[int]) -> list[int]:
    """Strides, in elements, of a contiguous tensor."""
    strides = [1] * len(shape)
    for i in range(len(shape) - 2, -1, -1):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


def broadcast_strides(shape: list[int], output: list[int]) -> list[int]:
    """Strides with which a contiguous tensor of `shape` is read as if it had the shape `output`: 0 where it repeats."""
    strides = row_major(shape)
    result = [0] * (len(output) - len(shape))
    for i in range(len(shape)):
        result.append(0 if shape[i] == 1 else strides[i])
    return result


@dataclass(frozen=True)
class Loops:
    """Nested loops over `dims`, and the strides of each tensor in them."""

    dims: list[int]
    strides: list[list[int]]


def collapse(dims: list[int], strides: list[list[int]]) -> Loops:
    """The same places in the same order with as few dims as possible, but at least one.

    Dims of 1 are dropped; two neighbours become one where every tensor steps from the one to the other without a jump.
    """
    kept: list[int] = []
    merged: list[list[int]] = [[] for _ in strides]
    for i in range(len(dims)):
        if dims[i] == 1:
            continue
        last = len(kept) - 1
        joins = last >= 0
        for k in range(len(strides)):
            if joins and merged[k][last] != strides[k][i] * dims[i]:
                joins = False
        if joins:
            kept[last] = kept[last] * dims[i]
            for k in range(len(strides)):
                merged[k][last] = strides[k][i]
        else:
            kept.append(dims[i])
            for k in range(len(strides)):
                merged[k].append(strides[k][i])
    if len(kept) == 0:
        return Loops([1], [[0] for _ in strides])
    return Loops(kept, merged)


def loop_words(loops: Loops) -> list[Word]:
    """rank, dims, strides of each tensor: how kernels take loops."""
    words: list[Word] = [len(loops.dims)]
    words.extend(loops.dims)
    for strides in loops.strides:
        words.extend(strides)
    return words


def item_size(value: Value) -> int:
    """Bytes of one element as it lies in memory."""
    return (ITEM_BITS[value.dtype] + 7) // 8


def copy_steps(b: StepBuilder, item: int, source: Word, target: Word, dims: list[int], source_strides: list[int],
               target_strides: list[int]) -> None:
    """Copy a block of `dims` elements between any strides."""
    loops = collapse(dims, [source_strides, target_strides])
    order = [i for i in range(len(loops.dims))]
    last = len(order) - 1
    if loops.strides[0][last] != 1 and loops.strides[1][last] == 1:
        # A transpose: the dim that is contiguous in the source goes next to the last, where the kernel looks for it.
        for i in range(last):
            if loops.strides[0][i] == 1:
                order = [k for k in range(last) if k != i] + [i, last]
                break
    words: list[Word] = [item, source, target]
    ordered = Loops([loops.dims[i] for i in order], [[strides[i] for i in order] for strides in loops.strides])
    words.extend(loop_words(ordered))
    b.step('copy_nd', words)


def shares_memory(value: Value, others: list[Value | None]) -> bool:
    """Whether one of `others` lies in the same memory as `value`, but not at the very same place."""
    for other in others:
        if other is not None and other is not value and other.root() is value.root():
            if other.root_offset() != value.root_offset() or other.shape != value.shape:
                return True
    return False


def reuse_if_alike(b: StepBuilder, output: Value, source: Value, others: list[Value | None]) -> None:
    """Let `output` of an elementwise step take the memory of `source` if they have the same layout and nothing else is read there."""
    if source.shape == output.shape and item_size(source) == item_size(output) and not shares_memory(source, others):
        b.may_reuse(output, source)
