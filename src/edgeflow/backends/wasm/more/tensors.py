"""Tensors of an interpreted run. They lie in the engine's memory; those of strings hold the strings' numbers.

Each operator runs at once, on the same lowerings and kernels as in a plan, whose constants these tensors are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_of, copy_bytes, new_bytes
from edgeflow.host.port import Bytes, NumericArray
from edgeflow.ir.graph import Attribute, Node
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.planner import SHAPE_OPS, lower_node, memory_dtype, new_outputs, set_shape
from edgeflow.plan.values import Value

# Opset of what operators are made of.
OPSET = 21


# Operators that move elements, or compare them, whatever they are.
TEXT_OPS: list[str] = [
    'Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose', 'Concat', 'Split', 'Slice', 'Expand', 'Tile', 'Where', 'Equal',
    'Gather', 'GatherElements', 'GatherND', 'Scatter', 'ScatterElements', 'ScatterND', 'Compress', 'ReverseSequence', 'Shape', 'Size',
]


class Tensors:
    """Owns the memory of one run's tensors."""

    def __init__(self, machine: WasmMachine) -> None:
        self._machine: WasmMachine = machine
        self._b: StepBuilder = StepBuilder(machine)
        self._placed: list[Value] = []
        self._texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self.fresh: int = 0

    def compute(self, node: Node, opset: int, inputs: list[Value | None]) -> list[Value | None]:
        """The outputs of a node. Strings are moved and compared by their numbers."""
        b = self._b
        b.begin(node, opset)
        b.reuses = []
        textual = False
        given: list[Value | None] = []
        for value in inputs:
            if value is not None and value.dtype == 'string':
                textual = True
                given.append(self._as(value, 'int32', value.shape))
            else:
                given.append(value)
        key = node.key()
        if textual and (key not in TEXT_OPS or node.attributes.get('reduction', 'none') != 'none'):
            raise EdgeflowError('invalid-graph', f'{b.where()}: expected numbers; got strings', {'op': key, 'node': node.name})
        outputs = new_outputs(node, opset, given, b)
        if key in SHAPE_OPS:
            set_shape(node, given[0], outputs[0])
            return outputs
        lower = self._machine.lowering(key)
        if lower is None:
            raise b.unsupported('no backend has this operator')
        lower_node(lower, b, node, given, outputs)
        for value in outputs:
            if value is not None and value.base is None and value.literal is None:
                self._place(value)
        self._machine.engine.run_now(b, b.where())
        if textual:
            for value in outputs:
                if value is not None and value.dtype == 'int32':
                    value.dtype = 'string'
        return outputs

    def apply(self, op: str, inputs: list[Value | None], attributes: dict[str, Attribute] | None = None) -> Value:
        """The first output of an operator of ai.onnx."""
        found = self.compute(Node(op, '', '', [], ['y'], {} if attributes is None else attributes), OPSET, inputs)[0]
        if found is None:
            raise self._b.unsupported('it has no output')
        return found

    def raw(self, dtype: str, shape: list[int], data: NumericArray) -> Value:
        """A tensor of these numbers, as it lies in memory: float16 as float32."""
        value = self._b.new_value('', dtype, shape)
        self._place(value)
        self._machine.engine.upload(value.address, array_bytes(data))
        held = memory_dtype(dtype)
        return value if held == dtype else self.converted(value, held)

    def make(self, dtype: str, shape: list[int], numbers: Sequence[float]) -> Value:
        """A tensor of these numbers."""
        return self.raw(dtype, shape, array_of(dtype, numbers))

    def make_texts(self, shape: list[int], texts: list[str]) -> Value:
        """A tensor of strings."""
        numbers: list[int] = []
        for text in texts:
            number = self._numbers.get(text, -1)
            if number < 0:
                number = len(self._texts)
                self._numbers[text] = number
                self._texts.append(text)
            numbers.append(number)
        value = self.make('int32', shape, numbers)
        value.dtype = 'string'
        return value

    def converted(self, source: Value, dtype: str) -> Value:
        """Between the 16-bit floats of the model's border and float32."""
        target = self._b.new_value(source.name, dtype, source.shape)
        self._place(target)
        self._b.begin(Node('Cast', '', source.name, [], []), 1)
        self._machine.convert(self._b, source, target)
        self._machine.engine.run_now(self._b, 'Cast')
        return target

    def contents(self, source: Value) -> Bytes:
        """A copy of the bytes of a tensor."""
        data = new_bytes(source.size)
        if source.size > 0:
            copy_bytes(data, 0, self._machine.engine.read_bytes(source))
        return data

    def reshaped(self, source: Value, shape: list[int]) -> Value:
        """The same elements in another shape."""
        return self._as(source, source.dtype, shape)

    def ints(self, value: Value) -> list[int]:
        """The elements of a tensor of whole numbers."""
        return self._machine.read_ints(value)

    def numbers(self, value: Value) -> list[float]:
        """The elements of a tensor of numbers; of bools 0 and 1."""
        return self._machine.read_floats(value) if value.dtype[:5] == 'float' else cast('list[float]', self.ints(value))

    def exact(self, value: Value) -> list[float]:
        """As numbers(), but two for an integer of 64 bits: the high half and the low one."""
        if value.dtype != 'int64' and value.dtype != 'uint64':
            return self.numbers(value)
        low = self.ints(self._as(value, 'uint32', [value.count(), 2]))
        high = self.ints(self._as(value, 'int32' if value.dtype == 'int64' else 'uint32', [value.count(), 2]))
        halves: list[float] = []
        for i in range(0, len(low), 2):
            halves.append(high[i + 1])
            halves.append(low[i])
        return halves

    def strings(self, value: Value) -> list[str]:
        """The elements of a tensor of strings."""
        if value.dtype != 'string':
            raise EdgeflowError('invalid-graph', f"expected strings; got {value.dtype} ('{value.name}')", {'expected': 'string', 'got': value.dtype})
        return [self._texts[number] for number in self.ints(self._as(value, 'int32', value.shape))]

    def _as(self, source: Value, dtype: str, shape: list[int]) -> Value:
        """The same memory as another tensor."""
        view = self._b.new_value(source.name, dtype, shape)
        self._b.alias(view, source)
        return view

    def _place(self, value: Value) -> None:
        self._machine.engine.place(value)
        self._placed.append(value)
        self.fresh = self.fresh + value.size

    def count(self) -> int:
        """How many tensors have memory."""
        return len(self._placed)

    def keep_only(self, used: set[int]) -> int:
        """Free all tensors whose numbers are not among `used`; the bytes of the others."""
        kept: list[Value] = []
        total = 0
        for value in self._placed:
            if value.number in used:
                kept.append(value)
                total = total + value.size
            else:
                self._machine.engine.heap.free(value.address)
        self._placed = kept
        self.fresh = 0
        return total

    def end(self) -> None:
        """Free everything: the run is over."""
        self.keep_only(set())
        self._texts = []
        self._numbers = {}
