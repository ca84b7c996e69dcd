"""Products of a decoder's step: one row times weights in blocks of codes, with as much of what stands around them as one dispatch can do.

A step is hundreds of small dispatches, each of which costs more than its work. So matrices that share their row are one product (queries, keys
and values; gate and up), the row's RMS norm or the chain that makes it is read along (a norm's factor is common to the row, so it comes last),
and an addition behind is the product's residual. What was dispatched for any of these before is dropped, since nobody reads it then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgeflow.backends.webgpu.builder import GpuBuilder, Norm, declaration, gpu_size
from edgeflow.backends.webgpu.chain_text import ChainWriter, chain_loops, types_text
from edgeflow.backends.webgpu.chains import Chain
from edgeflow.backends.webgpu.lower_quantized import block_codes, lanes_code
from edgeflow.backends.webgpu.products import Codes
from edgeflow.ir.attributes import int_of
from edgeflow.ir.graph import Node
from edgeflow.plan.values import Value, at

# Elements of a result, at which a view of it can be bound: builder.ALIGNMENT bytes of float32.
APART = 64
# More steps of a chain are not computed by every workgroup.
MOST_OPS = 12


@dataclass(frozen=True)
class Matrix:
    """[N, K] in blocks of codes."""

    weight: Value
    n: int
    codes: Codes
    bias: Value | None


@dataclass(frozen=True)
class StepProduct:
    """`source` [K] times matrices, whose results lie in `y` from `starts` on."""

    source: Value
    k: int
    bits: int
    block: int
    matrices: list[Matrix]
    y: Value
    starts: list[int] = field(default_factory=lambda: [0])
    norm: Norm | None = None
    chain: Chain | None = None
    residual: Value | None = None


def siblings(b: GpuBuilder, node: Node) -> list[tuple[Node, Matrix]]:
    """The other products of the same row by weights of the graph that are alike."""
    found: list[tuple[Node, Matrix]] = []
    for other in b.alike(node):
        same = True
        for name in ['K', 'bits', 'block_size']:
            same = same and int_of(other, name) == int_of(node, name)
        if not same:
            continue
        values = [None if name == '' else b.weight(name) for name in other.inputs[1:]]
        codes = block_codes(b, other, [None, *values])
        weight = at(values, 0)
        n = int_of(other, 'N')
        if codes is not None and weight is not None and n % 4 == 0 and gpu_size(weight) <= b.features.binding:
            found.append((other, Matrix(weight, n, codes, at(values, 4))))
    return found


def lower_step(b: GpuBuilder, node: Node, inputs: list[Value | None], y: Value) -> bool:
    """The product of one row, together with others of the same row as far as a kernel binds them; False if there is no kernel."""
    source = at(inputs, 0)
    weight = at(inputs, 1)
    codes = block_codes(b, node, inputs)
    if source is None or weight is None or codes is None or b.kind(source) not in ['f32', 'f16'] or b.kind(y) != 'f32':
        return False
    k = int_of(node, 'K')
    matrix = Matrix(weight, int_of(node, 'N'), codes, at(inputs, 5))
    if k % 4 != 0 or matrix.n % 4 != 0 or gpu_size(weight) > b.features.binding:
        return False
    block = int_of(node, 'block_size', 32)
    bits = int_of(node, 'bits', 4)
    others = siblings(b, node)
    one: StepProduct = StepProduct(source, k, bits, block, [matrix], y)
    norm = b.norms.get(source.number)
    made = b.chains.get(source.number)
    if norm is not None:
        one = replace(one, source=norm.source, norm=norm)
    elif made is not None and made.output is source and not b.features.software and readable(made, b.uses.get(source.name, 2), 1 + len(others)):
        one = replace(one, chain=made)
    if not dispatch_step(b, one, False):
        one = StepProduct(source, k, bits, block, [matrix], y)
    # All of them, or as many as can be bound.
    for count in range(len(others), 0, -1):
        matrices = [matrix] + [other[1] for other in others[:count]]
        starts: list[int] = []
        end = 0
        for each in matrices:
            starts.append(end)
            end = end + (each.n + APART - 1) // APART * APART
        y_of_all = b.temporary('float32', [end])
        if dispatch_step(b, replace(one, matrices=matrices, y=y_of_all, starts=starts), True):
            b.alias(y, y_of_all)
            for i in range(count):
                b.grouped[others[i][0].outputs[0]] = (y_of_all, starts[i + 1])
            return True
    if not dispatch_step(b, one, True):
        return False

    def end_with(residual: Value, output: Value) -> bool:
        return dispatch_step(b, replace(one, residual=residual, y=output), True)

    b.endings[y.number] = end_with
    return True


def readable(chain: Chain, uses: int, readers: int) -> bool:
    """Whether a product may compute the chain each time that it reads the row."""
    for op in chain.ops:
        if op.read >= 0 and len(op.arguments) > 0:
            return False
    return uses == readers and len(chain.ops) <= MOST_OPS and chain.shape[-1] % 4 == 0


def dispatch_step(b: GpuBuilder, product: StepProduct, write: bool) -> bool:
    """Write the dispatch; False, also if it is not to be written, if it would bind too much."""
    bindings: list[Value] = []
    declared: list[str] = []
    fields: list[str] = []
    words: list[int] = []
    row = ''
    chain = product.chain
    if chain is not None:
        writer = ChainWriter(b, chain, chain_loops(chain), 4)
        writer.places()
        writer.steps()
        bindings = writer.bindings
        declared = writer.declared
        fields = writer.fields
        words = writer.words
        row = '\n'.join(writer.lines) + f'\nreturn vec4f(v{chain.result});'

    def bind(name: str, value: Value, element: str, access: str = 'read') -> None:
        bindings.append(value)
        declared.append(declaration(len(bindings), name, element, access))

    norm = product.norm
    if chain is None:
        bind('x', product.source, f'vec4<{b.kind(product.source)}>')
        row = 'return vec4f(x[u]);' if norm is None else 'let v = vec4f(x[u]);\nsquares += dot(v, v);\nreturn v;'
        if norm is not None and norm.gamma is not None:
            bind('gamma', norm.gamma, f'vec4<{b.kind(norm.gamma)}>')
            row = row.replace('return v', 'return v * vec4f(gamma[u])')
    width = product.matrices[0].codes.b_column
    if product.k < width * 32 // product.bits:
        # The last block is not full.
        row = f'if (u >= {product.k // 4}u) {{ return vec4f(); }}\n' + row
    stored = 'c'
    sets = 0
    for q in range(len(product.matrices)):
        matrix = product.matrices[q]
        bind(f'b_{q}', matrix.weight, 'vec2u')
        functions: str = matrix.codes.functions
        text = functions.replace('scale_of', f'scale_of_{q}').replace('zero_of', f'zero_of_{q}')
        for name, value in matrix.codes.tables:
            kind = b.kind(value)
            bind(f'{name}_{q}', value, 'u32' if kind == 'bytes' else kind)
            text = text.replace(name + '[', f'{name}_{q}[')
        declared.append(text)
        if matrix.bias is not None:
            bind(f'bias_{q}', matrix.bias, f'vec4<{b.kind(matrix.bias)}>')
        fields.extend([f'first_{q}: u32', f'sets_{q}: u32', f'to_{q}: u32'])
        words.extend([sets, matrix.n // 4, product.starts[q] // 4])
        sets = sets + matrix.n // 4
    biased = [matrix for matrix in product.matrices if matrix.bias is not None]
    if len(biased) > 0:
        if len(biased) < len(product.matrices):
            return False
        stored = stored + ' + vec4f(bias_#q[n])'
    residual = product.residual
    if residual is not None:
        bind('residual', residual, f'vec4<{b.kind(residual)}>')
        stored = stored + ' + vec4f(residual[n])'
    bind('y', product.y, 'vec4f', 'read_write')
    units = width // 2
    lanes, turns, high = division(b, units)
    groups = b.spread((sets + high - 1) // high, 1)
    if len(bindings) > b.features.buffers or groups[1] > 1:
        return False
    if not write:
        return True
    code = lanes_code(product.bits, product.block, lanes, high, turns, [['c', 'vec4f', 'part'], ['squares', 'f32', 'more']], 'finish(unit, c);')
    code.update({
        '$TYPES': types_text(4), '$PARAMS': ', '.join(fields), '$BINDINGS': '\n'.join(declared), '$ROW': row, '$COUNT': f'{len(product.matrices)}',
        '$STORED': stored, '$SCALED': 'sum' if norm is None else 'sum / sqrt(squares * p.share + p.epsilon)',
    })
    numbers: list[int] = [units, b.real(1.0 / product.k), b.real(0.0 if norm is None else norm.epsilon)]
    b.dispatch('step_product', bindings, numbers + words, groups, None, code)
    return True


def division(b: GpuBuilder, units: int) -> tuple[int, int, int]:
    """Threads for four columns, how many units of 8 bytes each reads in a turn, and how many fours of columns a workgroup has."""
    if b.features.software:
        return (1, 1, 8)
    lanes = 1
    while lanes < 128 and lanes < units:
        lanes = lanes * 2
    turns = 1
    for count in [2, 3, 4]:
        if units % (lanes * count) == 0:
            turns = count
    return (lanes, turns, max(1, 32 // lanes))
