"""The heap of a model's WASM memory, on a fake instance that only counts its size."""

from __future__ import annotations

import pytest

from edgeflow.backends.wasm.memory import Heap
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_bytes
from edgeflow.host.port import Bytes


class FakeInstance:
    """Memory that grows, up to a limit, and is never looked into."""

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        self.grown = 0

    def call(self, name: str, arguments: list[int]) -> int:
        raise AssertionError('the heap calls nothing')

    def global_value(self, name: str) -> int:
        raise AssertionError('the heap reads no globals')

    def memory_size(self) -> int:
        return self.size

    def grow(self, size: int) -> None:
        if size > self.limit:
            raise EdgeflowError('out-of-memory', 'the fake is full', {})
        self.grown = self.grown + 1
        self.size = size

    def view(self, address: int, size: int) -> Bytes:
        return new_bytes(size)


def heap(limit: int = 100000000) -> Heap:
    return Heap(FakeInstance(65536, limit), 1000)


def test_blocks_follow_one_another_aligned() -> None:
    h = heap()
    assert [h.allocate(1), h.allocate(64), h.allocate(65), h.allocate(0)] == [1024, 1088, 1152, 1280]
    assert h.used == 64 + 64 + 128 + 64


def test_freed_block_is_used_again_by_what_fits() -> None:
    h = heap()
    a = h.allocate(256)
    h.allocate(64)
    h.free(a)
    assert h.allocate(128) == a
    assert h.allocate(128) == a + 128


def test_freed_neighbours_become_one_block() -> None:
    h = heap()
    blocks = [h.allocate(128) for _ in range(4)]
    h.allocate(64)
    for i in [0, 2, 1]:
        h.free(blocks[i])
    assert h.allocate(384) == blocks[0]


def test_free_block_at_the_end_grows_in_place() -> None:
    h = heap()
    h.allocate(64)
    last = h.allocate(128)
    h.free(last)
    assert h.allocate(4096) == last


def test_memory_grows_when_nothing_fits_and_at_once_when_reserved() -> None:
    instance = FakeInstance(65536, 100000000)
    h = Heap(instance, 1024)
    h.reserve(5000000)
    for _ in range(5):
        h.allocate(1000000)
    assert instance.grown == 1
    h.allocate(2000000)
    assert instance.grown == 2


def test_refused_memory_leaves_the_heap_usable() -> None:
    h = heap(2000000)
    a = h.allocate(500000)
    used = h.used
    with pytest.raises(EdgeflowError) as e:
        h.allocate(5000000)
    assert e.value.code == 'out-of-memory'
    assert h.used == used
    h.free(a)
    assert h.allocate(400000) == a


def test_more_than_32_bits_can_address_is_out_of_memory() -> None:
    with pytest.raises(EdgeflowError, match='at most 4294901760 bytes') as e:
        heap(10000000000).allocate(4294967296)
    assert e.value.code == 'out-of-memory'


def test_freeing_twice_is_an_error() -> None:
    h = heap()
    a = h.allocate(64)
    h.free(a)
    with pytest.raises(KeyError):
        h.free(a)


def test_made_up_history_never_hands_out_a_byte_twice() -> None:
    h = heap()
    live: list[list[int]] = []
    state = 7
    for _ in range(600):
        state = (state * 1103515245 + 12345) % 2147483648
        if len(live) > 0 and state // 65536 % 3 == 0:
            h.free(live.pop(state // 65536 % len(live))[0])
            continue
        size = state // 65536 % 3000
        address = h.allocate(size)
        for other in live:
            assert address + size <= other[0] or other[0] + other[1] <= address
        live.append([address, size])
    for block in live:
        h.free(block[0])
    assert h.used == 0
    assert h.allocate(100000) == 1024


def test_parts_of_a_block_that_were_given_become_one_whatever_their_edges() -> None:
    h = heap()
    start = h.allocate(640)
    edges = [0, 100, 110, 120, 300, 448, 640]
    for i in [1, 4, 0, 3, 2, 5]:
        h.give(start + edges[i], edges[i + 1] - edges[i])
    assert h.used == 0
    assert h.allocate(640) == start


def test_what_was_not_given_is_kept() -> None:
    h = heap()
    start = h.allocate(256)
    h.give(start, 100)
    h.give(start + 120, 136)
    assert h.allocate(64) == start
    assert h.allocate(64) == start + 128
