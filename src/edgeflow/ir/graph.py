"""The graph that every part of edgeflow works on. It knows ONNX operators but no file format.

A value is a name (SSA: written once). `''` as a node's input or output means "left out", as in ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.host.port import Bytes


@dataclass(frozen=True)
class TensorData:
    """A constant tensor. `data`: little-endian, row-major, packed; usually a view into the file's bytes.

    String tensors have empty `data` and their values in `strings`.
    """

    dtype: str
    shape: list[int]
    data: Bytes
    strings: list[str] = field(default_factory=list)


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
    """Nodes in topological order. Subgraphs (If, Loop, Scan) are Graphs in attributes and see the outer values."""

    name: str
    inputs: list[ValueInfo]
    outputs: list[ValueInfo]
    nodes: list[Node]
    initializers: dict[str, TensorData]
    opsets: dict[str, int] = field(default_factory=dict)


Attribute = int | float | str | list[int] | list[float] | list[str] | TensorData | Graph
