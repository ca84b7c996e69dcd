"""docs/operators.md says what the tables and the list of passing cases say."""

from __future__ import annotations

from toolchain.operators import TARGET, text


def test_the_page_is_up_to_date() -> None:
    assert TARGET.read_text() == text(), 'run `python -m toolchain.operators`'
