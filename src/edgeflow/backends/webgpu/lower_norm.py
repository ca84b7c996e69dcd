"""Lowerings of normalisations: wgsl/norm.wgsl over rows, batch normalisation as a chain."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, Norm, declaration
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lanes import lanes_of, row_groups, unit_code
from edgeflow.backends.webgpu.lower_elementwise import finish, operand, pair, type_of
from edgeflow.backends.webgpu.lower_reduce import reduce_axes
from edgeflow.ir.attributes import int_of, number_of
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

REALS: list[str] = ['f32', 'f16']
# More elements are not normalised again by each workgroup that reads them.
FEW = 32768


@dataclass
class Rows:
    """A normalisation of `rows` rows of n elements. mean: whether it is subtracted.

    Element i of row r has the factor gamma[(r % turn) * each + i // run], and beta alike. skip: added, of `skips` rows that repeat;
    bias: added to each row; total: where the sums go.
    """

    rows: int
    n: int
    mean: bool
    epsilon: float
    turn: int = 1
    each: int = 0
    run: int = 1
    skip: Value | None = None
    skips: int = 1
    bias: Value | None = None
    total: Value | None = None


def norm_rows(b: GpuBuilder, source: Value, gamma: Value | None, beta: Value | None, output: Value, r: Rows) -> bool:
    for value in [source, gamma, beta, r.skip, r.bias, r.total]:
        if value is not None and b.kind(value) not in REALS:
            return False
    width = 4 if r.n % 4 == 0 and (r.run == 1 and r.each % 4 == 0 or r.run % 4 == 0) else 1
    units = r.n // width
    bindings: list[Value] = []
    declared: list[str] = []

    def bind(value: Value, access: str, whole: bool) -> str:
        bindings.append(value)
        name = f'x{len(bindings)}'
        kind = b.kind(value)
        element = f'vec4<{kind}>' if width == 4 and whole else kind
        declared.append(declaration(len(bindings), name, element, access))
        return name

    kind = b.kind(output)
    stored = kind if width == 1 else f'vec4<{kind}>'
    value = f'F({bind(source, "read", True)}[row * p.n + i])'
    if r.skip is not None:
        value = value + f' + F({bind(r.skip, "read", True)}[(row % p.skips) * p.n + i])'
    if r.bias is not None:
        value = value + f' + F({bind(r.bias, "read", True)}[i])'
    factors = ''
    # Rows of gamma are read in units where its elements run with those of the row.
    along = r.run == 1
    for factor, sign in [(gamma, '*'), (beta, '+')]:
        if factor is not None:
            one = f'{bind(factor, "read", along)}[g]'
            factors = factors + f' {sign} F({one if along else f"f32({one})"})'
    code = unit_code(kind, width)
    target = bind(output, 'read_write', True)
    code['$TOTAL'] = '' if r.total is None else f'{bind(r.total, "read_write", True)}[row * p.n + i] = {stored}(v);'
    code['$BINDINGS'] = '\n'.join(declared)
    code['$VALUE'] = value
    code['$STORE'] = f'{target}[row * p.n + i] = {stored}((v - mean) * f{factors});'
    code['$MEAN'] = 'let mean = F();'
    if r.mean:
        code['$MEAN'] = '''var sums = F();
for (var i = lane; i < n; i += LANES) { sums += value(row, i); }
let mean = F(lanes_sum(local, sum_of(sums)) * p.share);'''
    lanes = lanes_of(b, r.rows, units)
    words = [r.rows, units, b.real(1.0 / max(1, r.n)), b.real(r.epsilon), r.skips, r.turn, r.each // width if along else r.each,
             1 if along else r.run // width]
    b.dispatch('norm', bindings, words, row_groups(b, r.rows, lanes), lanes, code)
    return True


def norm_lowering(mean: bool) -> GpuLowering:
    """LayerNormalization and RMSNormalization: the last dims from `axis` on are normalised."""

    def lower(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
        both = pair(inputs, outputs)
        if both is None or at(outputs, 1) is not None or at(outputs, 2) is not None:
            return False
        source, output = both
        rank = len(source.shape)
        axis = int_of(node, 'axis', -1)
        axis = axis + rank if axis < 0 else axis
        n = element_count(source.shape[axis:])
        for i in [1, 2]:
            weights = at(inputs, i)
            if weights is not None and weights.count() != n:
                return False
        rows = Rows(element_count(source.shape[:axis]), n, mean, number_of(node, 'epsilon', 1e-5))
        if rows.rows == 1 and not mean and at(inputs, 2) is None:
            b.norms[output.number] = Norm(source, at(inputs, 1), rows.epsilon)
        gamma = at(inputs, 1)
        beta = at(inputs, 2)
        if not norm_rows(b, source, gamma, beta, output, rows):
            return False
        if mean and beta is not None and rows.rows * n <= FEW:
            b.layer_norms[output.number] = Norm(source, gamma, rows.epsilon, beta)
        return True

    return lower


def skip_norm(b: GpuBuilder, inputs: list[Value | None], output: Value | None, r: Rows, gamma: Value | None, beta: Value | None) -> bool:
    """output = norm(source + skip + bias), total = source + skip + bias."""
    source = at(inputs, 0)
    skip = at(inputs, 1)
    if source is None or skip is None or output is None:
        return False
    dims: list[int] = skip.shape
    while len(dims) > 1 and dims[0] == 1:
        dims = dims[1:]
    if dims != source.shape[len(source.shape) - len(dims):]:
        return False
    rank = len(source.shape)
    r.n = source.shape[rank - 1]
    r.rows = element_count(source.shape[:rank - 1])
    r.skip = skip
    r.skips = max(1, element_count(dims[:len(dims) - 1]))
    return norm_rows(b, source, gamma, beta, output, r)


def lower_skip_layer_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """X, skip, gamma, beta, bias -> Y, sum (edgeflow) or Y, mean, deviation, sum (com.microsoft)."""
    ours = node.domain == 'edgeflow'
    if not ours and (at(outputs, 1) is not None or at(outputs, 2) is not None):
        return False
    r = Rows(0, 0, True, number_of(node, 'epsilon', 1e-5 if ours else 1e-12))
    r.bias = at(inputs, 4)
    r.total = at(outputs, 1 if ours else 3)
    return skip_norm(b, inputs, at(outputs, 0), r, at(inputs, 2), at(inputs, 3))


def lower_skip_rms_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """X, skip, gamma, bias -> Y, mean, deviation, sum."""
    if at(outputs, 1) is not None or at(outputs, 2) is not None:
        return False
    r = Rows(0, 0, False, number_of(node, 'epsilon', 1e-12))
    r.bias = at(inputs, 3)
    r.total = at(outputs, 3)
    return skip_norm(b, inputs, at(outputs, 0), r, at(inputs, 2), None)


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


def lower_embed_norm(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """EmbedLayerNormalization: inputs ids, segment ids, three tables (word, position, segment), gamma, beta, mask, position ids.

    The rows of the tables are added by a chain; then they are normalised.
    """
    ids = at(inputs, 0)
    output = at(outputs, 0)
    table = at(inputs, 2)
    if ids is None or table is None or output is None:
        return False
    width = table.shape[1]
    given = at(outputs, 2)
    total = b.temporary('float32', output.shape) if given is None else given
    chain = Chain(output.shape)
    result = -1
    for index, rows in [(ids, table), (at(inputs, 8), at(inputs, 3)), (at(inputs, 1), at(inputs, 4))]:
        if rows is None:
            continue
        if type_of(b, rows) != 'F' or (index is not None and type_of(b, index) != 'I'):
            return False
        if index is None and rows is not at(inputs, 3):
            continue
        if index is None:
            row = chain.load(rows, 'F', 0, [0, width, 1])
        else:
            one = chain.load(index, 'I', 0, [0 if index.shape[0] == 1 and ids.shape[0] > 1 else index.shape[1], 1, 0])
            row = chain.load(rows, 'F', 0, [0, 0, 1], [one], [width, rows.shape[0]])
        result = row if result < 0 else chain.op('%0 + %1', 'F', [result, row])
    if not finish(b, chain, total) or not _lengths(b, at(inputs, 7), at(outputs, 1)):
        return False
    norm = Rows(ids.count(), width, True, number_of(node, 'epsilon', 1e-12))
    return norm_rows(b, total, at(inputs, 5), at(inputs, 6), output, norm)


def _lengths(b: GpuBuilder, mask: Value | None, lengths: Value | None) -> bool:
    """lengths[b] = how many elements of row b of the mask are 1; 0 without a mask."""
    if lengths is None:
        return True
    if mask is None:
        chain = Chain(lengths.shape)
        chain.op('I()', 'I', [])
        return finish(b, chain, lengths)
    if type_of(b, mask) != 'I':
        return False
    ones = b.temporary('int32', mask.shape)
    chain = Chain(mask.shape)
    chain.op('select(I(), I(1), %0 == I(1))', 'I', [operand(b, chain, mask)])
    return finish(b, chain, ones) and reduce_axes(b, 'ReduceSum', ones, lengths, [1])


NORM_LOWERINGS: dict[str, GpuLowering] = {
    'LayerNormalization': norm_lowering(True),
    'SimplifiedLayerNormalization': norm_lowering(False),
    'RMSNormalization': norm_lowering(False),
    'InstanceNormalization': lower_instance_norm,
    'GroupNormalization': lower_group_norm,
    'BatchNormalization': lower_batch_norm,
    'edgeflow:SkipLayerNorm': lower_skip_layer_norm,
    'com.microsoft:SkipLayerNormalization': lower_skip_layer_norm,
    'com.microsoft:SkipSimplifiedLayerNormalization': lower_skip_rms_norm,
    'com.microsoft:EmbedLayerNormalization': lower_embed_norm,
}
