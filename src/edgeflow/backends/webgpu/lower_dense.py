"""GPU lowerings of matrix products."""

from __future__ import annotations

from dataclasses import replace

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.products import Product, dispatch_product, matmul_product
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


# A view can be bound whose start is a multiple of so many elements.
APART = 64
# Larger products fill a GPU by themselves.
MOST_TOGETHER = 131072


def product_of(node: Node, inputs: list[Value | None], outputs: list[Value | None], trans_a: str, trans_b: str) -> Product | None:
    """alpha * A @ B of inputs 0 and 1, exchanged where the attributes of these names say so (a vector has nothing to exchange)."""
    a = at(inputs, 0)
    weights = at(inputs, 1)
    y = at(outputs, 0)
    if a is None or weights is None or y is None:
        return None
    product = matmul_product(a, weights, y, int_of(node, trans_a) != 0 and len(a.shape) > 1, int_of(node, trans_b) != 0 and len(weights.shape) > 1)
    product.alpha = number_of(node, 'alpha', 1.0)
    return product


def lower_matmul(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """MatMul, and edgeflow:MatMul with bias, residual, activation."""
    product = product_of(node, inputs, outputs, 'trans_a', 'trans_b')
    if product is None:
        return False
    product.activation = text_of(node, 'activation', '')
    product.bias = at(inputs, 2)
    product.residual = at(inputs, 3)
    return b.placed(node, product.y) or together(b, node, product) or dispatch_product(b, product)


def together(b: GpuBuilder, node: Node, product: Product) -> bool:
    """A small product in one dispatch with others of the same rows, as queries, keys and values have them; False if there are none."""
    size = product.m * product.n
    wide = product.b_column == 1 and product.n % 4 == 0 and len(product.b_dims) == 0
    if b.features.software or not wide or size > MOST_TOGETHER or size % APART != 0 or product.residual is not None:
        return False
    others: list[tuple[Value, Value | None]] = []
    names: list[str] = []
    room = (b.features.buffers - 2) // (1 if product.bias is None else 2) - 1
    for other in b.alike(node):
        weights = b.weight(other.inputs[1])
        bias = b.weight(other.inputs[2]) if len(other.inputs) > 2 else None
        if weights is None or len(others) == room or other.attributes != node.attributes:
            continue
        if weights.shape == product.b.shape and b.kind(weights) == b.kind(product.b) and (bias is None) == (product.bias is None):
            others.append((weights, bias))
            names.append(other.outputs[0])
    if len(others) == 0 or product.b.initializer == '':
        return False
    y = b.temporary('float32', [1 + len(others), product.m, product.n])
    if not dispatch_product(b, replace(product, y=y, others=others, a_dims=[], b_dims=[1 + len(others)])):
        return False
    b.alias(product.y, y)
    for i in range(len(names)):
        b.grouped[names[i]] = (y, (i + 1) * size)
    return True


def lower_contrib_matmul(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """com.microsoft:FusedMatMul."""
    product = product_of(node, inputs, outputs, 'transA', 'transB')
    return product is not None and dispatch_product(b, product)


def lower_gemm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    product = product_of(node, inputs, outputs, 'transA', 'transB')
    if product is None:
        return False
    beta = number_of(node, 'beta', 1.0)
    addend = at(inputs, 2)
    if addend is not None and beta != 0:
        rank = len(addend.shape)
        rows = addend.shape[rank - 2] if rank > 1 else 1
        columns = addend.shape[rank - 1] if rank > 0 else 1
        if beta == 1 and rows == 1 and columns == product.n:
            product.bias = addend
        elif beta == 1 and addend.shape == product.y.shape:
            product.residual = addend
        else:
            product.addend = addend
            product.addend_row = 0 if rows == 1 else columns
            product.addend_column = 0 if columns == 1 else 1
            product.beta = beta
    return dispatch_product(b, product)


DENSE_LOWERINGS: dict[str, GpuLowering] = {
    'MatMul': lower_matmul,
    'Gemm': lower_gemm,
    'com.microsoft:FusedMatMul': lower_contrib_matmul,
    'edgeflow:MatMul': lower_matmul,
}
