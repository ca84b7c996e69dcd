"""What creation.py gives: tensors made of a shape and a few numbers, on the same kernels as everything else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.operations import Sketch
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_of, new_array, random_bytes, read_u32
from edgeflow.ir.dtype import DTYPE_CODES, element_count
from edgeflow.options import check_choice
from edgeflow.runtime.dtypes import is_float
from edgeflow.runtime.tensor import TENSOR_DTYPES, Tensor, checked_dims, zeros
from edgeflow.runtime.tensor_graphs import TensorGraphs

if TYPE_CHECKING:
    from typing import Literal

    from edgeflow.runtime.tensor import DType

# How many bits of chance a number from 0 to 1 has: as many as its type can tell apart below 1.
CHANCE_BITS: dict[str, int] = {'float64': 32, 'float32': 24, 'float16': 11, 'bfloat16': 8}


class TensorCreation:
    """The functions of creation.py that need the kernels; what they mean is said there."""

    def __init__(self, graphs: TensorGraphs) -> None:
        self._graphs: TensorGraphs = graphs

    def full(self, shape: int | list[int], value: float | bool, dtype: DType) -> Tensor:
        dims = checked_dims(shape)
        scalar = _scalar(value, dtype)
        if len(dims) == 0:
            return Tensor(dtype, [], scalar.data)
        return self._graphs.run(f'full {dims}', [scalar], dtype, lambda s: s.node('Expand', ['x0', s.ints(dims)]))

    def arange(self, start: float, stop: float | None, step: float, dtype: DType) -> Tensor:
        first = 0.0 if stop is None else start
        limit = start if stop is None else stop
        span = (limit - first) / step if step != 0 else math.inf
        if not abs(span) < 2 ** 31:
            raise EdgeflowError('invalid-argument', f'arange: expected finite numbers and a step other than 0, got {first}, {limit}, {step}', {})
        count = max(0, math.ceil(span))
        if count == 0:
            return zeros([0], dtype)
        check_choice(dtype, TENSOR_DTYPES, 'dtype')

        def draw(s: Sketch) -> str:
            return s.cast(s.node('Add', [s.node('Mul', [_counted(s, count), 'x1']), 'x0']), dtype)

        return self._graphs.run(f'arange {count}', [_scalar(first, 'float64'), _scalar(step, 'float64')], dtype, draw)

    def linspace(self, start: float, stop: float, num: int, dtype: DType) -> Tensor:
        count = checked_dims(num)[0]
        check_choice(dtype, TENSOR_DTYPES, 'dtype')
        if count == 0:
            return zeros([0], dtype)
        step = (stop - start) / (count - 1) if count > 1 else 0.0

        def draw(s: Sketch) -> str:
            values = s.node('Add', [s.node('Mul', [_counted(s, count), 'x1']), 'x0'])
            if count > 1:
                last = s.node('Equal', [_counted(s, count), s.cast(s.ints([count - 1]), 'float64')])
                values = s.node('Where', [last, 'x2', values])
            return s.cast(values if is_float(dtype) else s.node('Floor', [values]), dtype)

        ends = [_scalar(start, 'float64'), _scalar(step, 'float64'), _scalar(stop, 'float64')]
        return self._graphs.run(f'linspace {count}', ends, dtype, draw)

    def eye(self, n: int, m: int | None, k: int, dtype: DType) -> Tensor:
        rows = checked_dims(n)[0]
        columns = rows if m is None else checked_dims(m)[0]
        check_choice(dtype, TENSOR_DTYPES, 'dtype')
        held = 'float32' if dtype == 'float16' or dtype == 'bfloat16' else dtype
        canvas = Feed('uint8', [rows, columns], new_array('uint8', rows * columns))
        return self._graphs.run(f'eye {k}', [canvas], dtype, lambda s: s.node('EyeLike', ['x0'], {'k': k, 'dtype': DTYPE_CODES[held]}))

    def random(self, shape: int | list[int], seed: int | None, dtype: Literal['float32', 'float16', 'float64', 'bfloat16']) -> Tensor:
        dims = checked_dims(shape)
        bits = _chance_bits(dtype)
        count = element_count(dims)

        def draw(s: Sketch) -> str:
            chance = _chance(s, count, 0)
            whole = chance if bits == 32 else s.node('BitShift', [chance, _word(s, 32 - bits)], {'direction': 'RIGHT'})
            values = s.node('Mul', [s.cast(whole, 'float64'), s.real(2.0 ** -bits)])
            return s.node('Reshape', [s.cast(values, dtype), s.ints(dims)], {'allowzero': 1})

        return self._graphs.run(f'random {dims}', _seed_words(seed), dtype, draw)

    def randn(self, shape: int | list[int], seed: int | None, dtype: Literal['float32', 'float16', 'float64', 'bfloat16']) -> Tensor:
        dims = checked_dims(shape)
        _chance_bits(dtype)
        count = element_count(dims)

        def draw(s: Sketch) -> str:
            # Never 0, whose logarithm is infinite.
            size = s.node('Mul', [s.node('Add', [s.cast(_chance(s, count, 1), 'float64'), s.real(0.5)]), s.real(2.0 ** -32)])
            angle = s.node('Mul', [s.cast(_chance(s, count, 2), 'float64'), s.real(2.0 ** -31 * math.pi)])
            radius = s.node('Sqrt', [s.node('Mul', [s.node('Log', [size]), s.real(-2.0)])])
            return s.node('Reshape', [s.cast(s.node('Mul', [radius, s.node('Cos', [angle])]), dtype), s.ints(dims)], {'allowzero': 1})

        return self._graphs.run(f'randn {dims}', _seed_words(seed), dtype, draw)


def _chance(s: Sketch, count: int, stream: int) -> str:
    """`count` random uint32: their numbers, hashed twice with keys that are hashes of the seed (x0, x1) and the stream."""
    key = _mixed(s, s.node('BitwiseXor', [_mixed(s, s.node('Add', ['x0', _word(s, 2654435769 + stream)])), 'x1']))
    other = _mixed(s, s.node('Add', [key, _word(s, 2246822507)]))
    numbers = s.cast(s.node('Range', [s.ints([0]), s.ints([count]), s.ints([1])]), 'uint32')
    return _mixed(s, s.node('Add', [_mixed(s, s.node('BitwiseXor', [numbers, key])), other]))


def _mixed(s: Sketch, x: str) -> str:
    """Wellons' integer hash "lowbias32" (nullprogram.com, 2018)."""
    x = s.node('Mul', [_folded(s, x, 16), _word(s, 0x7FEB352D)])
    x = s.node('Mul', [_folded(s, x, 15), _word(s, 0x846CA68B)])
    return _folded(s, x, 16)


