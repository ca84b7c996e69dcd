"""The Python subset itself: what these tests say holds in CPython, in Node and in a browser."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Square(Point):
    side: int = 1
    area: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'area', self.side * self.side)


class Counter:
    """Counts; a context manager, iterable, with a length."""

    START = 10

    def __init__(self, step_size: int = 1) -> None:
        self.step_size = step_size
        self.value = self.START
        self._log: list[str] = []

    @property
    def doubled(self) -> int:
        return self.value * 2

    @doubled.setter
    def doubled(self, value: int) -> None:
        self.value = value // 2

    @staticmethod
    def of(step_size: int) -> Counter:
        return Counter(step_size)

    def step(self, times: int = 1, *, log_entry: str = 'step') -> int:
        self.value += self.step_size * times
        self._log.append(log_entry)
        return self.value

    def __len__(self) -> int:
        return len(self._log)

    def __iter__(self) -> Iterator[str]:
        return iter(self._log)

    def __contains__(self, entry: str) -> bool:
        return entry in self._log

    def __getitem__(self, index: int) -> str:
        return self._log[index]

    def __enter__(self) -> Counter:
        self._log.append('enter')
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        self._log.append('failed' if error is not None else 'left')
        return isinstance(error, KeyError)


class Loud(Counter):
    def __init__(self) -> None:
        super().__init__(5)
        self.loud = True

    def step(self, times: int = 1, *, log_entry: str = 'LOUD') -> int:
        return super().step(times, log_entry=log_entry) + 1000


class AppError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def truth(value: object) -> bool:
    return True if value else False


@pytest.mark.parametrize('value', [0, '', [], {}, None, False, 0.0])
def test_empty_is_false(value: object) -> None:
    assert not truth(value)
    assert not value


@pytest.mark.parametrize('value', [1, 'a', [0], {'a': 0}, True, 0.5, -1, ' '])
def test_filled_is_true(value: object) -> None:
    assert truth(value)


@pytest.mark.parametrize(('a', 'b', 'quotient', 'rest'), [(7, 2, 3, 1), (-7, 2, -4, 1), (7, -2, -4, -1), (-7, -2, 3, -1)])
def test_floor_division(a: int, b: int, quotient: int, rest: int) -> None:
    assert a // b == quotient
    assert a % b == rest
    assert divmod(a, b) == (quotient, rest)


def test_division_by_zero() -> None:
    for divide in [lambda: 1 // 0, lambda: 1 % 0]:
        with pytest.raises(ZeroDivisionError):
            divide()


def test_integers_beyond_32_bits() -> None:
    big = 1 << 40
    assert big == 1099511627776
    assert (big + 5) & 7 == 5
    assert (big | 1) - 1 == big
    assert big >> 38 == 4
    assert (big ^ big) == 0
    assert -1 >> 1 == -1
    assert ~big == -big - 1


def test_elements_and_slices() -> None:
    xs = [1, 2, 3, 4]
    assert xs[-1] == 4
    assert xs[1:-1] == [2, 3]
    assert xs[::-1] == [4, 3, 2, 1]
    assert 'abc'[-2:] == 'bc'
    xs[1:3] = [9]
    assert xs == [1, 9, 4]
    del xs[0]
    assert xs == [9, 4]
    with pytest.raises(IndexError):
        xs[5]
    with pytest.raises(IndexError):
        xs[-3] = 1
    with pytest.raises(KeyError):
        {'a': 1}['b']


def test_equal_by_value() -> None:
    assert [1, [2, {'k': (3,)}]] == [1, [2, {'k': (3,)}]]
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(1, 3)
    assert {1, 2} == {2, 1}
    assert (1, 'b') < (1, 'c')
    assert [2] > [1, 9]
    assert Counter() != Counter()


def test_dataclasses() -> None:
    a, b = Point(1), Point(x=1)
    a.tags.append('t')
    assert b.tags == []
    assert replace(a, y=7).y == 7
    assert replace(a, y=7).tags == ['t']
    assert str(Point(1)) == 'Point(x=1, y=2, tags=[])'
    square = Square(1, side=3)
    assert (square.x, square.y, square.area) == (1, 2, 9)
    assert isinstance(square, Point)
    assert not isinstance(a, Square)


def test_classes() -> None:
    counter = Counter.of(2)
    step: Callable[[], int] = counter.step
    assert step() == 12
    assert counter.step(2, log_entry='twice') == 16
    assert counter.doubled == 32
    counter.doubled = 8
    assert counter.value == 4
    assert (len(counter), list(counter), counter[-1]) == (2, ['step', 'twice'], 'twice')
    assert 'twice' in counter
    assert Loud().step() == 1015
    assert bool(counter)
    assert not Counter()


def test_with_and_errors() -> None:
    with Counter() as counter:
        counter.step()
    assert list(counter) == ['enter', 'step', 'left']
    with Counter() as swallowing:
        raise KeyError('k')
    assert list(swallowing) == ['enter', 'failed']
    failing = Counter()
    with pytest.raises(AppError, match='bad') as caught:
        with failing:
            raise AppError('code-1', 'a bad thing')
    assert caught.value.code == 'code-1'
    assert list(failing) == ['enter', 'failed']


def handled(error: Exception) -> list[str]:
    log: list[str] = []
    try:
        try:
            raise error
        except AppError as e:
            log.append(e.code)
            raise ValueError('from app') from e
        except (KeyError, IndexError) as e:
            log.append(type(e).__name__)
        else:
            log.append('never')
        finally:
            log.append('finally')
    except Exception as e:
        log.append(str(e))
    return log


def test_handlers() -> None:
    assert handled(AppError('c', 'm')) == ['c', 'finally', 'from app']
    assert handled(KeyError('k')) == ['KeyError', 'finally']
    assert handled(TypeError('t')) == ['finally', 't']


def test_loops() -> None:
    seen: list[object] = []
    for i in range(3, 0, -1):
        seen.append(i)
    for i, (name, size) in enumerate([('a', 1), ('b', 2)], start=5):
        seen.append((i, name, size))
    for n in range(2):
        if n == 5:
            break
    else:
        seen.append('else')
    while seen:
        last = seen.pop()
        if last == 'else':
            continue
        break
    assert seen == [3, 2, 1, (5, 'a', 1)]
    assert last == (6, 'b', 2)
    assert n == 1


def test_comprehensions() -> None:
    pairs = {'a': 1, 'b': 2}
    assert [k * v for k, v in pairs.items()] == ['a', 'bb']
    assert {v: k for k, v in pairs.items()} == {1: 'a', 2: 'b'}
    assert {len(word) for word in ['a', 'b', 'cc']} == {1, 2}
    assert [(x, y) for x in range(3) for y in range(x)] == [(1, 0), (2, 0), (2, 1)]
    assert [y for x in [1, 2, 3] if (y := x * 2) > 2] == [4, 6]
    assert sum(x * x for x in range(4)) == 14
    assert any(k == 'b' for k in pairs)
    assert not all(v > 1 for v in pairs.values())
    assert [row[:] for row in [[1], [2]]] == [[1], [2]]


def test_sorting() -> None:
    rows = [(2, 'b'), (1, 'z'), (2, 'a')]
    assert sorted(rows) == [(1, 'z'), (2, 'a'), (2, 'b')]
    assert sorted(rows, key=lambda row: (-row[0], row[1])) == [(2, 'a'), (2, 'b'), (1, 'z')]
    assert sorted([10, 9, 1]) == [1, 9, 10]
    assert sorted(['b', 'a'], reverse=True) == ['b', 'a']
    assert min(rows, key=lambda row: row[1]) == (2, 'a')
    assert max([], default=3) == 3


def options(a: int, b: int = 2, *, top_k: int = 1, default: str | None = 'd') -> list[object]:
    return [a, b, top_k, default]


def test_arguments() -> None:
    assert options(1) == [1, 2, 1, 'd']
    assert options(b=5, a=4) == [4, 5, 1, 'd']
    assert options(1, top_k=3) == [1, 2, 3, 'd']
    assert options(1, default=None) == [1, 2, 1, None]
    assert options(*[7, 8]) == [7, 8, 1, 'd']


def counted() -> Callable[[], int]:
    count = 0

    def count_up() -> int:
        nonlocal count
        count += 1
        return count

    return count_up


def test_closures() -> None:
    first, second = counted(), counted()
    assert (first(), first(), second()) == (1, 2, 1)


def countdown(n: int) -> Iterator[int]:
    while n > 0:
        yield n
        n -= 1
    yield from [0, -1]


def test_generators() -> None:
    assert list(countdown(2)) == [2, 1, 0, -1]
    numbers = countdown(3)
    assert next(numbers) == 3
    assert next((n for n in numbers if n < 2), None) == 1
    assert next(iter([]), 'none') == 'none'


def test_unpacking() -> None:
    a, (b, *rest) = 1, (2, 3, 4)
    a, b = b, a
    *front, end = 'xyz'
    assert (a, b, rest, front, end) == (2, 1, [3, 4], ['x', 'y'], 'z')
    with pytest.raises(ValueError):
        first, second = [1, 2, 3]


@pytest.mark.parametrize(('text', 'expected'), [
    (f'{3.14159:.2f}', '3.14'), (f'{2.5:.0f}', '2'), (f'{5:03d}', '005'), (f'{255:#x}', '0xff'), (f'{1234567:,}', '1,234,567'),
    (f'{"a":>3}|', '  a|'), (f'{"a":^5}|', '  a  |'), (f'{0.25:.1%}', '25.0%'), (f'{12345.678:.3e}', '1.235e+04'), (f"{'x'!r}", "'x'"),
    (f'{True} {None} {[1, "a"]}', "True None [1, 'a']"), (f'{{}}`${{}}', '{}`${}'),
])
def test_formats(text: str, expected: str) -> None:
    assert text == expected


def test_text() -> None:
    assert ' a  b '.split() == ['a', 'b']
    assert 'a,b,c'.split(',', 1) == ['a', 'b,c']
    assert 'k=v=w'.rpartition('=') == ('k=v', '=', 'w')
    assert 'a.b'.replace('.', '$&') == 'a$&b'
    assert '-'.join(str(n) for n in [1, 2]) == '1-2'
    assert 'x.onnx'.removesuffix('.onnx').startswith(('x', 'y'))
    assert 'ab' * 2 == 'abab'
    assert 'é'.encode('utf-8') == b'\xc3\xa9'


def test_numbers_padded_with_zeros() -> None:
    numbers: list[int] = [7, -7, 255]
    assert [f'{n:04d}' for n in numbers] == ['0007', '-007', '0255']
    assert [f'{n:02x}' for n in numbers] == ['07', '-7', 'ff']


def test_helpers_for_one_type() -> None:
    texts: list[str] = ['b', 'a', 'b']
    n: int = 3
    assert [texts[1], texts[2], texts[-1], texts.index('a'), texts.index('b', 1)] == ['a', 'b', 'b', 1, 2]
    texts.remove('b')
    assert texts == ['a', 'b']
    with pytest.raises(ValueError):
        texts.remove('c')
    with pytest.raises(IndexError):
        assert texts[2] == ''
    word: str = 'a-b-c'
    assert [word.split('-', 1), word.split('-', 5), word.split('+', 1)] == [['a', 'b-c'], ['a', 'b', 'c'], ['a-b-c']]
    assert word.startswith(('x', 'a-')) and not word.endswith(('x', 'b'))
    assert [[None] * n, [0] * (n - 4)] == [[None, None, None], []]
    table: dict[str, int] = {'a': 1}
    table.update({'b': 2})
    seen: set[str] = set(texts)
    seen.update(['c'])
    assert [table, sorted(seen), len(Counter(3))] == [{'a': 1, 'b': 2}, ['a', 'b', 'c'], len(Counter(3))]


def failing(depth: int) -> None:
    raise ValueError(f'depth {depth}')


def test_errors_raised_where_they_are_made() -> None:
    with pytest.raises(ValueError, match='depth 3'):
        failing(3)


def test_dicts() -> None:
    counts: dict[str, int] = {}
    for letter in 'abca':
        counts[letter] = counts.get(letter, 0) + 1
    counts['c'] += 10
    assert counts == {'a': 2, 'b': 1, 'c': 11}
    assert counts.pop('zz', None) is None
    assert counts.setdefault('a', 9) == 2
    assert list({**counts, 'd': 4}) == ['a', 'b', 'c', 'd']
    assert 'a' in counts
    assert counts.get('q') is None
    del counts['a']
    assert sorted(counts.items()) == [('b', 1), ('c', 11)]


def test_none_and_missing() -> None:
    def given(x: int | None = 5) -> int | None:
        return x

    assert given() == 5
    assert given(None) is None
    assert (given(None) or 7) == 7
    assert (0 or None) is None


class Resource:
    def __init__(self) -> None:
        self.open = False

    async def __aenter__(self) -> Resource:
        self.open = True
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        self.open = False

    async def parts(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i


async def test_async() -> None:
    resource = Resource()
    got: list[int] = []
    async with resource as opened:
        assert opened.open
        async for part in opened.parts(3):
            got.append(part)
    assert got == [0, 1, 2]
    assert not resource.open
    assert [part async for part in resource.parts(2)] == [0, 1]
    with pytest.raises(AppError):
        async with resource:
            raise AppError('c', 'm')
    assert not resource.open
