"""Operators made of other operators: while a node is lowered, those write their steps into it, and what they give lies in scratch memory."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.wasm.strides import copy_steps
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Attribute, Node
from edgeflow.ir.ops.table import infer_types
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.planner import memory_dtype
from edgeflow.plan.values import Value

# Of the operators of which others are made: axes and pads of most are inputs.
OPSET = 24


class Composer:
    """Lowers operators one after the other within the node that `b` is lowering. They are named as Node.key() does."""

    def __init__(self, b: StepBuilder) -> None:
        self.b: StepBuilder = b

    def op(self, op: str, inputs: list[Value | None], attributes: dict[str, Attribute] | None = None, into: Value | None = None) -> Value:
        """The (first) output of an operator. into: where it shall be."""
        return self.ops(op, inputs, attributes, 1, into)[0]

    def ops(self, op: str, inputs: list[Value | None], attributes: dict[str, Attribute] | None, count: int, into: Value | None = None) -> list[Value]:
        """The first `count` outputs."""
        b = self.b
        at = op.rfind(':')
        node = Node(op[at + 1:], op[:max(0, at)], '', ['x'] * len(inputs), ['y'] * count, attributes if attributes is not None else {})
        opset = b.opset
        b.opset = OPSET
        types = infer_types(context_of(b, node, inputs))
        outputs: list[Value] = []
        passed: list[Value | None] = []
        for i in range(count):
            value = into if i == 0 and into is not None else self.value(types[i].dtype, types[i].shape)
            outputs.append(value)
            passed.append(value)
        b.lowering(op)(b, node, inputs, passed)
        b.opset = opset
        if into is not None:
            self._settle(into)
        return outputs

    def value(self, dtype: str, shape: list[int]) -> Value:
        """Scratch memory for a tensor."""
        return self.b.typed_scratch(memory_dtype(dtype), shape)

    def ints(self, values: list[int]) -> Value:
        """A constant list."""
        return self.b.int64s(values)

    def reals(self, values: list[float], shape: list[int]) -> Value:
        """A constant float32 tensor."""
        b = self.b
        table = b.new_value('reals', 'int32', [len(values)])
        table.constant = True
        table.literal = [b.real(x) for x in values]
        value = b.new_value('reals', 'float32', shape)
        b.alias(value, table)
        return value

    def real(self, x: float, dtype: str = 'float32') -> Value:
        """A constant scalar of a float type, exact to float32."""
        return self.cast(self.reals([x], []), dtype)

    def whole(self, x: int, dtype: str = 'int64') -> Value:
        """A constant scalar of an integer type."""
        value = self.reshaped(self.ints([x]), [])
        return value if dtype == 'int64' else self.cast(value, dtype)

    def number(self, x: float, dtype: str) -> Value:
        """A constant scalar of any type."""
        return self.real(x, dtype) if dtype.startswith('float') else self.whole(int(x), dtype)

    def cast(self, value: Value, dtype: str) -> Value:
        return value if value.dtype == memory_dtype(dtype) else self.op('Cast', [value], {'to': DTYPE_CODES[dtype]})

    def reshaped(self, value: Value, shape: list[int]) -> Value:
        """The same elements as another shape."""
        view = self.b.new_value('view', value.dtype, shape)
        self.b.alias(view, value)
        return view

    def copied(self, value: Value) -> Value:
        """The same elements in scratch memory, where they may be changed."""
        copy = self.value(value.dtype, value.shape)
        self._copy(value, copy)
        return copy

    def transposed(self, value: Value, perm: list[int], into: Value | None = None) -> Value:
        return self.op('Transpose', [value], {'perm': perm}, into)

    def sliced(self, value: Value, axis: int, start: int, end: int, into: Value | None = None, step: int = 1) -> Value:
        """From `start` to `end` (excluded) along one axis."""
        return self.op('Slice', [value, self.ints([start]), self.ints([end]), self.ints([axis]), self.ints([step])], None, into)

    def joined(self, parts: list[Value | None], axis: int, into: Value | None = None) -> Value:
        return self.op('Concat', parts, {'axis': axis}, into)

    def give(self, value: Value, output: Value | None) -> None:
        """Make what was computed the node's output."""
        if output is not None:
            self.b.alias(output, value)
            self._settle(output)

    def _settle(self, output: Value) -> None:
        """An output must not lie in scratch memory, which ends with the node, nor be a literal, which lies behind a tape."""
        base = output.base
        if base is not None and (output.root() in self.b.scratches or output.root().literal is not None):
            source = self.b.new_value('view', output.dtype, output.shape)
            self.b.alias(source, base, output.base_offset)
            output.base = None
            output.base_offset = 0
            output.constant = False
            self._copy(source, output)

    def _copy(self, source: Value, output: Value) -> None:
        node = Node('Copy', 'edgeflow', '', ['x'], ['y'])
        self.b.lowering(node.key())(self.b, node, [source], [output])


def lower_copy(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    output = given(b, outputs)
    copy_steps(b, 1, b.pointer(given(b, inputs)), b.pointer(output), [output.size], [1], [1])


# Only for what is lowered here: no pass makes it, and a model that has it is told that it is unknown.
COMPOSED_LOWERINGS: dict[str, Lowering] = {'edgeflow:Copy': lower_copy}
