"""A WebNN for CPython, where there is none: it stands behind the host seam, keeps the rules of the specification and the limits of Chromium's cpu
(limits.json, opSupportLimits() of version 153), and computes graphs with numpy. What breaks a rule that the API would answer with a TypeError is the
'unsupported-op' that browser_webnn.py makes of it; what no caller may do at all (a foreign operand, a freed tensor, an unknown option) fails the test.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from edgeflow.errors import EdgeflowError
from tests.webnn.operations import BOOLEAN, NAMES, OPERATIONS, OPTIONS, SAME

LIMITS: dict[str, dict] = json.loads((Path(__file__).parent / 'limits.json').read_text())


def refused(message: str) -> EdgeflowError:
    return EdgeflowError('unsupported-op', message)


@dataclass(eq=False)
class Operand:
    """compute: its value from those of the graph's inputs, given by the build's memory of what is known."""

    builder: Builder
    data_type: str
    shape: list[int]
    compute: Callable[[dict], np.ndarray]
    is_made: bool = False

    def value(self, known: dict) -> np.ndarray:
        if self not in known:
            known[self] = self.compute(known)
        return known[self]


@dataclass(eq=False)
class Tensor:
    context: Context
    dtype: str
    shape: list[int]
    data: np.ndarray
    freed: bool = False


@dataclass(eq=False)
class Graph:
    context: Context
    inputs: dict[str, Operand]
    outputs: dict[str, Operand]
    destroyed: bool = False

    def destroy(self) -> None:
        assert not self.destroyed
        self.destroyed = True


def check_limit(op: str, name: str, dtype: str, rank: int) -> None:
    types, (least, most) = LIMITS[op][name]
    if dtype not in types or not least <= rank <= most:
        raise refused(f'{op}: {name} is {dtype} of rank {rank}; expected one of {types} of rank {least} to {most}')


@dataclass(eq=False)
class Builder:
    context: Context
    inputs: dict[str, Operand] = field(default_factory=dict)
    built: bool = False
    called: set[str] = field(default_factory=set)

    def declare(self, name: str, dtype: str, shape: list[int]) -> Operand:
        self.context.check()
        assert name not in self.inputs and not self.built
        check_limit('input', '', dtype, len(shape))
        if min(shape, default=1) < 1:
            raise refused('all dimensions should be positive')
        operand = Operand(self, dtype, list(shape), lambda known: known[name])
        self.inputs[name] = operand
        return operand

    def embed(self, dtype: str, shape: list[int], data: memoryview) -> Operand:
        self.context.check()
        check_limit('constant', '', dtype, len(shape))
        array = np.frombuffer(bytes(data), dtype).reshape(shape)
        return Operand(self, dtype, list(shape), lambda known: array)

    def dims(self, operand: Operand) -> list[int]:
        return operand.shape

    def call(self, op: str, given: list, options: dict) -> list[Operand]:
        self.context.check()
        self.called.add(op)
        assert op in OPERATIONS, f'MLGraphBuilder.{op} is not in tests/webnn/operations.py'
        assert options.keys() <= OPTIONS.get(op, set()), f'{op} has no options {sorted(options.keys() - OPTIONS.get(op, set()))}'
        operands = [x for part in given for x in (part if isinstance(part, list) else [part]) if isinstance(x, Operand)]
        others = [x for x in given if not isinstance(x, Operand) and not (isinstance(x, list) and x and isinstance(x[0], Operand))]
        named = {name: x for name, x in options.items() if isinstance(x, Operand)}
        assert all(x.builder is self for x in [*operands, *named.values()]), f'{op}: an operand of another graph'
        names = NAMES.get(op, ['input'])
        names = names * len(operands) if op == 'concat' else names
        for name, x in [*zip(names, operands, strict=True), *named.items()]:
            check_limit(op, name, x.data_type, len(x.shape))
        same = [x.data_type for name, x in zip(names, operands, strict=True) if name in SAME.get(op, names)]
        if len(set(same)) > 1:
            raise refused(f'{op}: operands of {same}')

        def compute(values: list[np.ndarray], of_options: dict[str, np.ndarray]) -> list[np.ndarray]:
            with np.errstate(all='ignore'):
                made = OPERATIONS[op](values, others, {**options, **of_options})
            first = values[0].dtype
            dtype = np.uint8 if op in BOOLEAN else None if op in ('cast', 'argMax', 'argMin') else values[1].dtype if op in ('where', 'dequantizeLinear') else first
            return [np.asarray(x) if dtype is None else np.asarray(x, dtype) for x in (made if isinstance(made, list) else [made])]

        try:
            shapes = compute([np.ones(x.shape, x.data_type) for x in operands], {name: np.ones(x.shape, x.data_type) for name, x in named.items()})
        except (ValueError, AssertionError, IndexError) as error:
            raise refused(f'{op}: {[x.shape for x in operands]} {others} {options}: {error}') from error
        memo = Operand(self, '', [], lambda known: compute([x.value(known) for x in operands], {name: x.value(known) for name, x in named.items()}))
        results = [Operand(self, x.dtype.name, list(x.shape), lambda known, i=i: memo.value(known)[i], True) for i, x in enumerate(shapes)]
        for result in results:
            check_limit(op, 'outputs' if op == 'split' else 'output', result.data_type, len(result.shape))
        return results

    async def build(self, outputs: dict[str, Operand]) -> Graph:
        self.context.check()
        assert not self.built and outputs
        self.built = True
        for operand in outputs.values():
            assert operand.builder is self and operand.is_made, 'an input or a constant is no output'
        if self.called & self.context.uncompiled:
            raise EdgeflowError('internal', f'WebNN fails: {sorted(self.called & self.context.uncompiled)}')
        assert len({id(x) for x in outputs.values()}) == len(outputs), 'an operand is an output twice'
        graph = Graph(self.context, self.inputs, outputs)
        self.context.graphs.append(graph)
        return graph


@dataclass(eq=False)
class Context:
    on_lost: Callable[[str], None]
    device_type: str = ''
    lost: bool = False
    graphs: list[Graph] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    # Operators that no graph with them can be compiled with.
    uncompiled: set[str] = field(default_factory=set)
    # 'dispatch' and 'read', in order.
    events: list[str] = field(default_factory=list)

    def check(self) -> None:
        if self.lost:
            raise EdgeflowError('device-lost', 'the WebNN context was lost')

    def sketch(self) -> Builder:
        self.check()
        return Builder(self)

    async def buffer(self, dtype: str, shape: list[int]) -> Tensor:
        self.check()
        tensor = Tensor(self, dtype, list(shape), np.zeros(shape, dtype))
        self.tensors.append(tensor)
        return tensor

    def free(self, tensor: Tensor) -> None:
        assert not tensor.freed
        tensor.freed = True

    def write(self, tensor: Tensor, data: memoryview) -> None:
        self.check()
        assert not tensor.freed and len(bytes(data)) == tensor.data.nbytes
        tensor.data = np.frombuffer(bytes(data), tensor.dtype).reshape(tensor.shape)

    def submit(self, graph: Graph, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        self.check()
        assert not graph.destroyed and inputs.keys() == graph.inputs.keys() and outputs.keys() == graph.outputs.keys()
        tensors = [*inputs.values(), *outputs.values()]
        assert not any(tensor.freed for tensor in tensors) and len({id(tensor) for tensor in tensors}) == len(tensors)
        for named, operands in ((inputs, graph.inputs), (outputs, graph.outputs)):
            for name, tensor in named.items():
                assert (tensor.dtype, tensor.shape) == (operands[name].data_type, operands[name].shape)
        self.events.append('dispatch')
        known: dict = {name: tensor.data for name, tensor in inputs.items()}
        for name, tensor in outputs.items():
            tensor.data = graph.outputs[name].value(known)

    async def read(self, tensors: list[Tensor]) -> list[memoryview]:
        self.check()
        assert not any(tensor.freed for tensor in tensors)
        self.events.append('read')
        return [memoryview(bytearray(np.ascontiguousarray(tensor.data).tobytes())) for tensor in tensors]

    def destroy(self) -> None:
        self.lost = True
        self.on_lost('destroyed')

    def alive(self) -> int:
        """Graphs and tensors that were not given back."""
        return sum(not graph.destroyed for graph in self.graphs) + sum(not tensor.freed for tensor in self.tensors)
