"""Generation on WASM: generation.Decoder over a model's machine.

A run feeds the new tokens of some sessions: the same number to each, so several sessions go together when each gets one token.
Its plan is made for that number of sessions and tokens, and for a capacity, the places of past tokens that the graph's own mask
has; how many of them count is data: the table that the attention kernel reads (pages.py), and the mask that is fed.
So a plan serves until the sessions outgrow its capacity, which then becomes several times as large. Of the places of a plan
the last ones count, so that what a mask or a bias tells of distances is right whatever the capacity.

An encoder's states become keys and values once a text, by the graph's branch for the first token, in pages of their own.

A graph whose attention is not plainly causal, or that takes its past otherwise, is found out by its plan or by its first run
(ERROR_MASK); then all sessions go on by the graph's own past and present tensors, which stay in this thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from edgeflow.backends.contract import Feed, MemoryUse, RunControl
from edgeflow.backends.generation import Chooser, Draw, Feeding, NextToken, chooser_of
from edgeflow.backends.wasm.decoder_feeds import capacity_for, filled, past_feeds, present_of, seen_states, state_feeds, token_feeds
from edgeflow.backends.wasm.pages import MOST_ROWS, PAGE, PageList, PageMemory, PastInput, TableRow, find_pasts
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_ints, array_of, array_view
from edgeflow.ir.graph import Graph, Node, ValueInfo
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.passes.last_logits import DRAWN, LOGITS, TOKEN, last_logits
from edgeflow.passes.past_positions import STATES, past_positions
from edgeflow.plan.builder import CacheLayout

OUTPUT = 'logits'
FIRST_CAPACITY = 256
# A long prompt goes in parts: the attention's scratch memory grows with them, and a run that is cancelled ends with its part.
CHUNK = 512
MASK_FAILURE = 6


class Runner(Protocol):
    """What runs one of the decoder's graphs: a WasmExecutable."""

    cache: CacheLayout | None

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
    ) -> dict[str, Feed]: ...


class Ahead(Protocol):
    """Draws tokens where the logits are, and submits steps before the tokens are known that they take, where what runs them works beside this thread
    (backends/webgpu/ahead.py)."""

    def feed_draws(self, draws: list[Draw], feeds: dict[str, Feed]) -> None:
        """Feed what a run takes whose output DRAWN are tokens drawn so, one for each row."""

    def held(self, session: object, length: int) -> int:
        """How many places a session keeps that has so many tokens."""

    def forget(self) -> None:
        """Another run comes next."""

    async def following(
        self, runner: Any, session: object, by: object, output: str, ids: list[int], length: int, lay: Callable[[list[int], int], dict[str, Feed]], more: bool,
    ) -> int | None:
        """The token after `length` tokens and one more, `ids`, chosen by the chooser `by`: the `output` of a step. lay: prepares a step for such a token,
        and gives its feeds. more: whether the plan serves for another step. None: steps of this model cannot be submitted ahead."""


@dataclass
class _Session:
    """ids: the tokens that are cached. states: how many states of an encoder are. state: past tensors by their inputs' names, where
    pages do not serve.

    busy: a run works on its pages, so that closing it frees them only when that has ended.
    """

    chooser: Chooser | None
    inputs: dict[str, Feed]
    ids: list[int] = field(default_factory=list)
    held: PageList = field(default_factory=PageList)
    fixed: PageList = field(default_factory=lambda: PageList(True))
    states: int = 0
    state: dict[str, Feed] = field(default_factory=dict)
    stated: int = 0
    busy: bool = False
    closed: bool = False


