"""Chains: operators that make each element of their output out of single elements of their inputs, in one dispatch.

A chain is a list of steps for one element: loads of operands at strides, and WGSL expressions of earlier steps. Broadcasting, transposing,
slicing and expanding are strides of the loads; picking by index is a load whose place depends on other steps. A chain that only one
other chain reads becomes part of it, so what is fused is found while planning: the kernel of the first is not run then, since
nobody reads its output any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.wasm.strides import row_major
from edgeflow.ir.graph import Graph
from edgeflow.plan.values import Value

# More steps make a kernel's compilation slow rather than its run fast.
MOST_OPS = 40


@dataclass(frozen=True)
class Read:
    """Where an operand is read: element `offset + sum(place[i] * strides[i])` of `value`; without a value it is that number itself."""

    value: Value | None
    offset: int
    strides: list[int]


@dataclass(frozen=True)
class Op:
    """A step. type: 'F' (float), 'I' (int), 'U' (unsigned), 'B' (bool) of its result.

    text: WGSL with %0, %1 ... for the results of the steps `arguments` and @0 (real) or #0 (whole) ... for `numbers`, words of 32 bits.
    A load has no text but an operand `read`; `spans` then says by stride and dim how each argument, an index, moves its place.
    """

    text: str
    type: str
    arguments: list[int]
    numbers: list[int]
    read: int = -1
    spans: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class View:
    """How the dims of a chain are seen from another: dim i is `axes[i]` of the chain (-1: none, the elements repeat) by `steps[i]`,
    starting at `starts[axis]`."""

    axes: list[int]
    steps: list[int]
    starts: list[int]


class Chain:
    """The steps for each element of a tensor of `shape`. What was added last gives the element: step `result`."""

    def __init__(self, shape: list[int]) -> None:
        self.shape: list[int] = shape
        self.reads: list[Read] = []
        self.ops: list[Op] = []
        self.result: int = -1
        # Where steps that pick elements report an index out of range (GpuBuilder.fault): for the node that they came from.
        self.faults: dict[int, int] = {}
        self.output: Value | None = None

    def read(self, value: Value | None, offset: int, strides: list[int]) -> int:
        """The number of this operand."""
        for i in range(len(self.reads)):
            known = self.reads[i]
            if known.value is value and known.offset == offset and known.strides == strides:
                return i
        self.reads.append(Read(value, offset, strides))
        return len(self.reads) - 1

    def op(self, text: str, type: str, arguments: list[int], numbers: list[int] | None = None) -> int:
        """Add a step; returns its number."""
        return self._add(Op(text, type, arguments, [] if numbers is None else numbers))

    def load(self, value: Value | None, type: str, offset: int, strides: list[int], indices: list[int] | None = None,
             spans: list[int] | None = None) -> int:
        """Add a load; returns its number."""
        return self._add(Op('', type, [] if indices is None else indices, [], self.read(value, offset, strides), [] if spans is None else spans))

    def _add(self, op: Op) -> int:
        for i in range(len(self.ops)):
            known = self.ops[i]
            if (known.text == op.text and known.read == op.read and known.type == op.type and known.arguments == op.arguments
                    and known.numbers == op.numbers and known.spans == op.spans):
                self.result = i
                return i
        self.ops.append(op)
        self.result = len(self.ops) - 1
        return self.result

    def append(self, other: Chain, view: View) -> int:
        """Add the steps of another chain, whose dims are seen through `view`; returns the number of its result."""
        numbers: list[int] = []
        for number in range(len(other.ops)):
            op = other.ops[number]
            arguments = [numbers[i] for i in op.arguments]
            if op.read < 0:
                numbers.append(self._add(Op(op.text, op.type, arguments, op.numbers)))
                continue
            read = other.reads[op.read]
            offset = read.offset
            for i in range(len(view.starts)):
                offset = offset + view.starts[i] * read.strides[i]
            strides: list[int] = []
            for i in range(len(view.axes)):
                strides.append(0 if view.axes[i] < 0 else read.strides[view.axes[i]] * view.steps[i])
            numbers.append(self.load(read.value, op.type, offset, strides, arguments, op.spans))
            if number in other.faults:
                self.faults[numbers[number]] = other.faults[number]
        self.result = numbers[other.result]
        return self.result

    def values(self) -> list[Value]:
        """The values that are read, each once."""
        values: list[Value] = []
        for read in self.reads:
            value = read.value
            if value is not None and value not in values:
                values.append(value)
        return values


def count_uses(graph: Graph, uses: dict[str, int]) -> None:
    """Add how often the nodes and outputs of a graph and its subgraphs read each value."""
    for node in graph.nodes:
        for name in node.inputs:
            uses[name] = uses.get(name, 0) + 1
        for value in node.attributes.values():
            if isinstance(value, Graph):
                count_uses(value, uses)
    for info in graph.outputs:
        uses[info.name] = uses.get(info.name, 0) + 1


def broadcast_view(shape: list[int], to: list[int]) -> View:
    """A tensor of `shape` as if it had the shape `to`."""
    lead = len(to) - len(shape)
    axes: list[int] = []
    for i in range(len(to)):
        axes.append(-1 if i < lead or shape[i - lead] == 1 else i - lead)
    return View(axes, [1] * len(to), [0] * len(shape))


def strides_through(view: View, shape: list[int]) -> list[int]:
    """Strides of a contiguous tensor of `shape` seen through `view`."""
    strides = row_major(shape)
    return [0 if view.axes[i] < 0 else strides[view.axes[i]] * view.steps[i] for i in range(len(view.axes))]


def offset_through(view: View, shape: list[int]) -> int:
    """The place, in elements, where a view of a contiguous tensor of `shape` starts."""
    strides = row_major(shape)
    offset = 0
    for i in range(len(shape)):
        offset = offset + view.starts[i] * strides[i]
    return offset
