"""Where the values of a plan lie, WASM or GPU, and the copies between them.

A value on the GPU is another Value than the one that lowerings know: its twin, which is `far`. A node runs where its steps are made
for; what it reads from the other side is copied there once, as a whole, right before the first node that needs it.
"""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import Dispatch
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value, Word

UPLOAD = 'upload'
DOWNLOAD = 'download'


class Crossing(Step):
    """A copy of a whole value; `words` point to it in WASM memory and on the GPU. kernel: UPLOAD or DOWNLOAD."""


class Crossings:
    """A plan's groups with the copies among them.

    inputs, outputs: where those of the plan lie; an input may lie on both sides.
    """

    def __init__(self, b: StepBuilder) -> None:
        self._b: StepBuilder = b
        self.groups: list[NodeSteps] = []
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        # Twins by the number of the value in WASM memory, and the other way round.
        self.twins: dict[int, Value] = {}
        self.origins: dict[int, Value] = {}
        # On which sides a value is at this point of the plan, by the number of its root.
        self._near: set[int] = set()
        self._far: set[int] = set()
        self._given: dict[int, Value] = {}

    def twin(self, value: Value) -> Value:
        """The value on the GPU that is the same as `value`."""
        found = self.twins.get(value.number)
        if found is not None:
            return found
        made = self._b.new_value(value.name, value.dtype, value.shape)
        made.far = True
        made.constant = value.constant
        made.initializer = value.initializer
        made.half = value.half
        if value.base is not None:
            made.base = self.twin(value.base)
            made.base_offset = value.base_offset
        self.twins[value.number] = made
        self.origins[made.number] = value
        return made

    def begin(self, inputs: list[Value]) -> None:
        """The inputs of a run come from outside to wherever they are needed."""
        for value in inputs:
            self._given[value.number] = value

    def add(self, group: NodeSteps) -> None:
        """The next group, and before it what it needs."""
        on_gpu = len(group.steps) > 0 and isinstance(group.steps[0], Dispatch)
        for step in group.steps:
            for word in step.words:
                if isinstance(word, Pointer):
                    self._bring(word.value.root(), on_gpu)
        if on_gpu:
            group = NodeSteps(group.node, [self.twin(value) for value in group.outputs], [self._there(step) for step in group.steps])
        self.groups.append(group)

    def wrote(self, outputs: list[Value], on_gpu: bool) -> None:
        """These were written on one side, so what the other has is of old."""
        for value in outputs:
            number = value.root().number
            if value.base is not None and (number in self._near or number in self._far or number in self._given or value.root().constant):
                # A view of what was there before.
                continue
            (self._far if on_gpu else self._near).add(number)
            (self._near if on_gpu else self._far).discard(number)

    def end(self, outputs: list[Value]) -> None:
        """Where the outputs are read from."""
        for value in outputs:
            root = value.root()
            if root.number in self._far:
                self.outputs.append(self.twin(value))
            else:
                self._bring(root, False)
                self.outputs.append(value)

    def _bring(self, root: Value, on_gpu: bool) -> None:
        here = self._far if on_gpu else self._near
        if root.constant or root.number in here:
            return
        if root.number in self._given:
            here.add(root.number)
            self.inputs.append(self.twin(root) if on_gpu else root)
        elif root.number in (self._near if on_gpu else self._far):
            here.add(root.number)
            words: list[Word] = [Pointer(root, 0), Pointer(self.twin(root), 0)]
            node = Node('Copy', '', root.name, [], [])
            self.groups.append(NodeSteps(node, [self.twin(root) if on_gpu else root], [Crossing(UPLOAD if on_gpu else DOWNLOAD, words)]))

    def _there(self, step: Step) -> Step:
        """The dispatch with the twins of what it binds."""
        if not isinstance(step, Dispatch):
            return step
        words: list[Word] = [Pointer(self.twin(value), 0) for value in step.bindings()]
        return Dispatch(step.kernel, words, step.parameters, step.groups, step.constants, step.code)


def cross(groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], faults: Value | None, b: StepBuilder) -> Crossings:
    """The groups of a plan with copies wherever a value is needed on the other side.

    faults: builder.fault_flags(), which is on the GPU from the beginning to the end; the last of the inputs and outputs.
    """
    crossings = Crossings(b)
    crossings.begin(inputs)
    for group in groups:
        crossings.add(group)
        crossings.wrote(group.outputs, len(group.steps) > 0 and isinstance(group.steps[0], Dispatch))
    crossings.end(outputs)
    if faults is not None:
        crossings.inputs.append(crossings.twin(faults))
        crossings.outputs.append(crossings.twin(faults))
    return crossings
