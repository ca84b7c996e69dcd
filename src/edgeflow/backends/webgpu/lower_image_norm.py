"""Lowerings of normalisations over the channels of images: rows as wgsl/norm.wgsl takes them, batch normalisation as a chain."""

from __future__ import annotations

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.backends.webgpu.lower_norm import Rows, norm_rows
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


def lower_instance_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    if both is None:
        return False
    shape = both[0].shape
    space = element_count(shape[2:])
    rows = Rows(shape[0] * shape[1], space, True, number_of(node, 'epsilon', 1e-5), shape[1], 1, max(1, space))
    return norm_rows(b, both[0], at(inputs, 1), at(inputs, 2), both[1], rows)


def lower_group_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Factors of channels; of groups before version 21."""
    both = pair(inputs, outputs)
    gamma = at(inputs, 1)
    if both is None or gamma is None:
        return False
    shape = both[0].shape
    groups = int_of(node, 'num_groups', 1)
    space = max(1, element_count(shape[2:]))
    channels = shape[1] // groups
    of_groups = gamma.count() == groups and b.opset < 21
    rows = Rows(shape[0] * groups, channels * space, True, number_of(node, 'epsilon', 1e-5), groups, 1 if of_groups else channels,
                channels * space if of_groups else space)
    return norm_rows(b, both[0], gamma, at(inputs, 2), both[1], rows)


def lower_batch_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, each of the channel."""
    both = pair(inputs, outputs)
    if both is None or int_of(node, 'training_mode') != 0 or at(outputs, 1) is not None or type_of(b, both[0]) != 'F':
        return False
    shape = both[1].shape
    chain = Chain(shape)
    channel = [1 if i == 1 else 0 for i in range(len(shape))]
    numbers = [operand(b, chain, both[0])]
    for i in range(1, 5):
        value = inputs[i]
        if value is None or type_of(b, value) != 'F':
            return False
        numbers.append(chain.load(value, 'F', 0, channel))
    chain.op('(%0 - %3) / sqrt(%4 + @0) * %1 + %2', 'F', numbers, [b.real(number_of(node, 'epsilon', 1e-5))])
    return finish(b, chain, both[1])


IMAGE_NORM_LOWERINGS: dict[str, GpuLowering] = {
    'InstanceNormalization': lower_instance_norm,
    'GroupNormalization': lower_group_norm,
    'BatchNormalization': lower_batch_norm,
}
