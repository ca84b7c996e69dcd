"""Arithmetic on the rows of flat float32 arrays, by numpy. CPython only."""

from __future__ import annotations

import numpy


def mean_rows(array: numpy.ndarray, width: int, groups: list[list[int]]) -> numpy.ndarray:
    rows = array.reshape(-1, width)
    means = [rows[group].mean(axis=0, dtype=numpy.float64) if group else numpy.zeros(width) for group in groups]
    return numpy.array(means, numpy.float32).reshape(-1)


def unit_rows(array: numpy.ndarray, width: int) -> numpy.ndarray:
    rows = array.reshape(-1, width).astype(numpy.float64)
    lengths = numpy.sqrt((rows * rows).sum(axis=1, keepdims=True))
    return (rows / numpy.where(lengths == 0, 1, lengths)).astype(numpy.float32).reshape(-1)
