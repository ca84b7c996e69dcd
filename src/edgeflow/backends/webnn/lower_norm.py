"""WebNN lowerings of normalisations, softmax, reductions, and of what goes along one axis."""

from __future__ import annotations

from edgeflow.backends.wasm.rules import context_of
from edgeflow.backends.webnn.emitter import Emitter, NnLowering, Operand
from edgeflow.backends.webnn.lower_movement import checked, positive
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.ir.ops.reduce import reduced_axes
from edgeflow.plan.values import Value, at

REDUCTIONS: dict[str, str] = {
    'ReduceSum': 'reduceSum', 'ReduceMean': 'reduceMean', 'ReduceMax': 'reduceMax', 'ReduceMin': 'reduceMin', 'ReduceProd': 'reduceProduct',
    'ReduceL1': 'reduceL1', 'ReduceL2': 'reduceL2', 'ReduceSumSquare': 'reduceSumSquare', 'ReduceLogSum': 'reduceLogSum',
}


def reduce_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        source = at(inputs, 0)
        if source is None or source.dtype == 'bool':
            raise e.refuse('bools are reduced on WASM')
        axes = reduced_axes(context_of(e.b, node, inputs))
        e.give(at(outputs, 0), e.call(method, [e.value(source)], {'axes': axes, 'keepDimensions': True}))

    return lower


def arg_lowering(method: str) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        if int_of(node, 'select_last_index') != 0:
            raise e.refuse('the last of equal elements')
        x = e.value(at(inputs, 0))
        axis = positive(int_of(node, 'axis'), len(x.shape))
        e.give(at(outputs, 0), e.call(method, [x, axis], {'keepDimensions': True, 'outputDataType': 'int64'}))

    return lower


