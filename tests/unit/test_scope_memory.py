"""The ledger of models: what memory_stats() says of them, and how they give way."""

from __future__ import annotations

import pytest

from edgeflow.backends.contract import MemoryUse
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.runtime.memory import ModelEntry, ledger, memory_stats, with_room


class Evicted:
    """A model that can be loaded again, or not."""

    def __init__(self, number: int, size: int, returns: bool = True) -> None:
        self.size = size
        self.returns = returns
        self.evictions: int = 0
        self.is_lost: bool = False
        self.entry = ModelEntry(number, f'model {number}', 'wasm', self)
        self.entry.update(MemoryUse(size, size // 2, 0, 0))

    def evict(self) -> bool:
        if self.returns:
            self.evictions = self.evictions + 1
        return self.returns

    def lost(self) -> bool:
        return self.is_lost

    def use(self) -> None:
        self.entry.begin_run()
        self.entry.update(MemoryUse(self.size, self.size // 2, 0, 0))
        self.entry.end_run()


def test_a_model_whose_worker_is_gone_holds_nothing() -> None:
    before = memory_stats()
    a = Evicted(-1, 1000)
    b = Evicted(-2, 200)
    a.is_lost = True
    stats = memory_stats()
    assert stats.wasm.size == before.wasm.size + 200
    assert [model.total for model in stats.models[-2:]] == [0, 200]
    a.is_lost = False
    a.use()
    assert memory_stats().wasm.size == before.wasm.size + 1200
    a.entry.remove()
    b.entry.remove()


def test_stats_of_models() -> None:
    before = memory_stats()
    a = Evicted(-1, 1000)
    b = Evicted(-2, 200)
    stats = memory_stats()
    assert stats.wasm.size == before.wasm.size + 1200
    assert stats.wasm.count == before.wasm.count + 2
    assert stats.wasm.peak >= before.wasm.size + 1200
    assert stats.peak >= stats.wasm.size + stats.host.size + stats.gpu.size
    a.use()
    listed = memory_stats().models[-2:]
    assert [[m.name, m.device, m.total, m.weights, m.running] for m in listed] == [
        ['model -2', 'wasm', 200, 100, 0], ['model -1', 'wasm', 1000, 500, 0]]
    a.entry.remove()
    b.entry.remove()
    assert memory_stats().wasm.size == before.wasm.size
    assert len(memory_stats().models) == len(before.models)


def test_gpu_models_are_counted_there() -> None:
    before = memory_stats().gpu
    a = Evicted(-1, 10)
    a.entry.remove()
    entry = ModelEntry(-2, 'x', 'webgpu', a)
    entry.update(MemoryUse(64, 64, 0, 0, 64))
    assert memory_stats().gpu.size == before.size + 64
    entry.remove()
    assert memory_stats().gpu.size == before.size


async def test_the_least_recently_used_idle_model_gives_way() -> None:
    held = ledger.wasm.size
    others = ledger.models
    ledger.models = {}
    env.memory_budget = held + 1000
    try:
        a = Evicted(-1, 300)
        b = Evicted(-2, 300)
        c = Evicted(-3, 300, False)
        a.use()
        b.entry.begin_run()

        async def make() -> int:
            return 7

        assert await with_room(50, make) == 7
        assert [a.evictions, b.evictions] == [0, 0]
        assert await with_room(200, make) == 7
        assert [a.evictions, b.evictions] == [1, 0]
        assert ledger.wasm.size == held + 600
        with pytest.raises(EdgeflowError) as e:
            await with_room(500, make)
        assert e.value.code == 'out-of-memory'
        assert e.value.details['wanted'] == 500
        b.entry.end_run()
        assert await with_room(500, make) == 7
        assert b.evictions == 1
    finally:
        env.memory_budget = None
        ledger.models = others
    for model in [a, b, c]:
        model.entry.remove()
    assert ledger.wasm.size == held


def test_growing_beyond_the_budget_makes_others_give_way() -> None:
    held = ledger.wasm.size
    others = ledger.models
    ledger.models = {}
    a = Evicted(-1, 300)
    b = Evicted(-2, 300)
    env.memory_budget = held + 700
    try:
        b.entry.update(MemoryUse(500, 500, 0, 0))
        assert [a.evictions, b.evictions] == [1, 0]
    finally:
        env.memory_budget = None
        ledger.models = others
    a.entry.remove()
    b.entry.remove()


async def test_what_the_platform_refuses_is_tried_again() -> None:
    others = ledger.models
    ledger.models = {}
    a = Evicted(-1, 300)
    b = Evicted(-2, 300)
    tries: list[int] = []

    async def refused() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise EdgeflowError('out-of-memory', 'refused', {})
        return 'made'

    assert await with_room(0, refused) == 'made'
    assert [a.evictions, b.evictions] == [1, 1]

    async def never() -> str:
        raise EdgeflowError('out-of-memory', 'refused', {})

    with pytest.raises(EdgeflowError, match='refused'):
        await with_room(0, never)
    ledger.models = others
    a.entry.remove()
    b.entry.remove()
