"""Random operators. The same seed gives the numbers of numpy's RandomState, which ONNX's reference draws from."""

from __future__ import annotations

import math
from collections.abc import Callable

from edgeflow.backends.wasm.more.values import Call, Datum, Interpret
from edgeflow.host.platform import random_bytes, read_u32
from edgeflow.ir.attributes import int_of, ints_of, number_of
from edgeflow.ir.dtype import DTYPE_NAMES

WORDS = 624
MIDDLE = 397
TWO_32 = 4294967296


class MersenneTwister:
    """MT19937 (Matsumoto and Nishimura 1998)."""

    def __init__(self, seed: int) -> None:
        self._state: list[int] = [seed % TWO_32]
        for i in range(1, WORDS):
            last = self._state[i - 1]
            self._state.append((_product(1812433253, last ^ (last >> 30)) + i) % TWO_32)
        self._at: int = WORDS
        self._spare: list[float] = []

    def word(self) -> int:
        """32 random bits."""
        if self._at == WORDS:
            self._renew()
        y = self._state[self._at]
        self._at = self._at + 1
        y = y ^ (y >> 11)
        y = y ^ ((y << 7) & 2636928640)
        y = y ^ ((y << 15) & 4022730752)
        return (y ^ (y >> 18)) % TWO_32

    def uniform(self) -> float:
        """A number from 0 up to 1, with 53 bits."""
        high = self.word() >> 5
        return (high * 67108864 + (self.word() >> 6)) / 9007199254740992

    def normal(self) -> float:
        """A number of the normal distribution (Marsaglia's polar method)."""
        if len(self._spare) > 0:
            return self._spare.pop()
        square = 2.0
        x = 0.0
        y = 0.0
        while square >= 1 or square == 0:
            x = 2 * self.uniform() - 1
            y = 2 * self.uniform() - 1
            square = x * x + y * y
        scale = math.sqrt(-2 * math.log(square) / square)
        self._spare.append(scale * x)
        return scale * y

    def _renew(self) -> None:
        state = self._state
        for i in range(WORDS):
            y = (state[i] & 2147483648) | (state[(i + 1) % WORDS] & 2147483647)
            mixed = state[(i + MIDDLE) % WORDS] ^ (y >> 1)
            state[i] = mixed ^ 2567483615 if y % 2 == 1 else mixed
        self._at = 0


def _product(a: int, b: int) -> int:
    """a * b modulo 2^32, without numbers above 2^53."""
    return ((a >> 16) * b % 65536 * 65536 + (a & 65535) * b) % TWO_32


def _source(c: Call) -> MersenneTwister:
    """As ONNX's reference: the attribute 'seed', a float in most operators, cut off; other numbers each time without it."""
    seed = number_of(c.node, 'seed', math.nan)
    return MersenneTwister(read_u32(random_bytes(4), 0) if math.isnan(seed) else int(seed))


def _dtype(c: Call, default: str) -> str:
    """The type that the attribute 'dtype' names."""
    dtype = DTYPE_NAMES.get(int_of(c.node, 'dtype'), default)
    if dtype == 'string' or dtype == '':
        raise c.invalid('a data type of numbers', 'another')
    return dtype


def _uniform(c: Call) -> list[Datum | None]:
    low = number_of(c.node, 'low', 0.0)
    span = number_of(c.node, 'high', 1.0) - low
    source = _source(c)
    return _filled(c, lambda: low + span * source.uniform())


def _normal(c: Call) -> list[Datum | None]:
    mean = number_of(c.node, 'mean', 0.0)
    scale = number_of(c.node, 'scale', 1.0)
    source = _source(c)
    return _filled(c, lambda: mean + scale * source.normal())


def _filled(c: Call, draw: Callable[[], float]) -> list[Datum | None]:
    """Of the shape of the input, or of the attribute 'shape'."""
    shape = c.value(0).shape if c.has(0) else ints_of(c.node, 'shape')
    if shape is None:
        raise c.invalid('a shape', 'none')
    numbers: list[float] = [draw() for _ in range(c.room(shape))]
    return [c.t.make(_dtype(c, c.value(0).dtype if c.has(0) else 'float32'), shape, numbers)]


def _bernoulli(c: Call) -> list[Datum | None]:
    source = _source(c)
    numbers: list[float] = [1 if source.uniform() < p else 0 for p in c.numbers(0)]
    return [c.t.make(_dtype(c, c.value(0).dtype), c.value(0).shape, numbers)]


def _multinomial(c: Call) -> list[Datum | None]:
    """Draws among classes whose unnormalized log probabilities stand in each row."""
    shape = c.value(0).shape
    if len(shape) != 2:
        raise c.fail('log probabilities [batch, classes]', f'shape {shape}')
    count = int_of(c.node, 'sample_size', 1)
    logs = c.numbers(0)
    source = _source(c)
    c.room([shape[0], count])
    drawn: list[int] = []
    for row in range(shape[0]):
        line = logs[row * shape[1]:(row + 1) * shape[1]]
        top = max(line)
        weights = [math.exp(x - top) for x in line]
        total = sum(weights)
        for _ in range(count):
            goal = source.uniform() * total
            at = 0
            while at < len(weights) - 1 and goal >= weights[at]:
                goal = goal - weights[at]
                at = at + 1
            drawn.append(at)
    return [c.t.make(_dtype(c, 'int32'), [shape[0], count], drawn)]


def _dropout(c: Call) -> list[Datum | None]:
    """As in training: elements go with the probability `ratio`, the others grow so that their mean stays."""
    source = c.value(0)
    ratio = c.scalar(1) if c.has(1) else 0.5
    chance = _source(c)
    training = c.has(2) and c.scalar(2) != 0 and ratio != 0
    mask = [1 if not training or chance.uniform() >= ratio else 0 for _ in range(source.count())]
    kept = c.t.make('bool', source.shape, mask)
    if not training:
        return [source, kept]
    scaled = [0.0 if x == 0 else x / (1 - ratio) for x in mask]
    return [c.t.apply('Mul', [source, c.t.make(source.dtype, source.shape, scaled)]), kept]


CHANCE_RULES: dict[str, Interpret] = {
    'RandomUniform': _uniform, 'RandomUniformLike': _uniform, 'RandomNormal': _normal, 'RandomNormalLike': _normal,
    'Bernoulli': _bernoulli, 'Multinomial': _multinomial, 'Dropout': _dropout,
}
