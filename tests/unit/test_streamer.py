"""Tokens to text as they come: what an event holds, when it is told, and how a stream ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, json_text, new_abort_controller, new_deferred, pause, utf8_encode
from edgeflow.host.port import Deferred
from edgeflow.text.detokenizer import Detokenizer
from edgeflow.text.streamer import StepToken, TokenEvent, TokenStream, begun
from edgeflow.text.tokenizer import Tokenizer, read_tokenizer

END = 0
WORDS = ['<end>', 'Once', 'Ġupon', 'Ġa', 'Ġtime', '.', 'Ċ', 'User', ':', 'e', 'ðŁĺ', 'Ģ', 'Ì', 'ģ', 'x', 'ðŁĩ', '©', 'ª', 'âĢį', 'ðŁĳ', '©', 'Ġ']
ONCE, UPON, A, TIME, DOT, LINE, USER, COLON, E, FACE1, FACE2, MARK1, MARK2, X, FLAG1, FLAG_D, FLAG_E, JOINER = range(1, 19)


def byte_level(words: list[str]) -> Tokenizer:
    """A tokenizer of these tokens, whose characters stand for bytes as in GPT-2."""
    vocabulary: dict[str, object] = {}
    for i in range(len(words)):
        if words[i] not in vocabulary:
            vocabulary[words[i]] = i
    return read_tokenizer(utf8_encode(json_text({
        'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None,
        'added_tokens': [{'id': 0, 'content': words[0], 'single_word': False, 'lstrip': False, 'rstrip': False,
                          'normalized': False, 'special': True}],
        'pre_tokenizer': {'type': 'ByteLevel', 'add_prefix_space': False, 'trim_offsets': True, 'use_regex': True},
        'decoder': {'type': 'ByteLevel', 'add_prefix_space': True, 'trim_offsets': True, 'use_regex': True},
        'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
                  'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, 'vocab': vocabulary, 'merges': []},
    })), None)


class Script:
    """A source that gives these tokens to each row, and notes what it is asked. gate: what each step waits for."""

    def __init__(self, rows: list[list[int]], gate: Deferred | None = None, fails_at: int = -1) -> None:
        self.rows = rows
        self.gate = gate
        self.fails_at = fails_at
        self.place = 0
        self.stopped: list[int] = []
        self.closed = 0

    async def next(self) -> list[StepToken]:
        i = self.place
        self.place = i + 1
        if i == self.fails_at:
            raise EdgeflowError('run-failed', 'it broke')
        if self.gate is not None:
            await self.gate.result()
        tokens: list[StepToken] = []
        for r in range(len(self.rows)):
            row = self.rows[r]
            if i < len(row) and r not in self.stopped:
                reason = 'eos' if row[i] == END else 'length' if i == len(row) - 1 else None
                tokens.append(StepToken(r, row[i], -0.5, [], reason))
        return tokens

    def stop(self, row: int) -> None:
        self.stopped.append(row)

    async def close(self) -> None:
        self.closed = self.closed + 1


def stream_of(source: Script, stops: list[str] | None = None, on_token: Callable[[TokenEvent], None] | None = None) -> TokenStream:
    return TokenStream(source, byte_level(WORDS), [[ONCE] for _ in source.rows], stops=stops, on_token=on_token)


async def events_of(tokens: list[int], stops: list[str] | None = None) -> list[TokenEvent]:
    source = Script([tokens])
    events = [event async for event in stream_of(source, stops)]
    assert source.closed == 1
    assert ''.join([event.token for event in events]) == events[-1].text
    assert [event.done for event in events] == [False] * (len(events) - 1) + [True]
    return events


async def test_every_token_is_an_event_with_its_text_and_the_last_says_why() -> None:
    events = await events_of([UPON, A, TIME, END])
    assert [event.token for event in events] == [' upon', ' a', ' time', '']
    assert [event.text for event in events] == [' upon', ' upon a', ' upon a time', ' upon a time']
    assert [event.token_id for event in events] == [UPON, A, TIME, END]
    assert [event.logprob for event in events] == [-0.5, -0.5, -0.5, -0.5]
    last = events[-1]
    assert [last.reason, last.usage.prompt_tokens, last.usage.new_tokens] == ['eos', 1, 4]
    assert events[0].reason is None and events[0].usage is None
    assert (await events_of([UPON, A]))[-1].reason == 'length'


async def test_a_character_of_several_tokens_comes_whole() -> None:
    assert [event.token for event in await events_of([X, FACE1, FACE2, X])] == ['x', '', '😀', 'x']
    assert [event.token for event in await events_of([X, FACE1])] == ['x', '\ufffd']
    assert [event.token for event in await events_of([FACE1, X, X])] == ['', '\ufffdx', 'x']


async def test_what_joins_a_character_comes_with_it() -> None:
    assert [event.token for event in await events_of([X, E, MARK1, MARK2, X])] == ['x', '', '', 'e\u0301', 'x']
    flag = '🇩🇪'
    assert [event.token for event in await events_of([FLAG1, FLAG_D, FLAG1, FLAG_E, DOT])] == ['', '', '', flag, '.']
    assert [event.token for event in await events_of([FACE1, FACE2, JOINER, FACE1, FACE2, DOT])] == ['', '', '', '', '😀\u200d😀', '.']


async def test_a_stop_string_ends_the_row_and_is_not_told() -> None:
    source = Script([[UPON, DOT, LINE, USER, COLON, A, A]])
    events = [event async for event in stream_of(source, ['\nUser:'])]
    assert [event.token for event in events] == [' upon', '.', '', '', '']
    assert events[-1].reason == 'stop' and events[-1].done and events[-1].usage.new_tokens == 5
    assert source.stopped == [0]
    assert source.closed == 1
    assert [event.token for event in await events_of([UPON, DOT, LINE, USER, DOT, A], ['\nUser:'])] == [' upon', '.', '\n', 'User', '.', ' a']
    assert [event.token for event in await events_of([ONCE, UPON, A], ['upon'])] == ['Once', ' ']
    assert [event.token for event in await events_of([DOT, DOT, X, A], ['..x', '.x'])] == ['', '', '']
    assert [event.token for event in await events_of([LINE, USER, END], ['\nUser:'])] == ['\n', 'User', '']


def test_the_beginning_of_a_stop_string_is_the_longest() -> None:
    assert begun('abab', ['ababc', 'b!']) == 4
    assert begun('xaba', ['ababc']) == 3
    assert begun('abc', ['abc']) == 0
    assert begun('', ['abc']) == 0


async def test_rows_of_a_batch_end_each_for_itself() -> None:
    source = Script([[UPON, END], [A, TIME, DOT], [LINE, USER, COLON, X]])
    stream = stream_of(source, ['User'])
    events = [event async for event in stream]
    assert [[event.row, event.token] for event in events if event.done] == [[0, ''], [2, ''], [1, '.']]
    assert [''.join([event.token for event in events if event.row == row]) for row in range(3)] == [' upon', ' a time.', '\n']
    assert source.stopped == [2]
    assert await stream_of(Script([[UPON, END], [A, TIME, DOT]])).whole_texts() == [' upon', ' a time.']


async def test_the_source_is_asked_only_when_an_event_is_wanted() -> None:
    source = Script([[DOT, DOT, DOT, DOT]])
    stream = stream_of(source)
    assert source.place == 0
    assert (await anext(stream)).token == '.'
    await pause()
    assert source.place == 1
    await anext(stream)
    assert source.place == 2
    await stream.aclose()
    assert source.closed == 1
    assert [event async for event in stream] == []
    await stream.aclose()
    assert source.closed == 1


async def test_leaving_the_loop_frees_everything() -> None:
    source = Script([[DOT, DOT, DOT]])
    stream = stream_of(source)
    async for event in stream:
        assert event.token == '.'
        break
    for _ in range(3):
        await pause()
    assert source.closed == 1
    assert source.place == 1
    async with stream_of(Script([[DOT, DOT]])) as other:
        await anext(other)


async def test_closing_ends_who_waits() -> None:
    source = Script([[DOT, DOT]], new_deferred())
    stream = stream_of(source)
    seen: list[str] = []

    async def read() -> None:
        async for event in stream:
            seen.append(event.token)
        seen.append('ended')

    async def end() -> None:
        await pause()
        assert seen == []
        await stream.aclose()

    await gather([read(), end()])
    assert seen == ['ended']
    assert source.closed == 1


async def test_the_signal_ends_a_running_step_and_frees_though_nobody_asks() -> None:
    controller = new_abort_controller()
    source = Script([[DOT, DOT]], new_deferred())
    stream = TokenStream(source, byte_level(WORDS), [[]], signal=controller.signal)

    async def end() -> None:
        await pause()
        controller.abort()

    async def read() -> str:
        try:
            await anext(stream)
        except EdgeflowError as error:
            return error.code
        return 'an event'

    assert (await gather([read(), end()]))[0] == 'aborted'
    assert source.closed == 1
    assert [event async for event in stream] == []
    idle = Script([[DOT, DOT]])
    other = new_abort_controller()
    waiting = TokenStream(idle, byte_level(WORDS), [[]], signal=other.signal)
    await anext(waiting)
    other.abort()
    for _ in range(3):
        await pause()
    assert idle.closed == 1
    with pytest.raises(EdgeflowError) as e:
        await anext(waiting)
    assert e.value.code == 'aborted'


async def test_an_error_of_the_source_or_of_the_listener_frees_and_is_raised_once() -> None:
    source = Script([[DOT, DOT, DOT]], None, 1)
    stream = stream_of(source)
    await anext(stream)
    with pytest.raises(EdgeflowError) as e:
        await anext(stream)
    assert e.value.code == 'run-failed'
    assert source.closed == 1
    assert [event async for event in stream] == []

    def refuse(event: TokenEvent) -> None:
        raise ValueError('not this one')

    listened = Script([[DOT, DOT]])
    with pytest.raises(ValueError):
        await anext(stream_of(listened, None, refuse))
    assert listened.closed == 1


async def test_a_source_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(EdgeflowError) as e:
        await stream_of(Script([[]])).whole_texts()
    assert e.value.code == 'internal'


async def test_the_listener_hears_every_event_before_the_loop() -> None:
    heard: list[str] = []
    stream = stream_of(Script([[UPON, A, DOT]]), None, lambda event: heard.append(event.token))
    assert await stream.whole_texts() == [' upon a.']
    assert heard == [' upon', ' a', '.']


def test_the_prompt_is_the_context_of_the_first_token() -> None:
    tokenizer = read_tokenizer(utf8_encode(json_text({
        'version': '1.0', 'truncation': None, 'padding': None, 'normalizer': None, 'post_processor': None, 'added_tokens': [],
        'pre_tokenizer': {'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': 'always', 'split': True},
        'decoder': {'type': 'Metaspace', 'replacement': '▁', 'prepend_scheme': 'always', 'split': True},
        'model': {'type': 'BPE', 'dropout': None, 'unk_token': None, 'continuing_subword_prefix': None, 'end_of_word_suffix': None,
                  'fuse_unk': False, 'byte_fallback': False, 'ignore_merges': False, 'vocab': {'▁Hello': 0, '▁world': 1, '▁': 2}, 'merges': []},
    })), None)
    alone = Detokenizer(tokenizer, [])
    assert [alone.push(0), alone.push(1), alone.push(2), alone.push(1)] == ['Hello', ' world', ' ', ' world']
    assert Detokenizer(tokenizer, [0]).push(1) == ' world'
