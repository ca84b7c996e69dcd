"""From logits to the next token: greedy, or drawn from what temperature, top-k, top-p, min-p and typical-p leave.

Nothing is sorted as a whole and no object is made for a logit: each step narrows the candidates by a threshold that
host.cut() finds. Probabilities come from host.exp_weights(), so that the same seed gives the same tokens on every platform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from edgeflow.backends.generation import Draw
from edgeflow.errors import EdgeflowError
from edgeflow.host.logits import at_least, cut, draw, exp_weights, highest, take, typical_keys, weight_sum
from edgeflow.host.platform import array_ints, array_size, random_bytes, read_u32
from edgeflow.host.port import NumericArray
from edgeflow.text.generation_options import GenerationOptions
from edgeflow.text.processors import History, changes_otherwise, processed
from edgeflow.text.xoshiro import Xoshiro


@dataclass(frozen=True)
class TokenLogprob:
    """A token and the logarithm of its probability, by the model's own logits, before any option has changed them."""

    token_id: int
    logprob: float


@dataclass(frozen=True)
class Choice:
    """The chosen token. logprob, top: where `logprobs` asks for them; top has the likeliest tokens, best first."""

    token_id: int
    logprob: float | None = None
    top: list[TokenLogprob] = field(default_factory=list)


@dataclass(frozen=True)
class Candidates:
    """What may be drawn. ids: int32, ascending; None: every token. scores: float32, not yet divided by the temperature."""

    ids: NumericArray | None
    scores: NumericArray
    top: float


class Sampler:
    """Chooses the tokens of one text, and keeps what that depends on: the tokens so far and the random numbers.

    row: which text of a batch it is; each has its own stream of the seed.
    """

    def __init__(self, options: GenerationOptions, prompt: list[int], row: int = 0) -> None:
        self.options: GenerationOptions = options
        self.history: History = History(prompt)
        self._random = Xoshiro(options.seed if options.seed is not None else read_u32(random_bytes(4), 0), row)
        # Numbers that a draw() was told, for the tokens that come next.
        self._told: list[float] = []

    def choose(self, logits: NumericArray) -> Choice:
        """The next token for these float32 logits, one for each token of the vocabulary; they are not changed.

        EdgeflowError 'run-failed': the logits are no numbers, or the options leave no token.
        """
        scores = processed(logits, self.history, self.options)
        if self.options.do_sample:
            token = drawn(candidates(scores, self.options), self.options.temperature, self._unit())
        else:
            token = best(scores)
        self.history.append(token)
        if self.options.logprobs is None:
            return Choice(token)
        return with_logprobs(token, logits, self.options.logprobs)

    def draw(self, later: int) -> Draw | None:
        """How to draw the next token, or the one `later` tokens behind it, where nothing but its logits and penalties decides; else None. repeat() says what it was."""
        options = self.options
        if not options.do_sample or options.typical_p < 1 or options.logprobs is not None or changes_otherwise(self.history, options):
            return None
        while len(self._told) <= later:
            self._told.append(self._random.unit())
        return Draw(
            options.temperature, options.top_k, options.top_p, options.min_p, self._told[later], options.repetition_penalty, options.presence_penalty,
            options.frequency_penalty, self.history.seen, self.history.counts, later)

    def repeat(self, token: int) -> None:
        """As choose(), of a token that was chosen elsewhere."""
        if self.options.do_sample:
            self._unit()
        self.history.append(token)

    def _unit(self) -> float:
        return self._told.pop(0) if len(self._told) > 0 else self._random.unit()

    def finish_reason(self) -> str | None:
        """'eos' after an end-of-sequence token, 'length' after max_new_tokens, None before."""
        if self.history.new_tokens() > 0 and self.history.tokens[-1] in self.options.eos_token_ids:
            return 'eos'
        return 'length' if self.history.new_tokens() >= self.options.max_new_tokens else None


def best(scores: NumericArray) -> int:
    """The likeliest token, of equal ones the first."""
    token = highest(scores)
    return checked(-1 if token >= 0 and scores[token] == math.inf else token)


def checked(token: int) -> int:
    """The token; 'run-failed' if it is none."""
    if token < 0:
        raise EdgeflowError(
            'run-failed', 'expected logits whose greatest is finite, to choose a token by, got none: the model gave no numbers, or the options ban every token', {})
    return token


def candidates(scores: NumericArray, options: GenerationOptions) -> Candidates:
    """What temperature, top-k, top-p, min-p and typical-p leave, in this order. Equal logits stay or go together."""
    top = float(scores[best(scores)])
    left = Candidates(None, scores, top)
    if 0 < options.top_k < array_size(scores):
        left = narrowed(left, cut(scores, None, options.top_k))
    if options.top_p < 1:
        weights = exp_weights(left.scores, top, options.temperature)
        left = narrowed(left, cut(left.scores, weights, options.top_p * weight_sum(weights)))
    if options.min_p > 0:
        left = narrowed(left, top + options.temperature * math.log(options.min_p))
    return typical(left, options) if options.typical_p < 1 else left


def narrowed(left: Candidates, threshold: float) -> Candidates:
    """The candidates with a score from the threshold up."""
    return kept(left, at_least(left.scores, threshold))


def kept(left: Candidates, places: NumericArray) -> Candidates:
    if array_size(places) == array_size(left.scores):
        return left
    return Candidates(places if left.ids is None else take(left.ids, places), take(left.scores, places), left.top)


def typical(left: Candidates, options: GenerationOptions) -> Candidates:
    """Those whose information is nearest to the entropy, up to the mass typical_p together (Meister et al. 2022)."""
    weights = exp_weights(left.scores, left.top, options.temperature)
    keys = typical_keys(left.scores, weights, left.top, options.temperature)
    return kept(left, at_least(keys, cut(keys, weights, options.typical_p * weight_sum(weights))))


def drawn(left: Candidates, temperature: float, unit: float) -> int:
    """One of the candidates by its probability. unit: a random number of [0, 1)."""
    weights = exp_weights(left.scores, left.top, temperature)
    place = draw(weights, unit * weight_sum(weights))
    return place if left.ids is None else int(left.ids[place])


def log_total(logits: NumericArray) -> float:
    """What to subtract from logits to have logarithms of probabilities."""
    top = float(logits[best(logits)])
    return top + math.log(weight_sum(exp_weights(logits, top, 1.0)))


def with_logprobs(token: int, logits: NumericArray, count: int) -> Choice:
    """The choice with its log probability, and the `count` likeliest tokens with theirs."""
    shift = log_total(logits)
    likeliest: list[TokenLogprob] = []
    if count > 0:
        ids = array_ints(at_least(logits, cut(logits, None, min(count, array_size(logits)))))
        found = [TokenLogprob(i, float(logits[i]) - shift) for i in ids]
        likeliest = sorted(found, key=lambda entry: (-entry.logprob, entry.token_id))[:count]
    return Choice(token, float(logits[token]) - shift, likeliest)
