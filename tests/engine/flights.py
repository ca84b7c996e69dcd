"""Runs of bert-mini-sentence that are under way together: what the tests of each device that has several at a time share."""

from __future__ import annotations

import asyncio

import numpy as np

from edgeflow.runtime.model import Model
from edgeflow.runtime.tensor import Tensor, tensor

PATH = 'bert-mini-sentence/onnx/model.onnx'


def inputs(seed: int, length: int = 7) -> dict[str, Tensor]:
    ids = np.random.default_rng(seed).integers(3, 90, (1, length))
    return {'input_ids': tensor(ids), 'attention_mask': tensor(np.ones_like(ids)), 'token_type_ids': tensor(np.zeros_like(ids))}


async def answer(model: Model, seed: int, length: int = 7) -> np.ndarray:
    return next(iter((await model.run(inputs(seed, length))).values())).data


async def check_runs_together(model: Model) -> None:
    """Nine runs at once, of three lengths in turns, give what single runs give."""
    lengths = [5 + seed % 3 for seed in range(9)]
    single = [await answer(model, seed, length) for seed, length in enumerate(lengths)]
    at_once = await asyncio.gather(*[answer(model, seed, length) for seed, length in enumerate(lengths)])
    for one, other in zip(single, at_once, strict=True):
        np.testing.assert_array_equal(one, other)
