"""Choosing tokens: what the options mean, what is refused, and that the numbers are the same on every platform."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.logits import at_least, cut, draw, exp_weights, highest, weight_sum
from edgeflow.host.platform import array_list, array_of
from edgeflow.host.port import NumericArray
from edgeflow.text.beam_search import BeamSearch, candidates_of
from edgeflow.text.generation_options import GenerationOptions, generation_options
from edgeflow.text.processors import History, processed
from edgeflow.text.sampling import Sampler, candidates, drawn
from edgeflow.text.xoshiro import Xoshiro

FIVE = [0.5, 2.0, -1.0, 2.0, 1.0]


def floats(values: list[float]) -> NumericArray:
    return array_of('float32', values)


def many(seed: int, size: int, spread: float) -> NumericArray:
    source = Xoshiro(seed)
    return floats([(source.unit() + source.unit() + source.unit() - 1.5) * spread for _ in range(size)])


def chosen(options: GenerationOptions, logits: NumericArray, count: int, row: int = 0) -> list[int]:
    sampler = Sampler(options, [], row)
    return [sampler.choose(logits).token_id for _ in range(count)]


def test_the_generator_is_xoshiro128_starstar() -> None:
    source = Xoshiro(0)
    source._state = [1, 2, 3, 4]
    assert [source.word() for _ in range(10)] == [
        11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804]


def test_streams_and_seeds_differ_and_numbers_stay_in_their_range() -> None:
    firsts: list[int] = []
    for seed in (0, 1, 4294967296, 9007199254740991):
        for stream in range(3):
            firsts.append(Xoshiro(seed, stream).word())
    assert len(set(firsts)) == 12
    source = Xoshiro(7)
    units = [source.unit() for _ in range(1000)]
    assert min(units) >= 0 and max(units) < 1
    assert 0.45 < sum(units) / 1000 < 0.55


def test_greedy_takes_the_first_of_the_likeliest() -> None:
    assert chosen(generation_options({}), floats(FIVE), 2) == [1, 1]
    assert chosen(generation_options({}, temperature=0), floats(FIVE), 1) == [1]
    assert highest(floats([-math.inf, math.nan])) == -1


def test_the_same_seed_gives_the_same_tokens_everywhere() -> None:
    logits = many(11, 1000, 12)
    options = generation_options({}, seed=42, top_p=0.9, temperature=1.2)
    assert chosen(options, logits, 8) == SEEDED
    assert chosen(options, logits, 8, 1) != SEEDED
    assert chosen(generation_options({}, seed=43, top_p=0.9, temperature=1.2), logits, 8) != SEEDED


def test_a_token_drawn_elsewhere_takes_the_number_that_choose_would_have_taken() -> None:
    logits = many(11, 1000, 12)
    options = generation_options({}, seed=42, top_p=0.9, temperature=1.2)
    sampler = Sampler(options, [])
    tokens: list[int] = []
    for i in range(8):
        # Three of them are told in advance, the next two times each; every second one is drawn elsewhere.
        told = [sampler.draw(0), sampler.draw(i % 3)]
        first = told[0]
        assert first is not None and [first.temperature, first.top_k, first.top_p, first.min_p] == [1.2, 0, 0.9, 0]
        token = drawn(candidates(logits, options), 1.2, first.unit)
        if i % 2 == 0:
            sampler.repeat(token)
        else:
            assert sampler.choose(logits).token_id == token
        tokens.append(token)
    assert tokens == SEEDED


def test_what_looks_at_logits_is_not_drawn_elsewhere() -> None:
    for options in [
        generation_options({}), generation_options({}, typical_p=0.9), generation_options({}, top_k=3, no_repeat_ngram_size=2),
        generation_options({}, top_k=3, logprobs=0), generation_options({}, top_k=3, min_new_tokens=2, eos_token_id=4), generation_options({}, top_k=3, logit_bias={'3': 1}),
    ]:
        assert Sampler(options, [1, 2]).draw(0) is None
    sampler = Sampler(generation_options({}, top_k=3, min_new_tokens=1, eos_token_id=4), [])
    assert sampler.draw(0) is None
    sampler.repeat(3)
    assert sampler.draw(1) is not None


SEEDED = [756, 861, 578, 497, 134, 892, 122, 574]


def test_tokens_are_drawn_by_their_probability() -> None:
    sampler = Sampler(generation_options({}, seed=1), [])
    logits = floats([math.log(0.5), math.log(0.3), math.log(0.2), -math.inf])
    counts = [0, 0, 0, 0]
    for _ in range(4000):
        token = sampler.choose(logits).token_id
        counts[token] = counts[token] + 1
    assert [count / 4000 for count in counts] == pytest.approx([0.5, 0.3, 0.2, 0.0], abs=0.03)


def test_weights_are_exponentials_to_the_last_digits() -> None:
    values = [0.0, -0.25, -1.0, -17.3, -699.0, -701.0, -math.inf]
    weights: list[float] = array_list(exp_weights(array_of('float64', values), 0.0, 1.0))
    assert weights[:5] == pytest.approx([math.exp(x) for x in values[:5]], rel=1e-13)
    assert weights[5:] == [0.0, 0.0]
    halved: list[float] = array_list(exp_weights(floats([3.0, 1.0]), 3.0, 2.0))
    assert halved == pytest.approx([1.0, math.exp(-1.0)], rel=1e-14)


@pytest.mark.parametrize('kind', ['flat', 'spread', 'equal', 'outlier', 'steps', 'holes'])
def test_a_cut_is_where_sorting_would_cut(kind: str) -> None:
    source = Xoshiro(5)
    keys: list[float] = []
    for i in range(3000):
        x = source.unit()
        keys.append({
            'flat': x, 'spread': (x - 0.5) * 40, 'equal': 2.5, 'outlier': 1e30 if i == 70 else x, 'steps': float(i % 7),
            'holes': -math.inf if i % 3 == 0 else x,
        }[kind])
    array = floats(keys)
    held: list[float] = array_list(array)
    weights = exp_weights(array, max(held), 50.0)
    parts: list[float] = array_list(weights)
    order = sorted([i for i in range(3000) if held[i] > -math.inf], key=lambda i: (-held[i], i))
    for goal in (1, 2, 50, 700, 1999, 5000):
        assert cut(array, None, goal) == held[order[min(goal, len(order)) - 1]]
    for share in (0.001, 0.3, 0.97, 2.0):
        goal = share * weight_sum(weights)
        left = goal
        place = 0
        while place < len(order) - 1 and left > parts[order[place]]:
            left = left - parts[order[place]]
            place = place + 1
        assert cut(array, weights, goal) == held[order[place]]
    assert array_list(at_least(floats([1.0, 3.0, 2.0]), 2.0)) == [1, 2]
    assert array_list(at_least(floats([1.0]), 1.0 + 1e-9)) == []
    assert [draw(floats([0.0, 1.0, 0.0, 1.0, 0.0]), goal) for goal in (0.0, 0.5, 1.0, 1.5, 9.0)] == [1, 1, 3, 3, 3]


def test_top_p_keeps_the_fewest_that_reach_it_and_equals_together() -> None:
    logits = floats([math.log(0.4), math.log(0.3), math.log(0.2), math.log(0.1)])
    for share, count in ((0.0, 1), (0.39, 1), (0.41, 2), (0.69, 2), (0.71, 3), (0.95, 4), (1.0, 4)):
        left = candidates(logits, generation_options({}, top_p=share))
        assert len(array_list(left.scores)) == count
    assert array_list(candidates(floats(FIVE), generation_options({}, top_k=1)).ids) == [1, 3]


def test_presence_and_frequency_count_what_was_generated_not_the_prompt() -> None:
    history = History([0, 0, 2])
    history.append(1)
    history.append(1)
    history.append(4)
    options = generation_options({}, presence_penalty=0.5, frequency_penalty=0.25)
    assert array_list(processed(floats(FIVE), history, options)) == [0.5, 1.0, -1.0, 2.0, 0.25]


def test_logits_are_not_changed_and_not_copied_in_vain() -> None:
    logits = floats(FIVE)
    assert processed(logits, History([1]), generation_options({})) is logits
    Sampler(generation_options({}, repetition_penalty=2.0, logit_bias={'0': 9.0}), [1, 2]).choose(logits)
    assert array_list(logits) == FIVE


def test_an_end_comes_not_before_its_time_and_ends_the_text() -> None:
    sampler = Sampler(generation_options({'eos_token_id': 1}, min_new_tokens=2, max_new_tokens=4), [])
    assert sampler.finish_reason() is None
    assert sampler.choose(floats(FIVE)).token_id == 3
    assert sampler.choose(floats(FIVE)).token_id == 3
    assert sampler.finish_reason() is None
    assert sampler.choose(floats(FIVE)).token_id == 1
    assert sampler.finish_reason() == 'eos'
    short = Sampler(generation_options({}, max_new_tokens=1), [])
    short.choose(floats(FIVE))
    assert short.finish_reason() == 'length'


def test_log_probabilities_are_those_of_the_model() -> None:
    sampler = Sampler(generation_options({}, logprobs=2, temperature=0.1, repetition_penalty=5.0, seed=1), [1])
    choice = sampler.choose(floats(FIVE))
    total = math.log(sum([math.exp(x) for x in FIVE]))
    assert choice.token_id == 3
    assert [choice.logprob] == pytest.approx([2.0 - total])
    assert [entry.token_id for entry in choice.top] == [1, 3]
    assert [entry.logprob for entry in choice.top] == pytest.approx([2.0 - total, 2.0 - total])
    assert Sampler(generation_options({}), []).choose(floats(FIVE)).logprob is None


@pytest.mark.parametrize('values', [[math.nan, math.nan], [-math.inf, -math.inf], [1.0, math.inf], []])
def test_logits_that_are_no_numbers_are_an_error(values: list[float]) -> None:
    for options in (generation_options({}), generation_options({}, top_p=0.5)):
        with pytest.raises(EdgeflowError) as e:
            Sampler(options, []).choose(floats(values))
        assert e.value.code == 'run-failed'


def test_banning_every_token_is_an_error() -> None:
    sampler = Sampler(generation_options({}, bad_words_ids=[[0], [1]]), [])
    with pytest.raises(EdgeflowError):
        sampler.choose(floats([1.0, 2.0]))


REFUSED: list[list[object]] = [
    ['temperature', lambda: generation_options({}, temperature=-1.0)],
    ['temperature', lambda: generation_options({}, temperature=math.nan)],
    ['temperature', lambda: generation_options({}, temperature=math.inf)],
    ['temperature', lambda: generation_options({}, temperature=0, do_sample=True)],
    ['top_k', lambda: generation_options({}, top_k=-1)],
    ['top_k', lambda: generation_options({}, top_k=1.5)],
    ['top_p', lambda: generation_options({}, top_p=1.1)],
    ['min_p', lambda: generation_options({}, min_p=-0.1)],
    ['typical_p', lambda: generation_options({}, typical_p=0)],
    ['repetition_penalty', lambda: generation_options({}, repetition_penalty=0)],
    ['presence_penalty', lambda: generation_options({}, presence_penalty=math.nan)],
    ['max_new_tokens', lambda: generation_options({}, max_new_tokens=0)],
    ['min_new_tokens', lambda: generation_options({}, min_new_tokens=30)],
    ['eos_token_id', lambda: generation_options({'eos_token_id': ['</s>']})],
    ['logit_bias', lambda: generation_options({}, logit_bias={'one': 1.0})],
    ['logit_bias', lambda: generation_options({}, logit_bias={'1': math.inf})],
    ['bad_words_ids', lambda: generation_options({}, bad_words_ids=[[]])],
    ['stop', lambda: generation_options({}, stop=['a', ''])],
    ['seed', lambda: generation_options({}, seed=-1)],
    ['num_beams', lambda: generation_options({}, num_beams=2, top_k=5)],
    ['early_stopping', lambda: generation_options({}, early_stopping='always')],
    ['do_sample', lambda: generation_options({'do_sample': 'yes'})],
]


@pytest.mark.parametrize('name, make', REFUSED)
def test_settings_without_sense_are_refused_by_name(name: str, make: Callable[[], GenerationOptions]) -> None:
    with pytest.raises(EdgeflowError) as e:
        make()
    assert e.value.code == 'invalid-argument'
    assert e.value.message.startswith(name + ': expected ')


def test_what_is_left_out_comes_from_the_models_configuration() -> None:
    config: dict[str, object] = {'do_sample': True, 'top_p': 0.8, 'eos_token_id': [3, 4], 'top_k': 50, 'transformers_version': '5'}
    options = generation_options(config, top_k=7)
    assert [options.do_sample, options.top_k, options.top_p, options.eos_token_ids] == [True, 7, 0.8, [3, 4]]
    assert not generation_options(config, do_sample=False).do_sample
    assert not generation_options(config, temperature=0).do_sample
    assert generation_options({}, seed=3).do_sample
    assert not generation_options({}).do_sample
    assert generation_options({}, logit_bias={'5': 1.5}).logit_bias == {5: 1.5}
    assert generation_options({}, stop='\n').stop == ['\n']


def test_beams_share_the_prompt_and_tell_which_to_run_next() -> None:
    search = BeamSearch(generation_options({}, num_beams=2, max_new_tokens=2, eos_token_id=4), [7])
    steps = search.step([candidates_of(floats([1.0, 2.0, -9.0, -9.0, -9.0]), search.beams[0].history, search.options)])
    assert [[step.source, step.token_id] for step in steps] == [[0, 1], [0, 0]]
    assert not search.done
    rows = [floats([0.0, 0.0, 9.0, 0.0, 0.0]), floats([0.0, 0.0, 0.0, 9.0, 0.0])]
    assert search.step([candidates_of(rows[i], search.beams[i].history, search.options) for i in range(2)]) == []
    assert search.done
    assert [text.token_ids for text in search.finished] == [[1, 2], [0, 3]]
    assert search.finished[0].score > search.finished[1].score
