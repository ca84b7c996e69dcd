"""Models with a choice of devices in CPython, where a backend of the tests' own stands for one that can be made to fail, or be slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from edgeflow import env, load_model, tensor
from edgeflow.backends import choose
from edgeflow.backends.wasm.executable import WasmExecutable, load_wasm
from edgeflow.errors import EdgeflowError
from edgeflow.runtime import opening, trials
from toolchain.paths import MODELS

MODEL = str(MODELS / 'bert-mini-sentence/onnx/model.onnx')


# What env.on_fallback was told.
heard: list[tuple[str, str, str]] = []


class Played:
    """What the backend called 'webgpu' does: counts its loads, waits before each run, fails in some, doubles its results."""

    def __init__(self) -> None:
        self.loads: int = 0
        self.runs: int = 0
        self.ms: float = 0.0
        self.factor: float = 1.0
        self.failing: list[int] = []


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played()

    async def load(graph: object, device: str, *rest: object) -> WasmExecutable:
        executable = await load_wasm(graph, *rest)
        if device == 'webgpu':
            made.loads += 1
            run = executable.run

            async def played_run(*given: object) -> dict:
                made.runs += 1
                await asyncio.sleep(made.ms / 1000)
                if made.runs in made.failing:
                    raise EdgeflowError('device-lost', 'made to fail', {})
                results = await run(*given)
                for feed in results.values():
                    feed.data[:] = feed.data * made.factor
                return results

            executable.run = played_run
        return executable

    async def accelerators() -> list[str]:
        return ['webgpu']

    monkeypatch.setattr(opening, 'load_executable', load)
    monkeypatch.setattr(choose, 'accelerators', accelerators)
    monkeypatch.setattr(env, 'on_fallback', lambda fallback: heard.append((fallback.device, fallback.next, fallback.error.code)))
    heard.clear()
    trials.forget_found()
    yield made


def inputs() -> dict:
    return {name: tensor([[2, 5, 9, 3]] if name == 'input_ids' else [[int(name == 'attention_mask')] * 4], None, 'int64')
            for name in ('input_ids', 'attention_mask', 'token_type_ids')}


async def states(model: object) -> np.ndarray:
    return np.array(next(iter((await model.run(inputs())).values())).data)


async def expected() -> np.ndarray:
    model = await load_model(MODEL, device='wasm')
    found = await states(model)
    model.dispose()
    return found


async def test_runs_under_way_are_done_on_the_next_device(played: Played) -> None:
    played.failing = [3, 4]
    model = await load_model(MODEL, device=['webgpu', 'wasm'])
    found = [await states(model)]
    found += await asyncio.gather(*(states(model) for _ in range(4)))
    assert heard == [('webgpu', 'wasm', 'device-lost')]
    assert model.device == 'wasm'
    for one in found:
        np.testing.assert_array_equal(one, await expected())


async def test_a_single_device_is_not_replaced(played: Played) -> None:
    played.failing = [1]
    model = await load_model(MODEL, device='webgpu')
    with pytest.raises(EdgeflowError) as caught:
        await states(model)
    assert caught.value.code == 'device-lost' and heard == []
    np.testing.assert_array_equal(await states(model), await expected())


async def test_the_fastest_is_found_and_remembered(played: Played) -> None:
    played.ms = 40.0
    for _ in range(2):
        model = await load_model(MODEL, device='fastest')
        np.testing.assert_array_equal(await states(model), await expected())
        assert model.device == 'wasm'
        model.dispose()
        assert played.loads == 1, 'it was tried once, at the first visit'
        # The second visit knows by the store alone.
        trials.forget_found()
    assert heard == []


async def test_a_device_that_fails_its_trial_is_left_out(played: Played) -> None:
    played.failing = [2]
    model = await load_model(MODEL, device='fastest')
    np.testing.assert_array_equal(await states(model), await expected())
    assert [model.device, heard] == ['wasm', [('webgpu', 'wasm', 'device-lost')]]


async def test_wrong_numbers_are_noticed(played: Played) -> None:
    played.factor = 1.5
    model = await load_model(MODEL, device=['webgpu', 'wasm'], self_check=True)
    np.testing.assert_array_equal(await states(model), await expected())
    assert heard == [('webgpu', 'wasm', 'wrong-results')]
