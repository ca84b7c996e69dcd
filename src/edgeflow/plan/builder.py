"""StepBuilder: what a lowering writes its kernel calls into.

A lowering is `def lower_x(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None`.
`inputs` and `outputs` stand in the node's order, None where left out (`at(inputs, 2)` when the list may be shorter).
Shapes are concrete. The same lowering serves steps of the plan and constants that are computed while planning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import float_bits
from edgeflow.ir.graph import Node
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value, Word


class Constants(Protocol):
    """What the engine tells about constants while planning."""

    def read_ints(self, value: Value) -> list[int]: ...

    def read_floats(self, value: Value) -> list[float]: ...

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None: ...

    def lowering(self, key: str) -> Lowering | None: ...


@dataclass(frozen=True)
class PackedForm:
    """How a kernel wants weights. Lowerings ask for it by StepBuilder.packed; FORMS in backends/wasm/lowerings.py tells the
    loader, so that weights are packed at load and their plain copies are not kept where no node reads them.

    key: unique among the forms of the first source. sources: the inputs of the node that are packed, the weight first.
    size: bytes. pack: writes the steps that make it: pack(b, inputs, target).
    """

    key: str
    sources: list[int]
    size: int
    pack: Callable[[StepBuilder, list[Value | None], Value], None]


@dataclass(frozen=True)
class CacheLayout:
    """Where the keys and values of sessions lie: pages that hold PAGE keys of all layers (wasm/cached_attention.c).

    table: the rows of the batch that runs, at a fixed address. offsets: where the keys and values of each past input begin in
    a page, in bytes (on a GPU in pairs of elements), by Value.cache, and names: those numbers by the names of the inputs. capacity: the most keys that a row of this plan can see.
    pool: on a GPU, what all pages lie in.
    """

    table: Value
    names: dict[str, int]
    offsets: list[int]
    capacity: int
    pool: Value


class StepBuilder:
    """Collects the steps, views and reuse wishes of the nodes of one plan."""

    def __init__(self, constants: Constants) -> None:
        self._constants = constants
        self._numbers: int = 0
        self.node: Node | None = None
        self.opset: int = 1
        self.cache: CacheLayout | None = None
        self.steps: list[Step] = []
        # Of this node, what end_part() has ended.
        self.parts: list[NodeSteps] = []
        self.scratches: list[Value] = []
        # What other nodes may read beside the outputs, and how many of the steps make it: they stay if only it is needed.
        self.halfway: list[tuple[Value, int]] = []
        self.reuses: list[tuple[Value, Value]] = []

    def new_value(self, name: str, dtype: str, shape: list[int]) -> Value:
        """A value with the next number. For the planner; lowerings use scratch()."""
        self._numbers = self._numbers + 1
        return Value(self._numbers, name, dtype, shape)

    def begin(self, node: Node, opset: int) -> None:
        """The planner is about to lower `node`, of version `opset` of its domain: forget the steps of the last one."""
        self.node = node
        self.opset = opset
        self.steps = []
        self.parts = []
        self.scratches = []
        self.halfway = []

    def keep_steps(self, count: int) -> None:
        """Forget this node's steps from `count` on."""
        self.steps = self.steps[:count]
        self.parts = []
        self.halfway = [half for half in self.halfway if half[1] <= count]

    def end_part(self, made: Value) -> None:
        """The steps so far give `made`, and are kept or dropped by themselves."""
        if self.node is not None:
            self.parts.append(NodeSteps(self.node, [made], self.steps))
            self.steps = []

    def step(self, kernel: str, words: list[Word]) -> None:
        """Call `kernel` (its name without `k_`) with these argument words. 'unsupported-op' for a number that 32 bits do not hold."""
        for word in words:
            if not isinstance(word, Pointer) and (word > 4294967295 or word < -2147483648):
                raise self.unsupported(f'it has the number {word}, which its kernel cannot take')
        self.steps.append(Step(kernel, words))

    def pointer(self, value: Value | None, offset: int = 0) -> Word:
        """The address of `value` plus `offset` bytes; 0 for None."""
        if value is None:
            return 0
        return Pointer(value, offset)

    def real(self, x: float) -> int:
        """The bits of `x` as float32, for kernels that take a real number."""
        return float_bits(x)

    def scratch(self, size: int) -> Value:
        """`size` bytes that live only while this node's steps run, 64-byte aligned, contents undefined."""
        return self.typed_scratch('uint8', [size])

    def typed_scratch(self, dtype: str, shape: list[int]) -> Value:
        """As scratch(), for a tensor."""
        value = self.new_value('scratch', dtype, shape)
        self.scratches.append(value)
        return value

    def table(self, words: list[int]) -> Word:
        """A pointer to these int32 numbers, kept with the plan (long lists of strides, dims, permutations)."""
        value = self.new_value('table', 'int32', [len(words)])
        value.constant = True
        value.literal = words
        return Pointer(value, 0)

    def int64s(self, values: list[int]) -> Value:
        """A constant int64 tensor with these elements, kept with the plan."""
        value = self.new_value('int64s', 'int64', [len(values)])
        value.constant = True
        value.literal = values
        return value

    def alias(self, output: Value, source: Value, offset: int = 0) -> None:
        """`output` is a view: it lies in the memory of `source`, `offset` bytes from its start. No step runs."""
        output.base = source
        output.base_offset = offset
        output.constant = source.constant

    def may_reuse(self, output: Value, source: Value | None) -> None:
        """`output` may take the memory of `source` if nobody reads `source` afterwards.

        Say so only where every element is read before, or in the same step as, its place is written: elementwise
        kernels whose `source` has the shape and item size of `output`. Wishes are tried in the order of the calls.
        """
        if source is not None:
            self.reuses.append((output, source))

    def packed(self, form: PackedForm | None, inputs: list[Value | None]) -> Value | None:
        """The node's weights in a kernel's packed form, made once for each model while it loads.

        None if `form` is None or one of its sources is no initializer: then the weights may differ in every run.
        """
        if form is None:
            return None
        return self._constants.packed(form, inputs)

    def ints(self, value: Value) -> list[int]:
        """The elements of a constant integer or bool value; 'unsupported-op' if it depends on data."""
        if not value.constant:
            raise self.unsupported(f"it needs the elements of '{value.name}' while planning, which depend on data")
        return self._constants.read_ints(value)

    def floats(self, value: Value) -> list[float]:
        """The elements of a constant float value; 'unsupported-op' if it depends on data."""
        if not value.constant:
            raise self.unsupported(f"it needs the elements of '{value.name}' while planning, which depend on data")
        return self._constants.read_floats(value)

    def lowering(self, key: str) -> Lowering:
        """The lowering of another operator, for those that are made of several."""
        found = self._constants.lowering(key)
        if found is None:
            raise self.unsupported(f'it is made of {key}, which no backend has')
        return found

    def where(self) -> str:
        """The node being lowered, as messages name it."""
        node = self.node
        return 'no node' if node is None else f"{node.key()} (node '{node.name}')"

    def unsupported(self, reason: str) -> EdgeflowError:
        """The error that says why the node being lowered cannot be; raise it."""
        node = self.node
        return EdgeflowError('unsupported-op', f'{self.where()} cannot run: {reason}',
                             {'op': '' if node is None else node.key(), 'node': '' if node is None else node.name, 'reason': reason})


Lowering = Callable[[StepBuilder, Node, list[Value | None], list[Value | None]], None]
