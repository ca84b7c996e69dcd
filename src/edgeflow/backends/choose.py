"""Which backend runs a model."""

from __future__ import annotations

from typing import Literal, cast

from edgeflow.backends.ahead import start_ahead
from edgeflow.backends.generation import GeneratingExecutable
from edgeflow.backends.rests import Rests
from edgeflow.backends.tried import trial_keys
from edgeflow.backends.wasm.kernels import Image, Preparation
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import accelerators
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph
from edgeflow.options import check_choice

Device = Literal['auto', 'fastest', 'wasm', 'webgpu', 'webnn', 'webnn-cpu', 'webnn-gpu', 'webnn-npu', 'gpu', 'cpu']

# The first two choose among the others by themselves; the last two are other names, as transformers.js has them.
DEVICES = ['auto', 'fastest', 'wasm', 'webgpu', 'webnn', 'webnn-cpu', 'webnn-gpu', 'webnn-npu', 'gpu', 'cpu']
ALIASES: dict[str, str] = {'gpu': 'webgpu', 'cpu': 'wasm'}
# What only a trial can tell the worth of: browsers do not say what a WebNN context runs on.
UNKNOWN = 'webnn'


def choose_device(device: object) -> str:
    """The option `device`: 'auto', 'fastest', or the devices to try one after the other, with commas between.

    'invalid-argument' if there is none of a name, or no name.
    """
    if not isinstance(device, list):
        check_choice(device, DEVICES, 'device')
        return ALIASES.get(cast(str, device), cast(str, device))
    names: list[str] = []
    for name in device:
        check_choice(name, DEVICES[2:], 'device')
        names.append(ALIASES.get(cast(str, name), cast(str, name)))
    if len(names) == 0:
        check_choice('', DEVICES, 'device')
    return ','.join(names)


async def candidates(device: str, model: str = '') -> list[str]:
    """The devices that may run a model, given choose_device()'s text: those named, in their order, else all that are here, WASM last.

    model: its name; 'auto' takes WebNN into account where there was a trial of it. 'platform' where env.devices leaves none.
    """
    if device not in DEVICES[:2]:
        return device.split(',')
    allowed = env.devices
    there = await accelerators()
    tried = device == 'fastest' or (len(there) > 0 and len(await trial_keys(model)) > 0)
    found: list[str] = []
    for name in [*there, 'wasm']:
        if (allowed is None or name in allowed) and (name != UNKNOWN or tried):
            found.append(name)
    if len(found) == 0:
        raise EdgeflowError('platform', f'none of env.devices is here: {allowed}', {})
    return found


async def fetch_backend(device: str, shares: int, preparation: Preparation) -> None:
    """Fetch what runs a model on choose_device()'s `device`, or divides its plans among `shares` threads, beside its files, which come to `preparation`.

    For start_ahead(): load_executable() meets what fails.
    """
    if device.startswith('webgpu'):
        preparation.on_head.append(lambda head: start_ahead(lambda: _expect(head)))
        from edgeflow.backends.webgpu.executable import load_webgpu  # noqa: F401
    elif device.startswith('webnn'):
        from edgeflow.backends.webnn.executable import load_webnn  # noqa: F401
    elif shares > 1:
        from edgeflow.backends.wasm.shares import share_groups  # noqa: F401
    else:
        from edgeflow.backends.wasm.load import load_wasm  # noqa: F401


async def _expect(head: Bytes) -> None:
    """Fetch what the GPU needs for the operators that a model's head names."""
    from edgeflow.backends.webgpu.lowerings import expect_lowerings
    await expect_lowerings(head)


async def load_executable(graph: Graph, device: str, rests: Rests, shares: int = 1, image: Image | None = None) -> GeneratingExecutable:
    """The graph, straight from the reader, ready to run on `device`, one of candidates()'.

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
    from edgeflow.backends.wasm.load import load_wasm

    return await load_wasm(graph, rests, shares, image)
