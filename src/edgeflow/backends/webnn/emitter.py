"""What a WebNN lowering writes its calls of MLGraphBuilder into.

A lowering is `def lower_x(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None`. It asks for the operands of
plan values (e.value), calls the builder (e.call) and says which operand is which output (e.give). What it calls is called at once on a builder
whose graph is never built, with every value as an input: that checks types, ranks and shapes by the browser's own rules (opSupportLimits()
among them) and gives the operands their shapes. A refusal leaves the node to WASM, its words in Placement.reasons. What was written down is
called again on the builder of the partition that the node gets into.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import NnBuilder, NnOperand
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Constants, StepBuilder
from edgeflow.plan.values import Pointer, Step, Value, Word

# The data types of plan values in WebNN, whose bytes are the same.
TYPES: dict[str, str] = {
    'float32': 'float32', 'float16': 'float16', 'int32': 'int32', 'uint32': 'uint32', 'int64': 'int64', 'uint64': 'uint64', 'int8': 'int8',
    'uint8': 'uint8', 'bool': 'uint8', 'int4': 'int8', 'uint4': 'uint8',
}

# What is worth a crossing of its own.
HEAVY: list[str] = ['matmul', 'gemm', 'conv2d', 'convTranspose2d']

# Bytes of a large constant.
BULK = 1048576


@dataclass(frozen=True)
class Operand:
    """A value of the graph: its number among those of the plan."""

    number: int
    dtype: str
    shape: list[int]


@dataclass(frozen=True)
class Call:
    """A call of MLGraphBuilder: `given` and the values of `options` are Operands, lists of them, or what goes as it is. op '': a constant of numbers."""

    op: str
    given: list[object]
    options: dict[str, object]
    results: list[Operand]


@dataclass
class Emission(Step):
    """One node in WebNN. words: pointers to what it reads and writes. values: what operands stand for, by their number. checks: operands whose
    elements are 0 where the data is bad. near: the node's steps on WASM, None if it cannot run there. heavy: whether it is worth a crossing. bulky: whether it reads little of
    a large constant, of which every graph would have a copy."""

    calls: list[Call] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    results: dict[int, Value] = field(default_factory=dict)
    checks: list[Operand] = field(default_factory=list)
    near: list[Step] | None = None
    heavy: bool = False
    bulky: bool = False


class NnStepBuilder(StepBuilder):
    """A StepBuilder whose nodes may also be Emissions. near: what is being lowered is for WASM alone."""

    def __init__(self, constants: Constants, trial: NnBuilder) -> None:
        super().__init__(constants)
        self.trial: NnBuilder = trial
        self.made: dict[int, NnOperand] = {}
        self.near: bool = False


def real_of(x: object, made: dict[int, NnOperand]) -> object:
    """`x` with the builder's operands for ours."""
    if isinstance(x, Operand):
        return made[x.number]
    if isinstance(x, list):
        return [real_of(item, made) for item in x]
    return x


def repeat_call(builder: NnBuilder, call: Call, made: dict[int, NnOperand]) -> list[NnOperand]:
    """Make a call on a builder."""
    options: dict[str, object] = {name: real_of(option, made) for name, option in call.options.items()}
    return builder.call(call.op, [real_of(x, made) for x in call.given], options)


