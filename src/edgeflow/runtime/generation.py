"""Generating text with a model: sessions, whose steps are tasks of the page's scheduler.

Steps of several sessions of one model that wait at the same time are one run. So the streams of a page interleave token by token,
with one another and with all other work, by the scheduler's rules.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, cast

from edgeflow.backends.contract import Feed, KernelTime, MemoryUse
from edgeflow.backends.generation import Decoder, Feeding, NextToken
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import pause, signal_aborted
from edgeflow.host.port import AbortSignal
from edgeflow.ir.graph import ValueInfo
from edgeflow.options import public
from edgeflow.runtime.memory import Resource
from edgeflow.runtime.page import page_scheduler
from edgeflow.runtime.scheduler_task import RunContext

if TYPE_CHECKING:
    from edgeflow.runtime.chain import Chain

# How often a run lets others catch up before it starts: a turn of the event loop each.
MOST_PAUSES = 4
# What a decoder is told of its tokens.
TOLD = ['input_ids', 'attention_mask', 'position_ids']


def session_inputs(declared: list[ValueInfo]) -> list[ValueInfo]:
    """What a session is given of a model's inputs, for one text: not what the engine knows, its tokens, their past, and which branch to take."""
    found: list[ValueInfo] = []
    for info in declared:
        if info.name not in TOLD and info.dtype != 'bool' and not info.name.startswith('past'):
            found.append(ValueInfo(info.name, info.dtype, None if info.shape is None else [1, *info.shape[1:]]))
    return found


class _Request:
    """One session's wish for its next token."""

    def __init__(self, session: GenerationSession, feeding: Feeding) -> None:
        self.session: GenerationSession = session
        self.feeding: Feeding = feeding
        self.chosen: NextToken | None = None
        self.error: Exception | None = None
        self.taken: bool = False

    def goes_along(self, decoder: Decoder) -> bool:
        """Whether it can go along with others that are fed one token."""
        return len(self.feeding.ids) == 1 and self.session._decoder is decoder and not self.session._stale


class Generation:
    """The sessions of one model. ready: gives the decoder, loading the model again if need be. chain: the devices that it may go on on."""

    def __init__(self, model_id: str, ready: Callable[[], Awaitable[Decoder]], changed: Callable[[], None], chain: Chain | None = None) -> None:
        self.model_id: str = model_id
        self.chain: Chain | None = chain
        self.open_sessions: int = 0
        self.ready: Callable[[], Awaitable[Decoder]] = ready
        self._changed: Callable[[], None] = changed
        self._waiting: list[_Request] = []
        # Who shared the last run, and the one before: those are expected to ask again at once.
        self._last: list[int] = []
        self._before: list[int] = []

    async def open(self, inputs: dict[str, Feed]) -> GenerationSession:
        """A new session. EdgeflowErrors: those of Decoder.open()."""
        decoder = await self.ready()
        return GenerationSession(self, decoder, await decoder.open(inputs), [], inputs)

    async def advance(
        self, session: GenerationSession, feeding: Feeding, priority: Literal['low', 'normal', 'high', 'critical'], signal: AbortSignal | None, deadline: float | None,
    ) -> NextToken:
        """Feed one session's tokens as a task, in company if others want their next token too."""
        request = _Request(session, feeding)
        self._waiting.append(request)

        async def work(context: RunContext) -> object:
            if not request.taken:
                await self._run(request, context)
            return None

        try:
            task = page_scheduler().schedule(self.model_id, work, priority=priority, signal=signal, deadline=deadline)
            await task.result()
        finally:
            self._leave(request)
        if request.error is not None:
            raise request.error
        if request.chosen is None:
            raise EdgeflowError('aborted', 'the run of this step ended before it', {})
        return request.chosen

    def closed(self, decoder: Decoder, number: int) -> None:
        """A session has ended. A step of it that waits would fail those that it went along with."""
        self._waiting = [other for other in self._waiting if other.session._decoder is not decoder or other.feeding.session != number]
        self.open_sessions = self.open_sessions - 1
        self._changed()

    async def check_decoder(self, decoder: Decoder) -> None:
        """Internal: that the model was not loaded again, where a session's number may mean another one."""
        if await self.ready() is not decoder:
            raise EdgeflowError('worker-lost', 'the session was lost with its worker: expected the model as it was, got it loaded anew', {})

    async def _run(self, request: _Request, context: RunContext) -> None:
        session = request.session
        if self.chain is None:
            await self.check_decoder(session._decoder)
        else:
            decoder = await self.ready()
            if session._stale or session._decoder is not decoder:
                request.feeding = await session._again(decoder, request.feeding)
        decoder = session._decoder
        batch: list[_Request] = [request]
        if len(request.feeding.ids) == 1:
            # Sessions are told their tokens one after the other, and ask for more right away.
            for _ in range(MOST_PAUSES):
                if len(self._waiting) >= self._company():
                    break
                await pause()
            batch = [other for other in self._waiting if other is request or other.goes_along(decoder)]
            self._before = self._last
            self._last = [other.feeding.session for other in batch]
        if len(batch) == 0:
            return
        for other in batch:
            other.taken = True
        self._waiting = [other for other in self._waiting if not other.taken]
        try:
            # A run of several goes on for the others when one is cancelled.
            chosen = await decoder.advance([other.feeding for other in batch], context if len(batch) == 1 else None)
            for i in range(len(batch)):
                batch[i].chosen = chosen[i]
        except Exception as error:
            for other in batch:
                other.error = error
        self._changed()

    def _company(self) -> int:
        """How many sessions are on their way, as far as the last two runs show."""
        found: set[int] = set(self._last)
        found.update(self._before)
        return min(len(found), self.open_sessions)

    def _leave(self, request: _Request) -> None:
        if not request.taken:
            self._waiting = [other for other in self._waiting if other is not request]


