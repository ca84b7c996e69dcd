"""Numbers as texts and texts that match patterns, for operators on strings. CPython only."""

from __future__ import annotations

import re

import numpy


def match_fully(pattern: str, texts: list[str]) -> list[bool] | None:
    try:
        expression = re.compile(pattern.replace('\\z', '\\Z'), re.ASCII)
    except re.error:
        return None
    return [expression.fullmatch(text) is not None for text in texts]


def parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def number_text(x: float, dtype: str) -> str:
    return str(numpy.dtype(dtype).type(x))
