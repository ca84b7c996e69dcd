"""Several runs of one model under way on WebNN: their order, their results and what they hold are those of single runs."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edgeflow import tensor
from edgeflow.api import load_model
from edgeflow.backends.turnstile import FLIGHTS
from edgeflow.backends.webnn import executable
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.model import Model, create_model
from tests.engine.cases import MODELS
from tests.engine.flights import PATH, answer, check_runs_together
from tests.webnn.recorder import Context
from tests.webnn.test_adapter import CUT, WEIGHT, made

BERT = str(MODELS / PATH)


async def open_cut() -> Model:
    """Two graphs, and a WASM step between them that all runs share."""
    return await create_model(made(CUT, {'x': [4, 4]}, ['y', 'c'], {'w': WEIGHT, 'v': WEIGHT.T.copy()}), {}, 'webnn')


async def cut(model: Model, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((4, 4)).astype(np.float32)
    return np.concatenate([result.data for result in (await model.run({'x': tensor(x)})).values()])


class SlowReads:
    """The results of reads are there at once; that is heard of only when the test says so."""

    def __init__(self, context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: list[asyncio.Event] = []
        self._read = context.read
        monkeypatch.setattr(context, 'read', self.read)

    async def read(self, tensors: list) -> list:
        parts = await self._read(tensors)
        self.held.append(asyncio.Event())
        await self.held[-1].wait()
        return parts


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_the_results_are_those_of_single_runs(contexts: list[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    # Lengths in turns, with room for the plan of one at a time: what is given up is not in use.
    monkeypatch.setattr(executable, 'MOST_BYTES', 1)
    model = await load_model(BERT, device='webnn')
    await check_runs_together(model)
    model.dispose()
    assert contexts[0].alive() == 0


async def test_runs_with_steps_on_wasm_keep_apart(contexts: list[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    model = await open_cut()
    single = [await cut(model, seed) for seed in range(6)]
    read = contexts[0].read

    async def later(tensors: list) -> list:
        parts = await read(tensors)
        await settle()
        return parts

    monkeypatch.setattr(contexts[0], 'read', later)
    for one, other in zip(single, await asyncio.gather(*[cut(model, seed) for seed in range(6)]), strict=True):
        np.testing.assert_array_equal(one, other)
    model.dispose()


async def test_a_run_begins_while_the_results_of_others_are_being_read(contexts: list[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    model = await load_model(BERT, device='webnn')
    single = [await answer(model, seed, 7) for seed in range(6)]
    reads = SlowReads(contexts[0], monkeypatch)
    tasks = [asyncio.create_task(answer(model, seed, 7)) for seed in range(6)]
    for turn in range(6):
        await settle()
        assert len(reads.held) == min(6, turn + FLIGHTS) and [task.done() for task in tasks].count(True) == turn
        reads.held[turn].set()
    for one, task in zip(single, tasks, strict=True):
        np.testing.assert_array_equal(one, await task)
    model.dispose()


async def test_a_plan_is_given_up_only_when_it_is_not_being_read(contexts: list[Context], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executable, 'MOST_BYTES', 1)
    model = await load_model(BERT, device='webnn')
    expected = await answer(model, 1, 7)
    reads = SlowReads(contexts[0], monkeypatch)
    first = asyncio.create_task(answer(model, 1, 7))
    await settle()
    second = asyncio.create_task(answer(model, 2, 9))
    await settle()
    assert len(reads.held) == 1 and not any(tensor.freed for tensor in contexts[0].tensors)
    reads.held[0].set()
    np.testing.assert_array_equal(await first, expected)
    await settle()
    assert len(reads.held) == 2 and any(tensor.freed for tensor in contexts[0].tensors)
    reads.held[1].set()
    await second
    model.dispose()


async def test_all_that_is_under_way_ends_with_the_model(contexts: list[Context]) -> None:
    model = await open_cut()
    await cut(model, 0)
    tasks = [asyncio.create_task(cut(model, seed)) for seed in range(6)]
    await asyncio.sleep(0)
    model.dispose()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(end, EdgeflowError) and end.code == 'disposed' for end in ends)
    assert contexts[0].alive() == 0


@pytest.mark.parametrize('file, flights', [('smollm2-mini/onnx/model.onnx', 1), ('resnet-mini/onnx/model.onnx', FLIGHTS)])
async def test_what_may_be_a_decoder_takes_one_run_at_a_time(contexts: list[Context], file: str, flights: int) -> None:
    model = await load_model(str(MODELS / file), device='webnn')
    assert model._executable.flights == flights
    model.dispose()