class Emitter:
    """The calls of one node."""

    def __init__(self, b: NnStepBuilder) -> None:
        self.b: NnStepBuilder = b
        self._calls: list[Call] = []
        self._values: dict[int, Value] = {}
        self._operands: dict[int, Operand] = {}
        self._results: dict[int, Value] = {}
        self._checks: list[Operand] = []
        self._heavy: bool = False
        self._bulky: bool = False

    def value(self, value: Value | None) -> Operand:
        """A value of the plan; a view is cut out of the value whose memory it lies in."""
        if value is None:
            raise self.refuse('an input is left out')
        found = self._operands.get(value.number)
        if found is not None:
            return found
        root = value if value.root().constant else value.root()
        if root is value:
            operand = self._given(value)
        elif TYPES.get(root.dtype) != TYPES.get(value.dtype):
            raise self.refuse('a view of another type')
        else:
            operand = self.value(root)
            if root.count() != value.count():
                flat = self.reshape(operand, [root.count()])
                start = value.root_offset() * root.count() // root.size
                operand = self.call('slice', [flat, [start], [value.count()]])
            operand = self.reshape(operand, value.shape)
        self._operands[value.number] = operand
        return operand

    def _given(self, value: Value) -> Operand:
        dtype = TYPES[value.dtype]
        operand = self._operand(dtype, value.shape)
        self._values[operand.number] = value
        self.b.made[operand.number] = self.b.trial.declare(f'v{operand.number}', dtype, value.shape)
        return operand

    def _operand(self, dtype: str, shape: list[int]) -> Operand:
        return Operand(len(self.b.made), dtype, shape)

    def calls(self, op: str, given: list[object], options: dict[str, object] | None = None) -> list[Operand]:
        """What MLGraphBuilder's `op` gives. EdgeflowError 'unsupported-op' where it refuses."""
        call = Call(op, given, {} if options is None else options, [])
        for raw in repeat_call(self.b.trial, call, self.b.made):
            operand = self._operand(raw.data_type, self.b.trial.dims(raw))
            self.b.made[operand.number] = raw
            call.results.append(operand)
        self._calls.append(call)
        self._heavy = self._heavy or op in HEAVY
        return call.results

    def call(self, op: str, given: list[object], options: dict[str, object] | None = None) -> Operand:
        """As calls(), for what gives a single operand."""
        return self.calls(op, given, options)[0]

    def numbers(self, dtype: str, shape: list[int], numbers: list[float]) -> Operand:
        """A constant of these elements, of WebNN's type `dtype`."""
        operand = self._operand(dtype, shape)
        self.b.made[operand.number] = self.b.trial.declare(f'v{operand.number}', dtype, shape)
        given: list[object] = [dtype, shape, numbers]
        self._calls.append(Call('', given, {}, [operand]))
        return operand

    def number(self, like: Operand, x: float) -> Operand:
        """A scalar of the type of `like`."""
        return self.numbers(like.dtype, [], [x])

    def reshape(self, operand: Operand, shape: list[int]) -> Operand:
        """The elements in another shape; a constant is made so at once."""
        if operand.shape == shape:
            return operand
        held = self._values.get(operand.number)
        if held is None or not held.constant:
            return self.call('reshape', [operand, shape])
        view = self.b.new_value(held.name, held.dtype, shape)
        self.b.alias(view, held)
        return self.value(view)

    def give(self, output: Value | None, operand: Operand) -> None:
        """`operand` is this output of the node, whose shape it gets."""
        if output is None or output.base is not None:
            return
        if operand.dtype != TYPES[output.dtype]:
            operand = self.call('cast', [operand, TYPES[output.dtype]])
        if operand.number in self._values or operand.number in self._results:
            operand = self.call('identity', [operand])
        operand = self.reshape(operand, output.shape)
        self._results[operand.number] = output

    def check(self, operand: Operand) -> None:
        """A run fails if an element of this uint8 operand is 0."""
        self._checks.append(self.reshape(operand, [1]))

    def picks(self, table: Value | None, output: Value | None) -> None:
        """The node takes rows of a table."""
        if table is not None and output is not None and table.root().constant and table.size > BULK and output.size * 4 < table.size:
            self._bulky = True

    def has(self, output: Value) -> bool:
        """Whether give() was told of an output."""
        for value in self._results.values():
            if value is output:
                return True
        return False

    def step(self, near: list[Step] | None) -> Emission:
        """All that was written down. near: the node's steps on WASM."""
        words: list[Word] = []
        for value in self._values.values():
            words.append(Pointer(value, 0))
        for value in self._results.values():
            words.append(Pointer(value, 0))
        return Emission('webnn', words, self._calls, self._values, self._results, self._checks, near, self._heavy, self._bulky)

    def refuse(self, reason: str) -> EdgeflowError:
        """What says why the node cannot be; raise it."""
        return EdgeflowError('unsupported-op', reason, {})


NnLowering = Callable[[Emitter, Node, list[Value | None], list[Value | None]], None]
