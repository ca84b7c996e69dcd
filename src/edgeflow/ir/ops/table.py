"""The one table of operators, keyed by Node.key(), and the way rules are called. Parts add theirs when they are fetched."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.contrib import CONTRIB_OPS
from edgeflow.ir.ops.decoder import DECODER_OPS
from edgeflow.ir.ops.dense import DENSE_OPS
from edgeflow.ir.ops.elementwise import ELEMENTWISE_OPS
from edgeflow.ir.ops.fused import FUSED_OPS
from edgeflow.ir.ops.indexing import INDEXING_OPS
from edgeflow.ir.ops.infer import InferContext, OpSpec, Type
from edgeflow.ir.ops.movement import MOVEMENT_OPS
from edgeflow.ir.ops.reduce import REDUCE_OPS


def _merged(groups: list[dict[str, OpSpec]], contrib: dict[str, OpSpec]) -> dict[str, OpSpec]:
    table: dict[str, OpSpec] = {}
    for group in groups:
        for key, spec in group.items():
            table[key] = spec
    for key, spec in contrib.items():
        table['com.microsoft:' + key] = spec
    return table


OPS: dict[str, OpSpec] = _merged(
    ELEMENTWISE_OPS + [MOVEMENT_OPS, INDEXING_OPS, REDUCE_OPS, DENSE_OPS, DECODER_OPS, FUSED_OPS], CONTRIB_OPS)


def find_spec(node: Node, opset: int) -> OpSpec:
    """The table's entry for `node` in version `opset` of its domain; 'unsupported-op' if there is none."""
    spec = OPS.get(node.key())
    if spec is None or opset < spec.since:
        reason = 'this operator is not known' if spec is None else f'this operator exists since version {spec.since}'
        raise EdgeflowError('unsupported-op', f"{node.key()} (node '{node.name}', version {opset} of domain '{node.domain}'): {reason}",
                            {'op': node.key(), 'node': node.name, 'opset': opset})
    return spec


def infer_types(c: InferContext) -> list[Type]:
    """The types of all outputs that the operator can have here (the node may leave trailing ones out).

    Raises 'unsupported-op' for an unknown operator, 'invalid-graph' if arity, types or shapes break its rules.
    """
    spec = find_spec(c.node, c.opset)
    count = len(c.types)
    if count < spec.min_inputs or (spec.max_inputs >= 0 and count > spec.max_inputs):
        high = 'any number' if spec.max_inputs < 0 else f'{spec.max_inputs}'
        raise c.fail(f'{spec.min_inputs} to {high} inputs', f'{count}')
    types = spec.infer(c)
    if len(c.node.outputs) > len(types):
        raise c.fail(f'at most {len(types)} outputs', f'{len(c.node.outputs)}')
    for given in types:
        c.check_dims(given.shape)
    return types
