"""Lowerings of operators that place elements by index, or pick them by whole tuples: chains whose loads or stores depend on other loads."""

from __future__ import annotations

from edgeflow.backends.wasm.strides import row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_elementwise import finish, type_of
from edgeflow.backends.webgpu.lower_indexing import indexed, positive
from edgeflow.ir.attributes import int_of, text_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

COMBINATIONS: dict[str, str] = {
    'none': '', 'add': '%0 + %1', 'mul': '%0 * %1', 'min': 'select(min(%0, %1), %0 + %1, %0 != %0 || %1 != %1)',
    'max': 'select(max(%0, %1), %0 + %1, %0 != %0 || %1 != %1)',
}


def _tuples(chain: Chain, indices: Value, depth: int, inner: int) -> list[int]:
    """Loads of the `depth` numbers of an index; `inner` dims follow those of the indices."""
    last = len(indices.shape) - 1
    strides = row_major(indices.shape)[:last] + [0] * inner
    return [chain.load(indices, 'I', i, strides) for i in range(depth)]


def _spans(shape: list[int], first: int, depth: int) -> list[int]:
    """Stride and dim of `depth` axes from `first` on."""
    strides = row_major(shape)
    spans: list[int] = []
    for i in range(first, first + depth):
        spans.extend([strides[i], shape[i]])
    return spans


def lower_gather_nd(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = indexed(b, inputs, outputs)
    if given is None:
        return False
    source, indices, output = given
    batch = int_of(node, 'batch_dims')
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    rest = row_major(source.shape)
    chain = Chain(output.shape)
    numbers = _tuples(chain, indices, depth, len(source.shape) - batch - depth)
    strides = rest[:batch] + [0] * (last - batch) + rest[batch + depth:]
    chain.load(source, type_of(b, source), 0, strides, numbers, _spans(source.shape, batch, depth))
    return finish(b, chain, output)


def _copied(b: GpuBuilder, source: Value, output: Value) -> bool:
    """Scatters write into a copy of the data."""
    chain = Chain(output.shape)
    chain.load(source, type_of(b, source), 0, row_major(source.shape))
    return finish(b, chain, output)


def _scatter(b: GpuBuilder, node: Node, given: tuple[Value, Value, Value], chain: Chain, element: int, strides: list[int],
             numbers: list[int], spans: list[int]) -> bool:
    source, _, output = given
    combine = COMBINATIONS[text_of(node, 'reduction', 'none')]
    if combine != '' and b.kind(output) == 'f16':
        return False
    if not _copied(b, source, output):
        return False
    # What is read of the output later is not what the copy's chain made.
    b.chains[output.number] = Chain([])
    chain.load(output, type_of(b, output), 0, strides, numbers, spans)
    return dispatch_scatter(b, chain, element, output, combine)


def lower_scatter_nd(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = indexed(b, inputs, outputs)
    updates = at(inputs, 2)
    if given is None or updates is None or b.kind(given[0]) == 'bytes':
        return False
    source, indices, _ = given
    last = len(indices.shape) - 1
    depth = indices.shape[last]
    chain = Chain(updates.shape)
    numbers = _tuples(chain, indices, depth, len(source.shape) - depth)
    element = chain.load(updates, type_of(b, updates), 0, row_major(updates.shape))
    strides = [0] * last + row_major(source.shape)[depth:]
    return _scatter(b, node, given, chain, element, strides, numbers, _spans(source.shape, 0, depth))


def lower_scatter_elements(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    given = indexed(b, inputs, outputs)
    updates = at(inputs, 2)
    if given is None or updates is None or b.kind(given[0]) == 'bytes':
        return False
    source, indices, _ = given
    axis = positive(int_of(node, 'axis'), len(source.shape))
    strides = row_major(source.shape)
    chain = Chain(indices.shape)
    index = chain.load(indices, 'I', 0, row_major(indices.shape))
    element = chain.load(updates, type_of(b, updates), 0, row_major(updates.shape))
    return _scatter(b, node, given, chain, element, [0 if i == axis else strides[i] for i in range(len(strides))], [index], [strides[axis], source.shape[axis]])


def lower_one_hot(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    indices = at(inputs, 0)
    values = at(inputs, 2)
    output = at(outputs, 0)
    if indices is None or values is None or output is None or type_of(b, indices) not in ['I', 'F'] or type_of(b, output) == '':
        return False
    rank = len(output.shape)
    axis = positive(int_of(node, 'axis', -1), rank)
    type = type_of(b, output)
    given = row_major(indices.shape)
    chain = Chain(output.shape)
    index = chain.load(indices, type_of(b, indices), 0, given[:axis] + [0] + given[axis:])
    place = chain.load(None, 'I', 0, [1 if i == axis else 0 for i in range(rank)])
    hit = chain.op('(I(%0) + select(I(), I(#0), I(%0) < I())) == %1', 'B', [index, place], [output.shape[axis]])
    off = chain.load(values, type, 0, [0] * rank)
    on = chain.load(values, type, 1, [0] * rank)
    chain.op('select(%0, %1, %2)', type, [off, on, hit])
    return finish(b, chain, output)


def dispatch_scatter(b: GpuBuilder, chain: Chain, element: int, output: Value, combine: str) -> bool:
    """Write every element, the result of step `element`, into `output`. The chain's last step, a load of the output, says its place.
    combine: the new element of %0, the present one, and %1; '' to replace it."""
    writer = ChainWriter(b, chain, chain_loops(chain), 1)
    writer.places()
    place = chain.ops.pop()
    writer.steps()
    number = len(chain.ops)
    writer.pick(number, place, writer.address(place.read))
    kind = b.kind(output)
    value = f'{kind}(v{element})'
    if combine == '':
        name = writer.bind(output, 'read_write', kind)
        writer.lines.append(f'{name}[a{number}] = {value};')
    else:
        name = writer.bind(output, 'read_write', 'atomic<u32>')
        now = combine.replace('%0', f'bitcast<{kind}>(old)').replace('%1', value)
        writer.lines.append(f'''var old = atomicLoad(&{name}[a{number}]);
loop {{
let made = atomicCompareExchangeWeak(&{name}[a{number}], old, bitcast<u32>({now}));
if (made.exchanged) {{ break; }}
old = made.old_value;
}}''')
    return writer.dispatch(element_count(chain.shape))


SCATTER_LOWERINGS: dict[str, GpuLowering] = {
    'GatherND': lower_gather_nd,
    'Scatter': lower_scatter_elements,
    'ScatterElements': lower_scatter_elements,
    'ScatterND': lower_scatter_nd,
    'OneHot': lower_one_hot,
}