class WasmDecoder:
    """generation.Decoder."""

    def __init__(
        self, graph: Graph, runner: Callable[[Graph], Runner], pages: Callable[[list[PastInput]], PageMemory], memory: Callable[[], MemoryUse],
        ahead: Ahead | None = None,
    ) -> None:
        """runner: runs graphs on the model's weights. pages: the pages that its plans work on. memory: of the model."""
        self._ahead: Ahead | None = ahead
        self._goes_ahead: bool = True
        self._memory: Callable[[], MemoryUse] = memory
        self._sessions: dict[int, _Session] = {}
        self._numbers: int = 0
        self._inputs: list[ValueInfo] = graph.inputs
        self._deciding: list[str] = deciding_inputs(graph)
        short = last_logits(graph, OUTPUT)
        self._presents: list[str] = [info.name for info in graph.outputs if info.name != OUTPUT]
        kept = [info for info in graph.outputs if info.name != OUTPUT]
        self._whole: Runner = runner(Graph(short.name, short.inputs, short.outputs + kept, short.nodes, short.initializers, short.opsets))
        self._run: Runner = self._whole
        self._states: Runner = self._whole
        self._appended: list[str] = []
        self._pages: PageMemory | None = None
        try:
            made = pages(find_pasts(graph))
            self._run = runner(past_positions(short))
            self._states = runner(self._appending(graph, made))
            self._pages = made
        except EdgeflowError as error:
            if error.code != 'unsupported-op':
                raise
            self._ahead = None

    def _appending(self, graph: Graph, pages: PageMemory) -> Graph:
        """The graph with results whose computing appends the keys and values of an encoder's states to the cache."""
        nodes = list(graph.nodes)
        fixed = [past.name for past in pages.pasts if past.fixed]
        for i in range(0, len(fixed), 2):
            self._appended.append(fixed[i] + '#appended')
            made = [present_of(name) for name in fixed[i:i + 2]]
            nodes.append(Node('AppendCached', 'edgeflow', fixed[i], made + fixed[i:i + 2], [self._appended[-1]]))
        outputs = [ValueInfo(name, 'float32', None) for name in self._appended]
        return Graph(graph.name, graph.inputs, outputs, nodes, graph.initializers, graph.opsets)

    async def open(self, inputs: dict[str, Feed]) -> int:
        return self._add(_Session(None, inputs))

    async def advance(self, feedings: list[Feeding], control: RunControl | None = None) -> list[NextToken]:
        chosen: dict[int, NextToken] = {}
        together: list[Feeding] = []
        for feeding in feedings:
            session = self._session(feeding.session)
            self._rewind(session, feeding.at)
            if feeding.begins:
                session.chooser = await chooser_of(feeding.choosing)
            if len(feeding.ids) == 0 or feeding.session in chosen or feeding.session in [other.session for other in together]:
                raise EdgeflowError('invalid-argument', 'expected tokens for each session, and each session once',
                                    {'session': feeding.session, 'got': len(feeding.ids)})
            if len(feeding.ids) == 1 and len(session.ids) > 0 and self._pages is not None:
                together.append(feeding)
            else:
                chosen[feeding.session] = await self._prefill(session, feeding.ids, control)
        for i in range(0, len(together), MOST_ROWS):
            part = together[i:i + MOST_ROWS]
            rows = [self._session(feeding.session) for feeding in part]
            results = await self._feed(rows, [feeding.ids for feeding in part], control)
            for k in range(len(part)):
                chosen[part[k].session] = results[k]
        return [chosen[feeding.session] for feeding in feedings]

    async def fork(self, session: int, length: int) -> int:
        found = self._session(session)
        copy = _Session(found.chooser, found.inputs, list(found.ids), PageList(), PageList(True), found.states, dict(found.state), found.stated)
        if self._pages is not None:
            copy.held = self._pages.share(found.held)
            copy.fixed = self._pages.share(found.fixed)
        self._rewind(copy, length)
        return self._add(copy)

    def rewind(self, session: int, length: int) -> None:
        self._rewind(self._session(session), length)

    def close(self, session: int) -> None:
        found = self._sessions.pop(session, None)
        if found is not None:
            found.closed = True
            if not found.busy:
                self._free(found)

    def cache_memory(self) -> MemoryUse:
        use = self._memory()
        return MemoryUse(use.total, use.weights, 0 if self._pages is None else self._pages.used, 0, use.gpu)

    def _add(self, session: _Session) -> int:
        self._numbers = self._numbers + 1
        self._sessions[self._numbers] = session
        return self._numbers

    def _session(self, number: int) -> _Session:
        found = self._sessions.get(number)
        if found is None:
            raise EdgeflowError('disposed', f'expected an open session; {number} was closed', {'session': number})
        return found

    def _rewind(self, session: _Session, length: int) -> None:
        session.ids = session.ids[:length]
        if session.stated > length:
            session.state = {}
            session.stated = 0
        ahead = self._ahead
        held = len(session.ids) if ahead is None else ahead.held(session, len(session.ids))
        if self._pages is not None and not session.closed:
            self._pages.resize(session.held, held)

    async def _prefill(self, session: _Session, ids: list[int], control: RunControl | None) -> NextToken:
        """Several tokens, in parts. If one fails, the session is as it was."""
        before = len(session.ids)
        result: list[NextToken] = []
        step = CHUNK if self._pages is not None else len(ids)
        try:
            for at in range(0, len(ids), step):
                result = await self._feed([session], [ids[at:at + step]], control, at + step >= len(ids))
        except Exception:
            self._rewind(session, before)
            raise
        return result[0]

    async def _feed(self, rows: list[_Session], ids: list[list[int]], control: RunControl | None, last: bool = True) -> list[NextToken]:
        """One run; the same number of tokens for each row. last: the next tokens are wanted."""
        if self._pages is None:
            return [await self._feed_whole(rows[0], ids[0], control)]
        try:
            results = await self._feed_pages(self._pages, rows, ids, control, last)
        except EdgeflowError as error:
            if error.code in ['unsupported-op', 'invalid-graph'] or error.details.get('code') == MASK_FAILURE:
                self._leave_pages()
                again: list[NextToken] = []
                for i in range(len(rows)):
                    again.append(await self._feed_whole(rows[i], ids[i], control))
                return again
            raise
        for i in range(len(rows)):
            rows[i].ids.extend(ids[i])
        return self._choose(rows, results) if last else []

    def _leave_pages(self) -> None:
        """The graph needs its own past and present."""
        for session in self._sessions.values():
            self._free(session)
        self._pages = None
        self._ahead = None

    def _free(self, session: _Session) -> None:
        if self._pages is not None:
            self._pages.free(session.held)
            self._pages.free(session.fixed)

    async def _feed_pages(
        self, pages: PageMemory, rows: list[_Session], ids: list[list[int]], control: RunControl | None, last: bool,
    ) -> dict[str, Feed]:
        fresh = len(ids[0])
        for session in rows:
            if session.closed:
                raise EdgeflowError('disposed', 'expected open sessions; one was closed while it was fed', {})
        for session in rows:
            session.busy = True
        lengths = [len(session.ids) for session in rows]
        # Together with the new tokens a round number, as the tables of masks have that some graphs bring along.
        capacity = 0 if max(lengths) == 0 else capacity_for(max(lengths) + fresh, FIRST_CAPACITY) - fresh
        outputs = self._wanted(rows, last)
        try:
            for session in rows:
                await self._keep_states(pages, session, control)
            ahead = self._ahead
            if ahead is not None:
                timed = control is not None and control.times is not None
                if self._goes_ahead and len(rows) == 1 and fresh == 1 and lengths[0] > 0 and outputs[0] != LOGITS and len(self._appended) == 0 and not timed:
                    # Another plan is made when it is certain that it is needed.
                    more = capacity_for(lengths[0] + 2, FIRST_CAPACITY) == capacity + 1
                    output = outputs[0]

                    def lay(taken: list[int], length: int) -> dict[str, Feed]:
                        return self._drawing(rows, output, length - lengths[0], self._laid(pages, rows, [taken], [length], capacity))

                    token = await ahead.following(self._run, rows[0], rows[0].chooser, output, ids[0], lengths[0], lay, more)
                    if token is not None:
                        return {output: Feed('int32', [1, 1], array_of('int32', [token]))}
                    self._goes_ahead = False
                else:
                    ahead.forget()
            feeds = self._drawing(rows, outputs[0], 0, self._laid(pages, rows, ids, lengths, capacity))
            return await self._run.run(feeds, outputs, control)
        except Exception:
            for i in range(len(rows)):
                pages.resize(rows[i].held, lengths[i])
            raise
        finally:
            for session in rows:
                session.busy = False
                if session.closed:
                    self._free(session)

    def _laid(self, pages: PageMemory, rows: list[_Session], ids: list[list[int]], lengths: list[int], capacity: int) -> dict[str, Feed]:
        """Have pages for the new tokens, and say whose they are; what the run is fed."""
        fresh = len(ids[0])
        table: list[TableRow] = []
        for i in range(len(rows)):
            pages.resize(rows[i].held, lengths[i] + fresh)
            pages.own(rows[i].held, lengths[i])
            pages.resize(rows[i].fixed, rows[i].states)
            table.append(TableRow(lengths[i], fresh, rows[i].held, rows[i].states, rows[i].fixed))
        pages.write_table(table)
        states = capacity_for(max([session.states for session in rows]), PAGE)
        feeds = token_feeds(self._inputs, self._deciding, ids, lengths, capacity, 1)
        feeds.update(state_feeds(self._inputs, len(rows), states))
        feeds.update(past_feeds(pages.pasts, [len(rows), capacity, states]))
        self._run.cache = pages.layout(capacity + fresh)
        return feeds

    async def _keep_states(self, pages: PageMemory, session: _Session, control: RunControl | None) -> None:
        """Make keys and values of the states of a session's encoder, unless it has them."""
        if len(self._appended) == 0 or session.states > 0:
            return
        feeds = seen_states(session.inputs)
        states = feeds[STATES].shape[1]
        pages.resize(session.fixed, states)
        pages.write_table([TableRow(0, states, session.fixed, 0, session.held)])
        feeds.update(token_feeds(self._inputs, self._deciding, [[0]], [0], 0, 0))
        feeds.update(past_feeds(pages.pasts, [1, 0, 0]))
        self._states.cache = pages.layout(states)
        await self._states.run(feeds, self._appended, control)
        session.states = states

    def _wanted(self, rows: list[_Session], last: bool) -> list[str]:
        """The outputs of a run: logits and the likeliest tokens, or only these, or tokens that are drawn there."""
        if self._ahead is not None and last and len(self._draws(rows, 0)) == len(rows):
            return [DRAWN]
        for session in rows:
            if last and session.chooser is not None:
                return [LOGITS, TOKEN]
        return [TOKEN]

    def _draws(self, rows: list[_Session], later: int) -> list[Draw]:
        """How the tokens of these sessions are drawn, so many behind the next ones; only of those that can be."""
        draws: list[Draw] = []
        for session in rows:
            draw = None if session.chooser is None else session.chooser.draw(later)
            if draw is not None:
                draws.append(draw)
        return draws

    def _drawing(self, rows: list[_Session], output: str, later: int, feeds: dict[str, Feed]) -> dict[str, Feed]:
        """The feeds, with what it takes to draw tokens if `output` are such."""
        ahead = self._ahead
        if ahead is not None and output == DRAWN:
            ahead.feed_draws(self._draws(rows, later), feeds)
        return feeds

    async def _feed_whole(self, session: _Session, ids: list[int], control: RunControl | None) -> NextToken:
        """A run by the graph's own past and present tensors. All tokens again if the session has no such tensors yet."""
        pasts = [info for info in self._inputs if info.name.startswith('past')]
        if session.stated != len(session.ids) or len(pasts) == 0:
            ids = session.ids + ids
            session.ids = []
            session.state = {}
        length = len(session.ids)
        feeds = token_feeds(self._inputs, self._deciding, [ids], [length], length, 1 if length > 0 else 0)
        for name in session.inputs:
            feeds[name] = session.inputs[name]
        for info in pasts:
            feeds[info.name] = session.state[info.name] if info.name in session.state else filled(info, 1, 0)
        results = await self._whole.run(feeds, self._wanted([session], True) + self._presents, control)
        for info in pasts:
            present = results.get(present_of(info.name))
            # The branch for later tokens gives empty keys and values of the encoder, which the first one computed.
            if present is not None and (length == 0 or '.encoder.' not in info.name):
                session.state[info.name] = present
        session.ids = session.ids + ids
        session.stated = len(session.ids)
        return self._choose([session], results)[0]

    def _choose(self, rows: list[_Session], results: dict[str, Feed]) -> list[NextToken]:
        drawn = results.get(DRAWN)
        tokens = array_ints(results[TOKEN].data if drawn is None else drawn.data)
        chosen: list[NextToken] = []
        for i in range(len(rows)):
            chooser = rows[i].chooser
            if chooser is None:
                chosen.append(NextToken(tokens[i]))
            elif drawn is not None:
                chosen.append(chooser.drawn(tokens[i]))
            else:
                data = array_bytes(results[LOGITS].data)
                size = len(data) // len(rows)
                chosen.append(chooser.choose(array_view('float32', data[i * size:(i + 1) * size])))
        return chosen
