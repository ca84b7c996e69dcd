"""What passes look up in a graph while they match patterns, and the one way in which they change it.

A GraphIndex is made at the head of a pass. Replaced nodes leave holes, so positions stay valid; finish() closes them.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.ir.order import read_names
from edgeflow.passes.shapes import ShapeTable

FLOAT_DTYPES: list[str] = ['float32', 'float16', 'bfloat16']


class GraphIndex:
    """Who makes and who reads each value of a graph."""

    def __init__(self, graph: Graph) -> None:
        self.graph: Graph = graph
        self.nodes: list[Node | None] = list(graph.nodes)
        self.changed: bool = False
        self.outputs: set[str] = set([info.name for info in graph.outputs])
        self._producer: dict[str, int] = {}
        self._readers: dict[str, list[int]] = {}
        self._inserted: dict[int, list[Node]] = {}
        for i in range(len(graph.nodes)):
            self._enter(i, graph.nodes[i])

    def _enter(self, position: int, node: Node) -> None:
        for name in node.outputs:
            if name != '':
                self._producer[name] = position
        for name in read_names(node):
            self._add_reader(name, position)

    def _add_reader(self, name: str, position: int) -> None:
        readers: list[int] | None = self._readers.get(name)
        if readers is None:
            self._readers[name] = [position]
        else:
            readers.append(position)

    def _leave(self, position: int) -> None:
        node: Node | None = self.nodes[position]
        if node is None:
            return
        for name in read_names(node):
            self._readers[name] = [at for at in self._readers[name] if at != position]
        for name in node.outputs:
            if self._producer.get(name, -1) == position:
                self._producer.pop(name)
        self.nodes[position] = None

    def producer(self, name: str) -> Node | None:
        """The node that makes a value; None for inputs, constants and values of an outer graph."""
        at: int = self._producer.get(name, -1)
        return self.nodes[at] if at >= 0 else None

    def made_by(self, name: str, key: str) -> Node | None:
        """The node that makes a value, if its operator is `key`."""
        at: int = self._producer.get(name, -1)
        node: Node | None = self.nodes[at] if at >= 0 else None
        return node if node is not None and node.key() == key else None

    def position(self, node: Node) -> int:
        """Where a node stands, by its first output; -1 if it is not in the graph any more."""
        for name in node.outputs:
            if name != '':
                return self._producer.get(name, -1)
        return -1

    def uses(self, name: str) -> int:
        """How often a value is read; a graph output counts as one."""
        readers: list[int] | None = self._readers.get(name)
        count: int = 0 if readers is None else len(readers)
        return count + 1 if name in self.outputs else count

    def readers(self, name: str) -> list[Node]:
        """The nodes that read a value; a node that reads it twice comes twice."""
        found: list[Node] = []
        for at in self._readers.get(name, []):
            node: Node | None = self.nodes[at]
            if node is not None:
                found.append(node)
        return found

    def inner(self, name: str) -> bool:
        """Whether a value has exactly one reader and is no output, so that it may vanish with that reader."""
        return self.uses(name) == 1 and name not in self.outputs

    def only_reader(self, name: str) -> Node | None:
        """The one node that reads a value that is no output."""
        if not self.inner(name):
            return None
        return self.readers(name)[0]

    def constant(self, name: str) -> TensorData | None:
        """The constant of this name in this graph or the one around it."""
        found: TensorData | None = self.graph.initializers.get(name)
        outer: Graph | None = self.graph.outer
        return outer.initializers.get(name) if found is None and outer is not None else found

    def scalar(self, name: str) -> float | None:
        """The element of a constant that has just one."""
        tensor: TensorData | None = self.constant(name)
        if tensor is None or tensor.dtype == 'string':
            return None
        for dim in tensor.shape:
            if dim != 1:
                return None
        return elements(tensor)[0]

    def is_scalar(self, name: str, value: float, tolerance: float = 1e-3) -> bool:
        """Whether a value is a constant close to `value` (relative tolerance, for float16 files)."""
        found: float | None = self.scalar(name)
        return found is not None and abs(found - value) <= tolerance * abs(value)

    def replace(self, old: list[Node], new: Node, before: list[Node] | None = None) -> None:
        """Put `new` where the last of `old` stands; all of `old` go. `new` makes the values that others still read.

        before: further new nodes, placed just before `new`.
        """
        positions: list[int] = [self.position(node) for node in old]
        last: int = max(positions)
        for at in positions:
            self._leave(at)
        self.changed = True
        if before is not None:
            self._inserted[last] = self._inserted.get(last, []) + before
            for node in before:
                for name in read_names(node):
                    self._add_reader(name, last)
        self.nodes[last] = new
        self._enter(last, new)

    def finish(self) -> bool:
        """Write the nodes back; whether anything changed."""
        if not self.changed:
            return False
        nodes: list[Node] = []
        for i in range(len(self.nodes)):
            if i in self._inserted:
                nodes.extend(self._inserted[i])
            node: Node | None = self.nodes[i]
            if node is not None:
                nodes.append(node)
        self.graph.nodes = nodes
        return True


Fuse = Callable[[GraphIndex, ShapeTable, Node], None]


def fuse_each(graph: Graph, table: ShapeTable, rules: dict[str, Fuse]) -> bool:
    """Try, at each node that is still there, the rule for its operator; whether anything changed."""
    index: GraphIndex | None = None
    for node in graph.nodes:
        fuse: Fuse | None = rules.get(node.key())
        if fuse is None:
            continue
        if index is None:
            index = GraphIndex(graph)
        if index.position(node) >= 0:
            fuse(index, table, node)
    return index is not None and index.finish()


def nan_guard(index: GraphIndex, name: str) -> list[Node]:
    """IsNaN and Where of Where(IsNaN(p), 0, p), if they are all that reads p; else nothing."""
    readers: list[Node] = index.readers(name)
    if len(readers) != 2:
        return []
    test: Node = readers[0] if readers[0].op == 'IsNaN' else readers[1]
    guard: Node = readers[1] if readers[0].op == 'IsNaN' else readers[0]
    fits: bool = test.op == 'IsNaN' and guard.key() == 'Where' and index.only_reader(test.outputs[0]) == guard
    fits = fits and guard.inputs[0] == test.outputs[0] and guard.inputs[2] == name and index.scalar(guard.inputs[1]) == 0
    return [test, guard] if fits else []


def other_input(node: Node, name: str) -> str:
    """The other input of a binary node; '' if it has not two."""
    if len(node.inputs) != 2:
        return ''
    return node.inputs[1] if node.inputs[0] == name else node.inputs[0]


def input_at(node: Node, index: int) -> str:
    """An input's name, '' where left out."""
    return node.inputs[index] if index < len(node.inputs) else ''


def is_float(tensor: TensorData | None) -> bool:
    """Whether a constant is of a float type that the fused kernels take."""
    return tensor is not None and tensor.dtype in FLOAT_DTYPES


def is_vector(tensor: TensorData | None, length: int) -> bool:
    """Whether a constant is a float vector of this length."""
    return tensor is not None and is_float(tensor) and len(tensor.shape) == 1 and tensor.shape[0] == length


def node_name(parts: list[Node]) -> str:
    """The name of a fused node: that of its first part that has one."""
    for node in parts:
        if node.name != '':
            return node.name
    return ''
