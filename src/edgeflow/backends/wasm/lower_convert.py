"""Lowerings of QuantizeLinear and DequantizeLinear. Words: wasm/kernels_tensor.h."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_dense import given
from edgeflow.backends.wasm.lower_elementwise import cast_flags, dtype_code
from edgeflow.ir.attributes import int_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.values import Value, at


def scale_loops(shape: list[int], scale_count: int, axis: int, block: int) -> list[int]:
    """outer, n, inner, and the scale's outer stride, axis stride, inner stride, block: how each element finds its scale.

    The innermost loop is made long: a scale for each index of the last axis runs along it.
    """
    count = element_count(shape)
    if scale_count == 1 and block == 0:
        return [1, 1, count, 0, 0, 0, 1]
    at_axis = axis + len(shape) if axis < 0 else axis
    outer = element_count(shape[:at_axis])
    n = shape[at_axis]
    inner = element_count(shape[at_axis + 1:])
    if block == 0:
        return [outer, 1, n, 0, 0, 1, 1] if inner == 1 else [outer, n, inner, 0, 1, 0, 1]
    blocks = (n + block - 1) // block
    if inner == 1 and n % block == 0:
        return [outer, blocks, block, blocks, 1, 0, 1]
    return [outer, n, inner, blocks * inner, inner, 1, block]


def quantize_lowering(kernel: str) -> Lowering:
    def lower(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = given(b, inputs)
        scale = given(b, inputs, 1)
        output = given(b, outputs)
        loops = scale_loops(source.shape, scale.count(), int_of(node, 'axis', 1), int_of(node, 'block_size'))
        b.step(kernel, [dtype_code(source), dtype_code(output) + cast_flags(node, output), dtype_code(scale), b.pointer(source), b.pointer(scale),
                        b.pointer(at(inputs, 2)), b.pointer(output), *loops])

    return lower


CONVERT_LOWERINGS: dict[str, Lowering] = {
    'QuantizeLinear': quantize_lowering('quantize_linear'),
    'DequantizeLinear': quantize_lowering('dequantize_linear'),
}