class GenerationSession(Resource):
    """A text of token ids on its way, with the keys and values of its tokens in the model's memory. Made by Model.open_session().

    ids: the tokens that the model has seen.
    """

    def __init__(self, generation: Generation, decoder: Decoder, number: int, ids: list[int], inputs: dict[str, Feed]) -> None:
        super().__init__()
        self.ids: list[int] = ids
        self._generation: Generation = generation
        self._decoder: Decoder = decoder
        self._number: int = number
        self._stepping: bool = False
        # What it takes to begin again on another device.
        self._inputs: dict[str, Feed] = inputs
        self._choosing: object = None
        self._prompt: int = 0
        # The decoder has not seen its tokens.
        self._stale: bool = False
        generation.open_sessions = generation.open_sessions + 1
        self._begin('session', 0)

    @public
    async def prompt(
        self, ids: list[int], *, priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None,
        deadline: float | None = None,
    ) -> NextToken:
        """The likeliest token after `ids`, which are the whole text. What they have in common with the last text is not computed again.

        The options and errors are those of Model.run(), and the text is as it was before if it fails.
        """
        return await self.begin(ids, None, priority, signal, deadline)

    async def begin(
        self, ids: list[int], choosing: object, priority: Literal['low', 'normal', 'high', 'critical'] = 'normal',
        signal: AbortSignal | None = None, deadline: float | None = None,
    ) -> NextToken:
        """Internal: prompt(), with a say in how this text's tokens are chosen (generation.chooser_of())."""
        self._check()
        common = 0
        while common < len(self.ids) and common < len(ids) - 1 and self.ids[common] == ids[common]:
            common = common + 1
        self.rewind(common)
        return await self._advance(Feeding(self._number, ids[common:], common, True, choosing), priority, signal, deadline)

    @public
    async def feed(
        self, ids: list[int], *, priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None,
        deadline: float | None = None,
    ) -> NextToken:
        """Append tokens to the text, mostly the one that came last, and choose the next one. One call at a time: a second one is 'invalid-argument'. Otherwise as prompt()."""
        return await self._advance(Feeding(self._number, ids, len(self.ids)), priority, signal, deadline)

    async def _advance(
        self, feeding: Feeding, priority: Literal['low', 'normal', 'high', 'critical'], signal: AbortSignal | None, deadline: float | None,
    ) -> NextToken:
        if signal_aborted(signal):
            raise EdgeflowError('aborted', 'the step was cancelled before it began', {})
        self._check()
        self._stepping = True
        generation = self._generation

        async def step() -> NextToken:
            return await generation.advance(self, feeding, priority, signal, deadline)

        try:
            chosen = await (step() if generation.chain is None else generation.chain.attempt(step))
        finally:
            self._stepping = False
        self.ids.extend(feeding.ids)
        self._stale = False
        if feeding.begins:
            self._choosing = feeding.choosing
            self._prompt = len(self.ids)
        return chosen

    async def _again(self, decoder: Decoder, feeding: Feeding) -> Feeding:
        """Begin again on another decoder: what to feed it in place of `feeding`."""
        if decoder is not self._decoder:
            self._number = await decoder.open(self._inputs)
            self._decoder = decoder
            self._stale = True
        ids = self.ids + feeding.ids
        choosing = feeding.choosing if feeding.begins else self._choosing
        if not feeding.begins and choosing is not None:
            # The chooser's random numbers and penalties go on from the tokens that were made.
            choosing = dict(cast('dict[str, object]', choosing))
            choosing['chosen'] = ids[self._prompt:]
        return Feeding(self._number, ids, 0, True, choosing)

    async def profile(self, ids: list[int]) -> list[KernelTime]:
        """How long each kernel takes where feed() is given these tokens. The text stays as it is. EdgeflowErrors: those of Model.profile() and feed()."""
        self._check()
        self._stepping = True
        try:
            from edgeflow.runtime.profiling import profile_step
            generation = self._generation
            return await profile_step(
                generation.model_id, lambda: generation.check_decoder(self._decoder), self._decoder, Feeding(self._number, ids, len(self.ids)))
        finally:
            self._stepping = False

    @public
    async def fork(self) -> GenerationSession:
        """Another session with the same text, which goes on by itself. What they have in common is in memory once.

        EdgeflowErrors: 'disposed', 'worker-lost', 'invalid-argument' while a step runs.
        """
        self._check()
        ids = list(self.ids)
        generation = self._generation
        number = -1
        # One that was lost with its device begins again with its next step, as this one does.
        if generation.chain is None or await generation.ready() is self._decoder:
            number = await self._decoder.fork(self._number, len(ids))
        forked = GenerationSession(generation, self._decoder, number, ids, self._inputs)
        forked._choosing = self._choosing
        forked._prompt = self._prompt
        return forked

    def _check(self) -> None:
        """That it may be used now."""
        if self.disposed:
            raise EdgeflowError('disposed', 'expected an open session; this one was disposed', {})
        if self._stepping:
            raise EdgeflowError('invalid-argument', 'expected a session at rest; a step of it is under way', {})

    def rewind(self, length: int) -> None:
        """Forget the tokens from the `length`-th on."""
        if length < len(self.ids):
            self.ids = self.ids[:length]
            self._decoder.rewind(self._number, length)

    def memory(self) -> MemoryUse:
        """Bytes that the model holds; `arena` is those of its sessions."""
        return self._decoder.cache_memory()

    def _free(self) -> None:
        self._decoder.close(self._number)
        self._generation.closed(self._decoder, self._number)
