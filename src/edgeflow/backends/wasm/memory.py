"""The heap of a model's WASM memory: weights, constants and tapes of plans, the arena.

First fit over a list of free blocks sorted by address; neighbours are joined when a block is freed. The memory of a
WebAssembly instance never shrinks, so what was freed is used again before the memory grows.
"""

from __future__ import annotations

from typing import Protocol

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import WasmInstance

ALIGNMENT = 64
GROWTH = 1048576
LIMIT = 4294901760


class GrowingMemory(Protocol):
    """A WasmInstance, or what stands for one of another thread."""

    def memory_size(self) -> int: ...

    def grow(self, size: int) -> None: ...


class Heap:
    """Allocates bytes of `instance` from `start` on. Addresses are multiples of 64."""

    def __init__(self, instance: GrowingMemory, start: int) -> None:
        self._instance = instance
        self._end: int = align(start)
        self._free_starts: list[int] = []
        self._free_sizes: list[int] = []
        self._sizes: dict[int, int] = {}
        # Of lines of which a part was given: by their address, how many bytes.
        self._given: dict[int, int] = {}
        self.used: int = 0

    def allocate(self, size: int) -> int:
        """The address of `size` bytes, contents undefined. EdgeflowError 'out-of-memory'."""
        wanted = align(max(size, 1))
        for i in range(len(self._free_starts)):
            if self._free_sizes[i] >= wanted:
                return self._take(i, wanted)
        self._extend(wanted)
        return self._take(len(self._free_starts) - 1, wanted)

    def free(self, address: int) -> None:
        """Give back what allocate() gave. Freeing anything else is an error of the caller."""
        size = self._sizes.pop(address)
        self._insert(address, size)

    def give(self, start: int, size: int) -> None:
        """Free a part of a block, for ever: the block itself is not freed afterwards. Each byte once: 64 aligned ones come back with the last."""
        at = start
        end = start + size
        while at < end:
            line = at // ALIGNMENT * ALIGNMENT
            stop = end // ALIGNMENT * ALIGNMENT if at == line and end - at >= ALIGNMENT else min(end, line + ALIGNMENT)
            given = self._given.pop(line, 0) + stop - at
            if given < ALIGNMENT:
                self._given[line] = given
            else:
                self._insert(line, given)
            at = stop

    def _insert(self, address: int, size: int) -> None:
        self.used = self.used - size
        i = self._position(address)
        joins_left = i > 0 and self._free_starts[i - 1] + self._free_sizes[i - 1] == address
        joins_right = i < len(self._free_starts) and address + size == self._free_starts[i]
        if joins_left and joins_right:
            self._free_sizes[i - 1] = self._free_sizes[i - 1] + size + self._free_sizes[i]
            self._free_starts.pop(i)
            self._free_sizes.pop(i)
        elif joins_left:
            self._free_sizes[i - 1] = self._free_sizes[i - 1] + size
        elif joins_right:
            self._free_starts[i] = address
            self._free_sizes[i] = self._free_sizes[i] + size
        else:
            self._free_starts.insert(i, address)
            self._free_sizes.insert(i, size)

    def capacity(self) -> int:
        """Bytes from the start of the heap's memory that are in use or were."""
        return self._end

    def reserve(self, size: int) -> None:
        """Grow the memory once, so that allocating `size` bytes at its end need not grow it again."""
        wanted = self._end + size
        if wanted > self._instance.memory_size():
            self._grow(wanted)

    def _take(self, i: int, wanted: int) -> int:
        address = self._free_starts[i]
        if self._free_sizes[i] == wanted:
            self._free_starts.pop(i)
            self._free_sizes.pop(i)
        else:
            self._free_starts[i] = address + wanted
            self._free_sizes[i] = self._free_sizes[i] - wanted
        self._sizes[address] = wanted
        self.used = self.used + wanted
        return address

    def _extend(self, wanted: int) -> None:
        """Make the last free block, which ends where the heap ends, at least `wanted` bytes."""
        last = len(self._free_starts) - 1
        touches_end = last >= 0 and self._free_starts[last] + self._free_sizes[last] == self._end
        missing = wanted - self._free_sizes[last] if touches_end else wanted
        end = self._end + missing
        if end > self._instance.memory_size():
            self._grow(end)
        if touches_end:
            self._free_sizes[last] = wanted
        else:
            self._free_starts.append(self._end)
            self._free_sizes.append(wanted)
        self._end = end

    def _grow(self, end: int) -> None:
        if end > LIMIT:
            raise EdgeflowError('out-of-memory', f'a model may take at most {LIMIT} bytes of WASM memory; this one needs {end}',
                                {'expected': LIMIT, 'got': end})
        ahead = min(end + GROWTH, LIMIT)
        self._instance.grow(ahead)

    def _position(self, address: int) -> int:
        low = 0
        high = len(self._free_starts)
        while low < high:
            middle = (low + high) // 2
            if self._free_starts[middle] < address:
                low = middle + 1
            else:
                high = middle
        return low


def first_address(instance: WasmInstance) -> int:
    """Where the heap of an instance of the kernels begins."""
    return align(instance.global_value('__heap_base'))


def align(size: int) -> int:
    """The next multiple of 64."""
    return (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
