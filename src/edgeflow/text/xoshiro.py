"""A small seeded generator of random numbers: xoshiro128** 1.1 (Blackman and Vigna 2018), the same numbers on every platform.

The four words of its state come from the seed and a stream number by SplitMix32 (Steele, Lea and Flood 2014, with the
finalizer of MurmurHash3), so that streams of one seed differ. Every product here stays below 2^53 or is made of such.
"""

from __future__ import annotations

WORD = 4294967296
GOLDEN = 0x9E3779B9


class Xoshiro:
    """The generator. seed: a whole number from 0 to 2^53 - 1. stream: which of the seed's streams."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        start = mixed((seed % WORD) ^ mixed((seed // WORD + stream * GOLDEN) % WORD))
        self._state: list[int] = [mixed((start + GOLDEN * i) % WORD) for i in range(1, 5)]

    def word(self) -> int:
        """The next 32 bits, as a number from 0 to 2^32 - 1."""
        a, b, c, d = self._state
        result = rotated(b * 5 % WORD, 7) * 9 % WORD
        shifted = b * 512 % WORD
        c = xor(c, a)
        d = xor(d, b)
        self._state = [xor(a, d), xor(b, c), xor(c, shifted), rotated(d, 11)]
        return result

    def unit(self) -> float:
        """The next number of [0, 1), with 53 random bits from two words."""
        high = self.word() // 32
        low = self.word() // 64
        return (high * 67108864 + low) / 9007199254740992


def xor(a: int, b: int) -> int:
    """a ^ b of two words, as a word: JS gives a signed number."""
    return (a ^ b) % WORD


def rotated(x: int, bits: int) -> int:
    """A word rotated to the left."""
    return x * 2**bits % WORD + x // 2**(32 - bits)


def times(a: int, b: int) -> int:
    """The low 32 bits of a product of two words."""
    return ((a // 65536 * b % 65536) * 65536 + a % 65536 * b) % WORD


def mixed(x: int) -> int:
    """MurmurHash3's finalizer, a bijection of the words."""
    x = times(xor(x, x // 65536), 0x85EBCA6B)
    x = times(xor(x, x // 8192), 0xC2B2AE35)
    return xor(x, x // 65536)
