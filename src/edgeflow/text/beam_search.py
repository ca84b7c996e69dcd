"""Beam search for one text, as a machine that is fed the likeliest tokens of each beam and tells which beams to go on with.

The rules are those of transformers' `_beam_search`: scores of finished texts are divided by length ** length_penalty, and
it ends when no running beam can become better than the worst finished one, by the estimate that early_stopping chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.host.logits import at_least, cut
from edgeflow.host.platform import array_ints, array_list, array_of, array_size
from edgeflow.host.port import NumericArray
from edgeflow.text.generation_options import GenerationOptions
from edgeflow.text.processors import History, changes_logits, processed
from edgeflow.text.sampling import TokenLogprob, best, log_total


@dataclass(frozen=True)
class Step:
    """A beam to run next: the token appended, and to which of the beams before (whose cache it needs)."""

    source: int
    token_id: int


@dataclass(frozen=True)
class Hypothesis:
    """A finished text: its new tokens, with the end-of-sequence token, and its score, the higher the better."""

    token_ids: list[int]
    score: float


@dataclass(frozen=True)
class Beam:
    """A text that is still running, with the sum of the logarithms of its probabilities."""

    history: History
    score: float


@dataclass(frozen=True)
class Continuation:
    """A beam and the token it might go on with."""

    source: int
    token_id: int
    score: float


class BeamSearch:
    """The search for one prompt. Feed it what candidates_of() finds for each of `beams`, until `done`.

    Then `finished` has the results, best first.
    """

    def __init__(self, options: GenerationOptions, prompt: list[int]) -> None:
        self.options: GenerationOptions = options
        self.done: bool = False
        self.finished: list[Hypothesis] = []
        self.beams: list[Beam] = [Beam(History(prompt), 0.0)]

    def step(self, candidates: list[list[TokenLogprob]]) -> list[Step]:
        """The beams to run next, for the candidates of the running ones; one row, the prompt's, at first."""
        options = self.options
        length = self.beams[0].history.new_tokens() + 1
        running: list[Beam] = []
        steps: list[Step] = []
        ended: list[Hypothesis] = []
        closed = options.early_stopping is True and len(self.finished) == options.num_beams
        options_left = self._continuations(candidates)
        for rank in range(len(options_left)):
            option = options_left[rank]
            beam = self.beams[option.source]
            if length < options.max_new_tokens and option.token_id not in options.eos_token_ids:
                if len(running) < options.num_beams:
                    running.append(Beam(beam.history.branch(option.token_id), option.score))
                    steps.append(Step(option.source, option.token_id))
            elif rank < options.num_beams and not closed:
                tokens = [*beam.history.tokens[beam.history.prompt_length:], option.token_id]
                ended.append(Hypothesis(tokens, option.score / length**options.length_penalty))
        order = sorted([*self.finished, *ended], key=lambda text: -text.score)
        self.finished = order[:options.num_beams]
        self.beams = running
        self.done = len(running) == 0 or not self._may_improve(running[0].score, length)
        return [] if self.done else steps

    def _continuations(self, candidates: list[list[TokenLogprob]]) -> list[Continuation]:
        """The best of all beams, best first; of equal ones the earlier beam, then the smaller token."""
        found: list[Continuation] = []
        for source in range(len(self.beams)):
            base = self.beams[source].score
            found.extend([Continuation(source, one.token_id, base + one.logprob) for one in candidates[source]])
        return sorted(found, key=lambda option: (-option.score, option.source, option.token_id))[:width_of(self.options)]

    def _may_improve(self, running: float, length: int) -> bool:
        if len(self.finished) < self.options.num_beams:
            return True
        if self.options.early_stopping is True:
            return False
        longest = self.options.early_stopping == 'never' and self.options.length_penalty > 0
        best_length = self.options.max_new_tokens if longest else length
        return running / best_length**self.options.length_penalty > self.finished[-1].score


def width_of(options: GenerationOptions) -> int:
    """How many tokens are looked at: so many that enough go on, should all others end."""
    return max(2, 1 + len(options.eos_token_ids)) * options.num_beams


def candidates_of(logits: NumericArray, history: History, options: GenerationOptions) -> list[TokenLogprob]:
    """The tokens that a beam may go on with, best first, with their logarithms of probabilities as the processors leave them. logits: float32."""
    scores = logits
    shift = log_total(scores)
    if changes_logits(history, options):
        scores = processed(log_probabilities(scores), history, options)
        shift = 0.0
        best(scores)
    tokens = array_ints(at_least(scores, cut(scores, None, min(width_of(options), array_size(scores)))))
    found = [TokenLogprob(token, float(scores[token]) - shift) for token in tokens]
    return sorted(found, key=lambda one: (-one.logprob, one.token_id))[:width_of(options)]


def log_probabilities(logits: NumericArray) -> NumericArray:
    """The logarithms of the probabilities, float32: what the processors work on in a beam search."""
    shift = log_total(logits)
    return array_of('float32', [x - shift for x in array_list(logits)])
