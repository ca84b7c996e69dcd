"""Tokens as they are made, as text: an async iterator of events over a source of steps, which is asked only when its consumer asks.

A token's event waits while its text may still change: while a character or what joins it (a combining mark, a skin tone) may be
incomplete, and while the text might turn out to be the beginning of a stop string. So events hold whole tokens, in order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Protocol, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_deferred, on_abort, readable_stream, start_task
from edgeflow.host.port import AbortSignal, Deferred
from edgeflow.host.text import joins, may_be_joined
from edgeflow.text.detokenizer import Detokenizer
from edgeflow.text.sampling import TokenLogprob
from edgeflow.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator as ReadableStream


@dataclass(frozen=True)
class StepToken:
    """What a step made for one row of the batch. reason: why the row ends with it ('eos': it is the end-of-sequence token)."""

    row: int
    token_id: int
    logprob: float | None = None
    top: list[TokenLogprob] = field(default_factory=list)
    reason: Literal['eos', 'length'] | None = None


class StepSource(Protocol):
    """What makes the tokens."""

    async def next(self) -> list[StepToken]:
        """The tokens of the next step, one for each row that has not ended; [] if none is left."""

    def stop(self, row: int) -> None:
        """A row met a stop string: no more tokens for it."""

    async def close(self) -> None:
        """End what runs, next() too, and free everything. Called once."""


@dataclass(frozen=True)
class Usage:
    """How many tokens a row took and made."""

    prompt_tokens: int
    new_tokens: int


@dataclass(frozen=True)
class TokenEvent:
    """One token of one row.

    token: the text that it adds, '' if that is told with a later one. text: the row's text so far, this token's included.
    logprob, top: if asked for. done: whether the row ends here; then reason says why ('eos', 'stop': a stop string,
    'length') and usage counts.
    """

    row: int
    token: str
    token_id: int
    text: str
    logprob: float | None = None
    top: list[TokenLogprob] = field(default_factory=list)
    done: bool = False
    reason: Literal['eos', 'stop', 'length'] | None = None
    usage: Usage | None = None


class RowStream:
    """The events of one row that are not told yet. prompt: its tokens. stops: what ends it."""

    def __init__(self, tokenizer: Tokenizer, prompt: list[int], stops: list[str], skip_special_tokens: bool) -> None:
        self._detokenizer = Detokenizer(tokenizer, prompt, skip_special_tokens)
        self._stops = stops
        self._prompt_tokens = len(prompt)
        self._new_tokens = 0
        self._text = ''
        self._waiting: list[TokenEvent] = []
        self.ended: bool = False

    def push(self, step: StepToken) -> list[TokenEvent]:
        """The events that this token completes."""
        self._new_tokens = self._new_tokens + 1
        piece = '' if step.reason == 'eos' else self._detokenizer.push(step.token_id)
        if step.reason is not None:
            piece = piece + self._detokenizer.finish()
        piece = self._joined(piece) + piece
        self._waiting.append(TokenEvent(step.row, piece, step.token_id, '', step.logprob, step.top))
        if self._cut_at_stop():
            return self._end('stop')
        if step.reason is not None:
            return self._end(step.reason)
        return self._told(self._free())

    def _joined(self, piece: str) -> str:
        """The text of the last token that has any, which moves to the next one if its piece joins the last character; else ''."""
        for i in range(len(self._waiting) - 1, -1, -1):
            token = self._waiting[i].token
            if piece != '' and token != '':
                if not joins(token, piece):
                    return ''
                self._waiting[i] = replace(self._waiting[i], token='')
                return token
        return ''

    def _cut_at_stop(self) -> bool:
        """Cut the waiting text before the first stop string in it, if there is one."""
        text = ''.join([event.token for event in self._waiting])
        places = [text.find(stop) for stop in self._stops if stop in text]
        if len(places) == 0:
            return False
        left = min(places)
        for i in range(len(self._waiting)):
            event = self._waiting[i]
            self._waiting[i] = replace(event, token=event.token[:left])
            left = max(0, left - len(event.token))
        return True

    def _free(self) -> int:
        """How many of the waiting events can be told."""
        text = ''.join([event.token for event in self._waiting])
        held = len(text) - begun(text, self._stops)
        place = 0
        for i in range(len(self._waiting)):
            token = self._waiting[i].token
            place = place + len(token)
            if place > held or (place == len(text) and token != '' and may_be_joined(token)):
                return i
        return len(self._waiting)

    def _told(self, count: int) -> list[TokenEvent]:
        told: list[TokenEvent] = []
        for event in self._waiting[:count]:
            self._text = self._text + event.token
            told.append(replace(event, text=self._text))
        self._waiting = self._waiting[count:]
        return told

    def _end(self, reason: Literal['eos', 'stop', 'length']) -> list[TokenEvent]:
        self.ended = True
        told = self._told(len(self._waiting))
        told[-1] = replace(told[-1], done=True, reason=reason, usage=Usage(self._prompt_tokens, self._new_tokens))
        return told


def begun(text: str, stops: list[str]) -> int:
    """How many characters at the end of the text are the beginning of a stop string, at most."""
    longest = 0
    for stop in stops:
        size = min(len(stop) - 1, len(text))
        while size > longest and not text.endswith(stop[:size]):
            size = size - 1
        longest = max(longest, size)
    return longest


class TokenStream:
    """The events of a batch, from `for await` (Python: `async for`), whole_texts(), or to_readable_stream().

    Leaving the loop early frees everything, as aclose() does (JS: return()) and the signal, which raises 'aborted'. prompts: the
    tokens before each row. stops: texts that end a row and are not part of it. on_token: hears of each event first.
    """

    def __init__(
        self, source: StepSource, tokenizer: Tokenizer, prompts: list[list[int]], *, stops: list[str] | None = None,
        skip_special_tokens: bool = True, on_token: Callable[[TokenEvent], None] | None = None, signal: AbortSignal | None = None,
    ) -> None:
        self._source = source
        self._rows: list[RowStream] = [
            RowStream(tokenizer, prompt, stops if stops is not None else [], skip_special_tokens) for prompt in prompts]
        self._on_token = on_token
        self._ready: list[TokenEvent] = []
        self._freed: bool = False
        self._step: Deferred | None = None
        self._turn: Deferred | None = None
        self._failure: Exception | None = None
        self._stop_listening: Callable[[], None] = lambda: None
        self._stop_listening = on_abort(signal, self._interrupt)

    def __aiter__(self) -> AsyncIterator[TokenEvent]:
        return self._events()

    async def __anext__(self) -> TokenEvent:
        event = await self._next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def __aenter__(self) -> TokenStream:
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it and free everything; what waits for an event gets none. May be called more than once."""
        self._ready = []
        if self._step is not None:
            self._step.resolve([])
        await self._free()

    async def whole_texts(self) -> list[str]:
        """The text of each row, once all have ended."""
        texts = ['' for _ in self._rows]
        async for event in self._events():
            texts[event.row] = event.text
        return texts

    def to_readable_stream(self) -> ReadableStream[TokenEvent]:
        """A ReadableStream of the events (Python: an async iterator). Cancelling it frees everything."""
        return cast('ReadableStream[TokenEvent]', readable_stream(self._next, self.aclose))

    async def _events(self) -> AsyncIterator[TokenEvent]:
        """For Python, where only a generator hears that a loop was left."""
        try:
            while True:
                event = await self._next()
                if event is None:
                    return
                yield event
        finally:
            await self.aclose()

    async def _next(self) -> TokenEvent | None:
        """The next event; None when there is none left. Who asks meanwhile gets the one after it."""
        before, turn, fine = self._turn, new_deferred(), False
        self._turn = turn
        try:
            if before is not None:
                await before.result()
            while len(self._ready) == 0 and not self._freed and self._failure is None:
                await self._run_step()
            if self._failure is not None:
                failure = self._failure
                self._failure = None
                raise failure
            event = self._ready.pop(0) if len(self._ready) > 0 else None
            if event is not None and self._on_token is not None:
                self._on_token(event)
            fine = True
            return event
        finally:
            turn.resolve(None)
            if not fine:
                await self.aclose()

    async def _run_step(self) -> None:
        """Ask the source for one step; meanwhile the stream can be closed."""
        step = new_deferred()
        self._step = step

        async def work() -> None:
            try:
                step.resolve(await self._source.next())
            except Exception as error:
                step.reject(error)

        start_task(work)
        try:
            tokens = cast('list[StepToken]', await step.result())
        finally:
            self._step = None
        if self._freed or self._failure is not None:
            return
        for token in tokens:
            row = self._rows[token.row]
            if not row.ended:
                self._ready.extend(row.push(token))
                if row.ended and token.reason is None:
                    self._source.stop(token.row)
        running = [row for row in self._rows if not row.ended]
        if len(running) == 0:
            await self._free()
        elif len(tokens) == 0:
            raise EdgeflowError('internal', f'the source of tokens ended before {len(running)} of its {len(self._rows)} rows', {})

    def _interrupt(self) -> None:
        """The signal says so: nothing more is told, and everything is freed though nobody may ask again."""
        self._ready = []
        self._failure = EdgeflowError('aborted', 'generation was cancelled through its signal', {})
        if self._step is not None:
            self._step.resolve([])

        async def free() -> None:
            try:
                await self._free()
            except Exception as error:
                self._failure = error

        start_task(free)

    async def _free(self) -> None:
        if not self._freed:
            self._freed = True
            self._stop_listening()
            await self._source.close()
