"""Several runs of one model under way at a time: their order and their results are those of single runs."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from edgeflow.backends.turnstile import FLIGHTS, Turnstile
from edgeflow.backends.webgpu.device import shared_gpu
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.errors import EdgeflowError
from tests.engine.cases import load as load_on_wasm
from tests.engine.flights import PATH, answer, check_runs_together
from tests.gpu.test_models import load


@pytest.mark.parametrize('on_wasm', ['', 'edgeflow:Sdpa'])
async def test_the_results_are_those_of_single_runs(on_wasm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """on_wasm: an operator in the middle that waits for the GPU, in memory that all runs share."""
    if on_wasm:
        monkeypatch.delitem(GPU_LOWERINGS, on_wasm)
    model = await load(PATH)
    await check_runs_together(model)
    model.dispose()


async def test_a_run_begins_while_the_results_of_others_are_being_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = await load(PATH)
    single = [await answer(model, seed) for seed in range(6)]
    gpu = await shared_gpu()
    assert gpu is not None
    run = gpu.device.run
    begun: list[int] = []
    held: list[asyncio.Event] = []

    async def slow(*arguments: object) -> object:
        """The GPU has done its work at once; that is heard of only when the test says so."""
        parts = await run(*arguments)
        begun.append(len(begun))
        held.append(asyncio.Event())
        await held[-1].wait()
        return parts

    monkeypatch.setattr(gpu.device, 'run', slow)
    ended: list[int] = []

    async def noted(seed: int) -> np.ndarray:
        result = await answer(model, seed)
        ended.append(seed)
        return result

    tasks = [asyncio.create_task(noted(seed)) for seed in range(6)]
    for turn in range(6):
        while len(begun) < min(6, turn + FLIGHTS):
            await asyncio.sleep(0)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(begun) == min(6, turn + FLIGHTS) and len(ended) == turn
        held[turn].set()
        while len(ended) == turn:
            await asyncio.sleep(0)
    for one, task in zip(single, tasks, strict=True):
        np.testing.assert_array_equal(one, task.result())
    model.dispose()


async def test_disposing_ends_runs_that_have_not_begun() -> None:
    model = await load(PATH)
    await answer(model, 0)
    tasks = [asyncio.create_task(answer(model, seed)) for seed in range(6)]
    await asyncio.sleep(0)
    model.dispose()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert [end for end in ends if isinstance(end, EdgeflowError)] and all(
        isinstance(end, np.ndarray) or end.code == 'disposed' for end in ends)


async def test_a_decoder_takes_one_run_at_a_time() -> None:
    decoder, encoder = await load('gpt2-mini/onnx/decoder_model_merged.onnx'), await load(PATH)
    on_wasm = await load_on_wasm(PATH)
    assert [model._executable.flights for model in (decoder, encoder, on_wasm)] == [1, FLIGHTS, 1]
    for model in (decoder, encoder, on_wasm):
        model.dispose()


@pytest.mark.parametrize('let_in', [False, True])
async def test_who_is_cancelled_while_waiting_holds_up_nobody(let_in: bool) -> None:
    turns = Turnstile()
    await turns.enter()
    order: list[str] = []

    async def go(name: str) -> None:
        await turns.enter()
        order.append(name)
        turns.leave()

    gone, other = asyncio.create_task(go('gone')), asyncio.create_task(go('other'))
    await asyncio.sleep(0)
    if let_in:
        turns.leave()
        gone.cancel()
    else:
        gone.cancel()
        await asyncio.sleep(0)
        turns.leave()
    await asyncio.wait_for(other, 5)
    await go('later')
    assert order == ['other', 'later'] and gone.cancelled()
