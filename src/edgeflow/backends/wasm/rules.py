"""The op table's rules, for lowerings that need what a rule works out: axes, ranges, sizes, pads."""

from __future__ import annotations

from edgeflow.ir.graph import Node
from edgeflow.ir.ops.infer import InferContext, Type
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.values import Value


def context_of(b: StepBuilder, node: Node, inputs: list[Value | None]) -> InferContext:
    """The node as shape and type rules see it."""
    types: list[Type | None] = []
    for value in inputs:
        types.append(None if value is None else Type(value.dtype, value.shape))

    def read_ints(index: int) -> list[int] | None:
        value = inputs[index]
        return b.ints(value) if value is not None and value.constant else None

    def read_floats(index: int) -> list[float] | None:
        value = inputs[index]
        return b.floats(value) if value is not None and value.constant else None

    return InferContext(node, b.opset, types, read_ints, read_floats)
