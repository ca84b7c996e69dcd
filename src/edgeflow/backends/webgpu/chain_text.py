"""From a chain to its dispatch: WGSL for wgsl/chain.wgsl, parameters, bindings."""

from __future__ import annotations

from edgeflow.backends.wasm.strides import Loops, collapse, row_major
from edgeflow.backends.webgpu.builder import GpuBuilder, declaration
from edgeflow.backends.webgpu.chains import Chain, Op
from edgeflow.ir.dtype import element_count
from edgeflow.plan.values import Value

SCALARS: dict[str, str] = {'F': 'f32', 'I': 'i32', 'U': 'u32', 'B': 'bool'}
SIGNED: list[str] = ['int8', 'int4']
LANES: list[str] = ['x', 'y', 'z', 'w']


def types_text(width: int) -> str:
    """The aliases of a unit's types: one element, or four."""
    lines: list[str] = []
    for name in SCALARS:
        lines.append(f'alias {name} = {SCALARS[name]};' if width == 1 else f'alias {name} = vec4<{SCALARS[name]}>;')
    return '\n'.join(lines)


class ChainWriter:
    """Collects the text, the parameters and the bindings of one dispatch of wgsl/chain.wgsl."""

    def __init__(self, b: GpuBuilder, chain: Chain, loops: Loops, width: int) -> None:
        self.b: GpuBuilder = b
        self.chain: Chain = chain
        self.loops: Loops = loops
        self.width: int = width
        self.fields: list[str] = []
        self.words: list[int] = []
        self.declared: list[str] = []
        self.names: dict[str, str] = {}
        self.bindings: list[Value] = []
        self.lines: list[str] = []

    def word(self, name: str, type: str, number: int) -> str:
        """A parameter, there once by its name; returns how the kernel reads it."""
        member = f'{name}: {type}'
        if member not in self.fields:
            self.fields.append(member)
            self.words.append(number)
        return 'p.' + name

    def bind(self, value: Value, access: str, element: str) -> str:
        """The name of the array of `element`s in which the kernel sees the value."""
        key = f'{value.number} {element}'
        known = self.names.get(key)
        if known is not None:
            return known
        self.bindings.append(value)
        number = len(self.bindings)
        name = f'x{number}'
        self.declared.append(declaration(number, name, element, access))
        self.names[key] = name
        return name

    def places(self) -> None:
        """The place of the unit in each dim: c0, c1, ... of which the last counts elements."""
        dims = self.loops.dims
        last = len(dims) - 1
        if last > 0:
            self.lines.append('var r = u;')
        for i in range(last, 0, -1):
            dim = self.word(f'd{i}', 'u32', dims[i] // self.width if i == last else dims[i])
            self.lines.append(f'let c{i} = (r % {dim})' + (f' * {self.width}u;' if i == last else ';'))
            self.lines.append(f'r = r / {dim};')
        self.lines.append(f'let c0 = r;' if last > 0 else f'let c0 = u * {self.width}u;')

    def address(self, read: int) -> str:
        """The place of the unit's first element in operand `read`."""
        strides = self.loops.strides[read + 1]
        terms: list[str] = []
        offset = self.chain.reads[read].offset
        if offset != 0:
            terms.append(self.word(f'o{read}', 'u32', offset))
        for i in range(len(strides)):
            if strides[i] == 1:
                terms.append(f'c{i}')
            elif strides[i] != 0:
                terms.append(f'c{i} * ' + self.word(f's{read}_{i}', 'u32', strides[i]))
        return '0u' if len(terms) == 0 else ' + '.join(terms)

    def element(self, value: Value, name: str, at: str) -> str:
        """The one element at a place."""
        if self.b.kind(value) != 'bytes':
            return f'{name}[{at}]'
        byte = f'{name}[({at}) / 4u] >> (8u * (({at}) % 4u))'
        return f'(bitcast<i32>(({byte}) << 24u) >> 24u)' if value.dtype in SIGNED else f'(({byte}) & 255u)'

    def load(self, number: int, op: Op) -> None:
        read = self.chain.reads[op.read]
        strides = self.loops.strides[op.read + 1]
        step = strides[len(strides) - 1]
        value = read.value
        at = self.address(op.read)
        convert = op.type
        if value is None:
            self.lines.append(f'let v{number} = I(bitcast<i32>({at}))' + ('' if self.width == 1 or step == 0 else self.ramp('I', 'i32', op.read, step)) + ';')
            return
        if value.dtype == 'bool':
            convert = 'U() != U'
        element = self.storage(value)
        whole = self.width == 1 or step == 0
        for argument in op.arguments:
            whole = whole and self.uniform(argument)
        if len(op.arguments) > 0:
            self.pick(number, op, at)
            at = f'a{number}'
        if self.width == 1 or whole:
            place = at if len(op.arguments) == 0 or self.width == 1 else f'a{number}.x'
            name = self.bind(value, 'read', element)
            one = self.element(value, name, place)
            self.lines.append(f'let v{number} = {convert}({f"f32({one})" if element == "f16" else one});')
            return
        together = step == 1 and read.offset % 4 == 0
        for i in range(len(strides) - 1):
            together = together and strides[i] % 4 == 0
        for i in range(len(op.arguments)):
            together = together and op.spans[2 * i] % 4 == 0 and self.uniform(op.arguments[i])
        if together and self.b.kind(value) == 'bytes':
            name = self.bind(value, 'read', 'u32')
            place = at if len(op.arguments) == 0 else at + '.x'
            word = f'{name}[({place}) / 4u]'
            bytes = f'(vec4u({word}) >> vec4u(0u, 8u, 16u, 24u))'
            self.lines.append(f'let v{number} = ' + (f'(bitcast<vec4i>({bytes} << vec4u(24u)) >> vec4u(24u));' if value.dtype in SIGNED
                                                     else f'({bytes} & vec4u(255u));'))
            return
        if together:
            name = self.bind(value, 'read', f'vec4<{element}>')
            place = at if len(op.arguments) == 0 else at + '.x'
            self.lines.append(f'let v{number} = {convert}({name}[({place}) / 4u]);')
            return
        name = self.bind(value, 'read', element)
        if len(op.arguments) == 0:
            self.lines.append(f'let a{number} = U({at})' + self.ramp('U', 'u32', op.read, step) + ';')
        elements = [self.element(value, name, f'a{number}.{lane}') for lane in LANES]
        self.lines.append(f'let v{number} = {convert}(vec4({", ".join(elements)}));')

    def uniform(self, number: int) -> bool:
        """Whether the result of a step is the same for all elements of a unit."""
        op = self.chain.ops[number]
        same = self.width == 1 or op.read < 0 or self.last_stride(op.read) == 0
        for argument in op.arguments:
            same = same and self.uniform(argument)
        return same

    def last_stride(self, read: int) -> int:
        strides = self.loops.strides[read + 1]
        return strides[len(strides) - 1]

    def storage(self, value: Value) -> str:
        """How an array declares its elements."""
        kind = self.b.kind(value)
        return 'u32' if kind == 'bytes' else kind

    def ramp(self, type: str, scalar: str, read: int, step: int) -> str:
        """What the four elements of a unit add to the place of the first."""
        if step == 0:
            return ''
        text = 'vec4i(0, 1, 2, 3) * ' + self.word(f'l{read}', 'i32', step)
        return f' + {text}' if type == 'I' else f' + bitcast<vec4u>({text})'

    def pick(self, number: int, op: Op, at: str) -> None:
        """The places a{number} that the indices say; one out of range makes the run fail."""
        step = self.last_stride(op.read)
        self.lines.append(f'var a{number} = U({at})' + ('' if self.width == 1 else self.ramp('U', 'u32', op.read, step)) + ';')
        if number not in self.chain.faults:
            self.chain.faults[number] = self.b.fault()
        flag = self.bind(self.b.fault_flags(), 'read_write', 'u32') + '[' + self.word(f'fault{number}', 'u32', self.chain.faults[number]) + ']'
        for i in range(len(op.arguments)):
            index = f'q{number}_{i}'
            span = self.word(f'n{number}_{i}', 'i32', op.spans[2 * i + 1])
            stride = self.word(f't{number}_{i}', 'u32', op.spans[2 * i])
            self.lines.append(f'var {index} = v{op.arguments[i]} + select(I(), I({span}), v{op.arguments[i]} < I());')
            self.lines.append(f'if (any(({index} < I()) | ({index} >= I({span})))) {{ {flag} = 1u; {index} = I(); }}')
            self.lines.append(f'a{number} += U({index}) * {stride};')

    def steps(self) -> None:
        for number in range(len(self.chain.ops)):
            op = self.chain.ops[number]
            if op.read >= 0:
                self.load(number, op)
                continue
            text: str = op.text
            for i in range(len(op.arguments)):
                text = text.replace(f'%{i}', f'v{op.arguments[i]}')
            for i in range(len(op.numbers)):
                whole = f'#{i}' in text
                text = text.replace(f'#{i}' if whole else f'@{i}', self.word(f'n{number}_{i}', 'i32' if whole else 'f32', op.numbers[i]))
            self.lines.append(f'let v{number} = {text};')

    def store(self, output: Value) -> None:
        """The last step's result is the unit's element of `output`."""
        kind = self.b.kind(output)
        element = kind if self.width == 1 else f'vec4<{kind}>'
        name = self.bind(output, 'read_write', element)
        self.lines.append(f'{name}[u] = {element}(v{self.chain.result});')

    def dispatch(self, count: int) -> bool:
        """Write the dispatch for so many elements; False if there are too many bindings."""
        if len(self.bindings) > self.b.features.buffers:
            return False
        units = (count + self.width - 1) // self.width
        self.b.dispatch('chain', self.bindings, [units] + self.words, self.b.spread(units, 64), None, {
            '$TYPES': types_text(self.width), '$PARAMS': ', '.join(self.fields), '$BINDINGS': '\n'.join(self.declared),
            '$BODY': '\n'.join(self.lines)})
        return True


def chain_loops(chain: Chain) -> Loops:
    """The dims of the chain collapsed; strides of the output, then of each operand."""
    strides: list[list[int]] = [row_major(chain.shape)]
    for read in chain.reads:
        strides.append(read.strides)
    return collapse(chain.shape, strides)


def dispatch_chain(b: GpuBuilder, chain: Chain, output: Value) -> bool:
    """Write the dispatch that makes `output`; False if it needs too many bindings."""
    count = element_count(chain.shape)
    loops = chain_loops(chain)
    last = loops.dims[len(loops.dims) - 1]
    # Buffers are padded to four elements, so that the last unit of a flat chain may reach beyond the end.
    flat = len(loops.dims) == 1
    for op in chain.ops:
        flat = flat and len(op.arguments) * len(op.spans) == 0
    for i in range(len(chain.reads)):
        value = chain.reads[i].value
        flat = flat and chain.reads[i].offset == 0 and loops.strides[i + 1][0] in [0, 1] and (value is None or b.kind(value) != 'bytes')
    width = 4 if last % 4 == 0 or flat else 1
    writer = ChainWriter(b, chain, loops, width)
    writer.places()
    writer.steps()
    writer.store(output)
    return writer.dispatch(count)


