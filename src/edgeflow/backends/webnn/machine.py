"""What the planner needs of WebNN: its lowerings where they take a node, WASM for the rest and for what is computed while planning.

Implements plan.planner.Machine and plan.builder.Constants, most of it by the WasmMachine that every such model has. Each node is lowered for WASM
too: what that finds to be a view of other memory is one here, and small partitions run there (partition.py).
"""

from __future__ import annotations

from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.webnn.device import Nn
from edgeflow.backends.webnn.emitter import TYPES, Emission, Emitter, NnLowering, NnStepBuilder
from edgeflow.backends.webnn.lowerings import NN_LOWERINGS
from edgeflow.backends.webnn.partition import Division, divide, name_of
from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.planner import is_eager
from edgeflow.plan.stretches import Shared
from edgeflow.plan.values import NodeSteps, Step, Value, forget

NO_OPERATOR = 'WebNN has no such operator'


class NnMachine:
    """One model's machine. division: of the plan made last; reasons: why nodes of it run on WASM, by operator.
    refused: nodes that WebNN took and could not compile, by partition.name_of(), with its words."""

    def __init__(self, wasm: WasmMachine, nn: Nn) -> None:
        self.wasm: WasmMachine = wasm
        self.nn: Nn = nn
        self.division: Division | None = None
        self.reasons: dict[str, str] = {}
        self.refused: dict[str, str] = {}

    def lowering(self, key: str) -> Lowering | None:
        wasm = self.wasm.lowering(key)
        if wasm is None:
            return None

        def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
            if not isinstance(b, NnStepBuilder) or b.near:
                wasm(b, node, inputs, outputs)
                return
            opset = b.opset
            failed: EdgeflowError | None = None
            b.near = True
            try:
                wasm(b, node, inputs, outputs)
            except EdgeflowError as error:
                if error.code != 'unsupported-op':
                    raise
                failed = error
                b.steps = []
                forget(outputs)
            finally:
                b.near = False
            b.opset = opset
            if failed is None and (len(b.steps) == 0 or is_eager(inputs, outputs)):
                return
            reason = self._offer(b, key, node, inputs, outputs, None if failed is not None else b.steps)
            if reason != '':
                self.reasons[key] = reason
                if failed is not None:
                    raise failed

        return lower

    def _offer(
        self, b: NnStepBuilder, key: str, node: Node, inputs: list[Value | None], outputs: list[Value | None], near: list[Step] | None,
    ) -> str:
        """'' if WebNN takes the node: its step is then the builder's only one. Else why not."""
        nn = NN_LOWERINGS.get(key)
        if nn is None:
            return NO_OPERATOR
        refused = self.refused.get(name_of(node), '')
        return refused if refused != '' else take(b, nn, node, inputs, outputs, near)

    def initializer(self, key: str) -> Value:
        return self.wasm.initializer(key)

    def evaluate(self, b: StepBuilder, outputs: list[Value | None]) -> bool:
        if len(b.steps) > 0:
            step = b.steps[0]
            if isinstance(step, Emission):
                # WASM finds now that its result is no larger than what it is made of.
                if step.near is None:
                    return False
                b.steps = step.near
        return self.wasm.evaluate(b, outputs)

    def convert(self, b: StepBuilder, source: Value, target: Value) -> None:
        self.wasm.convert(b, source, target)
        if isinstance(b, NnStepBuilder):
            reason = take(b, NN_LOWERINGS['Cast'], Node('Cast', '', '', [], []), [source], [target], b.steps)
            if reason != '':
                self.reasons['Cast'] = reason

    def share(self, groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], b: StepBuilder) -> Shared:
        division = divide(groups, inputs, outputs)
        self.division = division
        return Shared(division.groups, [], division.near_inputs, division.near_outputs)

    def read_ints(self, value: Value) -> list[int]:
        return self.wasm.read_ints(value)

    def read_floats(self, value: Value) -> list[float]:
        return self.wasm.read_floats(value)

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        return self.wasm.packed(form, inputs)


def take(b: NnStepBuilder, nn: NnLowering, node: Node, inputs: list[Value | None], outputs: list[Value | None], near: list[Step] | None) -> str:
    """Lower a node for WebNN: '' and the builder has its step, or why not."""
    roots: list[Value] = []
    for value in inputs:
        if value is not None:
            roots.append(value.root())
    for value in inputs + outputs:
        if value is None:
            continue
        if value.dtype not in TYPES:
            return f'WebNN does not know the type {value.dtype}'
        if value.count() == 0:
            return 'an empty tensor'
        if value in outputs and value.base is not None and value.root() not in roots:
            return 'a result in the memory of another'
    e = Emitter(b)
    try:
        nn(e, node, inputs, outputs)
    except EdgeflowError as error:
        if error.code != 'unsupported-op':
            raise
        return error.message
    for value in outputs:
        if value is not None and value.base is None and not e.has(value):
            return 'WebNN does not give all of its outputs'
    b.steps = [e.step(near)]
    return ''
