"""Lowerings of normalisations: wgsl/norm.wgsl over rows, batch normalisation as a chain."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.webgpu.builder import GpuBuilder, GpuLowering, Norm, declaration
from edgeflow.backends.webgpu.lanes import lanes_of, row_groups, unit_code
from edgeflow.backends.webgpu.lower_elementwise import pair
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
    text = f'F({bind(source, "read", True)}[row * p.n + i])'
    if r.skip is not None:
        text = text + f' + F({bind(r.skip, "read", True)}[(row % p.skips) * p.n + i])'
    if r.bias is not None:
        text = text + f' + F({bind(r.bias, "read", True)}[i])'
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
    code['$VALUE'] = text
    code['$STORE'] = f'{target}[row * p.n + i] = {stored}((v - mean) * f{factors});'
    code['$MEAN'] = 'let mean = F();'
    if r.mean:
        code['$MEAN'] = '''var sums = F();
var rest = F();
for (var i = lane; i < n; i += LANES) {
  let more = value(row, i) - rest;
  let next = sums + more;
  rest = (next - sums) - more;
  sums = next;
}
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


NORM_LOWERINGS: dict[str, GpuLowering] = {
    'LayerNormalization': norm_lowering(True),
    'SimplifiedLayerNormalization': norm_lowering(False),
    'RMSNormalization': norm_lowering(False),
    'edgeflow:SkipLayerNorm': lower_skip_layer_norm,
    'com.microsoft:SkipLayerNormalization': lower_skip_layer_norm,
}
