"""How a text, or a pair of texts, is shortened to a number of tokens.

Same results as the Rust library (tokenizers/src/utils/truncation.rs) and so as transformers' fast tokenizers.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError

STRATEGIES: list[str] = ['longest_first', 'only_first', 'only_second', 'do_not_truncate']


def kept_lengths(first: int, second: int | None, room: int, strategy: str) -> tuple[int, int]:
    """How many tokens of the first and of the second text stay so that together they fit in `room`.

    second: None for one text. Raises EdgeflowError 'invalid-argument' when a strategy that shortens only one text
    cannot make them fit.
    """
    other = 0 if second is None else second
    excess = first + other - room
    if strategy == 'do_not_truncate' or excess <= 0:
        return first, other
    if second is None:
        if strategy == 'only_second':
            raise EdgeflowError(
                'invalid-argument', 'truncation "only_second" expects pairs of texts, got single texts', {})
        return room, 0
    if strategy == 'only_first':
        return kept_of_one('first', first, excess), other
    if strategy == 'only_second':
        return first, kept_of_one('second', other, excess)
    short = min(first, other)
    long = short if short > room else max(short, room - short)
    if short + long > room:
        short = room // 2
        long = short + room % 2
    return (long, short) if first > other else (short, long)


def kept_of_one(which: str, length: int, excess: int) -> int:
    """The length of the one text that may lose tokens."""
    if length <= excess:
        raise EdgeflowError(
            'invalid-argument',
            f'truncation "only_{which}" expects the {which} text to be longer than the {excess} tokens to remove, '
            f'got {length} tokens', {'length': length, 'excess': excess})
    return length - excess
