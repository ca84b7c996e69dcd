"""One vector for each text from the vectors of its tokens."""

from __future__ import annotations

import math

from edgeflow.host.platform import array_of
from edgeflow.runtime.tensor import Tensor, numbers

TINY = 1e-12


def mean_pooled(hidden: Tensor, mask: list[list[int]]) -> Tensor:
    """The mean of the vectors that the mask keeps; [batch, sequence, width] -> [batch, width]."""
    batch, sequence, width = hidden.shape[0], hidden.shape[1], hidden.shape[2]
    values: list[float] = numbers(hidden.dtype, hidden.data)
    pooled: list[float] = []
    for b in range(batch):
        sums: list[float] = [0.0] * width
        count = 0
        for s in range(sequence):
            if mask[b][s] != 0:
                count += 1
                start = (b * sequence + s) * width
                for i in range(width):
                    sums[i] += values[start + i]
        scale = 1.0 / count if count > 0 else 0.0
        for i in range(width):
            pooled.append(sums[i] * scale)
    return Tensor('float32', [batch, width], array_of('float32', pooled))


def first_pooled(hidden: Tensor, mask: list[list[int]]) -> Tensor:
    """The vector of the first token that the mask keeps (with padding on the left that is not token 0)."""
    batch, sequence, width = hidden.shape[0], hidden.shape[1], hidden.shape[2]
    values: list[float] = numbers(hidden.dtype, hidden.data)
    pooled: list[float] = []
    for b in range(batch):
        first = 0
        while first < sequence - 1 and mask[b][first] == 0:
            first += 1
        start = (b * sequence + first) * width
        pooled.extend(values[start:start + width])
    return Tensor('float32', [batch, width], array_of('float32', pooled))


def normalized(vectors: Tensor) -> Tensor:
    """Every vector of the last axis divided by its Euclidean length."""
    width = vectors.shape[len(vectors.shape) - 1]
    values: list[float] = numbers(vectors.dtype, vectors.data)
    for start in range(0, len(values), width):
        total = 0.0
        for i in range(start, start + width):
            total += values[i] * values[i]
        scale = 1.0 / max(math.sqrt(total), TINY)
        for i in range(start, start + width):
            values[i] *= scale
    return Tensor('float32', list(vectors.shape), array_of('float32', values))
