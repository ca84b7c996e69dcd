"""The graph that every part of edgeflow works on. It knows ONNX operators but no file format.

A value is a name (SSA: written once). `''` as a node's input or output means "left out", as in ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgeflow.host.platform import join_bytes
from edgeflow.host.port import Bytes


class Memory(Protocol):
    """An engine's memory."""

    def view(self, address: int, size: int) -> Bytes:
        """Valid until the memory grows."""

    def complete(self, address: int, size: int) -> None:
        """Have the content there, for those who know the address."""


@dataclass(frozen=True)
class Stored:
    """Where in an engine's memory the content of a tensor lies already, `length` bytes."""

    memory: Memory
    address: int
    length: int


@dataclass(frozen=True)
class TensorData:
    """A constant tensor. `data`: little-endian, row-major, packed; usually a view into the file's bytes.

    String tensors have empty `data` and their values in `strings`. A large initializer of a file that came in pieces has in `parts`
    the views of them that are its content, or is `stored`; `data` is then empty if there are several parts or it is stored. Read it by
    whole() where it may be large.
    """

    dtype: str
    shape: list[int]
    data: Bytes
    strings: list[str] = field(default_factory=list)
    parts: list[Bytes] = field(default_factory=list)
    stored: Stored | None = None

    def size(self) -> int:
        """Bytes of the content."""
        if self.stored is not None:
            return self.stored.length
        total = len(self.data)
        if len(self.parts) > 1:
            for part in self.parts:
                total += len(part)
        return total

    def whole(self) -> Bytes:
        """The content in one piece: `data`, or a copy."""
        if self.stored is not None:
            return join_bytes([self.stored.memory.view(self.stored.address, self.stored.length)])
        return join_bytes(self.parts) if len(self.parts) > 1 else self.data


@dataclass(frozen=True)
class ValueInfo:
    """A declared input or output. A dim is a number, a symbol's name, or '' if unknown; shape None: rank unknown."""

    name: str
    dtype: str
    shape: list[int | str] | None


@dataclass
class Node:
    """One operator. `domain` is '' for ai.onnx; 'edgeflow' for what our own fusions make."""

    op: str
    domain: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def key(self) -> str:
        """The name under which tables list this operator: 'MatMul', 'com.microsoft:Attention', 'edgeflow:Sdpa'."""
        return self.op if self.domain == '' else self.domain + ':' + self.op


@dataclass
class Graph:
    """Nodes in topological order. Subgraphs (If, Loop, Scan) are Graphs in attributes and see the outer values.

    outer: while passes run, the graph around.
    """

    name: str
    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    nodes: list[Node]
    initializers: dict[str, TensorData]
    opsets: dict[str, int] = field(default_factory=dict)
    outer: Graph | None = None


Attribute = int | float | str | list[int] | list[float] | list[str] | TensorData | Graph
