"""Float matrix products on the GPU: which kernel and which division into threads a product gets, and the text of its variant.

wgsl/matmul.wgsl works on tiles in workgroup memory, for products with many rows. wgsl/matmul_slices.wgsl has none: its threads share a product
by slices of k, which keeps a GPU busy with few rows, and without slices it runs on CPUs (software adapters), where barriers are dear.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from edgeflow.backends.wasm.batches import Batch, batches
from edgeflow.backends.webgpu.builder import GpuBuilder, GpuFeatures, Norm, declaration, gpu_size
from edgeflow.backends.webgpu.lower_elementwise import ACTIVATIONS
from edgeflow.ir.dtype import element_count
from edgeflow.plan.values import Value

FLOATS: list[str] = ['f32', 'f16']
# Most dispatches of one product, whose batches do not step evenly.
MOST_PARTS = 64
# Parts of a weight begin at so many rows, so that they can be bound whatever a row is.
ALIGNED = 256


@dataclass(frozen=True)
class Division:
    """A workgroup has wx x wy threads for each of `slices` of k; each makes `rows` rows and `columns` times 4 columns.

    depth: the k of a tile; 0: without tiles.
    """

    rows: int
    columns: int
    wx: int
    wy: int
    depth: int = 0
    slices: int = 1

    def groups(self, m: int, n: int, batch: int) -> list[int]:
        """Workgroups for a product of m rows and n columns."""
        high = self.rows * self.wy
        wide = 4 * self.columns * self.wx
        return [(n + wide - 1) // wide, (m + high - 1) // high, batch]


# From large to small, with the fewest workgroups at which one is worth while; measured on an H100 (docs/decisions/gpu-products.md).
DIVISIONS: list[tuple[Division, int]] = [
    (Division(8, 2, 16, 8, 16), 200), (Division(4, 1, 8, 8, 0, 4), 384), (Division(4, 1, 8, 4, 0, 8), 144), (Division(4, 1, 8, 2, 0, 16), 144), (Division(2, 1, 4, 2, 0, 32), 0),
]
# Where B lies by columns.
ACROSS_DIVISIONS: list[tuple[Division, int]] = [(Division(8, 2, 16, 8, 16), 200), (Division(4, 1, 8, 8, 32), 0)]


def choose_division(features: GpuFeatures, m: int, n: int, k: int, batch: int, across: bool, codes: bool) -> Division:
    """The division of a product; across: B lies by columns; codes: it is no array of floats."""
    if features.software and codes:
        # Much code for each read, which is not to be repeated.
        return Division(8 if m > 4 else 4 if m > 2 else max(1, m), 1, 8, 1)
    if features.software:
        # What a thread reads of A and B is dear: so it makes many sums of it.
        return Division(8 if m > 4 else 4 if m > 2 else max(1, m), 8 if n >= 128 else 2 if n > 32 else 1, 4 if n >= 128 else 8, 1)
    if m <= (8 if across else 4):
        rows = 4 if m > 2 else max(1, m)
        return Division(rows, 1, 4 if across else 8, 1, 0, slices_of(k, 32 if across or m <= 2 else 16))
    for division, least in ACROSS_DIVISIONS if across else DIVISIONS:
        groups = division.groups(m, n, batch)
        if groups[0] * groups[1] * batch >= least:
            return Division(division.rows, division.columns, division.wx, division.wy, division.depth, slices_of(k, division.slices))
    raise AssertionError('the last division takes all')


# Rows and columns of a subgroup's part, with the fewest workgroups at which one is worth while; measured on an H100.
MATRIX_PARTS: list[tuple[int, int]] = [(64, 132), (32, 48)]
MATRIX_DEPTH = 32
MATRIX_KINDS: list[str] = ['f16']
MATRIX_STORAGE = 24576


def choose_matrices(features: GpuFeatures, m: int, n: int, batch: int) -> Division | None:
    """The division of a product for matrix units: a "thread" of it is one of 2 x 2 subgroups. None: other kernels are faster, or there are no such units."""
    if len(features.matrix) > 0 and features.storage >= MATRIX_STORAGE:
        for part, least in MATRIX_PARTS:
            division = Division(part, part // 4, 2, 2, MATRIX_DEPTH)
            groups = division.groups(m, n, batch)
            if groups[0] * groups[1] * batch >= least:
                return division
    return None


def matrix_code(features: GpuFeatures, division: Division) -> dict[str, str]:
    """What a division puts for the marks of wgsl/matmul_matrices.wgsl."""
    rows, columns, depth = features.matrix
    loads = f'{division.rows * division.depth // 256}'
    return {'$MM': f'{rows}', '$MN': f'{columns}', '$MK': f'{depth}', '$TM': f'{division.rows // rows}', '$TN': f'{division.rows // columns}',
            '$BK': f'{division.depth}', '$NA': loads, '$NB': loads, '$NK': f'{division.depth // depth}'}


def slices_of(k: int, most: int) -> int:
    """At most so many slices as there are fours of k."""
    slices = most
    while slices > 1 and slices * 4 > k:
        slices = slices // 2
    return slices


@dataclass(frozen=True)
class Codes:
    """A matrix B that is no array of floats. load: WGSL of load_b in wgsl/snippets/product.wgsl, where `at` is the column; across: it gives
    four rows of a column, else four columns of a row. b_row, b_column: what p.b_row and p.b_column say in it. tables: the arrays that it reads by their names; functions: WGSL that it calls. `batch` is the number of the matrix.
    """

    across: bool
    load: str
    b_row: int
    b_column: int
    tables: list[tuple[str, Value]]
    functions: str = ''
    # More parameters: their names, and what they are.
    fields: list[str] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    # Of wgsl/conv_tiles.wgsl: its division, what it puts for its marks, and how many workgroups share the whole of k.
    division: Division | None = None
    code: dict[str, str] = field(default_factory=dict)
    parts: int = 1


@dataclass
class Product:
    """y = act(alpha * a @ b * scale + bias) + residual, or with `addend` alpha * a @ b + beta * addend, broadcast by its strides.

    Strides are in elements. a_dims, b_dims: leading dims, as numpy.matmul pairs them.
    """

    a: Value
    b: Value
    y: Value
    m: int
    n: int
    k: int
    a_row: int
    a_column: int
    b_row: int
    b_column: int
    a_dims: list[int]
    b_dims: list[int]
    alpha: float = 1.0
    activation: str = ''
    bias: Value | None = None
    residual: Value | None = None
    addend: Value | None = None
    addend_row: int = 0
    addend_column: int = 0
    beta: float = 1.0
    # One number, or one a column.
    scale: Value | None = None
    # One number for all, with `scale`.
    scale_all: Value | None = None
    # One number a row, of `groups` times m rows: those of matrix number `batch % groups`.
    row_bias: Value | None = None
    groups: int = 1
    codes: Codes | None = None
    # More matrices like b, each with a bias if there is one: the results of number i lie in y behind those before.
    others: list[tuple[Value, Value | None]] = field(default_factory=list)
    # A sum over other k, added to this one before anything else.
    partial: Value | None = None
    # What is read as `normed` ('a' or 'residual') is normalised by each workgroup that reads it.
    norm: Norm | None = None
    normed: str = ''
    # The last lines of its end over `v`, given whether it has four columns, what is bound and what is declared.
    ending: Callable[[bool, list[Value], list[str]], list[str]] | None = None
    # B has the columns from `first` on, so many; 0: all.
    first: int = 0
    columns: int = 0


def matmul_product(a: Value, b: Value, y: Value, trans_a: bool, trans_b: bool) -> Product:
    """The product of numpy.matmul's shapes."""
    a_shape = [1] + a.shape if len(a.shape) == 1 else a.shape
    b_shape = b.shape + [1] if len(b.shape) == 1 else b.shape
    a_rank = len(a_shape)
    b_rank = len(b_shape)
    k = a_shape[a_rank - 2] if trans_a else a_shape[a_rank - 1]
    m = a_shape[a_rank - 1] if trans_a else a_shape[a_rank - 2]
    n = b_shape[b_rank - 2] if trans_b else b_shape[b_rank - 1]
    product = Product(a, b, y, m, n, k, 1 if trans_a else k, m if trans_a else 1, 1 if trans_b else n, k if trans_b else 1,
                      a_shape[:a_rank - 2], b_shape[:b_rank - 2])
    if not trans_a and element_count(product.b_dims) == 1:
        product.m = element_count(a_shape[:a_rank - 1])
        product.a_dims = []
        product.b_dims = []
    return product


