"""A run kernel by kernel, each timed by the GPU's own clock."""

from __future__ import annotations

from edgeflow.backends.contract import KernelTime
from edgeflow.backends.wasm.plans import step_name
from edgeflow.backends.webgpu.executable import GpuExecutable
from edgeflow.backends.webgpu.machine import GpuMachine
from edgeflow.backends.webgpu.plan import GPU, UP, WASM, Action, GpuPlan
from edgeflow.errors import EdgeflowError
from edgeflow.host.gpu_clock import timed
from edgeflow.host.platform import now


async def run_timed(executable: GpuExecutable, machine: GpuMachine, plan: GpuPlan, times: list[KernelTime]) -> None:
    """Do all that the plan does before its outputs are read. EdgeflowError 'platform' where the GPU has no such clock."""
    if not machine.gpu.features.timestamps:
        raise EdgeflowError('platform', "this GPU has no 'timestamp-query', with which kernels can be timed", {})
    for action in plan.actions:
        began = now()
        if action.kind == GPU:
            spans = await timed(machine.gpu.device, action.commands)
            for i in range(len(spans)):
                if action.kernels[i] != '':
                    times.append(KernelTime('webgpu', action.kernels[i], action.nodes[i], spans[i]))
        elif action.kind == WASM:
            for i in range(action.first, action.last):
                began = now()
                executable.run_wasm(machine, plan, Action(WASM, i, i + 1, [], [], []))
                times.append(KernelTime('wasm', plan.wasm.steps[i].kernel, step_name(plan.wasm, i), now() - began))
        else:
            if action.kind == UP:
                executable.send(machine, plan, action)
            else:
                await executable.fetch(machine, plan, action, [])
            times.append(KernelTime('webgpu', action.kind, '', now() - began))
