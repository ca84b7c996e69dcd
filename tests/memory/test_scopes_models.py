"""Scopes, statistics and leaks with real models; in CPython."""

from __future__ import annotations

import asyncio
import gc
import warnings

import numpy as np
import pytest

import edgeflow
from edgeflow import EdgeflowError, Leak, Model, Tensor, detect_leaks, env, load_model, memory_scope, memory_stats, pipeline, tensor, with_memory_scope
from edgeflow.runtime import leaks as leaks_module
from tests.engine.cases import MODELS

PATH = str(MODELS / 'distilbert-sst2-mini' / 'onnx' / 'model.onnx')


def inputs_of(model: Model, length: int = 4) -> dict[str, Tensor]:
    return {info.name: tensor(np.ones((1, length), np.int64)) for info in model.inputs}


@pytest.fixture(autouse=True)
def settled() -> None:
    gc.collect()


async def test_a_scope_runs_a_model_and_frees_what_it_gave() -> None:
    model = await load_model(PATH)
    before = memory_stats().tensors
    async with memory_scope() as scope:
        inputs = scope.track(inputs_of(model))
        outputs = await scope.run(model, inputs)
        assert outputs['logits'].shape == [1, 2]
        kept = scope.keep((await scope.run(model, inputs, outputs=['logits']))['logits'])
    assert outputs['logits'].disposed and not kept.disposed
    assert memory_stats().tensors == before + 1
    kept.dispose()
    with pytest.raises(EdgeflowError) as e:
        await model.run(inputs)
    assert e.value.code == 'disposed'
    model.dispose()


async def test_a_scope_owns_models() -> None:
    before = memory_stats()
    async with memory_scope() as scope:
        model = scope.track(await load_model(PATH))
        stats = memory_stats()
        assert stats.wasm.count == before.wasm.count + 1
        [own] = [m for m in stats.models if m.name == PATH]
        assert own.total == model.memory().total > own.weights > 0
    assert model.disposed
    after = memory_stats()
    assert after.wasm.size == before.wasm.size and len(after.models) == len(before.models)
    assert after.wasm.peak >= stats.wasm.size


async def test_pipelines_leave_no_tensors() -> None:
    folder = str(MODELS / 'bert-mini-sentence')
    before = memory_stats().tensors
    async with memory_scope() as scope:
        extractor = scope.track(await pipeline('feature-extraction', folder))
        for options in ({}, {'pooling': 'mean', 'normalize': True}):
            result = await extractor.run('hello', **options)
            assert memory_stats().tensors == before + 1
            result.dispose()
    assert extractor.disposed and extractor.model.disposed
    classifier = await pipeline('text-classification', str(MODELS / 'distilbert-sst2-mini'))
    await classifier.run(['hello', 'you'])
    assert memory_stats().tensors == before
    classifier.dispose()


async def test_models_give_way_to_the_budget_and_come_back() -> None:
    first = await load_model(PATH)
    feeds = inputs_of(first)
    expected = (await first.run(feeds))['logits'].tolist()
    env.memory_budget = memory_stats().wasm.size + 100_000
    try:
        second = await load_model(PATH)
        assert first.memory().total == 0 and not first.disposed
        assert [m.total for m in memory_stats().models if m.name == PATH] == [0, second.memory().total]
        assert (await first.run(feeds))['logits'].tolist() == expected
        assert second.memory().total == 0 < first.memory().total
        assert memory_stats().wasm.size <= env.memory_budget
    finally:
        env.memory_budget = None
        first.dispose()
        second.dispose()


async def test_what_is_dropped_is_counted_no_more() -> None:
    before = memory_stats()
    model = await load_model(PATH)
    x = tensor([1, 2, 3])
    assert memory_stats().tensors == before.tensors + 1
    del model, x
    gc.collect()
    after = memory_stats()
    assert [after.tensors, after.host.size, after.wasm.size, len(after.models)] == [
        before.tensors, before.host.size, before.wasm.size, len(before.models)]


async def test_a_dropped_scope_takes_its_tensors_along() -> None:
    before = memory_stats()
    scope = memory_scope()
    scope.tensor([1, 2])
    scope.scope().tensor([3])
    assert memory_stats().tensors == before.tensors + 2
    del scope
    gc.collect()
    assert memory_stats().tensors == before.tensors
    assert memory_stats().scopes == before.scopes


async def test_collected_leaks_are_reported_once_with_their_place() -> None:
    leaks: list[Leak] = []
    detecting = detect_leaks(on_leak=leaks.append)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            lost = tensor([1, 2])
            fine = tensor([3])
            model = await load_model(PATH)
            scope = memory_scope()
            scope.tensor([4])
            fine.dispose()
            del lost, fine, model, scope
            gc.collect()
            gc.collect()
    finally:
        detecting.stop()
    assert sorted([leak.reason, leak.kind, leak.what] for leak in leaks) == [
        ['collected', 'model', PATH], ['collected', 'scope', ''], ['collected', 'tensor', 'float32 [1]'], ['collected', 'tensor', 'float32 [2]']]
    for leak in leaks:
        assert 'test_scopes_models.py' in leak.stack.splitlines()[-2] or leak.kind == 'model'
    said = [str(w.message) for w in caught]
    assert sum('collected as garbage without dispose()' in text for text in said) == 4
    assert any('lost = tensor([1, 2])' in text for text in said)


async def test_age_is_watched_by_a_timer() -> None:
    leaks: list[Leak] = []
    detecting = detect_leaks(age_limit=20, on_leak=leaks.append, console=False)
    old = tensor([1])
    for _ in range(100):
        await asyncio.sleep(0.01)
        if leaks:
            break
    detecting.stop()
    assert [leak.reason for leak in leaks] == ['age'] and leaks[0].age >= 20
    old.dispose()


async def test_cancelled_tasks_leave_nothing() -> None:
    before = memory_stats().tensors
    entered = asyncio.Event()

    async def work(scope: edgeflow.MemoryScope) -> None:
        scope.tensor([1])
        async with memory_scope() as inner:
            inner.tensor([2])
            entered.set()
            await asyncio.sleep(60)

    async def run() -> None:
        await with_memory_scope(work)

    task = asyncio.create_task(run())
    await entered.wait()
    assert memory_stats().tensors == before + 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert memory_stats().tensors == before


async def test_tasks_do_not_mix_even_in_synchronous_blocks() -> None:
    """Python knows which task runs; so `with` around an await is safe there."""
    async def task(count: int) -> int:
        with memory_scope() as scope:
            for _ in range(count):
                tensor([1])
                await asyncio.sleep(0)
            return scope.size

    assert await asyncio.gather(task(3), task(5), task(1)) == [3, 5, 1]


def test_off_records_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No stack is taken, which is what costs, before and after a detection; docs/memory.md has the times."""
    taken: list[int] = []
    take = leaks_module.call_stack
    monkeypatch.setattr(leaks_module, 'call_stack', lambda: taken.append(1) or take())
    with memory_scope():
        tensor([1])
        assert taken == []
        detecting = detect_leaks(console=False)
        tensor([2])
        assert taken == [1]
        detecting.stop()
        tensor([3])
        assert taken == [1]