def _folded(s: Sketch, x: str, bits: int) -> str:
    return s.node('BitwiseXor', [x, s.node('BitShift', [x, _word(s, bits)], {'direction': 'RIGHT'})])


def _word(s: Sketch, value: int) -> str:
    return s.cast(s.ints([value]), 'uint32')


def _counted(s: Sketch, count: int) -> str:
    """0, 1, ..., count - 1 as float64."""
    return s.cast(s.node('Range', [s.ints([0]), s.ints([count]), s.ints([1])]), 'float64')


def _seed_words(seed: int | None) -> list[Feed]:
    """The two halves of a seed."""
    low = 0
    high = 0
    if seed is None:
        chance = random_bytes(8)
        low = read_u32(chance, 0)
        high = read_u32(chance, 4)
    elif seed % 1 != 0 or abs(seed) > 9007199254740991:
        raise EdgeflowError('invalid-argument', f'seed: expected a whole number up to 2^53 - 1, got {seed}', {'got': seed})
    else:
        low = seed % 4294967296
        high = (seed - low) // 4294967296 % 4294967296
    return [_scalar(low, 'uint32'), _scalar(high, 'uint32')]


def _chance_bits(dtype: str) -> int:
    check_choice(dtype, list(CHANCE_BITS.keys()), 'dtype')
    return CHANCE_BITS[dtype]


def _scalar(value: float | bool, dtype: str) -> Feed:
    check_choice(dtype, TENSOR_DTYPES, 'dtype')
    return Feed(dtype, [], array_of(dtype, [value]))
