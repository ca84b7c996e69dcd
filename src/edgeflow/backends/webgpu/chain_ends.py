"""Chains as the ends of kernels: what follows a convolution, element by element, is computed before its result is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgeflow.backends.webgpu.builder import GpuBuilder
from edgeflow.backends.webgpu.chains import Chain, broadcast_view, strides_through
from edgeflow.backends.webgpu.products import Product, declare, dispatch_product, four
from edgeflow.plan.values import Value


def may_end(b: GpuBuilder, chain: Chain, output: Value) -> bool:
    """Whether a kernel can have the chain as its end: one over whole tensors of its result's shape, of floats alone."""
    for op in chain.ops:
        if op.type != 'F':
            return False
        if op.read >= 0:
            read = chain.reads[op.read]
            value = read.value
            if value is None or len(op.arguments) > 0 or value.shape != chain.shape or b.kind(value) != 'f32' or read.offset != 0:
                return False
            if read.strides != strides_through(broadcast_view(value.shape, chain.shape), value.shape):
                return False
        for number in op.numbers:
            # Infinity and NaN cannot be written in WGSL.
            if (number & 0x7f800000) == 0x7f800000:
                return False
    return chain.shape == output.shape


def end_lines(chain: Chain, y: Value, load: Callable[[Value, str], str]) -> list[str]:
    """The lines that make `v`, an element of y or four, what the chain makes of it. load: says how another value is read, by the name of its array."""
    lines: list[str] = []
    for number in range(len(chain.ops)):
        op = chain.ops[number]
        text: str = op.text
        if op.read >= 0:
            value = chain.reads[op.read].value
            text = 'v' if value is None or value.number == y.number else load(value, f'other{number}')
        for i in range(len(op.arguments)):
            text = text.replace(f'%{i}', f'v{op.arguments[i]}')
        for i in range(len(op.numbers)):
            text = text.replace(f'@{i}', f'bitcast<f32>(i32({op.numbers[i]}))')
        lines.append(f'let v{number} = {text};')
    return lines + [f'v = v{chain.result};']


def end_product(b: GpuBuilder, product: Product, chain: Chain, output: Value) -> bool:
    """Write the product again with a chain as its end."""
    def lines(by_fours: bool, bindings: list[Value], declared: list[str]) -> list[str]:
        def load(value: Value, name: str) -> str:
            declare(b, name, value, by_fours, bindings, declared)
            return f'{name}[at]' if by_fours else 'vec4f(' + four(name, 'at', '1u') + ')'

        return end_lines(chain, product.y, load)

    return may_end(b, chain, output) and dispatch_product(b, replace(product, y=output, ending=lines))
