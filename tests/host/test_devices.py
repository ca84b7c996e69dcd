"""Models with a choice of devices in CPython, where a backend of the tests' own stands for one that can be made to fail, or be slow."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgeflow import env, load_model, tensor
from edgeflow.backends import choose, tried
from edgeflow.backends.wasm.executable import WasmExecutable
from edgeflow.backends.wasm.load import load_wasm
from edgeflow.errors import EdgeflowError
from edgeflow.host.machine import machine
from edgeflow.host.port import Machine
from edgeflow.runtime import chain, loading, trials
from toolchain.paths import MODELS

MODEL = str(MODELS / 'bert-mini-sentence/onnx/model.onnx')


# What env.on_fallback was told.
heard: list[tuple[str, str, str]] = []


class Played:
    """What the backend called `device` does: counts its loads, waits before each run, fails in some, doubles its results. wasm_ms: how long WASM waits."""

    def __init__(self) -> None:
        self.device: str = 'webgpu'
        self.loads: int = 0
        self.runs: int = 0
        self.ms: float = 0.0
        self.wasm_ms: float = 0.0
        self.factor: float = 1.0
        self.failing: list[int] = []


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    made = Played()

    async def load(graph: object, device: str, *rest: object) -> WasmExecutable:
        executable = await load_wasm(graph, *rest)
        run = executable.run
        if device == made.device:
            made.loads += 1

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
        else:

            async def slow_run(*given: object) -> dict:
                await asyncio.sleep(made.wasm_ms / 1000)
                return await run(*given)

            executable.run = slow_run
        return executable

    async def accelerators() -> list[str]:
        return [made.device]

    monkeypatch.setattr(loading, 'load_executable', load)
    monkeypatch.setattr(choose, 'accelerators', accelerators)
    monkeypatch.setattr(env, 'on_fallback', lambda fallback: heard.append((fallback.device, fallback.next, fallback.error.code)))
    heard.clear()
    next_visit()
    yield made


def next_visit() -> None:
    """The page forgets, the store does not."""
    trials.forget_found()
    tried._keys.clear()


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
        next_visit()
    assert heard == []


async def device_of(name: str) -> str:
    """Where a model runs once it has run."""
    model = await load_model(MODEL, device=name)
    np.testing.assert_array_equal(await states(model), await expected())
    found = model.device
    model.dispose()
    return found


@pytest.fixture
def slow_wasm(played: Played) -> Played:
    """WebNN is here, and faster than WASM."""
    played.device = 'webnn'
    played.wasm_ms = 40.0
    return played


@pytest.mark.parametrize('cache', [True, False])
async def test_auto_takes_what_a_trial_has_found(slow_wasm: Played, monkeypatch: pytest.MonkeyPatch, cache: bool) -> None:
    monkeypatch.setattr(env, 'cache', cache)
    assert [await device_of('auto'), slow_wasm.loads] == ['wasm', 0]
    assert await device_of('fastest') == 'webnn'
    assert [await device_of('auto'), slow_wasm.loads] == ['webnn', 2]
    next_visit()
    assert await device_of('auto') == ('webnn' if cache else 'wasm')


async def test_auto_takes_the_estimate_where_the_trial_was_of_other_devices(slow_wasm: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await device_of('fastest') == 'webnn'
    slow_wasm.device = 'webgpu'
    assert await device_of('auto') == 'wasm', 'a GPU that the trial did not have'
    slow_wasm.device = 'webnn'
    monkeypatch.setattr(env, 'devices', ['wasm'])
    assert await device_of('auto') == 'wasm'


@pytest.mark.parametrize('of', ['another browser', 'another GPU', 'another version'])
async def test_a_trial_elsewhere_does_not_count(slow_wasm: Played, monkeypatch: pytest.MonkeyPatch, of: str) -> None:
    with monkeypatch.context() as elsewhere:
        there = replace(await machine(), **({'platform': 'Browser 7'} if of == 'another browser' else {'gpu': 'a GPU'} if of == 'another GPU' else {}))

        async def other_machine() -> Machine:
            return there

        elsewhere.setattr(chain, 'machine', other_machine)
        if of == 'another version':
            elsewhere.setattr(trials, 'VERSION', '0')
        assert await device_of('fastest') == 'webnn'
        assert await device_of('auto') == 'webnn'
    next_visit()
    assert await device_of('auto') == 'wasm'
    next_visit()
    # A machine may have that GPU again; an older browser does not come back.
    assert len(await tried.trial_keys(MODEL)) == int(of == 'another GPU')


async def test_what_fails_is_not_remembered_any_more(slow_wasm: Played) -> None:
    assert await device_of('fastest') == 'webnn'
    slow_wasm.failing = [slow_wasm.runs + 1]
    assert [await device_of('auto'), heard] == ['wasm', [('webnn', 'wasm', 'device-lost')]]
    assert await device_of('auto') == 'wasm'
    next_visit()
    assert await tried.trial_keys(MODEL) == []
    assert await device_of('fastest') == 'webnn', 'it has a trial again'


async def test_a_store_that_fails_is_as_good_as_none(slow_wasm: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(name: str) -> None:
        raise OSError('blocked')

    monkeypatch.setattr(tried, 'open_store', refuse)
    assert await device_of('auto') == 'wasm'
    assert await device_of('fastest') == 'webnn'
    assert await device_of('auto') == 'webnn', 'this page knows'


async def test_a_device_that_fails_its_trial_is_left_out(played: Played) -> None:
    played.failing = [2]
    model = await load_model(MODEL, device='fastest')
    np.testing.assert_array_equal(await states(model), await expected())
    assert [model.device, heard] == ['wasm', [('webgpu', 'wasm', 'device-lost')]]


@pytest.mark.parametrize('run', [1, 2])
async def test_a_device_that_failed_is_not_tried_at_the_next_visit(slow_wasm: Played, run: int) -> None:
    """run: which one of that device fails."""
    slow_wasm.failing = [run]
    assert await device_of('fastest') == 'wasm'
    next_visit()
    loads = slow_wasm.loads
    assert [await device_of('fastest'), slow_wasm.loads] == ['wasm', loads]


async def test_bytes_that_are_gone_say_nothing_of_a_device(slow_wasm: Played) -> None:
    slow_wasm.device = 'webgpu'
    for kept in (False, True):
        data = memoryview(Path(MODEL).read_bytes())
        model = await load_model(data, device='fastest')
        if not kept:
            del data
            gc.collect()
        first = model.device
        await states(model)
        assert model.device == ('webgpu' if kept else first)
        model.dispose()
        next_visit()
        assert len(await tried.trial_keys('bytes')) == int(kept)


async def test_wrong_numbers_are_noticed(played: Played) -> None:
    played.factor = 1.5
    model = await load_model(MODEL, device=['webgpu', 'wasm'], self_check=True)
    np.testing.assert_array_equal(await states(model), await expected())
    assert heard == [('webgpu', 'wasm', 'wrong-results')]
