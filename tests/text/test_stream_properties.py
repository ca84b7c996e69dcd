"""Whatever tokens come and whatever stops them, a stream tells the same text as one who has all tokens before him."""

from __future__ import annotations

import unicodedata

from hypothesis import given, strategies as st

from edgeflow.text.streamer import RowStream, StepToken, TokenEvent
from tests.unit.test_streamer import WORDS, byte_level

TOKENIZER = byte_level(WORDS)
# Characters as the tokens that they are made of.
UNITS = [['x'], ['e'], ['.'], ['Ċ'], [':'], ['Ġa'], ['User'], ['Ġ'], ['ðŁĺ', 'Ģ'], ['Ì', 'ģ'], ['âĢį'], ['ðŁĩ', '©'], ['ðŁĩ', 'ª']]
UNIT = st.sampled_from(UNITS).map(lambda unit: [WORDS.index(token) for token in unit])
STOPS = st.lists(st.sampled_from(['x', '.x', '\nUser:', '\n', 'xe', 'exe', ' a', '😀', 'User', 'aUser', '::', '.\n.', 'éx']), max_size=3, unique=True)


def told(tokens: list[int], stops: list[str]) -> list[TokenEvent]:
    row = RowStream(TOKENIZER, [], stops, True)
    events: list[TokenEvent] = []
    for i, token in enumerate(tokens):
        if not row.ended:
            events += row.push(StepToken(0, token, None, [], 'length' if i == len(tokens) - 1 else None))
    assert row.ended
    return events


def expected(tokens: list[int], stops: list[str]) -> tuple[str, str, int]:
    """The text, why it ends, and after how many tokens: the first stop that is complete, at its first place."""
    for count in range(1, len(tokens) + 1):
        text = TOKENIZER.decode(tokens[:count])
        if count < len(tokens):
            text = text.rstrip('\ufffd')
        places = [text.find(stop) for stop in stops if stop in text]
        if places:
            return text[:min(places)], 'stop', count
    return TOKENIZER.decode(tokens), 'length', len(tokens)


@given(units=st.lists(UNIT, min_size=1, max_size=12), stops=STOPS)
def test_the_text_is_that_of_all_tokens_up_to_the_first_stop(units: list[list[int]], stops: list[str]) -> None:
    tokens = [token for unit in units for token in unit]
    events = told(tokens, stops)
    text, reason, count = expected(tokens, stops)
    assert ''.join(event.token for event in events) == text == events[-1].text
    assert [event.token_id for event in events] == tokens[:count]
    assert (events[-1].reason, events[-1].usage.new_tokens) == (reason, count)
    assert [event.done for event in events] == [False] * (count - 1) + [True]
    assert all(later.text == earlier.text + later.token for earlier, later in zip(events, events[1:], strict=False))


@given(units=st.lists(UNIT, min_size=1, max_size=12), stops=STOPS)
def test_no_event_begins_in_the_middle_of_a_character(units: list[list[int]], stops: list[str]) -> None:
    before = ''
    for event in told([token for unit in units for token in unit], stops):
        if before and event.token:
            assert not unicodedata.category(event.token[0]).startswith('M') or before[-1] in '\n.: '
            assert event.token[0] != '\u200d' or before[-1] in '\n.: '
            assert '\ufffd' not in event.token
        before += event.token
