"""Where a stream of a beam search gets its tokens: all of them at once, since the best text is known only when the search has ended."""

from __future__ import annotations

from typing import Literal, cast

from edgeflow.backends.generation import Chooser, Draw, NextToken
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import gather
from edgeflow.host.port import NumericArray
from edgeflow.pipelines.token_source import SessionSource
from edgeflow.runtime.generation import GenerationSession
from edgeflow.runtime.model import Model, RunOptions
from edgeflow.runtime.tensor import Tensor
from edgeflow.text.beam_search import Beam, BeamSearch, Hypothesis, Step, candidates_of
from edgeflow.text.generation_options import GenerationOptions
from edgeflow.text.processors import History
from edgeflow.text.sampling import TokenLogprob
from edgeflow.text.streamer import StepToken


class BeamChooser:
    """generation.Chooser for one token of a beam: the tokens that the search may choose from are in `top`."""

    def __init__(self, options: GenerationOptions, history: History) -> None:
        self._options: GenerationOptions = options
        self._history: History = history

    def choose(self, logits: NumericArray) -> NextToken:
        found = candidates_of(logits, self._history, self._options)
        return NextToken(found[0].token_id, None, [NextToken(one.token_id, one.logprob) for one in found])

    def draw(self, later: int) -> Draw | None:
        return None

    def drawn(self, token: int) -> NextToken:
        return NextToken(token)


def make_beam_chooser(choosing: object) -> Chooser:
    """What a BeamSource describes: with `made`, the tokens of the beam so far."""
    given = cast('dict[str, object]', choosing)
    history = History(cast('list[int]', given['prompt']))
    for token in cast('list[int]', given['made']):
        history.append(token)
    return BeamChooser(cast(GenerationOptions, given['options']), history)


class BeamSource(SessionSource):
    """streamer.StepSource for prompts of token ids: each row a search, each of its beams a session, all of which step together."""

    def __init__(
        self, model: Model, prompts: list[list[int]], options: GenerationOptions, run: RunOptions, inputs: list[dict[str, Tensor]] | None,
    ) -> None:
        super().__init__(model, prompts, options, run, inputs=inputs)
        self._beams: list[GenerationSession] = []

    async def next(self) -> list[StepToken]:
        if self._begun:
            return []
        self._begun = True
        found: list[list[Hypothesis]] = await gather([self._search(row) for row in range(0, len(self.prompts), self._copies)])
        tokens: list[StepToken] = []
        for row in range(len(self.prompts)):
            ids = found[row // self._copies][row % self._copies].token_ids
            reason: Literal['eos', 'length'] = 'eos' if ids[-1] in self._options.eos_token_ids else 'length'
            tokens.extend([StepToken(row, ids[i], reason=reason if i == len(ids) - 1 else None) for i in range(len(ids))])
        return tokens

    async def close(self) -> None:
        await super().close()
        for session in self._beams:
            session.dispose()
        self._beams = []

    async def _search(self, row: int) -> list[Hypothesis]:
        """The best texts for the prompt of a row."""
        search = BeamSearch(self._options, self.prompts[row])
        sessions = [self._held(await self._session(row))]
        while True:
            chosen: list[NextToken] = await gather([self._candidates(sessions[i], search.beams[i]) for i in range(len(sessions))])
            steps = search.step([[TokenLogprob(other.token_id, cast(float, other.logprob)) for other in one.top] for one in chosen])
            sessions = await self._successors(sessions, steps)
            if search.done:
                return search.finished

    async def _candidates(self, session: GenerationSession, beam: Beam) -> NextToken:
        tokens = beam.history.tokens
        length = beam.history.prompt_length
        choosing = {'options': self._options, 'prompt': tokens[:length], 'made': tokens[length:]}
        return await session.begin(tokens, choosing, self._run.priority, self._signal, self._run.deadline)

    async def _successors(self, sessions: list[GenerationSession], steps: list[Step]) -> list[GenerationSession]:
        """A session for each beam to run next: its source's, or a fork of that if another beam has it already. The others are freed."""
        taken: set[int] = set()
        found: list[GenerationSession] = []
        for step in steps:
            session = sessions[step.source]
            found.append(self._held(await session.fork()) if step.source in taken else session)
            taken.add(step.source)
        for i in range(len(sessions)):
            if i not in taken:
                sessions[i].dispose()
        self._beams = [session for session in self._beams if not session.disposed]
        return found

    def _held(self, session: GenerationSession) -> GenerationSession:
        """The session, which is freed with this source at the latest."""
        if self._closed:
            session.dispose()
            raise EdgeflowError('aborted', 'the search was ended', {})
        self._beams.append(session)
        return session
