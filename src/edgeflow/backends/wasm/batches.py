"""The batches of a broadcast matrix product, for kernels that loop over two levels of batch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Batch:
    """Two levels of batch: counts, and the distance of matrices in elements. The starts are those of the first matrices."""

    a_start: int = 0
    b_start: int = 0
    c_start: int = 0
    outer: int = 1
    outer_a: int = 0
    outer_b: int = 0
    outer_c: int = 0
    inner: int = 1
    inner_a: int = 0
    inner_b: int = 0
    inner_c: int = 0

    def words(self) -> list[int]:
        """The eight batch words of matmul_f32."""
        return [self.outer, self.outer_a, self.outer_b, self.outer_c, self.inner, self.inner_a, self.inner_b, self.inner_c]


@dataclass
class _Level:
    count: int
    a: int
    b: int
    c: int


def batches(a_dims: list[int], b_dims: list[int], a_size: int, b_size: int, c_size: int) -> list[Batch]:
    """How the matrices of A (leading dims a_dims, a_size elements each), B and the result C pair up.

    Neighbouring dims that step evenly become one level; what is left beyond two levels is written out as several batches.
    """
    levels = _levels(a_dims, b_dims, a_size, b_size, c_size)
    starts: list[Batch] = [Batch()]
    for level in levels[:max(0, len(levels) - 2)]:
        starts = _times(starts, level)
    rest = levels[max(0, len(levels) - 2):]
    for batch in starts:
        if len(rest) > 0:
            last = rest[len(rest) - 1]
            batch.inner = last.count
            batch.inner_a = last.a
            batch.inner_b = last.b
            batch.inner_c = last.c
        if len(rest) > 1:
            batch.outer = rest[0].count
            batch.outer_a = rest[0].a
            batch.outer_b = rest[0].b
            batch.outer_c = rest[0].c
    return starts


def _times(starts: list[Batch], level: _Level) -> list[Batch]:
    more: list[Batch] = []
    for start in starts:
        for i in range(level.count):
            more.append(Batch(start.a_start + i * level.a, start.b_start + i * level.b, start.c_start + i * level.c))
    return more


def _levels(a_dims: list[int], b_dims: list[int], a_size: int, b_size: int, c_size: int) -> list[_Level]:
    """Outermost first."""
    rank = max(len(a_dims), len(b_dims))
    found: list[_Level] = []
    a_step = a_size
    b_step = b_size
    c_step = c_size
    for i in range(rank):
        a_dim = a_dims[len(a_dims) - 1 - i] if i < len(a_dims) else 1
        b_dim = b_dims[len(b_dims) - 1 - i] if i < len(b_dims) else 1
        dim = b_dim if a_dim == 1 else a_dim
        level = _Level(dim, a_step if a_dim == dim else 0, b_step if b_dim == dim else 0, c_step)
        a_step = a_step * a_dim
        b_step = b_step * b_dim
        c_step = c_step * dim
        if dim == 1:
            continue
        inner = found[len(found) - 1] if len(found) > 0 else None
        if inner is not None and level.a == inner.a * inner.count and level.b == inner.b * inner.count and level.c == inner.c * inner.count:
            inner.count = inner.count * dim
        else:
            found.append(level)
    found.reverse()
    return found
