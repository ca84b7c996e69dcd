"""Where a TokenStream gets its tokens: sessions of a decoder, one a row, which step together; and streams that begin before these do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, cast

from edgeflow.backends.generation import Chooser, Draw, NextToken
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather, new_abort_controller, on_abort
from edgeflow.host.port import AbortSignal, NumericArray
from edgeflow.runtime.generation import GenerationSession
from edgeflow.runtime.model import Model, RunOptions
from edgeflow.runtime.tensor import Tensor
from edgeflow.text.generation_options import GenerationOptions
from edgeflow.text.sampling import Sampler, TokenLogprob, checked
from edgeflow.text.streamer import RowStream, StepToken, TokenEvent, TokenStream
from edgeflow.text.tokenizer import Tokenizer


class SamplerChooser:
    """generation.Chooser by a sampler."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler: Sampler = sampler

    def choose(self, logits: NumericArray) -> NextToken:
        choice = self._sampler.choose(logits)
        return NextToken(choice.token_id, choice.logprob, [NextToken(other.token_id, other.logprob) for other in choice.top])

    def draw(self, later: int) -> Draw | None:
        return self._sampler.draw(later)

    def drawn(self, token: int) -> NextToken:
        self._sampler.repeat(checked(token))
        return NextToken(token)


def make_chooser(choosing: object) -> Chooser:
    """What choosing_of() describes; with `chosen`, after these tokens of the text."""
    given = cast('dict[str, object]', choosing)
    sampler = Sampler(cast(GenerationOptions, given['options']), cast('list[int]', given['prompt']), cast(int, given['row']))
    for token in cast('list[int]', given.get('chosen', [])):
        sampler.repeat(token)
    return SamplerChooser(sampler)


def choosing_of(options: GenerationOptions, prompt: list[int], row: int) -> object:
    """What make_chooser() is given in the model's thread; None where the likeliest token is all that is asked for."""
    plain = not options.do_sample and options.logprobs is None and options.repetition_penalty == 1 and options.presence_penalty == 0
    if plain and options.frequency_penalty == 0 and options.no_repeat_ngram_size == 0 and options.min_new_tokens == 0:
        if len(options.logit_bias) == 0 and len(options.bad_words_ids) == 0:
            return None
    return {'options': options, 'prompt': prompt, 'row': row}


