"""What changes single logits before a token is chosen, in transformers' order. Each touches few of them.

bias, repetition penalty, presence and frequency penalty, n-grams, bad words, the end before its time; then come, over all that
is left, temperature, top-k, top-p, min-p and typical-p (sampling.py).
"""

from __future__ import annotations

import math

from edgeflow.host.platform import array_bytes, array_copy, array_size
from edgeflow.host.port import NumericArray
from edgeflow.text.generation_options import GenerationOptions


class History:
    """The tokens of one text so far, and what the processors ask of them."""

    def __init__(self, prompt: list[int]) -> None:
        self.tokens: list[int] = list(prompt)
        self.prompt_length: int = len(prompt)
        self.seen: set[int] = set(prompt)
        self.counts: dict[int, int] = {}

    def append(self, token: int) -> None:
        self.tokens.append(token)
        self.seen.add(token)
        self.counts[token] = self.counts.get(token, 0) + 1

    def new_tokens(self) -> int:
        return len(self.tokens) - self.prompt_length

    def branch(self, token: int) -> History:
        """A copy that goes on with this token."""
        copy = History([])
        copy.tokens = [*self.tokens, token]
        copy.prompt_length = self.prompt_length
        copy.seen = {*self.seen, token}
        copy.counts = dict(self.counts)
        copy.counts[token] = copy.counts.get(token, 0) + 1
        return copy


def changes_logits(history: History, options: GenerationOptions) -> bool:
    """Whether any processor has something to do."""
    return penalizes(options) or options.repetition_penalty != 1 or changes_otherwise(history, options)


def changes_otherwise(history: History, options: GenerationOptions) -> bool:
    """Whether any but the penalties of tokens has something to do."""
    return (
        ends_too_early(history, options) or options.no_repeat_ngram_size > 0 or len(options.logit_bias) > 0 or len(options.bad_words_ids) > 0)


def ends_too_early(history: History, options: GenerationOptions) -> bool:
    return history.new_tokens() < options.min_new_tokens and len(options.eos_token_ids) > 0


def penalizes(options: GenerationOptions) -> bool:
    return options.presence_penalty != 0 or options.frequency_penalty != 0


def processed(logits: NumericArray, history: History, options: GenerationOptions) -> NumericArray:
    """The logits after all processors; `logits` itself, float32, if none has anything to do, else a copy."""
    if not changes_logits(history, options):
        return logits
    scores = array_copy('float32', array_bytes(logits))
    size = array_size(scores)
    for token, bias in options.logit_bias.items():
        if token < size:
            scores[token] = float(scores[token]) + bias
    if options.repetition_penalty != 1:
        for token in history.seen:
            if token < size:
                score = float(scores[token])
                scores[token] = score * options.repetition_penalty if score < 0 else score / options.repetition_penalty
    if penalizes(options):
        for token, count in history.counts.items():
            if token < size:
                scores[token] = float(scores[token]) - options.presence_penalty - options.frequency_penalty * count
    banned = repeating(history.tokens, options.no_repeat_ngram_size) if options.no_repeat_ngram_size > 0 else []
    banned.extend(completing(history.tokens, options.bad_words_ids, options.eos_token_ids))
    if ends_too_early(history, options):
        banned.extend(options.eos_token_ids)
    for token in banned:
        if token < size:
            scores[token] = -math.inf
    return scores


def repeating(tokens: list[int], size: int) -> list[int]:
    """The tokens that would make an n-gram of this size a second time (Paulus et al. 2017)."""
    last = len(tokens) - size + 1
    found: list[int] = []
    for start in range(last):
        same = True
        for i in range(size - 1):
            if tokens[start + i] != tokens[last + i]:
                same = False
                break
        if same:
            found.append(tokens[start + size - 1])
    return found


def completing(tokens: list[int], words: list[list[int]], ends: list[int]) -> list[int]:
    """The tokens that would complete one of the words; a word that is one of the ends alone does not count."""
    found: list[int] = []
    for word in words:
        before = len(word) - 1
        if before == 0 and word[0] in ends or before > len(tokens):
            continue
        if tokens[len(tokens) - before:] == word[:before]:
            found.append(word[before])
    return found
