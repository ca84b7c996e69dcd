"""Sampling and beam search beside transformers itself, on random logits, histories and options."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from hypothesis import assume, given, settings, strategies as st

from edgeflow.text.beam_search import BeamSearch, candidates_of
from edgeflow.text.generation_options import generation_options
from edgeflow.text.processors import History, processed
from edgeflow.text.sampling import candidates
from tests.text.record_sampling import beams_of_transformers, left_by_transformers

TOKENS = st.integers(0, 31)
OPTIONS = st.fixed_dictionaries({}, optional={
    'temperature': st.floats(0.2, 3.0), 'top_k': st.integers(1, 40), 'top_p': st.floats(0.05, 0.99), 'min_p': st.floats(0.001, 0.9),
    'typical_p': st.floats(0.05, 0.99), 'repetition_penalty': st.floats(0.5, 3.0), 'no_repeat_ngram_size': st.integers(1, 4),
    'bad_words_ids': st.lists(st.lists(TOKENS, min_size=1, max_size=3), min_size=1, max_size=5),
    'logit_bias': st.dictionaries(TOKENS, st.floats(-5, 5), min_size=1, max_size=4),
})
BEAMS = st.fixed_dictionaries({'num_beams': st.integers(2, 4)}, optional={
    'length_penalty': st.floats(-2, 2), 'early_stopping': st.sampled_from([True, False, 'never']),
    'no_repeat_ngram_size': st.integers(2, 3), 'min_new_tokens': st.integers(1, 5)})


@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0.5, 2.0, 6.0]), history=st.lists(TOKENS, min_size=1, max_size=20),
       options=OPTIONS)
def test_what_is_left(seed: int, spread: float, history: list[int], options: dict[str, object]) -> None:
    logits = (np.random.default_rng(seed).normal(size=32) * spread).astype(np.float32)
    past = History(history[:1])
    for token in history[1:]:
        past.append(token)
    chosen = generation_options(options, do_sample=True)
    scores = processed(logits, past, chosen)
    assume(np.isfinite(scores).any())
    left = candidates(scores, chosen)
    ids = range(32) if left.ids is None else left.ids
    ours = {int(i): float(x) / chosen.temperature for i, x in zip(ids, left.scores, strict=True) if x > -math.inf}
    theirs = left_by_transformers(options, logits.tolist(), history, 1)
    if chosen.typical_p < 1:
        assume(tells_apart(candidates(scores, replace(chosen, typical_p=1.0)).scores.astype(float) / chosen.temperature))
    assert ours.keys() == theirs.keys()
    for token in ours.keys() & theirs.keys():
        assert math.isclose(ours[token], theirs[token], rel_tol=1e-5, abs_tol=1e-5)


def tells_apart(scores: np.ndarray) -> bool:
    """Whether single precision, in which transformers counts, tells how typical each of these is: of two with half of the mass each it does not."""
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    information = -np.log(shares[shares > 0])
    distances = np.sort(np.abs(information - (shares[shares > 0] * information).sum()))
    return not (np.diff(distances) < 1e-6).any()


@settings(max_examples=300)
@given(seed=st.integers(0, 2**32 - 1), longest=st.integers(2, 9), options=BEAMS)
def test_beams(seed: int, longest: int, options: dict[str, object]) -> None:
    assume(options.get('min_new_tokens', 0) <= longest)
    rows = np.random.default_rng(seed).normal(size=(60, 12)).astype(np.float32) * 2
    search = BeamSearch(generation_options({**options, 'eos_token_id': [1, 2]}, max_new_tokens=longest), [3, 4])
    logits, length = [rows[(7 * 4 + 5 * 2) % 60]], 2
    while not search.done:
        steps = search.step([candidates_of(row, beam.history, search.options) for row, beam in zip(logits, search.beams, strict=True)])
        length += 1
        logits = [rows[(7 * step.token_id + 5 * length) % 60] for step in steps]
    expected = beams_of_transformers(options, rows.tolist(), [3, 4], longest, [1, 2])
    ours = [[text.token_ids, text.score] for text in search.finished]
    assume(len({round(score, 3) for _, score in ours}) == len(ours))
    filled = [row for row in expected if row[1] > -1e8]
    assert [tokens for tokens, _ in ours] == [tokens for tokens, _ in filled]
    np.testing.assert_allclose([score for _, score in ours], [score for _, score in filled], rtol=1e-4, atol=1e-4)
