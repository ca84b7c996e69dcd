"""Snippets of the subset give the same results in CPython and in Node. One long list of snippets."""

from __future__ import annotations

import pytest

from tests.toolchain.both_runtimes import Node, Snippet

SNIPPETS: dict[str, str] = {
    "truth": '''
        def run() -> list[object]:
            values: list[object] = [0, 1, '', 'a', [], [0], {}, {'a': 1}, None, True, False, 0.0, 0.5, set(), {1}]
            out: list[object] = []
            for v in values:
                out.append(1 if v else 0)
                out.append(not v)
                out.append(v or 'else')
                out.append(v and 'then')
            return out
    ''',
    "typed truth": '''
        def check(xs: list[int], s: str, d: dict[str, int] | None, n: int | None, f: float) -> list[object]:
            out: list[object] = [bool(xs), bool(s), bool(d), bool(n), bool(f), not xs, not s, not d, not n, not f]
            if xs and s:
                out.append('both')
            if xs or d:
                out.append('either')
            out.append(xs or [9])
            out.append(d or {'z': 1})
            out.append(n or 7)
            while xs:
                xs.pop()
            return out + [xs]

        def run() -> list[object]:
            return [check([], '', None, None, 0.0), check([1, 2], 'a', {'a': 1}, 3, 0.5), check([0], 'b', {}, 0, -0.5)]
    ''',
    "equality": '''
        from dataclasses import dataclass

        @dataclass(frozen=True)
        class Point:
            x: int
            y: int = 2

        class Plain:
            def __init__(self, x: int) -> None:
                self.x = x

        def same(a: object, b: object) -> bool:
            return a == b

        def run() -> list[object]:
            p = Plain(1)
            return [
                same([1, [2, 'x']], [1, [2, 'x']]), same((1, 2), (1, 2)), same({'a': [1]}, {'a': [1]}), same({'a': 1}, {'a': 2}),
                same({1, 2}, {2, 1}), same(None, None), same(None, 0), same('', 0), same(True, 1), same(False, 0), same('1', 1),
                same(Point(1), Point(1, 2)), same(Point(1), Point(2)), Point(1) != Point(1), same(p, p), same(p, Plain(1)),
                same(b'ab', b'ab'), same(b'ab', b'ac'), [1] != [1], (1, 2) < (1, 3), (1, 2) < (1, 2, 0), 'a' < 'b', [2] > [1, 5],
            ]
    ''',
    "sequences": '''
        def run() -> list[object]:
            xs = [3, 1, 2]
            xs.append(5)
            xs.extend([7, 8])
            xs.insert(1, 100)
            xs.insert(-1, 200)
            last = xs.pop()
            first = xs.pop(0)
            xs.remove(100)
            xs[0] = 11
            xs[-1] = 22
            ys = xs[:]
            ys.reverse()
            ys.sort()
            zs = sorted(xs, reverse=True)
            del xs[1]
            xs[1:2] = [1, 1, 1]
            t = 'abcdef'
            return [xs, ys, zs, last, first, xs.index(1), xs.count(1), 11 in xs, 12 not in xs, xs * 2, [0] * 3, 'ab' * 2, xs + [1],
                    t[-1], t[1:3], t[::-1], t[::2], t[-3:], t[:-2], xs[10:], xs[-100:2], len(xs), (1, 2) + (3,), t[4:1:-1]]
    ''',
    "errors of access": '''
        def attempt(kind: str) -> str:
            xs = [1, 2]
            d = {'a': 1}
            try:
                if kind == 'index':
                    return str(xs[2])
                if kind == 'negative':
                    return str(xs[-3])
                if kind == 'key':
                    return str(d['b'])
                if kind == 'pop':
                    return str([].pop())
                if kind == 'dict pop':
                    return str(d.pop('zz'))
                if kind == 'value':
                    return str(xs.index(9))
                if kind == 'int':
                    return str(int('x1'))
                if kind == 'float':
                    return str(float('x1'))
                if kind == 'zero':
                    return str(1 // (xs[0] - 1))
                if kind == 'mod':
                    return str(1 % (xs[0] - 1))
                if kind == 'assign':
                    xs[5] = 1
                if kind == 'unpack':
                    a, b, c = xs
                if kind == 'min':
                    return str(min([]))
                if kind == 'remove':
                    xs.remove(77)
                if kind == 'next':
                    next(iter([]))
                return 'none'
            except KeyError as e:
                return 'KeyError ' + str(e)
            except IndexError:
                return 'IndexError'
            except ValueError:
                return 'ValueError'
            except ZeroDivisionError:
                return 'ZeroDivisionError'
            except StopIteration:
                return 'StopIteration'

        def run() -> list[str]:
            return [attempt(k) for k in ['index', 'negative', 'key', 'pop', 'dict pop', 'value', 'int', 'float', 'zero', 'mod', 'assign', 'unpack', 'min', 'remove', 'next', '']]
    ''',
    "dicts": '''
        def run() -> list[object]:
            d: dict[str, int] = {'a': 1, 'b': 2}
            d['c'] = 3
            d['a'] += 10
            d.setdefault('z', 26)
            d.update({'y': 25})
            popped = d.pop('b')
            missing = d.pop('nope', -1)
            nested: dict[str, list[int]] = {}
            for i in range(5):
                nested.setdefault('even' if i % 2 == 0 else 'odd', []).append(i)
            keys = [k for k in d]
            total = 0
            for k, v in d.items():
                total += v + len(k)
            inverse = {v: k for k, v in d.items()}
            merged = {**d, 'm': 1}
            del d['y']
            return [d, popped, missing, nested, keys, list(d.values()), sorted(d.keys()), total, inverse, merged, 'a' in d, 'q' in d,
                    d.get('a'), d.get('q'), d.get('q', 5), len(d), dict([('k', 1)]), dict(a=1), list(d), max(d.values()), dict(d) == d,
                    list(d.items())[0], d.get('q') is None, sum(d.values())]
    ''',
    "sets": '''
        def run() -> list[object]:
            s = {1, 2, 3}
            s.add(4)
            s.discard(1)
            s.remove(2)
            t: set[int] = set()
            t.update([4, 5])
            return [s, s.union(t), s.intersection(t), s.difference(t), s.issubset({3, 4, 5}), s.isdisjoint({9}), len(s), 4 in s, sorted(s),
                    set('hello'), {x % 3 for x in range(10)}, set() == set(), bool(t)]
    ''',
    "text": '''
        def run() -> list[object]:
            s = '  Hello, World  '
            return [s.strip(), s.lstrip(), s.rstrip(), s.lower(), s.upper(), s.strip().split(', '), 'a b  c'.split(), ' a,b,,c '.split(','), 'a,b,c'.split(',', 1),
                    'a,b,c'.rsplit(',', 1), '-'.join(['x', 'y']), 'abc'.startswith('ab'), 'abc'.endswith(('x', 'c')), 'abcabc'.find('c'), 'abcabc'.rfind('c'), 'abc'.find('z'),
                    'a.b.c'.replace('.', '$&'), 'aaa'.replace('a', 'b', 2), 'x'.isdigit(), '12'.isdigit(), 'ab1'.isalnum(), 'Ab'.isupper(), ' '.isspace(), '7'.zfill(3), '-7'.zfill(4),
                    'ab'.ljust(4) + '|', 'ab'.rjust(4, '.'), 'ab'.center(5, '*'), 'k=v=w'.partition('='), 'k=v=w'.rpartition('='), 'l1\\nl2\\r\\nl3'.splitlines(), 'abc'.title(), 'hELLO'.capitalize(),
                    'prefix-x'.removeprefix('prefix-'), 'x.onnx'.removesuffix('.onnx'), 'xxaxx'.strip('x'), 'abcabc'.count('bc'), ord('A'), chr(8364), 'a' in 'abc', '' in 'abc',
                    'é'.encode('utf-8'), b'caf\\xc3\\xa9'.decode('utf-8'), [c for c in 'héllo'], str(True), str(None), str([1, 'a', None]), repr('it\\'s'), repr({'a': [1, 2]}), str(('x',)) != '',
                    'tab\\there', "quote'd", 'back`tick ${x}', f'{"back`tick ${x}"} `${1 + 1}`', f"{s!r:>20}", f"{'x':*^5}"]
    ''',
    "numbers": '''
        import math

        def run() -> list[object]:
            big = 2 ** 40 + 5
            return [7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 % -3, 7.5 // 2, -7.5 % 2, 2 ** 10, 2 ** -1, 1 << 40, big >> 3, big & 0xff, big & (2 ** 40), big | 7, big ^ 1, -5 >> 1, -1 & 0xff, ~5,
                    (1 << 33) | 1, divmod(17, 5), divmod(-17, 5), abs(-3), round(2.5), round(3.5), round(-2.5), round(2.675, 2), round(1.005, 2), round(0.5), round(1234.5678, -2), int(3.9), int(-3.9), int('42'), int('-7'), int(' 12 '),
                    int('ff', 16), float('1.5'), float('1e3'), min(3, 1, 2), max([1, 5, 2]), sum([1, 2, 3]), sum([0.1] * 3), math.sqrt(2), math.floor(-1.5), math.ceil(1.2), math.inf, -math.inf,
                    math.isnan(float('nan')), math.log(10), math.prod([2, 3]), hex(255), bin(10), 3 / 2, 1 < 2 < 3, 1 < 3 < 2, True + 1, 10 ** 15, 5 .bit_length(), math.gcd(12, 18), math.isclose(0.1 + 0.2, 0.3)]
    ''',
    "functions": '''
        def options(a: int, b: int = 2, *, c: int = 3, default: str = 'd') -> list[object]:
            return [a, b, c, default]

        def optional(x: int | None = 5) -> int | None:
            return x

        def outer(n: int) -> int:
            total = 0

            def add(k: int, times: int = 1) -> None:
                nonlocal total
                total += k * times

            for i in range(n):
                add(i)
                add(k=i, times=2)
            return total

        def falls(x: int) -> int | None:
            if x > 0:
                return x

        def fib(n: int):
            a, b = 0, 1
            while len(str(a)) < n:
                yield a
                a, b = b, a + b

        def chain(n: int):
            yield from range(n)
            yield from fib(2)

        def run() -> list[object]:
            square = lambda x, y=2: x ** y
            pairs = [(1, 'b'), (1, 'a'), (0, 'z')]
            return [options(1), options(1, c=9), options(1, b=7, default='x'), options(b=1, a=0), optional(), optional(None), optional(3), outer(4), falls(1), falls(-1), falls(-1) is None,
                    list(fib(2)), list(chain(2)), square(3), square(3, 3), sorted(pairs), sorted(pairs, key=lambda p: p[1]), sorted(pairs, key=lambda p: (-p[0], p[1])), min(pairs), max(pairs, key=lambda p: p[1]),
                    sorted(['b', 'A', 'c'], key=str.lower), sorted([3, 1, 2], key=lambda v: -v), list(map(lambda v: v + 1, [1, 2])), sorted(['ccc', 'a', 'bb'], key=len), list(map(str, [1, 2])),
                    any(x > 2 for x in [1, 2, 3]), all(x > 2 for x in [1, 2, 3]), any([]), all([]), next(x for x in [1, 2, 3] if x > 1), next((x for x in [1] if x > 1), None), next(iter([7]))]
    ''',
    "classes": '''
        from __future__ import annotations
        from dataclasses import dataclass, field, replace
        from typing import Protocol

        class Shape(Protocol):
            def area(self) -> float: ...

        class Base:
            count = 0
            LABELS = ['x']

            def __init__(self, name: str) -> None:
                self.name = name
                self._items: list[int] = []

            @property
            def size(self) -> int:
                return len(self._items)

            @size.setter
            def size(self, value: int) -> None:
                self._items = [0] * value

            @staticmethod
            def make(name: str = 'made') -> Base:
                return Base(name)

            @classmethod
            def build(cls, name: str) -> Base:
                return cls(name)

            def describe(self, suffix: str = '!') -> str:
                return self.name + suffix + str(self.size)

            def add(self, value: int) -> Base:
                self._items.append(value)
                return self

            def __len__(self) -> int:
                return len(self._items)

            def __getitem__(self, i: int) -> int:
                return self._items[i]

            def __contains__(self, v: int) -> bool:
                return v in self._items

            def __iter__(self):
                return iter(self._items)

        class Derived(Base):
            def __init__(self, name: str, extra: int) -> None:
                super().__init__(name + '!')
                self.extra = extra

            def describe(self, suffix: str = '?') -> str:
                return super().describe(suffix) + str(self.extra)

        @dataclass
        class Record:
            name: str
            tags: list[str] = field(default_factory=list)
            size: int = 0
            double: int = field(init=False, default=0)

            def __post_init__(self) -> None:
                self.double = self.size * 2

        @dataclass(frozen=True)
        class Child(Record if False else object):
            pass

        def run() -> list[object]:
            return []
    '''.replace("        @dataclass(frozen=True)\n        class Child(Record if False else object):\n            pass\n\n", "").replace("return []\n", '''b = Base('b')
            b.add(1).add(2)
            d = Derived('d', 4)
            method = b.describe
            r = Record('r', size=3)
            r2 = Record('r')
            r2.tags.append('t')
            changed = replace(r, name='q')
            b.size = 3
            return [b.describe(), d.describe(suffix='#'), method(), method('~'), len(b), b[0], 2 in b, [v for v in b], b.size, Base.make().name, Derived.make('zz').name, Base.build('c').name, isinstance(d, Base), isinstance(b, Derived),
                    r.double, r2.tags, Record('r').tags, r == Record('r', [], 3), str(r), changed.name, changed.size, changed == r, bool(Base('e')), b.count, Base.count, type(r).__name__, d.LABELS[0]]
'''),
    "exceptions": '''
        class AppError(Exception):
            def __init__(self, code: str, message: str) -> None:
                super().__init__(message)
                self.code = code

        class Special(AppError):
            pass

        def fail(kind: str) -> None:
            if kind == 'app':
                raise AppError('c1', 'bad thing')
            if kind == 'special':
                raise Special('c2', 'worse')
            if kind == 'value':
                raise ValueError('v2')
            if kind == 'class':
                raise NotImplementedError
            if kind == 'type':
                raise TypeError('t')
            if kind == 'assert':
                assert kind == '', 'asserted'

        def handle(kind: str, log: list[str]) -> str:
            try:
                fail(kind)
            except Special as e:
                log.append('special ' + e.code)
                return str(e)
            except AppError as e:
                log.append(e.code)
                try:
                    raise
                except Exception as again:
                    log.append('again ' + str(again))
            except (ValueError, NotImplementedError) as e:
                log.append(type(e).__name__ + str(e))
            except Exception as e:
                log.append('other ' + type(e).__name__)
            else:
                log.append('else')
            finally:
                log.append('finally')
            return 'end'

        def cause() -> str:
            try:
                try:
                    raise KeyError('inner')
                except KeyError as e:
                    raise ValueError('outer') from e
            except ValueError as e:
                return str(e) + ' from ' + str(e.__cause__)

        def run() -> list[object]:
            log: list[str] = []
            out: list[object] = [handle(k, log) for k in ['app', 'special', 'value', 'class', 'type', 'assert', '']]
            return out + [log, cause()]
    ''',
    "control": '''
        def run() -> list[object]:
            out: list[object] = []
            for i in range(3):
                if i == 5:
                    break
            else:
                out.append('no break')
            for i in range(3):
                for j in range(3):
                    if j == 1:
                        continue
                    if i == 2:
                        break
                else:
                    out.append((i, j))
                    continue
                break
            out.append(i)
            n = 0
            while True:
                n += 1
                if n > 4:
                    break
            else:
                out.append('never')
            while (m := n - 1) > 2:
                n = m
            out.append((n, m))
            for a, (b, c) in [(1, (2, 3)), (4, (5, 6))]:
                out.append(a + b + c)
            for index, value in enumerate(['p', 'q'], start=1):
                out.append(f'{index}{value}')
            for x, y in zip([1, 2, 3], 'ab'):
                out.append((x, y))
            for k in range(10, 0, -3):
                out.append(k)
            first, *rest = [1, 2, 3]
            *init, last = 'xyz'
            a, b = b, a
            grid = [[0] * 3 for _ in range(2)]
            grid[1][2] = 5
            grid[0][1] += 2
            i, grid[i - 2] = 1, [9]
            out += [first, rest, init, last, a, b, grid]
            if n > 100:
                found = 1
            elif n == 3:
                found = 2
            else:
                found = 3
            out.append(found)
            for item in reversed(out[:2]):
                out.append(item)
            comp = [(p, q) for p in range(3) for q in range(p) if q != 1]
            out.append(comp)
            out.append([y for v in [1, 2, 3] if (y := v * 2) > 2])
            out.append({k: [v for v in range(k)] for k in (1, 2)})
            total = 0
            for v in (w * w for w in range(4)):
                total += v
            out.append(total)
            try:
                out.append('t')
            finally:
                out.append('f')
            return out
    ''',
    "with": '''
        class Manager:
            def __init__(self, log: list[str], swallow: bool) -> None:
                self.log = log
                self.swallow = swallow

            def __enter__(self) -> 'Manager':
                self.log.append('enter')
                return self

            def __exit__(self, kind: object, error: object, trace: object) -> bool:
                self.log.append('exit ' + ('error' if error is not None else 'clean'))
                return self.swallow

        class Quiet:
            def __init__(self, log: list[str]) -> None:
                self.log = log

            def __enter__(self) -> None:
                self.log.append('quiet')

            def __exit__(self, *exc: object) -> None:
                self.log.append('left')

        def inside(log: list[str], swallow: bool, fails: bool) -> str:
            with Manager(log, swallow) as m, Quiet(log):
                m.log.append('body')
                if fails:
                    raise ValueError('x')
                return 'returned'
            return 'after'

        def run() -> list[object]:
            log: list[str] = []
            out: list[object] = [inside(log, False, False), inside(log, True, True)]
            try:
                inside(log, False, True)
            except ValueError as e:
                out.append('caught ' + str(e))
            return out + [log]
    ''',
    "async": '''
        class Source:
            def __init__(self, n: int) -> None:
                self.n = n

            async def items(self):
                for i in range(self.n):
                    yield i

            async def __aenter__(self) -> 'Source':
                return self

            async def __aexit__(self, kind: object, error: object, trace: object) -> bool:
                self.n = -1
                return error is not None

        async def value(x: int) -> int:
            return x + 1

        async def run() -> list[object]:
            s = Source(3)
            out: list[object] = []
            async with s as t:
                async for i in t.items():
                    out.append(i)
                out.append(await value(1) + 2)
                raise ValueError('swallowed')
            out.append(s.n)
            out.append([await value(i) for i in range(3)])
            out.append([i async for i in Source(2).items()])
            return out
    ''',
    "names and scopes": '''
        from dataclasses import dataclass, field
        from typing import Protocol

        LIMIT = 3
        STATE = {'count': 0}

        class Handler(Protocol):
            def handle(self, value: int) -> int: ...

        class Doubler(Handler):
            def handle(self, value: int) -> int:
                return value * 2

        @dataclass(frozen=True, kw_only=True)
        class Settings:
            new: int
            default: str = 'd'
            _hidden: int = 5

        @dataclass
        class Base:
            a: int
            items: list[int] = field(default_factory=list)

        @dataclass
        class Child(Base):
            b: int = 7
            a: int = 1

        class Node:
            KIND = 'node'

            def __init__(self, function: int) -> None:
                self.function = function
                self.delete = [function]
                self._private_list: list[int] = []

            def __call__(self, x: int) -> int:
                return self.function + x

            def later(self) -> object:
                def inner(k: int) -> int:
                    return self.function + k
                return [inner(1), (lambda: self.function)(), [self.function + v for v in range(2)], list(self.function * v for v in [1, 2]), sorted([3, 1], key=self._order)]

            def _order(self, x: int) -> int:
                return -x * self.function

            def gen(self):
                def walk(n: int):
                    if n > 0:
                        yield self.function * n
                        yield from walk(n - 1)
                yield from walk(3)

            def __eq__(self, other: object) -> bool:
                return isinstance(other, Node) and self.function == other.function

        class Leaf(Node):
            KIND = 'leaf'

        def even(n: int) -> bool:
            return True if n == 0 else odd(n - 1)

        def odd(n: int) -> bool:
            return False if n == 0 else even(n - 1)

        def required(a: int, *, key: str, limit: int = LIMIT) -> list[object]:
            return [a, key, limit]

        def shadow(list: int, str: int, new: int, default: int = 4) -> int:
            len = list + str
            map = new
            return len + map + default

        def tick() -> int:
            STATE['count'] += 1
            return STATE['count']

        def early(x: int) -> str:
            try:
                if x == 0:
                    return 'zero'
                return 'other'
            finally:
                tick()

        def run() -> list[object]:
            n = Node(2)
            n.delete += [9]
            n._private_list.append(1)
            s = Settings(new=3)
            c = Child(5, b=8)
            c2 = Child()
            x = y = [0]
            x.append(1)
            low = 1 <= tick() <= 1
            if (m := tick()) > 1:
                low2 = m
            else:
                low2 = -1
            out: list[object] = []
            for f in [lambda v: v + 1, lambda v: v * 10]:
                out.append(f(3))
            return [n(5), n.later(), list(n.gen()), n == Node(2), n != Node(2), n == 3, Leaf(1).KIND, Node.KIND, Leaf.KIND, Doubler().handle(4), s.new, s.default, s._hidden, s == Settings(new=3), s == Settings(new=3, _hidden=1), str(c), c2.a, c2.b, c.items is c2.items,
                    even(10), odd(7), required(1, key='k'), required(1, limit=9, key='z'), shadow(1, 2, 3), shadow(1, 2, new=3, default=0), x is y, y, low, low2, early(0), early(1), STATE, n.delete, out, type(n) is Node, LIMIT if n else 0]
    ''',
    "optional and unions": '''
        def describe(value: int | str | list[int] | None) -> str:
            if value is None:
                return 'none'
            if isinstance(value, str):
                return value.upper() + str(len(value))
            if isinstance(value, list):
                return 'list' + str(len(value)) + ','.join(str(v) for v in value)
            return f'int{value + 1}'

        def first(xs: list[int] | None, fallback: list[int] | None = None) -> list[int]:
            if xs:
                return xs
            return fallback or [-1]

        def name(label: str | None) -> str:
            return f'{label}' + (label or 'x') + str(label)

        class Box:
            def __init__(self, content: list[int] | None) -> None:
                self.content = content

            def drop(self) -> None:
                self.content = None

            def size(self) -> int:
                if self.content is None:
                    return -1
                self.drop()
                return 1 if self.content else 0

        def run() -> list[object]:
            return [describe(None), describe('ab'), describe([1, 2]), describe(4), first(None), first([]), first([3]), first(None, [4]), name(None), name('q'), Box(None).size(), Box([1]).size(),
                    [describe(v) for v in [1, 'a', None]], None == None, [None, 1] == [None, 1]]
    ''',
    "iteration": '''
        class Countdown:
            def __init__(self, n: int) -> None:
                self.n = n

            def __iter__(self) -> 'Countdown':
                return self

            def __next__(self) -> int:
                if self.n <= 0:
                    raise StopIteration
                self.n -= 1
                return self.n

        def total(values) -> int:
            t = 0
            for v in values:
                t += v
            return t

        def run() -> list[object]:
            d = {1: 'a', 2: 'b'}
            for k in list(d):
                d[k + 10] = d.pop(k)
            out: list[object] = [total([1, 2]), total({3: 4}), total({5}), total(range(4)), total(bytes([1, 2])), total(x for x in [7]), list(Countdown(3)), [c for c in 'añ'], d]
            it = iter([1, 2, 3, 4])
            for v in it:
                if v == 2:
                    break
            out.append(list(it))
            out.append([list(pair) for pair in zip([1, 2], 'ab', (True, False))])
            out.append(dict(zip('ab', [1, 2])))
            out.append(list(enumerate('ab', 1)))
            out.append([max(row) for row in [[1, 5], [7, 2]]])
            out.append(list(reversed([1, 2, 3])))
            out.append(sum(len(w) for w in 'a bb ccc'.split()))
            out.append([i for i, w in enumerate(['x', 'y', 'x']) if w == 'x'])
            out.append(sorted({'b': 1, 'a': 2}.items(), key=lambda kv: kv[1]))
            out.append(max({'b': 1, 'a': 2}.items()))
            out.append(list(map(lambda a, b: a * b, [1, 2], [3, 4])))
            out.append(list(filter(None, [0, 1, '', 'a'])))
            out.append(any(v is None for v in [1, None]))
            out.append([*range(3), *'ab'])
            out.append(tuple(x * 2 for x in range(3)))
            out.append(', '.join(sorted({'z', 'y'})))
            for i in range(2):
                for i in range(5, 7):
                    pass
            out.append(i)
            return out
    ''',
    "bytes": '''
        def run() -> list[object]:
            data = bytes([1, 2, 3, 250])
            view = memoryview(bytearray(4))
            view[1] = 7
            part = view[1:3]
            part[1] = 9
            return [data, data[0], data[-1], data[1:3], len(data), list(data), sum(data), 250 in data, view, b'ab' + b'c', bytes(2), data == bytes([1, 2, 3, 250]), int.from_bytes(data[:2], 'little'), data.hex(), [b for b in data]]
    ''',
    "short forms": '''
        LIMIT = 5
        NAME = 'abc'
        NEGATIVE = -2

        class Plain:
            def __init__(self, n: int) -> None:
                self.n = n
                self.m = n + 1
                self.k = self.n + self.m

            def texts(self, counts: dict[str, int], x: object, t: str) -> list[str]:
                return [f'{self.n}', f'{counts["a"]}', f'{x}', f'{x!r}', f'{t}', f'{LIMIT}', NAME, str(2 ** NEGATIVE), str(LIMIT - NEGATIVE)]

            def later(self) -> list[int]:
                self.n += 1
                add = lambda by: self.n + self.m + self.k + by
                return [add(1), self.n - self.m]

        def there(x: Plain | None, y: Plain | None, xs: list[int] | None, s: str) -> list[object]:
            return [
                x is None, x is not None, x is not None and y is not None, x is not None or len(s) > 0, not (x is None), not xs,
                len(s) == 0, s == '', s != '' and x is None, bool(xs), 1 if x is not None else 2, xs is not None and len(xs) > 0,
                not (len(s) > 0), [v for v in [x, y] if v is not None] == [],
            ]

        def ends(xs: list[int], s: str) -> list[object]:
            n = xs[0]
            n = n * 2
            n = n - xs[len(xs) - 1]
            total = 0
            for i in range(len(xs)):
                total = total + i
            return [xs[len(xs) - 1], s[len(s) - 1], xs[0], n, total, 7 // n if n != 0 else 0]

        def failed(xs: list[int]) -> str:
            try:
                return str(xs[len(xs) - 1])
            except IndexError:
                return 'IndexError'

        def chosen(kind: str) -> int:
            if kind == 'a':
                return 1
            if kind == 'b':
                raise ValueError(f'b: {kind}')
            raise KeyError(kind)

        def caught(kind: str) -> str:
            try:
                return str(chosen(kind))
            except ValueError as error:
                return str(error)
            except KeyError as error:
                return 'KeyError ' + str(error)

        def run() -> list[object]:
            words = {'one': 1, 'two': [2], '': 'empty', 'one': 3}
            spaced = {'a b': 1, 'c': 2}
            return [
                Plain(3).texts({'a': 1}, None, 'q'), Plain(1).later(), there(None, None, None, ''), there(Plain(1), None, [], 'a'),
                there(Plain(1), Plain(1), [1], ''), ends([4, 5], 'xyz'), failed([]), failed([1]), words, len(words), spaced, {},
                [caught(k) for k in ['a', 'b', 'c']], [f'{x:.2f} {x:.3g} {-x:.1f}' for x in [0.0, 2.675, 1e-7, 123456.5]],
                [x for x in range(3)], [i for i in range(6) if i % 2 == 0], [k for k, v in words.items() if v != 1],
                'aaa'.rsplit('aa', 1), 'a,b,c'.rsplit(',', 1), 'a,b,c'.rsplit(','), ''.rsplit(','),
            ]
    ''',
    "what a record says of its fields": '''
        from dataclasses import dataclass, field, replace

        @dataclass
        class Base:
            LIMIT = 3
            a: int
            late: int = field(init=False)
            b: list[int] = field(default_factory=list)
            hidden: int = field(default=0, compare=False)
            _own: str = 'x'

            def __post_init__(self) -> None:
                self.late = self.a * self.LIMIT
                self.extra = 1

        @dataclass(kw_only=True)
        class Named:
            some_name: int
            other: str = 'o'

        @dataclass(eq=False)
        class Same:
            a: int

        @dataclass
        class Child(Base):
            c: int = 4

        def run() -> list[object]:
            x, y = Base(1, [2]), Base(1, [2], 9)
            changed = replace(Child(1, [2], c=5), b=[3])
            named = replace(Named(some_name=1), other='p')
            return [
                x == y, x == Base(2, [2]), repr(x), repr(y), repr(changed), changed.c, changed.late, changed == Child(1, [3], c=5), named.some_name,
                named.other, named == Named(some_name=1, other='p'), repr(named), Same(1) == Same(1), repr(Same(1)), replace(Same(1), a=2).a,
                Base(1) == Child(1),
            ]
    ''',
}


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_agrees(node: Node, name: str) -> None:
    Snippet(node, SNIPPETS[name]).agree("run")
