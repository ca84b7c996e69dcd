"""What the planner needs of WebGPU: GPU lowerings where they take a node, WASM for the rest, and copies between the two.

Implements plan.planner.Machine and plan.builder.Constants, most of it by the WasmMachine that every GPU model has: it computes constants
while planning and runs what the GPU does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.turnstile import Turnstile
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.webgpu.builder import Dispatch, GpuBuilder, GpuLowering, RowProduct, gpu_size, kind_of
from edgeflow.backends.webgpu.crossings import Crossings, cross
from edgeflow.backends.webgpu.device import Gpu
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.backends.webgpu.memory import GpuMemory
from edgeflow.backends.webgpu.pages import GpuPages
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.planner import is_eager
from edgeflow.plan.stretches import Shared
from edgeflow.plan.values import NodeSteps, Pointer, Value, forget

NO_KERNEL = 'there is no kernel for it'
NO_TYPE = 'a type that the GPU does not hold'
TOO_LARGE = 'a tensor larger than the GPU binds'
NOT_TAKEN = 'no kernel for these types and shapes'


def reads_pages(inputs: list[Value | None]) -> bool:
    """Whether one of these lies in sessions' pages."""
    for value in inputs:
        if value is not None and value.root().cache >= 0:
            return True
    return False


def lower_near(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None], wasm: Lowering) -> None:
    """Lower for WASM. What is made of several operators (backends/wasm/more/compose.py) goes to the GPU if that takes them all, to WASM as a whole if not:
    the steps of a node do not cross."""
    steps = len(b.steps)
    opset = b.opset
    wasm(b, node, inputs, outputs)
    far = 0
    for step in b.steps[steps:]:
        if isinstance(step, Dispatch):
            far = far + 1
    if far > 0 and far < len(b.steps) - steps:
        b.keep_steps(steps)
        b.opset = opset
        forget(outputs)
        b.near = True
        try:
            wasm(b, node, inputs, outputs)
        finally:
            b.near = False
    for value in outputs:
        if value is not None:
            # A chain, or a product with a norm, reads scratch memory of this node, which is not written for others.
            b.chains.pop(value.number, None)
            b.layer_norms.pop(value.number, None)
            b.takers.pop(value.number, None)


@dataclass(frozen=True)
class SessionKernels:
    """What runs sessions on a GPU (sessions.py). lowerings: of operators that read a past in pages. product: as GpuBuilder.row_product."""

    lowerings: dict[str, GpuLowering]
    product: RowProduct


class GpuMachine:
    """One model's machine. `crossings`: of the plan made last. reasons: why nodes of it run on WASM, by operator."""

    def __init__(self, wasm: WasmMachine, gpu: Gpu, memory: GpuMemory) -> None:
        self.wasm: WasmMachine = wasm
        self.gpu: Gpu = gpu
        self.memory: GpuMemory = memory
        self.crossings: Crossings | None = None
        self.reasons: dict[str, str] = {}
        self.pages: GpuPages | None = None
        self.turns: Turnstile = Turnstile()
        # Once it has sessions: their side of the GPU.
        self.sessions: SessionKernels | None = None

    def lowering(self, key: str) -> Lowering | None:
        wasm = self.wasm.lowering(key)
        gpu = GPU_LOWERINGS.get(key)
        cached = None if self.sessions is None else self.sessions.lowerings.get(key)
        if wasm is None and gpu is None and cached is None:
            return None

        def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
            if isinstance(b, GpuBuilder) and not b.near:
                in_pages = reads_pages(inputs)
                # What else reads a past that lies in pages has no result that is wanted, or the planner says so.
                chosen = cached if in_pages else gpu
                reason = NO_KERNEL if chosen is None else self._refusal(chosen, b, node, inputs, outputs)
                if reason == '':
                    return
                if reason is not None and len(b.steps) == 0:
                    self.reasons[key] = reason
                if in_pages and cached is not None:
                    raise b.unsupported(NOT_TAKEN)
                if reason is None and wasm is not None and self._evaluated(b, node, inputs, outputs, wasm):
                    return
            if wasm is None:
                raise b.unsupported('the GPU cannot run it with these types and shapes, and WASM has no such operator')
            if isinstance(b, GpuBuilder):
                lower_near(b, node, inputs, outputs, wasm)
            else:
                wasm(b, node, inputs, outputs)

        return lower

    def _refusal(self, gpu: GpuLowering, b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> str | None:
        """'' if the GPU takes the node, which is then lowered; else why not. None: it is to be computed while planning."""
        if is_eager(inputs, outputs) and not self._reads_far(inputs):
            return None
        for value in inputs + outputs:
            if value is None or value.root().literal is not None or value.root().cache >= 0:
                continue
            if kind_of(value) == '':
                return NO_TYPE
            if gpu_size(value) > b.features.binding and value.root().initializer == '':
                return TOO_LARGE
        wishes = len(b.reuses)
        steps = len(b.steps)
        taken = gpu(b, node, inputs, outputs)
        # In place is not for the GPU: a kernel binds what it reads and what it writes apart.
        b.reuses = b.reuses[:wishes]
        large = False
        for step in b.steps[steps:]:
            if isinstance(step, Dispatch):
                for bound in step.bindings():
                    large = large or gpu_size(bound) > b.features.binding
        if taken and not large:
            return ''
        b.keep_steps(steps)
        forget(outputs)
        return TOO_LARGE if large else NOT_TAKEN

    def _evaluated(self, b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None], wasm: Lowering) -> bool:
        """Compute what is constant within an operator made of others, so that it stays no step on WASM. False: it gives the node's own output."""
        for value in outputs:
            if value is not None and value not in b.scratches:
                return False
        steps = b.steps
        scratches = b.scratches
        b.steps = []
        b.scratches = []
        wasm(b, node, inputs, outputs)
        self.evaluate(b, outputs)
        b.steps = steps
        b.scratches = [value for value in scratches if value not in outputs]
        return True

    def _reads_far(self, inputs: list[Value | None]) -> bool:
        for value in inputs:
            if value is not None and self.is_far(value.root()):
                return True
        return False

    def is_far(self, root: Value) -> bool:
        """Whether a constant is on the GPU alone."""
        return root.constant and root.initializer in self.memory.weights and root.address == 0

    def initializer(self, key: str) -> Value:
        value = self.wasm.initializer(key)
        value.half = key in self.memory.halves
        return value

    def evaluate(self, b: StepBuilder, outputs: list[Value | None]) -> bool:
        for step in b.steps:
            if isinstance(step, Dispatch):
                return False
            for word in step.words:
                if isinstance(word, Pointer) and self.is_far(word.value.root()):
                    return False
        return self.wasm.evaluate(b, outputs)

    def convert(self, b: StepBuilder, source: Value, target: Value) -> None:
        self.wasm.convert(b, source, target)

    def share(self, groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], b: StepBuilder) -> Shared:
        self.crossings = cross(groups, inputs, outputs, b.faults if isinstance(b, GpuBuilder) else None, b)
        return Shared(self.crossings.groups, [], self.crossings.inputs, self.crossings.outputs)

    def read_ints(self, value: Value) -> list[int]:
        return self.wasm.read_ints(value)

    def read_floats(self, value: Value) -> list[float]:
        return self.wasm.read_floats(value)

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        return self.wasm.packed(form, inputs)