class SessionSource:
    """streamer.StepSource for prompts of token ids, each of num_return_sequences rows. prompts: those of the rows.

    inputs: what else the decoder takes, for each prompt, freed here. kept: sessions of ended texts, of which the one that shares most with a prompt
    goes on with it; those of this source are put there at the end. most: how many may be kept.
    """

    def __init__(
        self, model: Model, prompts: list[list[int]], options: GenerationOptions, run: RunOptions, *,
        inputs: list[dict[str, Tensor]] | None = None, kept: list[GenerationSession] | None = None, most: int = 1,
    ) -> None:
        self._model: Model = model
        self._copies: int = options.num_return_sequences
        self.prompts: list[list[int]] = [prompts[i // self._copies] for i in range(len(prompts) * self._copies)]
        self._options: GenerationOptions = options
        self._run: RunOptions = run
        self._inputs: list[dict[str, Tensor]] | None = inputs
        self._kept: list[GenerationSession] | None = kept
        self._most: int = most
        self._sessions: list[GenerationSession | None] = [None for _ in self.prompts]
        self._last: list[int] = [0 for _ in self.prompts]
        self._made: list[int] = [0 for _ in self.prompts]
        self._ended: list[bool] = [False for _ in self.prompts]
        self._begun: bool = False
        self._closed: bool = False
        controller = new_abort_controller()
        self._signal: AbortSignal = controller.signal
        self._abort = controller.abort
        self._stop_listening = on_abort(run.signal, lambda: controller.abort())

    async def next(self) -> list[StepToken]:
        rows = [row for row in range(len(self.prompts)) if not self._ended[row]]
        if len(rows) == 0:
            return []
        try:
            if not self._begun:
                self._begun = True
                for row in rows:
                    await self._open(row)
            chosen: list[NextToken] = await gather([self._step(row) for row in rows])
        except EdgeflowError:
            # Whoever has left does not want to hear that the sessions are closed, which a step under way may find.
            if self._closed:
                return []
            raise
        tokens: list[StepToken] = []
        for i in range(len(rows)):
            row = rows[i]
            one = chosen[i]
            self._last[row] = one.token_id
            self._made[row] = self._made[row] + 1
            reason: Literal['eos', 'length'] | None = None
            if one.token_id in self._options.eos_token_ids:
                reason = 'eos'
            elif self._made[row] >= self._options.max_new_tokens:
                reason = 'length'
            if reason is not None:
                self.stop(row)
            top = [TokenLogprob(other.token_id, cast(float, other.logprob)) for other in one.top]
            tokens.append(StepToken(row, one.token_id, one.logprob, top, reason))
        return tokens

    def stop(self, row: int) -> None:
        self._ended[row] = True
        self._leave(row)

    async def close(self) -> None:
        self._closed = True
        self._stop_listening()
        self._abort()
        for row in range(len(self.prompts)):
            self.stop(row)
            self._free_inputs(row)

    async def _open(self, row: int) -> None:
        """A session for a row: for the further ones of a prompt forks of the first one's, which has read it."""
        first = self._sessions[row - row % self._copies]
        session = await self._session(row) if first is None else await first.fork()
        if self._closed:
            session.dispose()
            raise EdgeflowError('aborted', 'the stream was ended', {})
        self._sessions[row] = session
        if first is None and self._copies > 1:
            await session.begin(self.prompts[row], None, self._run.priority, self._signal, self._run.deadline)

    async def _session(self, row: int) -> GenerationSession:
        best: GenerationSession | None = None
        if self._kept is not None and self._inputs is None:
            most = 0
            for session in self._kept:
                shared = common_length(session.ids, self.prompts[row])
                if shared > most:
                    best = session
                    most = shared
            if best is not None:
                self._kept.remove(best)
                return best
        if self._inputs is None:
            return await self._model.open_session()
        try:
            return await self._model.open_session(self._inputs[row // self._copies])
        finally:
            self._free_inputs(row)

    def _free_inputs(self, row: int) -> None:
        if self._inputs is not None:
            for tensor in self._inputs[row // self._copies].values():
                tensor.dispose()

    async def _step(self, row: int) -> NextToken:
        session = cast(GenerationSession, self._sessions[row])
        run = self._run
        if self._made[row] == 0:
            prompt = self.prompts[row]
            return await session.begin(prompt, choosing_of(self._options, prompt, row), run.priority, self._signal, run.deadline)
        return await session.feed([self._last[row]], priority=run.priority, signal=self._signal, deadline=run.deadline)

    def _leave(self, row: int) -> None:
        """Keep the session of an ended row, or free it."""
        session = self._sessions[row]
        self._sessions[row] = None
        if session is None:
            return
        if self._kept is None or self._closed or self._inputs is not None:
            session.dispose()
            return
        self._kept.append(session)
        while len(self._kept) > self._most:
            self._kept.pop(0).dispose()


def common_length(a: list[int], b: list[int]) -> int:
    """How many tokens two texts begin with that are the same."""
    length = 0
    while length < len(a) and length < len(b) and a[length] == b[length]:
        length = length + 1
    return length


class _LateSource:
    """streamer.StepSource for one that is still to come."""

    def __init__(self) -> None:
        self.source: SessionSource | None = None
        self.closed: bool = False

    async def next(self) -> list[StepToken]:
        return [] if self.source is None else await self.source.next()

    def stop(self, row: int) -> None:
        if self.source is not None:
            self.source.stop(row)

    async def close(self) -> None:
        self.closed = True
        if self.source is not None:
            await self.source.close()


class PromptedStream(TokenStream):
    """A TokenStream whose prompts take time to make, by a chat template or an encoder; begin() does that when the first event is asked for."""

    def __init__(
        self, begin: Callable[[], Awaitable[SessionSource]], tokenizer: Tokenizer, *, stops: list[str],
        on_token: Callable[[TokenEvent], None] | None = None, signal: AbortSignal | None = None,
    ) -> None:
        super().__init__(_LateSource(), tokenizer, [], stops=stops, on_token=on_token, signal=signal)
        self._late: _LateSource = cast(_LateSource, self._source)
        self._tokenizer: Tokenizer = tokenizer
        self._stops: list[str] = stops
        self._begin: Callable[[], Awaitable[SessionSource]] | None = begin

    async def whole_texts(self) -> list[str]:
        """The text of each row, once all have ended."""
        await self._make_rows()
        return await super().whole_texts()

    async def _run_step(self) -> None:
        await self._make_rows()
        if not self._late.closed:
            await super()._run_step()

    async def _make_rows(self) -> None:
        begin = self._begin
        if begin is None:
            return
        self._begin = None
        source = await begin()
        self._rows = [RowStream(self._tokenizer, prompt, self._stops, True) for prompt in source.prompts]
        self._late.source = source
        if self._late.closed:
            await source.close()
