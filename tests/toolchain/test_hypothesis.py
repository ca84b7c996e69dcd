"""The same generated cases in both runtimes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.toolchain.both_runtimes import Node, Snippet

SOURCE = '''
def fmt(value: object, spec: str) -> str:
    if spec == '.2f':
        return f'{value:.2f}'
    if spec == '.0f':
        return f'{value:.0f}'
    if spec == '8.3f':
        return f'{value:8.3f}'
    if spec == '+.1e':
        return f'{value:+.1e}'
    if spec == '.3g':
        return f'{value:.3g}'
    if spec == 'g':
        return f'{value:g}'
    if spec == '.1%':
        return f'{value:.1%}'
    if spec == ',':
        return f'{value:,}'
    if spec == '08.2f':
        return f'{value:08.2f}'
    if spec == '<10':
        return f'{value:<10}|'
    if spec == '^10':
        return f'{value:^10}|'
    if spec == 'x':
        return f'{value:x}'
    if spec == '#010b':
        return f'{value:#010b}'
    if spec == '_d':
        return f'{value:_d}'
    if spec == ',.2f':
        return f'{value:,.2f}'
    if spec == '06d':
        return f'{value:06d}'
    if spec == 'r':
        return f'{value!r}'
    return f'{value}'


def sliced(xs: list[int], a: int | None, b: int | None, c: int | None) -> list[int]:
    return xs[a:b:c]


def sliced_text(s: str, a: int | None, b: int | None) -> str:
    return s[a:b]


def sliced_native(xs: list[int], a: int, b: int) -> list[list[int]]:
    return [xs[a:b], xs[a:], xs[:b]]


def set_slice(xs: list[int], a: int | None, b: int | None, values: list[int]) -> list[int]:
    xs[a:b] = values
    return xs


def integers(a: int, b: int, n: int) -> list[object]:
    return [a + b, a - b, a & b, a | b, a ^ b, a << n, a >> n, ~a, a & 0xffff, -a, abs(a), a < b, a == b, min(a, b), max(a, b)]


def divided(a: int, b: int) -> list[object]:
    return [a // b, a % b, divmod(a, b), a / b]


def untyped(a, b) -> list[object]:
    return [a + b, a == b, a < b, a * 2, bool(a), a in [b], [a, b] == [b, a]]


def ordered(rows: list[tuple[int, str]]) -> list[object]:
    return [sorted(rows), sorted(rows, reverse=True), sorted(rows, key=lambda r: (r[1], -r[0])), sorted(rows, key=lambda r: r[0]),
            max(rows), min(rows, key=lambda r: r[1]), rows[0] < rows[-1]]


def stable(rows: list[tuple[int, int]]) -> list[object]:
    rows.sort(key=lambda r: r[0], reverse=True)
    return rows


def rounded(x: float, n: int) -> list[float]:
    return [round(x, n), round(x)]


def text(s: str, t: str) -> list[object]:
    return [s.strip(), s.lstrip(t) if t else '', s.rstrip(t) if t else '', s.split(), s.split(None, 1), s.rsplit(None, 1), s.split(t) if t else [], s.split(t, 1) if t else [], s.rsplit(t, 1) if t else [],
            s.partition(t) if t else (), s.find(t), s.rfind(t), s.replace(t, '<>') if t else '', s.count(t) if t else 0, t in s, s.startswith(t), s.endswith(t), s.splitlines(),
            s.isdigit(), s.isalpha(), s.isspace(), s.upper(), s.zfill(6), s.center(7), repr(s)]


def number_text(x: float) -> list[str]:
    return [str(x), repr(x), f'{x}']


def parsed(s: str) -> object:
    return int(s)


def parsed_float(s: str) -> object:
    return float(s)
'''


@pytest.fixture(scope="module")
def snippet(node: Node) -> Snippet:
    return Snippet(node, SOURCE)


cases = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
small = st.integers(-12, 12)
bound = st.none() | small
words = st.text("ab ,\n\tx1é", max_size=8)
doubles = st.floats(-1e12, 1e12, allow_subnormal=False).filter(lambda x: x != int(x)) | st.sampled_from([0.5, 1.5, 2.5, -0.5, 0.125, 0.375, 1e-5, 12345.675])


@cases
@given(value=doubles, spec=st.sampled_from([".2f", ".0f", "8.3f", "+.1e", ".3g", "g", ".1%", "08.2f", "<10", "^10", ",.2f", "", "r"]))
def test_float_formats(snippet: Snippet, value: float, spec: str) -> None:
    snippet.agree("fmt", value, spec)


@cases
@given(value=st.integers(-(2**50), 2**50), spec=st.sampled_from(["x", "#010b", "_d", ",", "06d", ".2f", "", "<10", "^10", ",.2f"]))
def test_integer_formats(snippet: Snippet, value: int, spec: str) -> None:
    snippet.agree("fmt", value, spec)


@cases
@given(value=words, spec=st.sampled_from(["<10", "^10", "", "r"]))
def test_text_formats(snippet: Snippet, value: str, spec: str) -> None:
    snippet.agree("fmt", value, spec)


@cases
@given(xs=st.lists(small, max_size=9), a=bound, b=bound, c=st.none() | st.integers(-3, 3))
def test_slices(snippet: Snippet, xs: list[int], a: int | None, b: int | None, c: int | None) -> None:
    snippet.agree("sliced", xs, a, b, c)
    snippet.agree("sliced_text", "".join(chr(97 + x % 26) for x in xs), a, b)
    if a is not None and b is not None:
        snippet.agree("sliced_native", xs, a, b)


@cases
@given(xs=st.lists(small, max_size=6), a=bound, b=bound, values=st.lists(small, max_size=4))
def test_slice_assignment(snippet: Snippet, xs: list[int], a: int | None, b: int | None, values: list[int]) -> None:
    expected = list(xs)
    expected[a:b] = values
    actual = snippet.node.call(snippet.path, "setSlice", xs, a, b, values)
    assert actual == {"value": expected}


@cases
@given(a=st.integers(-(2**44), 2**44), b=st.integers(-(2**44), 2**44), n=st.integers(0, 8))
def test_integers(snippet: Snippet, a: int, b: int, n: int) -> None:
    snippet.agree("integers", a, b, n)


@cases
@given(a=st.integers(-(2**52), 2**52), b=st.integers(-1000, 1000))
def test_division(snippet: Snippet, a: int, b: int) -> None:
    snippet.agree("divided", a, b)


@cases
@given(data=st.data())
def test_untyped_operands(snippet: Snippet, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([small, words, st.lists(small, max_size=4)]))
    snippet.agree("untyped", data.draw(kind), data.draw(kind))


@cases
@given(rows=st.lists(st.tuples(small, words), min_size=1, max_size=8))
def test_order(snippet: Snippet, rows: list[tuple[int, str]]) -> None:
    snippet.agree("ordered", rows)


@cases
@given(rows=st.lists(st.tuples(st.integers(0, 3), small), max_size=10))
def test_sort_is_stable(snippet: Snippet, rows: list[tuple[int, int]]) -> None:
    expected = sorted(rows, key=lambda row: row[0], reverse=True)
    assert snippet.node.call(snippet.path, "stable", rows) == {"value": [list(row) for row in expected]}


@cases
@given(x=st.floats(-1e9, 1e9), n=st.integers(0, 6))
def test_rounding(snippet: Snippet, x: float, n: int) -> None:
    snippet.agree("rounded", x, n)


@cases
@given(s=words, t=st.text("ab ,", max_size=2))
def test_text_methods(snippet: Snippet, s: str, t: str) -> None:
    snippet.agree("text", s, t)


@cases
@given(x=st.floats(allow_subnormal=False))
def test_number_text(snippet: Snippet, x: float) -> None:
    assume(x != x or x in (float("inf"), float("-inf")) or x != int(x) or abs(x) < 1e15)
    expected, actual = snippet.both("number_text", x)
    if isinstance(expected, list):
        expected = [text.removesuffix(".0") if text != "-0.0" else "0" for text in expected]
    assert actual == expected


@cases
@given(s=st.text("0123456789+-_. eEx", max_size=6))
def test_parsing(snippet: Snippet, s: str) -> None:
    for name in ("parsed", "parsed_float"):
        expected, actual = snippet.both(name, s)
        if isinstance(actual, dict) and "error" in actual:
            actual = {"error": actual["error"]}
        assert actual == expected
