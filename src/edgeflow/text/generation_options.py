"""The options of generation: one flat record, checked once. Names and meanings are those of transformers' GenerationConfig."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import to_dict
from edgeflow.options import check_choice

LARGEST_SEED = 9007199254740991


@dataclass(frozen=True)
class GenerationOptions:
    """How tokens are chosen, and when it ends. See generation_options() for each field."""

    max_new_tokens: int
    min_new_tokens: int
    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    no_repeat_ngram_size: int
    num_beams: int
    num_return_sequences: int
    length_penalty: float
    early_stopping: bool | str
    seed: int | None
    logprobs: int | None
    eos_token_ids: list[int] = field(default_factory=list)
    logit_bias: dict[int, float] = field(default_factory=dict)
    bad_words_ids: list[list[int]] = field(default_factory=list)
    stop: list[str] = field(default_factory=list)


def generation_options(
    config: dict[str, object], max_new_tokens: int | None = None, min_new_tokens: int | None = None,
    do_sample: bool | None = None, temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
    min_p: float | None = None, typical_p: float | None = None, repetition_penalty: float | None = None,
    presence_penalty: float | None = None, frequency_penalty: float | None = None, no_repeat_ngram_size: int | None = None,
    logit_bias: dict[str, float] | None = None, bad_words_ids: list[list[int]] | None = None,
    eos_token_id: int | list[int] | None = None, stop: str | list[str] | None = None, num_beams: int | None = None,
    num_return_sequences: int | None = None, length_penalty: float | None = None, early_stopping: bool | Literal['never'] | None = None, seed: int | None = None,
    logprobs: int | None = None,
) -> GenerationOptions:
    """The options with all that was left out filled in: from `config` (a generation_config.json), else with transformers' defaults.

    max_new_tokens: 20 if the config has none. min_new_tokens: no end before so many. do_sample: draw by probability; left
    out, that is so if the config says it or one of temperature, top_k, top_p, min_p, typical_p, seed is given here. Temperature 0
    is greedy. top_k: only the k likeliest (0: all). top_p: the fewest likeliest with this probability together. min_p: only those
    with this share of the likeliest one's. typical_p: locally typical sampling (Meister et al. 2022). repetition_penalty: divides
    the positive and multiplies the negative logits of tokens seen, prompt included (CTRL, Keskar et al. 2019).
    presence_penalty, frequency_penalty: subtracted once, and once for each time, from the logits of tokens generated.
    no_repeat_ngram_size: no n-gram twice. logit_bias: token id -> what is added to its logit. bad_words_ids: token
    sequences that never come. eos_token_id: ids that end the text. stop: texts that end it, not part of it. num_beams: beam search if
    more than 1, with length_penalty (score / length ** penalty) and early_stopping. num_return_sequences: so many texts for each given
    one, drawn, or the best of the beams. seed: same seed, same tokens. logprobs: tell
    the log probability of each token, and of so many of the likeliest (0: of none of them).
    EdgeflowError: 'invalid-argument'.
    """
    beams = whole('num_beams', num_beams, config, 1, 1)
    warmth = number('temperature', temperature, config, 1.0, 0, None)
    asked = temperature is not None or top_k is not None or top_p is not None or min_p is not None or typical_p is not None or seed is not None
    samples = flag('do_sample', found(do_sample, config, 'do_sample', False)) or (do_sample is None and asked)
    if warmth == 0:
        if do_sample is True:
            raise refused('temperature', 'a number above 0 where do_sample is true', warmth)
        samples = False
    if beams > 1 and samples:
        raise refused('num_beams', '1 where tokens are drawn', beams)
    texts = whole('num_return_sequences', num_return_sequences, config, 1, 1)
    if texts > beams and not samples:
        raise refused('num_return_sequences', f'at most num_beams ({beams}) where nothing is drawn', texts)
    early = found(early_stopping, config, 'early_stopping', False)
    if not isinstance(early, bool):
        check_choice(early, ['never'], 'early_stopping')
    ends = found(eos_token_id, config, 'eos_token_id', [])
    longest = whole('max_new_tokens', max_new_tokens, config, 20, 1)
    shortest = whole('min_new_tokens', min_new_tokens, config, 0, 0)
    if shortest > longest:
        raise refused('min_new_tokens', f'at most max_new_tokens ({longest})', shortest)
    penalty = number('repetition_penalty', repetition_penalty, config, 1.0, 0, None)
    if penalty == 0:
        raise refused('repetition_penalty', 'a number above 0', penalty)
    share = number('top_p', top_p, config, 1.0, 0, 1)
    typical = number('typical_p', typical_p, config, 1.0, 0, 1)
    if typical == 0:
        raise refused('typical_p', 'a number above 0', typical)
    return GenerationOptions(
        max_new_tokens=longest,
        min_new_tokens=shortest,
        do_sample=samples,
        temperature=warmth,
        top_k=whole('top_k', top_k, config, 0, 0),
        top_p=share,
        min_p=number('min_p', min_p, config, 0.0, 0, 1),
        typical_p=typical,
        repetition_penalty=penalty,
        presence_penalty=number('presence_penalty', presence_penalty, config, 0.0, None, None),
        frequency_penalty=number('frequency_penalty', frequency_penalty, config, 0.0, None, None),
        no_repeat_ngram_size=whole('no_repeat_ngram_size', no_repeat_ngram_size, config, 0, 0),
        num_beams=beams,
        num_return_sequences=texts,
        length_penalty=number('length_penalty', length_penalty, config, 1.0, None, None),
        early_stopping=cast('bool | str', early),
        seed=None if seed is None else exact('seed', seed, 0),
        logprobs=None if logprobs is None else exact('logprobs', logprobs, 0),
        eos_token_ids=token_ids('eos_token_id', ends if isinstance(ends, (list, tuple)) else [ends]),
        logit_bias=biases(found(logit_bias, config, 'logit_bias', None)),
        bad_words_ids=word_lists(found(bad_words_ids, config, 'bad_words_ids', [])),
        stop=stop_texts(found(stop, config, 'stop_strings', None)),
    )


def found(given: object, config: dict[str, object], name: str, otherwise: object) -> object:
    """What was given, else what the model's generation_config.json says, else the default."""
    if given is not None:
        return given
    configured = config.get(name)
    return otherwise if configured is None else configured