def lower_cum_sum(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    axis = at(inputs, 1)
    x = e.value(at(inputs, 0))
    if axis is None:
        raise e.refuse('no axis')
    options: dict[str, object] = {'exclusive': int_of(node, 'exclusive') != 0, 'reversed': int_of(node, 'reverse') != 0}
    e.give(at(outputs, 0), e.call('cumulativeSum', [x, positive(e.b.ints(axis)[0], len(x.shape))], options))


def rows_of(e: Emitter, node: Node, x: Operand) -> tuple[Operand, int]:
    """What softmax goes over, and its axis; before version 13 the dims from the axis on are one."""
    rank = len(x.shape)
    if rank == 0:
        raise e.refuse('a scalar')
    axis = positive(int_of(node, 'axis', -1 if e.b.opset >= 13 else 1), rank)
    if e.b.opset >= 13 or axis == rank - 1:
        return (x, axis)
    return (e.reshape(x, [element_count(x.shape[:axis]), element_count(x.shape[axis:])]), 1)


def lower_softmax(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x, axis = rows_of(e, node, e.value(at(inputs, 0)))
    e.give(at(outputs, 0), e.call('softmax', [x, axis]))


def lower_log_softmax(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x, axis = rows_of(e, node, e.value(at(inputs, 0)))
    over: dict[str, object] = {'axes': [axis], 'keepDimensions': True}
    x = e.call('sub', [x, e.call('reduceMax', [x], over)])
    e.give(at(outputs, 0), e.call('sub', [x, e.call('log', [e.call('reduceSum', [e.call('exp', [x])], over)])]))


def normalized(e: Emitter, x: Operand, axis: int, epsilon: float, scale: Value | None, bias: Value | None, centred: bool) -> Operand:
    """Layer norm over the dims from `axis` on; without the mean if not `centred`."""
    axes = [i for i in range(axis, len(x.shape))]
    over: dict[str, object] = {'axes': axes, 'keepDimensions': True}
    if centred:
        options: dict[str, object] = {'axes': axes, 'epsilon': epsilon}
        for name, value in [('scale', scale), ('bias', bias)]:
            if value is not None:
                options[name] = e.reshape(e.value(value), x.shape[axis:])
        return e.call('layerNormalization', [x], options)
    mean = e.call('reduceMean', [e.call('mul', [x, x])], over)
    result = e.call('div', [x, e.call('sqrt', [e.call('add', [mean, e.number(mean, epsilon)])])])
    if scale is not None:
        result = e.call('mul', [result, e.value(scale)])
    return result if bias is None else e.call('add', [result, e.value(bias)])


def norm_lowering(centred: bool) -> NnLowering:
    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        x = e.value(at(inputs, 0))
        axis = positive(int_of(node, 'axis', -1), len(x.shape))
        for i in [1, 2]:
            value = at(inputs, i)
            if value is not None and value.count() != element_count(x.shape[axis:]):
                raise e.refuse('factors that are broadcast')
        e.give(at(outputs, 0), normalized(e, x, axis, number_of(node, 'epsilon', 1e-5), at(inputs, 1), at(inputs, 2), centred))

    return lower


def skip_lowering(centred: bool) -> NnLowering:
    """X, skip, gamma, beta, bias (without the mean: gamma, bias) -> Y, sum (edgeflow) or Y, mean, deviation, sum (com.microsoft)."""

    def lower(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        ours = node.domain == 'edgeflow'
        total = e.call('add', [e.value(at(inputs, 0)), e.value(at(inputs, 1))])
        bias = at(inputs, 4 if centred else 3)
        if bias is not None:
            total = e.call('add', [total, e.value(bias)])
        e.give(at(outputs, 1 if ours else 3), total)
        epsilon = number_of(node, 'epsilon', 1e-5 if ours else 1e-12)
        result = normalized(e, total, len(total.shape) - 1, epsilon, at(inputs, 2), at(inputs, 3) if centred else None, centred)
        e.give(at(outputs, 0), result)

    return lower


def lower_embed_norm(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """EmbedLayerNormalization: ids, segment ids, three tables (word, position, segment), gamma, beta, mask, position ids -> Y, lengths, sum."""
    ids = e.value(at(inputs, 0))
    total = rows_at(e, at(inputs, 2), at(inputs, 0))
    positions = e.value(at(inputs, 3))
    if at(inputs, 8) is not None:
        total = e.call('add', [total, rows_at(e, at(inputs, 3), at(inputs, 8))])
    else:
        total = e.call('add', [total, e.call('slice', [positions, [0, 0], [ids.shape[1], positions.shape[1]]])])
    if at(inputs, 4) is not None and at(inputs, 1) is not None:
        total = e.call('add', [total, rows_at(e, at(inputs, 4), at(inputs, 1))])
    e.picks(at(inputs, 2), at(outputs, 0))
    e.give(at(outputs, 2), total)
    e.give(at(outputs, 0), normalized(e, total, 2, number_of(node, 'epsilon', 1e-12), at(inputs, 5), at(inputs, 6), True))
    if at(outputs, 1) is not None:
        mask = e.value(at(inputs, 7))
        seen = e.call('cast', [e.call('equal', [mask, e.number(mask, 1)]), 'int32'])
        e.give(at(outputs, 1), e.call('reduceSum', [seen], {'axes': [1]}))


def rows_at(e: Emitter, table: Value | None, ids: Value | None) -> Operand:
    """The rows of a table."""
    rows = e.value(table)
    return e.call('gather', [rows, checked(e, e.value(ids), ids, rows.shape[0])], {'axis': 0})


def lower_batch_norm(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    if int_of(node, 'training_mode') != 0:
        raise e.refuse('training')
    x = e.value(at(inputs, 0))
    options: dict[str, object] = {
        'scale': e.value(at(inputs, 1)), 'bias': e.value(at(inputs, 2)), 'axis': 1, 'epsilon': number_of(node, 'epsilon', 1e-5)}
    e.give(at(outputs, 0), e.call('batchNormalization', [x, e.value(at(inputs, 3)), e.value(at(inputs, 4))], options))


def lower_instance_norm(e: Emitter, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    x = e.value(at(inputs, 0))
    options: dict[str, object] = {
        'scale': e.value(at(inputs, 1)), 'bias': e.value(at(inputs, 2)), 'epsilon': number_of(node, 'epsilon', 1e-5), 'layout': 'nchw'}
    square = x.shape[:2] + [element_count(x.shape[2:]), 1]
    e.give(at(outputs, 0), e.call('instanceNormalization', [e.reshape(x, square)], options))


def _table() -> dict[str, NnLowering]:
    table: dict[str, NnLowering] = {
        'ArgMax': arg_lowering('argMax'), 'ArgMin': arg_lowering('argMin'), 'CumSum': lower_cum_sum, 'Softmax': lower_softmax, 'LogSoftmax': lower_log_softmax,
        'LayerNormalization': norm_lowering(True), 'SimplifiedLayerNormalization': norm_lowering(False), 'RMSNormalization': norm_lowering(False),
        'edgeflow:SkipLayerNorm': skip_lowering(True), 'com.microsoft:SkipLayerNormalization': skip_lowering(True),
        'com.microsoft:SkipSimplifiedLayerNormalization': skip_lowering(False), 'BatchNormalization': lower_batch_norm,
        'InstanceNormalization': lower_instance_norm, 'com.microsoft:EmbedLayerNormalization': lower_embed_norm,
    }
    for name, method in REDUCTIONS.items():
        table[name] = reduce_lowering(method)
    return table


NORM_LOWERINGS: dict[str, NnLowering] = _table()
