"""One vector for each text from the vectors of its tokens."""

from __future__ import annotations

from edgeflow.host.platform import array_of, mean_rows, unit_rows
from edgeflow.host.port import NumericArray
from edgeflow.runtime.tensor import Tensor, numbers


def mean_pooled(hidden: Tensor, mask: list[list[int]]) -> Tensor:
    """The mean of the vectors that the mask keeps; [batch, sequence, width] -> [batch, width]; zeros where it keeps none."""
    groups: list[list[int]] = []
    for b in range(len(mask)):
        row = mask[b]
        groups.append([b * hidden.shape[1] + s for s in range(len(row)) if row[s] != 0])
    return pooled(hidden, groups)


def first_pooled(hidden: Tensor, mask: list[list[int]]) -> Tensor:
    """The vector of the first token that the mask keeps (with padding on the left that is not token 0)."""
    groups: list[list[int]] = []
    for b in range(len(mask)):
        first = mask[b].index(1) if 1 in mask[b] else 0
        groups.append([b * hidden.shape[1] + first])
    return pooled(hidden, groups)


def pooled(hidden: Tensor, groups: list[list[int]]) -> Tensor:
    """The means of groups of vectors, the vectors counted through the batch."""
    width = hidden.shape[2]
    return Tensor('float32', [len(groups), width], mean_rows(floats(hidden), width, groups))


def normalized(vectors: Tensor) -> Tensor:
    """Every vector of the last axis divided by its Euclidean length; zeros stay zeros."""
    return Tensor('float32', list(vectors.shape), unit_rows(floats(vectors), vectors.shape[-1]))


def floats(tensor: Tensor) -> NumericArray:
    """The numbers of a tensor as a float32 array; its own where it is one."""
    return tensor.data if tensor.dtype == 'float32' else array_of('float32', numbers(tensor.dtype, tensor.data))
