"""A plan on WASM step by step, each timed."""

from __future__ import annotations

from edgeflow.backends.contract import KernelTime
from edgeflow.backends.wasm.plans import WasmPlan, node_name, run_part
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.host.platform import now


def run_tape_timed(machine: WasmMachine, plan: WasmPlan, times: list[KernelTime]) -> int:
    """Run a tape step by step; what run_tape gives."""
    done = 0
    for group in plan.draft.groups:
        for step in group.steps:
            began = now()
            code = run_part(machine, plan, done, done + 1)
            if code != 0:
                return code
            done = done + 1
            times.append(KernelTime('wasm', step.kernel, node_name(group.node), now() - began))
    return 0
