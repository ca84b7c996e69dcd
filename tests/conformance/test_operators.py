"""docs/operators.md says what the tables say."""

from __future__ import annotations

from tests.conformance.operators import PAGE, page


def test_the_page_of_operators_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == page(), 'python -m tests.conformance.operators writes it'
