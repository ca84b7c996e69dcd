"""numpy's rules for the data types of results. bfloat16, which numpy lacks, ranks beside float16."""

from __future__ import annotations

FLOAT_BITS: dict[str, int] = {'float16': 16, 'bfloat16': 16, 'float32': 32, 'float64': 64}
SIGNED_BITS: dict[str, int] = {'int8': 8, 'int16': 16, 'int32': 32, 'int64': 64}
UNSIGNED_BITS: dict[str, int] = {'uint8': 8, 'uint16': 16, 'uint32': 32, 'uint64': 64}


def is_float(dtype: str) -> bool:
    return dtype in FLOAT_BITS


def promote(a: str, b: str) -> str:
    """The smallest type that holds both (numpy.result_type)."""
    if a == b or b == 'bool':
        return a
    if a == 'bool':
        return b
    if is_float(a) or is_float(b):
        return _promote_floats(a if is_float(a) else float_for(a), b if is_float(b) else float_for(b), a, b)
    if (a in SIGNED_BITS) == (b in SIGNED_BITS):
        return a if _int_bits(a) > _int_bits(b) else b
    signed = a if a in SIGNED_BITS else b
    unsigned = b if a in SIGNED_BITS else a
    bits = max(SIGNED_BITS[signed], 2 * UNSIGNED_BITS[unsigned])
    return f'int{bits}' if bits <= 64 else 'float64'


def promote_all(dtypes: list[str]) -> str:
    """The smallest type that holds all (numpy.result_type): each integer type is held against the floats by itself."""
    result = 'bool'
    for dtype in dtypes:
        if is_float(dtype):
            result = promote(result, dtype)
    for dtype in dtypes:
        if not is_float(dtype):
            result = promote(result, dtype)
    return result


def _promote_floats(x: str, y: str, a: str, b: str) -> str:
    bits = max(FLOAT_BITS[x], FLOAT_BITS[y])
    if bits > 16:
        return f'float{bits}'
    if a == 'bfloat16' or b == 'bfloat16':
        return 'bfloat16' if not is_float(a) or not is_float(b) else 'float32'
    return 'float16'


def float_for(dtype: str) -> str:
    """The float type in which functions such as tanh work on `dtype`."""
    if is_float(dtype):
        return dtype
    bits = 8 if dtype == 'bool' else _int_bits(dtype)
    return 'float16' if bits == 8 else 'float32' if bits == 16 else 'float64'


def sum_type(dtype: str) -> str:
    """The type of a sum: small integers are added up as 64 bits."""
    if is_float(dtype):
        return dtype
    return 'uint64' if dtype in UNSIGNED_BITS else 'int64'


def number_type(x: float | bool, other: str) -> str:
    """The type that a bare number has beside a tensor of type `other`: the tensor's, if it is of the number's kind.

    JS cannot tell 1.0 from 1, so a whole number counts as an integer in Python too.
    """
    if isinstance(x, bool) or is_float(other):
        return other
    if x % 1 != 0:
        return 'float64'
    return 'int64' if other == 'bool' else other


def fits(x: float, dtype: str) -> bool:
    """Whether an integer type holds the whole number x; other types hold what they can."""
    if dtype in SIGNED_BITS:
        half = 2.0 ** (SIGNED_BITS[dtype] - 1)
        return x >= -half and x < half
    if dtype in UNSIGNED_BITS:
        return x >= 0 and x < 2.0 ** UNSIGNED_BITS[dtype]
    return True


def _int_bits(dtype: str) -> int:
    return SIGNED_BITS[dtype] if dtype in SIGNED_BITS else UNSIGNED_BITS[dtype]
