"""The first lowering, which shows the convention."""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value


def lower_relu(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    x = inputs[0]
    y = outputs[0]
    if x is None or y is None or b.kind(x) != 'f32':
        return False
    b.dispatch('relu', [x, y], [x.count()], b.spread(x.count(), 64))
    return True


FIRST_LOWERINGS: dict[str, GpuLowering] = {'Relu': lower_relu}
