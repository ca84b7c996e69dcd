"""Which backend runs a model."""

from __future__ import annotations

from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.executable import load_wasm
from edgeflow.backends.wasm.kernels import Image, kernel_module
from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Graph
from edgeflow.options import check_choice

# 'auto' takes WASM.
DEVICES = ['auto', 'wasm', 'webgpu', 'webnn', 'webnn-cpu', 'webnn-gpu', 'webnn-npu']


def choose_device(device: str) -> str:
    """The device that `device` means here. 'invalid-argument' if there is none of this name."""
    check_choice(device, DEVICES, 'device')
    return 'wasm' if device == 'auto' else device


async def prepare_device(device: str) -> None:
    """Fetch and compile what `device` needs, so that it is there when the model's files are: call it beside their download.

    A failure is not raised here but by load_executable, which meets it again.
    """
    try:
        await kernel_module()
    except EdgeflowError:
        return


async def load_executable(graph: Graph, device: str, rests: Rests, shares: int = 1, image: Image | None = None) -> GeneratingExecutable:
    """The graph, straight from the reader, ready to run on `device`, one of choose_device()'s.

    What has no plan runs on WASM. shares: among how many threads a run can be divided. 'platform' if there is no such device. image: the file in the memory of the instance that will run it.
    """
    if device == 'webgpu':
        from edgeflow.backends.webgpu.executable import load_webgpu
        from edgeflow.backends.webgpu.planned import can_be_planned

        if can_be_planned(graph):
            return await load_webgpu(graph, rests, image)
    if device.startswith('webnn'):
        from edgeflow.backends.webnn.executable import load_webnn

        return await load_webnn(graph, rests, device, image)
    return await load_wasm(graph, rests, shares, image)
