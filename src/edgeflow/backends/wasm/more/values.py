"""What an interpreted run works on: tensors in the engine's memory, and values that are no tensors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from edgeflow.backends.wasm.more.tensors import Tensors
from edgeflow.errors import EdgeflowError
from edgeflow.ir.describe import describe
from edgeflow.ir.dtype import MOST_LISTED, element_count
from edgeflow.ir.graph import Attribute, Graph, Node
from edgeflow.plan.values import Value


class Held:
    """What is no tensor. kind: 'sequence'; 'none', an optional without an element; 'map', with `keys` for its items."""

    def __init__(self, kind: str, items: list[Datum], keys: list[str] | list[float] | None = None) -> None:
        self.kind: str = kind
        self.items: list[Datum] = items
        self.keys: list[str] | list[float] = [] if keys is None else keys


Datum = Value | Held

# Runs the subgraph that is the attribute of this name with these inputs, and gives its outputs.
Body = Callable[[str, list[Datum]], Awaitable[list[Datum]]]


class Call:
    """A node that is being interpreted. 

    held: what has to stay in memory though no name refers to it. memo: what operators keep from run to run, by the name of an output.
    """

    def __init__(self, node: Node, opset: int, inputs: list[Datum | None], t: Tensors, body: Body, held: list[Datum], memo: dict[str, object]) -> None:
        self.node: Node = node
        self.opset: int = opset
        self.inputs: list[Datum | None] = inputs
        self.t: Tensors = t
        self.body: Body = body
        self.held: list[Datum] = held
        self.memo: dict[str, object] = memo

    def fail(self, expected: str, got: str) -> EdgeflowError:
        """The error for data that the operator does not allow; raise it."""
        return EdgeflowError('run-failed', f'{describe(self.node)} failed: expected {expected}; got {got}',
                             {'op': self.node.key(), 'node': self.node.name, 'expected': expected, 'got': got})

    def invalid(self, expected: str, got: str) -> EdgeflowError:
        """The error for a node that breaks its operator's rules; raise it."""
        return EdgeflowError('invalid-graph', f'{describe(self.node)}: expected {expected}; got {got}',
                             {'op': self.node.key(), 'node': self.node.name, 'expected': expected, 'got': got})

    def room(self, shape: list[int]) -> int:
        """How many numbers a tensor of this shape has. 'out-of-memory' for more than a list may have, were no dim 0."""
        if min(shape + [0]) < 0:
            raise self.invalid('a shape of dims from 0 up', f'{shape}')
        if element_count([max(dim, 1) for dim in shape]) > MOST_LISTED:
            raise EdgeflowError('out-of-memory', f'{describe(self.node)}: expected at most {MOST_LISTED} numbers; got shape {shape}',
                                {'op': self.node.key(), 'node': self.node.name, 'expected': MOST_LISTED, 'got': shape})
        return element_count(shape)

    def has(self, index: int) -> bool:
        """Whether input `index` is given."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def datum(self, index: int) -> Datum:
        """Input `index`, which must be given."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise self.invalid(f'input {index}', 'nothing')
        return found

    def value(self, index: int) -> Value:
        """Input `index`, a tensor."""
        found: Datum = self.datum(index)
        if isinstance(found, Held):
            raise self.invalid(f'a tensor as input {index}', f'a {found.kind}')
        return found

    def maybe(self, index: int) -> Value | None:
        """Input `index`, a tensor if it is given."""
        return self.value(index) if self.has(index) else None

    def items(self, index: int) -> list[Datum]:
        """The items of input `index`, a sequence."""
        found: Datum = self.datum(index)
        if isinstance(found, Held) and found.kind == 'sequence':
            return found.items
        raise self.invalid(f'a sequence as input {index}', 'another kind')

    def tensors(self, index: int) -> list[Value]:
        """The items of input `index`, a sequence of tensors."""
        tensors: list[Value] = []
        for item in self.items(index):
            if isinstance(item, Held):
                raise self.invalid(f'tensors in the sequence of input {index}', f'a {item.kind}')
            tensors.append(item)
        return tensors

    def ints(self, index: int) -> list[int]:
        """The elements of input `index`, whole numbers."""
        return self.t.ints(self.value(index))

    def scalar(self, index: int) -> float:
        """The one element of input `index`."""
        value = self.value(index)
        if value.count() != 1:
            raise self.fail(f'one number as input {index}', f'shape {value.shape}')
        return self.t.numbers(value)[0]

    def numbers(self, index: int) -> list[float]:
        """The elements of input `index`."""
        return self.t.numbers(self.value(index))

    def texts(self, index: int) -> list[str]:
        """The elements of input `index`, a tensor of strings."""
        value = self.value(index)
        if value.dtype != 'string':
            raise self.invalid(f'strings as input {index}', value.dtype)
        return self.t.strings(value)

    def axis(self, axis: int, rank: int) -> int:
        """`axis` counted from the front."""
        if axis < -rank or axis >= rank:
            raise self.fail(f'an axis from {-rank} to {rank - 1}', f'{axis}')
        return axis + rank if axis < 0 else axis

    def graph(self, name: str) -> Graph:
        """The subgraph that is the attribute of this name."""
        found: Attribute | None = self.node.attributes.get(name)
        if not isinstance(found, Graph):
            raise self.invalid(f"a graph as '{name}'", 'none')
        return found

    def attr_texts(self, name: str) -> list[str]:
        """A list of strings; empty if left out."""
        found: Attribute | None = self.node.attributes.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.invalid(f"a list as '{name}'", 'another kind')
        for item in found:
            if not isinstance(item, str):
                raise self.invalid(f"strings as '{name}'", 'numbers')
        return cast('list[str]', found)

    def attr_numbers(self, name: str) -> list[float]:
        """A list of numbers; empty if left out."""
        found: Attribute | None = self.node.attributes.get(name)
        if found is None:
            return []
        if not isinstance(found, list):
            raise self.invalid(f"a list as '{name}'", 'another kind')
        for item in found:
            if not isinstance(item, (int, float)):
                raise self.invalid(f"numbers as '{name}'", 'strings')
        return cast('list[float]', found)

    def attr_ints(self, name: str) -> list[int]:
        """A list of whole numbers; empty if left out."""
        found: list[int] = []
        for x in self.attr_numbers(name):
            if x % 1 != 0:
                raise self.invalid(f"whole numbers as '{name}'", f'{x}')
            found.append(int(x))
        return found


Interpret = Callable[[Call], 'list[Datum | None]']
InterpretFlow = Callable[[Call], Awaitable['list[Datum | None]']]
