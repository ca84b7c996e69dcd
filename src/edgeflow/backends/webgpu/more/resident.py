"""Outputs that stay on the GPU, in buffers of their own."""

from __future__ import annotations

from edgeflow.backends.contract import Feed, Held
from edgeflow.backends.webgpu.builder import gpu_size
from edgeflow.backends.webgpu.executable import exact
from edgeflow.backends.webgpu.machine import GpuMachine
from edgeflow.backends.webgpu.plan import GpuPlan, piece_of, plain_bytes
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_view
from edgeflow.host.port import GpuBuffer, GpuCommand, GpuDevice, GpuPiece
from edgeflow.plan.link import WORD
from edgeflow.plan.values import Value


class GpuHeld:
    """contract.Held on a device of this thread. All elements are words."""

    def __init__(self, device: GpuDevice, value: Value) -> None:
        self.place: object = device
        self.number: int = 0
        self.size: int = gpu_size(value)
        self._device: GpuDevice = device
        self._value: Value = value
        self._buffer: GpuBuffer | None = device.buffer(self.size)

    def buffer(self) -> GpuBuffer:
        if self._buffer is None:
            raise EdgeflowError('disposed', 'expected a living tensor; this one, on the GPU, was disposed', {})
        return self._buffer

    async def fetch(self) -> Feed:
        value = self._value
        part = (await self._device.run([], [GpuPiece(self.buffer(), 0, value.count() * WORD)]))[0]
        return Feed(value.dtype, value.shape, array_view(value.dtype, plain_bytes(value, part)))

    def free(self) -> None:
        if self._buffer is not None:
            self._device.free(self._buffer)
            self._buffer = None


async def keep_outputs(machine: GpuMachine, plan: GpuPlan, outputs: list[str], kept: dict[str, Held]) -> list[GpuCommand]:
    """Buffers for those outputs that are on the GPU, which `kept` is given, and the copies into them. 'out-of-memory' leaves none."""
    device = machine.gpu.device
    copies: list[GpuCommand] = []
    device.watch()
    try:
        try:
            for i in range(len(outputs)):
                value = plan.crossings.outputs[i]
                if value.far:
                    held: GpuHeld = GpuHeld(device, value)
                    kept[outputs[i]] = held
                    source = exact(piece_of(machine, plan, value), value)
                    if source.size > 0:
                        copies.append(GpuCommand(None, None, [], source, GpuPiece(held.buffer(), 0, source.size)))
        finally:
            await device.settled()
    except Exception:
        for made in kept.values():
            made.free()
        raise
    return copies
