"""How texts and pairs are shortened; the Rust library is compared with in tests/text/test_tokenizer_library.py."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.text.truncation import kept_lengths


@pytest.mark.parametrize('first, second, room, expected', [
    (5, None, 8, (5, 0)),
    (9, None, 8, (8, 0)),
    (3, 4, 7, (3, 4)),
    (2, 9, 8, (2, 6)),
    (9, 2, 8, (6, 2)),
    (9, 9, 8, (4, 4)),
    (9, 9, 7, (3, 4)),
    (10, 9, 7, (4, 3)),
    (4, 4, 0, (0, 0)),
    (0, 9, 4, (0, 4)),
])
def test_longest_first_takes_from_the_longer_text(
    first: int, second: int | None, room: int, expected: tuple[int, int],
) -> None:
    assert kept_lengths(first, second, room, 'longest_first') == expected


def test_only_one_text_is_shortened_when_asked_for() -> None:
    assert kept_lengths(9, 4, 8, 'only_first') == (4, 4)
    assert kept_lengths(4, 9, 8, 'only_second') == (4, 4)


def test_nothing_is_shortened_when_truncation_is_off() -> None:
    assert kept_lengths(9, 9, 2, 'do_not_truncate') == (9, 9)


@pytest.mark.parametrize('first, second, strategy', [(2, 9, 'only_first'), (9, 2, 'only_second'), (9, None, 'only_second')])
def test_a_text_that_cannot_lose_enough_is_an_error(first: int, second: int | None, strategy: str) -> None:
    with pytest.raises(EdgeflowError) as caught:
        kept_lengths(first, second, 4, strategy)
    assert caught.value.code == 'invalid-argument'
    assert strategy in caught.value.message
