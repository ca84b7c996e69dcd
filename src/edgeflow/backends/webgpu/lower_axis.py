"""Lowerings of operators that go along one axis: the place of the largest, sums so far, the k largest."""

from __future__ import annotations

from edgeflow.backends.wasm.lower_reduce import axis_parts
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, declaration
from edgeflow.backends.webgpu.lanes import MOST_LANES, lanes_of, row_groups
from edgeflow.backends.webgpu.lower_elementwise import pair
from edgeflow.ir.attributes import int_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at


# Of a workgroup, where the device allows it.
MOST_THREADS = 1024


def is_none_text(type: str) -> str:
    """Whether v is no number."""
    return '(bitcast<u32>(v) & 0x7fffffffu) > 0x7f800000u' if type == 'f32' else 'false'


def arg_lowering(order: str) -> GpuLowering:
    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None or b.kind(both[0]) not in ['f32', 'f16', 'i32', 'u32']:
            return False
        source, output = both
        parts = axis_parts(source.shape, int_of(node, 'axis'))
        rows = parts[0] * parts[2]
        kind = b.kind(source)
        type = 'f32' if kind == 'f16' else kind
        lanes = lanes_of(b, rows, parts[1])
        # A vocabulary, by as many threads as there may be.
        while lanes['LANES'] >= MOST_LANES and lanes['LANES'] * 64 <= parts[1] and lanes['LANES'] * 2 <= min(MOST_THREADS, b.features.invocations):
            lanes = {'GROUP': lanes['LANES'] * 2, 'LANES': lanes['LANES'] * 2}
        b.dispatch('arg', [source, output], [rows, parts[1], parts[2]], row_groups(b, rows, lanes), lanes, {
            '$A': type, '$S': kind, '$O': b.kind(output), '$MOST': f'{max(MOST_LANES, lanes["LANES"])}', '$NONE': is_none_text(type), '$BETTER': f'b {order} a',
            '$TIE': 'j > i' if int_of(node, 'select_last_index') == 1 else 'j < i'})
        return True

    return lower


def lower_cum_sum(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    both = pair(inputs, outputs)
    axis = at(inputs, 1)
    if both is None or axis is None or not axis.constant or b.kind(both[0]) not in ['f32', 'f16', 'i32']:
        return False
    parts = axis_parts(both[0].shape, b.ints(axis)[0])
    rows = parts[0] * parts[2]
    kind = b.kind(both[0])
    lanes = lanes_of(b, rows, parts[1] // 4)
    b.dispatch('scan', [both[0], both[1]], [rows, parts[1], parts[2], int_of(node, 'reverse'), int_of(node, 'exclusive')],
               row_groups(b, rows, lanes), lanes, {'$A': 'f32' if kind == 'f16' else kind, '$S': kind})
    return True


def lower_top_k(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    source = at(inputs, 0)
    values = at(outputs, 0)
    indices = at(outputs, 1)
    written = indices if values is None else values
    if source is None or written is None or b.kind(source) not in ['f32', 'f16', 'i32', 'u32']:
        return False
    axis = int_of(node, 'axis', -1)
    parts = axis_parts(source.shape, axis)
    k = axis_parts(written.shape, axis)[1]
    if k == 0:
        return True
    rows = parts[0] * parts[2]
    kind = b.kind(source)
    type = 'f32' if kind == 'f16' else kind
    bindings = [source]
    declared: list[str] = []
    stores: list[str] = []
    for output, text in [(values, 'best'), (indices, 'place')]:
        if output is not None:
            bindings.append(output)
            held = b.kind(output)
            name = f'y{len(bindings)}'
            declared.append(declaration(len(bindings), name, held, 'read_write'))
            stores.append(f'{name}[at] = {held}({text});')
    lanes = lanes_of(b, rows, parts[1])
    b.dispatch('topk', bindings, [rows, parts[1], parts[2], k], row_groups(b, rows, lanes), lanes, {
        '$A': type, '$S': kind, '$NONE': is_none_text(type), '$BETTER': 'b > a' if int_of(node, 'largest', 1) == 1 else 'b < a',
        '$OUTPUTS': '\n'.join(declared), '$STORE': '\n'.join(stores)})
    return True


AXIS_LOWERINGS: dict[str, GpuLowering] = {
    'ArgMax': arg_lowering('>'),
    'ArgMin': arg_lowering('<'),
    'CumSum': lower_cum_sum,
    'TopK': lower_top_k,
}