def parts_of(b: GpuBuilder, value: Value, rows: int) -> list[list[int]]:
    """First row and count of the parts in which kernels can bind `rows` rows of a weight; empty if there are none."""
    most = b.features.binding * rows // gpu_size(value) // ALIGNED * ALIGNED
    return [] if most == 0 else [[first, min(most, rows - first)] for first in range(0, rows, most)]


def part_of(b: GpuBuilder, value: Value, rows: int, part: list[int]) -> Value:
    """Some of the `rows` rows of a value, as a view."""
    width = value.count() // rows
    view = b.new_value(value.name, value.dtype, [part[1], width])
    b.alias(view, value, value.size // rows * part[0])
    return view


def dispatch_parts(b: GpuBuilder, product: Product) -> bool:
    """A product with a weight larger than a kernel can bind: by its columns, or, where its rows lie together, by k."""
    if element_count(product.b_dims) > 1 or product.b.root().initializer == '':
        return False
    codes = product.codes
    if codes is not None or product.b_row == 1:
        for part in parts_of(b, product.b, product.n):
            some = None if codes is None else replace(codes, tables=[(name, part_of(b, table, product.n, part)) for name, table in codes.tables])
            if not dispatch_product(b, replace(product, b=part_of(b, product.b, product.n, part), codes=some, first=part[0], columns=part[1])):
                return False
            product.columns = part[1]
        return product.columns > 0
    parts = parts_of(b, product.b, product.k)
    partial: Value | None = None
    for part in parts:
        a = b.new_value('part', product.a.dtype, [product.a.count() - part[0] * product.a_column])
        b.alias(a, product.a, part[0] * product.a_column * product.a.size // product.a.count())
        some_b = part_of(b, product.b, product.k, part)
        if part is parts[-1]:
            return dispatch_product(b, replace(product, a=a, b=some_b, k=part[1], partial=partial))
        y = b.temporary('float32', product.y.shape)
        summed = Product(a, some_b, y, product.m, product.n, part[1], product.a_row, product.a_column, product.b_row, product.b_column, product.a_dims, product.b_dims, product.alpha)
        summed.partial = partial
        if not dispatch_product(b, summed):
            return False
        partial = y
    return False


def with_norms(b: GpuBuilder, product: Product) -> list[Product]:
    """The products that compute a layer norm which they read."""
    found: list[Product] = []
    for name, value, width in [('a', product.a, product.k), ('residual', product.residual, product.n)]:
        norm = None if value is None else b.layer_norms.get(value.number)
        if norm is not None and norm.source.count() == product.m * width and norm.gamma is not None and norm.gamma.count() == width:
            fused: Product = replace(product, norm=norm, normed=name)
            if name == 'a':
                fused.a = norm.source
            else:
                fused.residual = norm.source
            found.append(fused)
    return found


def dispatch_product(b: GpuBuilder, product: Product) -> bool:
    """Write the dispatches of a product; False if there is no kernel for it."""
    codes = product.codes
    if gpu_size(product.b) > b.features.binding:
        return dispatch_parts(b, product)
    if b.kind(product.a) not in FLOATS or (codes is None and b.kind(product.b) not in FLOATS) or b.kind(product.y) != 'f32':
        return False
    m = product.m
    n = product.n
    k = product.k
    parts = batches(product.a_dims, product.b_dims, m * k, k * n, m * n)
    batch = parts[0].inner * parts[0].outer
    by_fours = product.a_column == 1 and k % 4 == 0
    rows = codes is None and product.b_column == 1 and n % 4 == 0
    across = codes.across if codes is not None else not rows and product.b_row == 1 and k % 4 == 0
    # Of float16 tensors alone: what a matrix unit multiplies has no more digits.
    matrices = choose_matrices(b.features, m, n, batch) if codes is None and len(product.others) == 0 and rows and by_fours and b.kind(product.b) in MATRIX_KINDS else None
    division = choose_division(b.features, m, n, k, batch, across, codes is not None) if matrices is None else matrices
    if codes is not None and codes.division is not None:
        division = codes.division
    if b.features.software and not by_fours and division.columns > 2:
        # SwiftShader takes minutes to compile more sums, if A is read one by one.
        division = Division(division.rows, 2, 8, 1)
    if codes is None and division.slices > 1 and by_fours and n % 4 == 0 and product.norm is None:
        for fused in with_norms(b, product):
            if dispatch_product(b, fused):
                return True
    kernel = 'matmul_matrices' if matrices is not None else 'matmul_slices' if division.depth == 0 else 'matmul'
    if product.norm is not None:
        kernel = 'matmul_normed'
    if codes is not None and codes.division is not None:
        kernel = 'conv_tiles'
    groups = division.groups(m, n if product.columns == 0 else product.columns, batch * (1 if codes is None else codes.parts))
    if len(parts) > MOST_PARTS or max(groups[1], groups[2]) > b.features.groups:
        return False
    code = division_code(division, k, across) if matrices is None else matrix_code(b.features, division)
    if codes is not None:
        code.update(codes.code)
    # What is fused is slow where it is computed in software.
    code['$PARAMS'] = '' if codes is None else ', '.join([f'{name}: u32' for name in codes.fields])
    code['$FMA'] = 'madd' if b.features.software else 'fma'
    code['$A'] = element(b, product.a, by_fours)
    edge = k % (division.depth if division.depth > 0 else 4) != 0
    guard = 'if (k >= p.k) { return vec4f(); } ' if edge else ''
    whole = 'vec4f(a[at + k / 4u])'
    code['$LOAD_A'] = LOAD_ONES if not by_fours else f'return select(vec4f(), {whole}, k < p.k);' if edge else f'return {whole};'
    declared: list[str] = []
    bindings = [product.a, product.b, product.y]
    local = 'n' if product.first == 0 else f'(n - {product.first}u)'
    if codes is not None:
        code['$B'] = 'u32' if b.kind(product.b) == 'bytes' else b.kind(product.b)
        code['$LOAD_B'] = guard + codes.load
        code['$COLUMN'] = local
        for name, value in codes.tables:
            declare(b, name, value, False, bindings, declared)
        declared.append(codes.functions)
    else:
        code['$B'] = element(b, product.b, rows or across)
        code['$COLUMN'] = 'n / 4u' if rows else f'{local} * p.b_column'
        four_of_b = 'b[at + k * p.b_row]' if rows else 'b[at + k / 4u]' if across else four('b', 'at + k * p.b_row', 'p.b_column')
        loaded = 'vec4f' if matrices is None else code['$B']
        code['$LOAD_B'] = f'return select({loaded}(), {loaded}({four_of_b}), k < p.k);' if edge else f'return {loaded}({four_of_b});'
        count = len(product.others)
        if count > 0:
            if division.depth > 0:
                return False
            code['$READ_B'] = filled(READ_SOME, code)
            code['$COUNT'] = f'{count + 1}'
            for i in range(count + 1):
                if i > 0:
                    declare(b, f'b{i}', product.others[i - 1][0], rows, bindings, declared)
                declared.append(f'fn load_b{i}(at: u32, k: u32) -> vec4f {{ {code["$LOAD_B"].replace("b[", f"b{i}[" if i > 0 else "b[")} }}')
    norm = product.norm
    if norm is not None and norm.gamma is not None and norm.beta is not None:
        declare(b, 'gamma', norm.gamma, True, bindings, declared)
        declare(b, 'beta', norm.beta, True, bindings, declared)
        code['$PARAMS'] = 'normed: u32, epsilon: f32'
        code['$NORMED'] = product.normed
        code['$HEAD'] = 'set_stats(group.y, slice, local.y, x);'
        code['$OF_A'] = 'norm_of(v, row, i)' if product.normed == 'a' else 'v'
    store_code(b, product, bindings, declared, code)
    if matrices is not None:
        # What is on its way to the tile of B takes half the registers so.
        code['$WB'] = code['$B']
    if len(bindings) > b.features.buffers:
        return False
    a_unit = 4 if by_fours else 1
    b_unit = 0 if codes is not None or len(product.others) > 0 else 4 if rows or across else 1
    y_unit = 4 if n % 4 == 0 else 1
    b_row = codes.b_row if codes is not None else product.b_row // 4 if rows else product.b_row
    b_column = codes.b_column if codes is not None else product.b_column // 4 if across else product.b_column
    for part in parts:
        words = [m, n, k, b.real(product.alpha), product.a_row // a_unit, product.a_column, b_row, b_column, product.addend_row, product.addend_column, b.real(product.beta)]
        words = words + part_words(part, a_unit, b_unit, y_unit) + ([] if codes is None else codes.words)
        if norm is not None:
            words.extend([(k if product.normed == 'a' else n) // 4, b.real(norm.epsilon)])
        b.dispatch(kernel, bindings, words, groups, None, code)
    return True


def part_words(part: Batch, a: int, b: int, y: int) -> list[int]:
    """Starts and strides of batches in units of so many elements; b 0: all matrices B begin at 0."""
    starts_b = [0, 0, 0] if b == 0 else [part.b_start // b, part.outer_b // b, part.inner_b // b]
    return [part.a_start // a, starts_b[0], part.c_start // y, part.outer_a // a, starts_b[1], part.outer_c // y,
            part.inner, part.inner_a // a, starts_b[2], part.inner_c // y]


READ_B = '''$for u $U {
$for l 4 {
$for j $TN {
READ
$}
$}
$}'''
PLACE_B = '(column#j_#l,k+#uu*$KSu*4u+$LKu*#lu);'
READ_ONE = READ_B.replace('READ', 'let b#u_#l_#j=load_b' + PLACE_B)
# With other matrices, one branch for all that a turn reads: branches around each would keep these from being on their way together.
READ_SOME = READ_B.replace('READ', 'var b#u_#l_#j=vec4f();') + '''
$for q $COUNT {
if (batch == #qu) {
''' + READ_B.replace('READ', 'b#u_#l_#j=load_b#q' + PLACE_B) + '''
}
$}'''
# No branches in what is inlined often: SwiftShader compiles many of them for minutes.
LOAD_ONES = 'return vec4f(' + ', '.join([f'select(0.0, f32(a[at + (k + {i}u) * p.a_column]), k + {i}u < p.k)' for i in range(4)]) + ');'
SUM_ROWS = '''$for l 4 {
    c#i_#j = $FMA(vec4f(a#u_#i[#l]), b#u_#l_#j, c#i_#j);
$}'''
SUM_ACROSS = 'c#i_#j += vec4f(dot(a#u_#i, b#u_0_#j), dot(a#u_#i, b#u_1_#j), dot(a#u_#i, b#u_2_#j), dot(a#u_#i, b#u_3_#j));'


def division_code(division: Division, k: int, across: bool) -> dict[str, str]:
    """What a division puts for the marks of its kernel."""
    code: dict[str, str] = {'$TM': f'{division.rows}', '$TN': f'{division.columns}', '$WX': f'{division.wx}', '$WY': f'{division.wy}'}
    if division.depth > 0:
        threads = division.wx * division.wy
        depth = division.depth
        code['$BK'] = f'{depth}'
        code['$NA'] = f'{division.rows * division.wy * depth // 4 // threads}'
        code['$NB'] = f'{division.columns * division.wx * depth // threads}'
        code['$NK'] = f'{depth // 4}'
        code['$ACROSS'] = 'true' if across else 'false'
        code['$FOURS'] = '1' if across else '0'
        code['$PLACED'] = '0' if across else code['$NB']
        return code
    slices = division.slices
    code['$KS'] = f'{slices}'
    turns = 1
    for count in [2, 3]:
        if slices > 1 and k % (4 * slices * count) == 0:
            turns = count
    code['$U'] = f'{turns}'
    code['$SUM'] = SUM_ACROSS if across else SUM_ROWS
    code['$HEAD'] = ''
    code['$READ_B'] = filled(READ_ONE, code)
    code['$SLICED'] = '1' if slices > 1 else '0'
    code['$ALONE'] = '0' if slices > 1 else '1'
    # Neighbouring threads read neighbouring memory: along columns, or along k where B lies by columns.
    code['$X'] = 'z' if across else 'x'
    code['$S'] = 'x' if across else 'z'
    code['$SIZE'] = f'{slices}, {division.wy}, {division.wx}' if across else f'{division.wx}, {division.wy}, {slices}'
    code['$LK'] = '0' if across else '1'
    code['$LN'] = '1' if across else '0'
    return code


def filled(text: str, code: dict[str, str]) -> str:
    """The text with the marks replaced that `code` has so far."""
    for mark in code:
        text = text.replace(mark, code[mark])
    return text


def element(b: GpuBuilder, value: Value, by_fours: bool) -> str:
    """The type of the elements of an array."""
    return f'vec4<{b.kind(value)}>' if by_fours else b.kind(value)


def four(name: str, start: str, step: str) -> str:
    """Four elements of an array, `step` apart."""
    return ', '.join([f'f32({name}[{start} + {i}u * {step}])' for i in range(4)])


def declare(b: GpuBuilder, name: str, value: Value, by_fours: bool, bindings: list[Value], declared: list[str]) -> None:
    """Bind one array more."""
    bindings.append(value)
    kind = 'u32' if b.kind(value) == 'bytes' else element(b, value, by_fours)
    declared.append(declaration(len(bindings), name, kind))


def store_code(b: GpuBuilder, product: Product, bindings: list[Value], declared: list[str], code: dict[str, str]) -> None:
    """$Y, $BINDINGS and $STORE; appends what is bound beside a and b, whose declarations are `declared` so far."""
    by_fours = product.n % 4 == 0
    code['$Y'] = 'vec4f' if by_fours else 'f32'
    code['$SCALED'] = 'p.alpha * sum'
    code['$BASE'] = f'{product.first}u'
    for mark in ['$ACC', '$WA', '$WB']:
        code[mark] = 'vec4f'
    lines: list[str] = ['let at = start + (m * p.n + n) / 4u;' if by_fours else 'let at = start + m * p.n + n;']
    if product.partial is not None:
        declare(b, 'partial', product.partial, by_fours, bindings, declared)
        lines.append('v += partial[at];' if by_fours else 'v += vec4f(' + four('partial', 'at', '1u') + ');')
    if product.scale is not None:
        whole = by_fours and product.scale.count() > 1
        declare(b, 'scale', product.scale, whole, bindings, declared)
        if product.scale_all is not None:
            declare(b, 'scale_all', product.scale_all, False, bindings, declared)
        lines.append('v *= ' + ('' if product.scale_all is None else 'scale_all[0] * ') + (
            'f32(scale[0]);' if product.scale.count() == 1 else 'vec4f(scale[n / 4u]);' if whole else 'vec4f(' + four('scale', 'n', '1u') + ');'))
    if product.bias is not None:
        declare(b, 'bias', product.bias, by_fours, bindings, declared)
        added = 'v += vec4f(bias[n / 4u]);' if by_fours else 'v += vec4f(' + four('bias', 'n', '1u') + ');'
        for i in range(len(product.others)):
            bias = product.others[i][1]
            if bias is not None:
                declare(b, f'bias_{i + 1}', bias, by_fours, bindings, declared)
                added = f'if (batch == {i + 1}u) {{ v += vec4f(bias_{i + 1}[n / 4u]); }} else {{ {added} }}'
        lines.append(added)
    if product.row_bias is not None:
        declare(b, 'row_bias', product.row_bias, False, bindings, declared)
        lines.append(f'v += f32(row_bias[batch % {product.groups}u * p.m + m]);')
    if product.activation != '':
        lines.append('v = ' + ACTIVATIONS[product.activation].replace('%0', 'v') + ';')
    if product.residual is not None:
        declare(b, 'residual', product.residual, by_fours, bindings, declared)
        if product.normed == 'residual':
            lines.append('v += norm_of(vec4f(residual[at]), m % ROWS, n / 4u);')
        else:
            lines.append('v += vec4f(residual[at]);' if by_fours else 'v += vec4f(' + four('residual', 'at', '1u') + ');')
    if product.addend is not None:
        declare(b, 'addend', product.addend, False, bindings, declared)
        lines.append('let i = m * p.r_row + n * p.r_column;')
        lines.append('v += p.beta * vec4f(' + four('addend', 'i', 'p.r_column') + ');')
    if product.ending is not None:
        lines.extend(product.ending(by_fours, bindings, declared))
    if by_fours:
        lines.append('y[at] = v;')
    else:
        lines.append('$for l 4 {\nif (n + #lu < p.n) { y[at + #lu] = v[#l]; }\n$}')
    code['$BINDINGS'] = '\n'.join(declared)
    code['$STORE'] = '\n'.join(lines)
