"""Dimensions that are numbers or symbols, and lists of them: the arithmetic that passes prove shapes with.

A symbol is a text that names one amount: what the model declares ('batch_size'), an axis of a value whose length is
not known ('@2:conv1'), or a sum or product of such. Equal symbols are equal amounts. '' is an amount nobody knows.
"""

from __future__ import annotations

Dim = int | str

LONGEST_SYMBOL = 120
LARGEST = 9007199254740991
PLAIN = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-'


def declared_dim(dim: Dim) -> Dim:
    """The symbol for a dim as a model declares it: in brackets unless it is a plain name, so that it looks like no sum."""
    if not isinstance(dim, str) or dim == '':
        return dim
    for letter in dim:
        if letter not in PLAIN:
            return f'[{dim}]'
    return f'[{dim}]' if dim[0] in '0123456789-.' else dim


def bounded(dim: int) -> Dim:
    """The number, '' beyond those that are exact everywhere."""
    return dim if abs(dim) <= LARGEST else ''


def same_dim(a: Dim, b: Dim) -> bool:
    """Whether the two are certainly equal."""
    return a == b and a != ''


def same_dims(a: list[Dim] | None, b: list[Dim] | None) -> bool:
    """Whether two shapes are certainly equal."""
    if a is None or b is None or len(a) != len(b):
        return False
    for i in range(len(a)):
        if not same_dim(a[i], b[i]):
            return False
    return True


def known(dim: Dim) -> bool:
    """Whether the dim is a number."""
    return not isinstance(dim, str)


def joined(a: Dim, operator: str, b: Dim) -> Dim:
    """The symbol of a sum or product, '' if it would grow too long. Operands come in order of their names."""
    if a == '' or b == '':
        return ''
    left: str = str(a)
    right: str = str(b)
    if right < left:
        left = str(b)
        right = str(a)
    symbol: str = f'({left}{operator}{right})'
    return symbol if len(symbol) <= LONGEST_SYMBOL else ''


def add_dims(a: Dim, b: Dim) -> Dim:
    """a + b."""
    if a == 0:
        return b
    if b == 0:
        return a
    if isinstance(a, int) and isinstance(b, int):
        return bounded(a + b)
    return joined(a, ' + ', b)


def multiply_dims(a: Dim, b: Dim) -> Dim:
    """a * b."""
    if a == 1:
        return b
    if b == 1:
        return a
    if isinstance(a, int) and isinstance(b, int):
        return bounded(a * b)
    return joined(a, '*', b)


def divide_dim(a: Dim, divisor: int) -> Dim:
    """a / divisor where that is exact: of a number, or of a product that was made with this number; else ''."""
    if not isinstance(a, str):
        return a // divisor if divisor != 0 and a % divisor == 0 else ''
    if divisor == 1:
        return a
    head: str = f'({divisor}*'
    tail: str = f'*{divisor})'
    if a.startswith(head):
        return a[len(head):-1]
    return a[1:-len(tail)] if a.startswith('(') and a.endswith(tail) else ''


def broadcast_dim(a: Dim, b: Dim) -> Dim:
    """The dim that two broadcast dims give; '' if it cannot be told."""
    if a == 1 or same_dim(a, b):
        return b
    if b == 1:
        return a
    if not isinstance(a, str) and a > 1:
        return a
    if not isinstance(b, str) and b > 1:
        return b
    if isinstance(a, str) and isinstance(b, str) and a != '' and b != '':
        if b.startswith(f'min({a},'):
            return a
        if a.startswith(f'min({b},'):
            return b
    return ''


def shorter_dim(a: str, b: Dim) -> Dim:
    """The symbol of the smaller of the two, '' if it would grow too long.

    It broadcasts with `a` to `a`: a run where b is smaller than a, and not 1, fails there anyway.
    """
    if a == b:
        return a
    symbol: str = f'min({a},{b})'
    return '' if a == '' or b == '' or len(symbol) > LONGEST_SYMBOL else symbol


def broadcast_dims(a: list[Dim], b: list[Dim]) -> list[Dim]:
    """The shape that two shapes broadcast to."""
    rank: int = max(len(a), len(b))
    result: list[Dim] = []
    for i in range(rank):
        x: Dim = a[i - rank + len(a)] if i >= rank - len(a) else 1
        y: Dim = b[i - rank + len(b)] if i >= rank - len(b) else 1
        result.append(broadcast_dim(x, y))
    return result


def reshape_dims(given: list[Dim], wanted: list[Dim], keep_zero: bool) -> list[Dim]:
    """The shape that Reshape gives: `wanted` with 0 and -1 filled in from `given`."""
    result: list[Dim] = []
    hole: int = -1
    for i in range(len(wanted)):
        dim: Dim = wanted[i]
        if dim == 0 and not keep_zero:
            dim = given[i] if i < len(given) else ''
        if dim == -1:
            hole = i
        result.append(dim)
    if hole >= 0:
        others: list[Dim] = [result[i] for i in range(len(result)) if i != hole]
        result[hole] = missing_dim(given, others)
    return result


def missing_dim(given: list[Dim], others: list[Dim]) -> Dim:
    """The one dim that makes the product of `others` that of `given`; '' if it cannot be told."""
    number: int = 1
    symbols: list[str] = []
    for dim in given:
        if isinstance(dim, int):
            number = number * dim
        else:
            symbols.append(dim)
        if abs(number) > LARGEST:
            return ''
    divisor: int = 1
    for dim in others:
        if isinstance(dim, int):
            divisor = divisor * dim
            if abs(divisor) > LARGEST:
                return ''
        elif dim in symbols and dim != '':
            symbols.remove(dim)
        else:
            return ''
    if divisor <= 0 or number <= 0 or '' in symbols:
        return ''
    common: int = greatest_divisor(number, divisor)
    number = number // common
    divisor = divisor // common
    for i in range(len(symbols)):
        part: Dim = divide_dim(symbols[i], divisor) if divisor != 1 else ''
        if isinstance(part, str) and part != '':
            symbols[i] = part
            divisor = 1
    if divisor != 1:
        return ''
    left: Dim = number
    for symbol in symbols:
        left = multiply_dims(left, symbol)
    return left


def greatest_divisor(a: int, b: int) -> int:
    """The greatest common divisor of two positive numbers."""
    while b != 0:
        rest: int = a % b
        a = b
        b = rest
    return a


def fits_into(dims: list[Dim], target: list[Dim]) -> bool:
    """Whether a tensor of shape `dims` certainly broadcasts to `target` without making it larger."""
    if len(dims) > len(target):
        return False
    for i in range(len(dims)):
        if dims[i] != 1 and not same_dim(dims[i], target[i + len(target) - len(dims)]):
            return False
    return True
