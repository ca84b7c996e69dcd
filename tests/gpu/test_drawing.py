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
from edgeflow.errors import EdgeflowError
from edgeflow.text.generation_options import generation_options
from edgeflow.text.sampling import candidates, drawn
from tests.gpu.driver import run_node

drawing.install_drawing()
# How near a sum of probabilities may be to the random number or to top-p, as a share of all, for the two sides to differ.
NEAR = 2e-8


@pytest.fixture(params=[64, 256], scope='module', autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, 'threads_for', lambda b, units: request.param)
        yield


def on_gpu(logits: np.ndarray, draws: list[Draw]) -> list[int]:
    words = np.array([drawing.draw_words(draw) for draw in draws], np.uint32)
    [tokens] = run_node(drawing.DRAW, [logits.reshape(len(draws), 1, -1), words])
    return [int(token) for token in tokens.reshape(-1)]


def on_cpu(logits: np.ndarray, draw: Draw) -> int:
    options = generation_options({}, temperature=draw.temperature, top_k=draw.top_k, top_p=draw.top_p, min_p=draw.min_p)
    return drawn(candidates(logits, options), draw.temperature, draw.unit)


def check(logits: np.ndarray, draws: list[Draw]) -> None:
    for row, draw, token in zip(logits, draws, on_gpu(logits, draws), strict=True):
        if token != on_cpu(row, draw):
            assert any(token in near(row, draw, p, m) for p in (0, NEAR, -NEAR) for m in (0, NEAR, -NEAR)), (draw, token, on_cpu(row, draw))


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
