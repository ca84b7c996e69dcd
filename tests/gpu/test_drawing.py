"""Tokens drawn on the GPU against the sampler of CPUs: the same token for the same logits and random number, but where sums come very near to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.backends.generation import Draw
from edgeflow.backends.webgpu import drawing
from edgeflow.text.generation_options import generation_options
from edgeflow.text.processors import processed
from edgeflow.text.sampling import Sampler, candidates, drawn
from tests.gpu.driver import run_node

drawing.install_drawing()
# How near a sum of probabilities may be to the random number or to top-p, as a share of all, for the two sides to differ.
NEAR = 2e-8


@pytest.fixture(params=[64, 256], scope='module', autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, 'threads_for', lambda b, units: request.param)
        yield


def on_gpu(logits: np.ndarray, draws: list[Draw], last: list[int] | None = None) -> list[int]:
    """last: the token of each row that was drawn before."""
    given = [np.array(feed.data).reshape(feed.shape) for feed in drawing.draw_feeds(draws).values()]
    ids = np.full((len(draws), 3), 5, np.int64)
    ids[:, -1] = 0 if last is None else last
    [tokens] = run_node(drawing.DRAW, [logits.reshape(len(draws), 1, -1), *given, ids])
    return [int(token) for token in tokens.reshape(-1)]


def on_cpu(logits: np.ndarray, draw: Draw) -> int:
    options = generation_options({}, temperature=draw.temperature, top_k=draw.top_k, top_p=draw.top_p, min_p=draw.min_p)
    return drawn(candidates(logits, options), draw.temperature, draw.unit)


def check(logits: np.ndarray, draws: list[Draw]) -> None:
    check_tokens(logits, draws, on_gpu(logits, draws))


def check_tokens(logits: np.ndarray, draws: list[Draw], tokens: list[int]) -> None:
    for row, draw, token in zip(logits, draws, tokens, strict=True):
        if token != on_cpu(row, draw):
            assert any(token in near(row, draw, p, m) for p in (0, NEAR, -NEAR) for m in (0, NEAR, -NEAR)), (draw, token, on_cpu(row, draw))


def normal(shape: tuple[int, ...], spread: float, seed: int = 0) -> np.ndarray:
    return (spread * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def near(logits: np.ndarray, draw: Draw, p: float, m: float) -> range:
    """The tokens that random numbers near that of the draw give, with a top-p and a min-p near its own."""
    first, last = (on_cpu(logits, replace(draw, top_p=min(max(draw.top_p + p, 0), 1), min_p=min(draw.min_p * (1 + m), 1),
                                          unit=min(max(draw.unit + u, 0), 1 - 2**-53))) for u in (-NEAR, NEAR))
    return range(first, last + 1)


@settings(max_examples=60, deadline=None)
@given(
    n=st.sampled_from([1, 2, 3, 7, 64, 255, 256, 257, 1000, 4096, 5001]), seed=st.integers(0, 10**6), spread=st.sampled_from([0.01, 1.0, 4.0, 30.0]),
    around=st.sampled_from([0.0, 9.0, -500.0]), temperature=st.sampled_from([0.05, 0.7, 1.0, 1.3, 20.0]), top_k=st.sampled_from([0, 1, 2, 50, 300]),
    top_p=st.sampled_from([0.0, 0.3, 0.9, 0.999, 1.0]), min_p=st.sampled_from([0.0, 0.05, 1.0]), ties=st.booleans(),
)
def test_a_token_is_that_of_the_cpu(
    n: int, seed: int, spread: float, around: float, temperature: float, top_k: int, top_p: float, min_p: float, ties: bool,
) -> None:
    source = np.random.default_rng(seed)
    logits = (around + spread * source.standard_normal((4, n))).astype(np.float32)
    if ties:
        logits = np.round(logits)
    draws = [Draw(temperature, top_k, top_p, min_p, unit) for unit in [*source.random(3), source.choice([0.0, 1 - 2**-53])]]
    check(logits, draws)


@pytest.mark.parametrize(('n', 'spread'), [(49152, 3.0), (151936, 1.0)])
def test_of_large_vocabularies_tokens_are_the_very_same(n: int, spread: float) -> None:
    units = np.random.default_rng(n).random(4)
    for top_k, top_p, min_p in [(0, 1.0, 0.0), (50, 1.0, 0.0), (50, 0.9, 0.0), (5000, 0.95, 0.001), (0, 0.9, 0.0), (0, 1.0, 0.02)]:
        draws = [Draw(0.9, top_k, top_p, min_p, unit) for unit in units]
        logits = normal((4, n), spread, top_k)
        assert on_gpu(logits, draws) == [on_cpu(row, draw) for row, draw in zip(logits, draws, strict=True)]


@settings(max_examples=40, deadline=None)
@given(
    n=st.sampled_from([7, 64, 500, 4096]), seed=st.integers(0, 10**6), repetition=st.sampled_from([1.0, 1.1, 1.3, 0.8, 3.0]), presence=st.sampled_from([0.0, 0.5, -1.0]),
    frequency=st.sampled_from([0.0, 0.25]), length=st.sampled_from([0, 1, 30, 400]), later=st.sampled_from([0, 1]), top_k=st.sampled_from([0, 5]),
)
def test_penalties_are_those_of_the_cpu(
    n: int, seed: int, repetition: float, presence: float, frequency: float, length: int, later: int, top_k: int,
) -> None:
    source = np.random.default_rng(seed)
    logits = normal((3, n), 3.0, seed)
    options = generation_options({}, top_k=top_k, seed=1, repetition_penalty=repetition, presence_penalty=presence, frequency_penalty=frequency)
    draws: list[Draw] = []
    last: list[int] = []
    changed: list[np.ndarray] = []
    for row in logits:
        # Likely and unlikely tokens are among those that were seen.
        likely = np.argsort(row)[[-1, -2, 0]].tolist()
        sampler = Sampler(options, [*source.integers(0, n, length).tolist(), likely[1]])
        for token in [*source.integers(0, n, length // 2).tolist(), likely[2]]:
            sampler.repeat(token)
        last.append(int(source.choice([likely[0], likely[2], source.integers(0, n)])))
        if later == 0:
            sampler.repeat(last[-1])
        draw = sampler.draw(later)
        assert draw is not None and draw.later == later
        draws.append(replace(draw, seen=set(draw.seen), counts=dict(draw.counts), unit=float(source.random())))
        if later == 1:
            sampler.repeat(last[-1])
        changed.append(processed(row, sampler.history, options))
    check_tokens(np.array(changed), draws, on_gpu(logits, draws, last))


def test_frequencies_are_those_of_the_softmax() -> None:
    logits = normal((9,), 1.5)
    units = (np.arange(2000) + 0.5) / 2000
    tokens = on_gpu(np.tile(logits, (2000, 1)), [Draw(1.0, 0, 1.0, 0.0, unit) for unit in units])
    weights = np.exp(logits.astype(np.float64))
    np.testing.assert_allclose(np.bincount(tokens, minlength=9) / 2000, weights / weights.sum(), atol=0.0006)
    # In the order of the tokens, as the random numbers rise.
    assert tokens == sorted(tokens)


def test_what_is_no_number_is_never_drawn_and_nothing_finite_is_none() -> None:
    logits = np.full((6, 300), -np.inf, np.float32)
    logits[0, 123] = -70000.0
    logits[1, ::2] = np.nan
    logits[1, 7] = 1e-42
    logits[2, 100:103] = [np.nan, 3.0, 3.4e38]
    logits[3, 5:7] = [np.inf, 1.0]
    logits[4, :] = np.nan
    for draw in [Draw(1.0, 0, 1.0, 0.0, 0.999), Draw(0.5, 40, 0.9, 0.1, 0.0), Draw(1e30, 2, 1.0, 0.0, 0.3), Draw(1e-300, 0, 0.5, 0.0, 0.7)]:
        got = on_gpu(logits, [draw] * 6)
        assert got[0] == 123 and got[1] == 7 and got[3:] == [-1, -1, -1]
        # The sums of an adapter without infinity may differ at so high a temperature.
        assert got[2] == 102 or (draw.temperature == 1e30 and got[2] in [101, 102])


def test_equal_logits_stay_together() -> None:
    logits = np.zeros((4, 400), np.float32)
    logits[:, 10:20] = 1.0
    draws = [Draw(1.0, 3, 1.0, 0.0, 0.95), Draw(1.0, 0, 0.01, 0.0, 0.95), Draw(1.0, 0, 1.0, 1.0, 0.95), Draw(1.0, 11, 1.0, 0.0, 0.999)]
    assert on_gpu(logits, draws) == [19, 19, 19, 399]
