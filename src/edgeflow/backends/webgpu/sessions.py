"""Sessions on a GPU: what their plans and pages need beyond what every model there has. A part of its own, with its kernels."""

from __future__ import annotations

from edgeflow.backends.wasm.pages import PageMemory, PastInput
from edgeflow.backends.webgpu.drawing import install_drawing
from edgeflow.backends.webgpu.lower_cached import CACHED_LOWERINGS
from edgeflow.backends.webgpu.machine import GpuMachine, SessionKernels
from edgeflow.backends.webgpu.pages import GpuPages
from edgeflow.backends.webgpu.sequences import install_sequences
from edgeflow.backends.webgpu.step_products import lower_step
from edgeflow.host.gpu import add_shaders
from edgeflow.host.shaders_sessions import SHADERS


def session_kernels() -> SessionKernels:
    """What a machine with sessions has."""
    add_shaders(SHADERS)
    install_sequences()
    install_drawing()
    return SessionKernels(CACHED_LOWERINGS, lower_step)


def page_memory(machine: GpuMachine, pasts: list[PastInput]) -> PageMemory:
    """The pages of a model's sessions."""
    pages = GpuPages(machine.gpu.device, machine.memory, pasts)
    machine.pages = pages
    return pages
