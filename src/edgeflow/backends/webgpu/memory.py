"""The GPU memory of one model: its weights, the slots in which values of its plans lie, and what its plans own."""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import gpu_size
from edgeflow.host.port import GpuBuffer, GpuDevice
from edgeflow.plan.lifetimes import Lifetime

ALIGNMENT = 256
# Keys of what sessions have in whole buffers (pages.py): all pages, and the table that says whose they are.
POOL = '#pool'
TABLE = '#table'


class GpuMemory:
    """Counts and frees every buffer. Slots are shared by all plans of the model, each as large as the largest plan needs."""

    def __init__(self, device: GpuDevice) -> None:
        self._device: GpuDevice = device
        self.weights: dict[str, GpuBuffer] = {}
        self.weight_bytes: int = 0
        self._weight_sizes: dict[str, int] = {}
        # The keys of the weights that are float16.
        self.halves: set[str] = set()
        # The sizes of those weights that are bound as they are, and may be replaced by larger ones.
        self.whole: dict[str, int] = {}
        self.slots: list[GpuBuffer] = []
        self._slot_sizes: list[int] = []
        # Counts up whenever a slot has another buffer than before.
        self.version: int = 0
        self.slot_bytes: int = 0

    def add_weight(self, key: str, size: int) -> GpuBuffer:
        """A buffer for the weight of this key."""
        buffer = self._device.buffer(size)
        self.weights[key] = buffer
        self.weight_bytes = self.weight_bytes + size
        self._weight_sizes[key] = size
        return buffer

    def set_whole(self, key: str, buffer: GpuBuffer, size: int) -> None:
        """`buffer` is what this key means from now on."""
        self.weights[key] = buffer
        self.whole[key] = size
        self.version = self.version + 1

    def ensure_slots(self, sizes: list[int]) -> None:
        """Make the slots at least so large."""
        for i in range(len(sizes)):
            if i == len(self.slots):
                self._slot_sizes.append(0)
                self.slots.append(None)
            if sizes[i] <= self._slot_sizes[i]:
                continue
            # It is gone, whether or not there is memory for a larger one.
            self.version = self.version + 1
            if self._slot_sizes[i] > 0:
                self._device.free(self.slots[i])
                self.slot_bytes = self.slot_bytes - self._slot_sizes[i]
                self._slot_sizes[i] = 0
            self.slots[i] = self._device.buffer(sizes[i])
            self.slot_bytes = self.slot_bytes + sizes[i]
            self._slot_sizes[i] = sizes[i]

    def free_slots(self) -> None:
        """Free the slots; no plan refers to them."""
        for i in range(len(self.slots)):
            if self._slot_sizes[i] > 0:
                self._device.free(self.slots[i])
        self.slots = []
        self._slot_sizes = []
        self.slot_bytes = 0
        self.version = self.version + 1

    def free_weights(self, kept: list[str]) -> None:
        """Free the weights but those of these keys."""
        for key in list(self.weights.keys()):
            if key not in kept:
                self._device.free(self.weights[key])
                self.weight_bytes = self.weight_bytes - self._weight_sizes.pop(key)
                self.weights.pop(key)

    def dispose(self) -> None:
        """Free the weights and the slots."""
        self.free_slots()
        for buffer in self.weights.values():
            self._device.free(buffer)
        self.weights = {}
        self.whole = {}
        self.weight_bytes = 0


def assign_slots(lives: list[Lifetime]) -> list[int]:
    """Set the offset of every value to the number of its slot, and return the sizes of the slots.

    WebGPU allows no buffer to be read and written by one dispatch, so values do not share buffers as they share an arena: two that
    live at the same time are in different slots. In the order of birth, each takes the free slot whose size is nearest.
    """
    sizes: list[int] = []
    free_from: list[int] = []
    for life in sorted(lives, key=lambda life: (life.first, -life.value.size, life.value.number)):
        size = (gpu_size(life.value) + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        best = -1
        for i in range(len(sizes)):
            if free_from[i] <= life.first and (best < 0 or abs(sizes[i] - size) < abs(sizes[best] - size)):
                best = i
        if best < 0:
            best = len(sizes)
            sizes.append(0)
            free_from.append(0)
        sizes[best] = max(sizes[best], size)
        free_from[best] = life.last + 1
        life.value.offset = best
    return sizes
