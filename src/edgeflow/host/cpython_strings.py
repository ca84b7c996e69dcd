"""Numbers as texts and texts that match patterns, for operators on strings. CPython only."""

from __future__ import annotations

import re

import numpy


def _compiled(pattern: str) -> re.Pattern | None:
    try:
        return re.compile(pattern.replace('\\z', '\\Z'), re.ASCII)
    except re.error:
        return None


def match_fully(pattern: str, texts: list[str]) -> list[bool] | None:
    expression = _compiled(pattern)
    return None if expression is None else [expression.fullmatch(text) is not None for text in texts]


def find_matches(pattern: str, text: str) -> list[str] | None:
    expression = _compiled(pattern)
    return None if expression is None else [found[0] for found in expression.finditer(text) if found[0] != '']


def parse_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def number_text(x: float, dtype: str) -> str:
    return str(numpy.dtype(dtype).type(x))