def refused(name: str, expected: str, got: object) -> EdgeflowError:
    return EdgeflowError('invalid-argument', f'{name}: expected {expected}, got {got}', {'option': name, 'got': got})


def number(
    name: str, given: object, config: dict[str, object], otherwise: float, least: float | None, most: float | None,
) -> float:
    """What found() finds, as a finite number within its bounds."""
    value = found(given, config, name, otherwise)
    bounds = 'a finite number' if least is None else f'a number from {least} up' if most is None else f'a number from {least} to {most}'
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise refused(name, bounds, value)
    x = float(value)
    if x - x != 0 or (least is not None and x < least) or (most is not None and x > most):
        raise refused(name, bounds, value)
    return x


def whole(name: str, given: object, config: dict[str, object], otherwise: int, least: int) -> int:
    """What found() finds, as a whole number from `least` up."""
    return exact(name, found(given, config, name, otherwise), least)


def exact(name: str, value: object, least: int) -> int:
    """A whole number from `least` up that JS holds exactly."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value <= LARGEST_SEED and value % 1 == 0:
        return int(value)
    raise refused(name, f'a whole number from {least} up', value)


def flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise refused(name, 'a bool', value)


def token_ids(name: str, values: object) -> list[int]:
    if not isinstance(values, (list, tuple)):
        raise refused(name, 'a list of token ids', values)
    return [exact(name, value, 0) for value in values]


def word_lists(lists: object) -> list[list[int]]:
    """The token sequences of bad_words_ids."""
    if not isinstance(lists, (list, tuple)):
        raise refused('bad_words_ids', 'a list of lists of token ids', lists)
    words = [token_ids('bad_words_ids', word) for word in lists]
    for word in words:
        if len(word) == 0:
            raise refused('bad_words_ids', 'token sequences', 'an empty one')
    return words


def biases(given: object) -> dict[int, float]:
    """logit_bias with its keys as numbers: those of a JS object are strings."""
    bias: dict[int, float] = {}
    if given is None:
        return bias
    items = to_dict(given)
    for key in items.keys():
        try:
            token = int(key)
        except ValueError:
            raise refused('logit_bias', 'token ids as keys', key) from None
        bias[exact('logit_bias', token, 0)] = number('logit_bias', items[key], {}, 0.0, None, None)
    return bias


def stop_texts(given: object) -> list[str]:
    """The stop strings, none of them empty."""
    texts = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(texts, (list, tuple)):
        raise refused('stop', 'a text or a list of texts', given)
    for text in texts:
        if not isinstance(text, str) or text == '':
            raise refused('stop', 'texts that are not empty', f"'{text}'")
    return [cast(str, text) for text in texts]
