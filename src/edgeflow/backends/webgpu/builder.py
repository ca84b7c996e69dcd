"""GpuBuilder: what a lowering writes its dispatches into, and how tensors lie in GPU memory.

A lowering is `def lower_x(b: GpuBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> bool`. False: this
kernel cannot take the node (its types, its rank), so WASM does it; what it dispatched before is forgotten.

A kernel is a file in wgsl/ with an entry `main`. Its binding 0 is a uniform struct of 32-bit words; bindings 1.. are storage
buffers, `read` or `read_write`, in the order of `bindings`. `$NAME` in its text stands for what `code` says, `override`s for what `constants` say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgeflow.backends.webgpu.chains import Chain
from edgeflow.ir.graph import Node
from edgeflow.plan.builder import Constants, StepBuilder
from edgeflow.plan.values import Pointer, Step, Value, Word

# How elements lie in GPU memory by their dtype in the plan; others cannot be there.
KINDS: dict[str, str] = {
    'float32': 'f32', 'int64': 'i32', 'int32': 'i32', 'int16': 'i32', 'int8': 'i32', 'uint32': 'u32', 'uint16': 'u32', 'uint8': 'u32', 'bool': 'u32',
    'int4': 'i32', 'uint4': 'u32',
}
# Weights of these types stay bytes; those of 4 bits have one each, as in WASM memory.
BYTES: list[str] = ['int8', 'uint8', 'int4', 'uint4']
KIND_BYTES: dict[str, int] = {'f32': 4, 'i32': 4, 'u32': 4, 'f16': 2, 'bytes': 1}

# How many nodes of a plan have a flag of their own.
MOST_FAULTS = 4096

# So that a buffer can be bound as an array of vec4 whatever its length.
ROUND = 16


@dataclass(frozen=True)
class GpuFeatures:
    """What the device offers. subgroups: the smallest size of one, 0: none. binding: most bytes of a storage binding; storage: bytes of
    workgroup memory; invocations: most in a workgroup; groups: most workgroups in a dimension; buffers: most storage buffers of a kernel."""

    f16: bool = False
    subgroups: int = 0
    packed_dot: bool = False
    timestamps: bool = False
    binding: int = 134217728
    storage: int = 16384
    invocations: int = 256
    groups: int = 65535
    buffers: int = 8
    # Whether the adapter is a program on the CPU.
    software: bool = False
    # Rows, columns and depth of the matrices that subgroups of 32 multiply, of float16 with sums in float32; empty: none.
    matrix: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Norm:
    """The RMS norm of one row; with beta: the layer norm of rows."""

    source: Value
    gamma: Value | None
    epsilon: float
    beta: Value | None = None


@dataclass(frozen=True)
class Turn:
    """A rotary embedding. table: cos and sin are [positions, half]; else [batch or 1, ..., width], of the token that is there."""

    cos: Value
    sin: Value
    half: int
    interleaved: int = 0
    table: bool = False


@dataclass
class Dispatch(Step):
    """A dispatch: `words` are the pointers that it binds. parameters: the words of its uniform struct, as signed 32-bit numbers."""

    parameters: list[int] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    constants: dict[str, int] = field(default_factory=dict)
    code: dict[str, str] = field(default_factory=dict)

    def bindings(self) -> list[Value]:
        """The values that are bound, in order."""
        values: list[Value] = []
        for word in self.words:
            if isinstance(word, Pointer):
                values.append(word.value)
        return values

    def label(self) -> str:
        """Names the variant of the kernel: key of the pipeline cache, and the GPU's label."""
        parts: list[str] = [self.kernel]
        for name in sorted(self.constants.keys()):
            parts.append(f'{name}={self.constants[name]}')
        for name in sorted(self.code.keys()):
            parts.append(f'{name}={self.code[name]}')
        return ' '.join(parts)


def kind_of(value: Value) -> str:
    """How the elements of `value` lie on the GPU: 'f32', 'f16', 'i32', 'u32', 'bytes' (four elements in a u32: weights of 8 or 4 bits);
    '' if they cannot be there. bool is 0 or 1 in a u32."""
    if value.root().initializer != '':
        if value.dtype in BYTES:
            return 'bytes'
        if value.root().half:
            return 'f16'
    return KINDS.get(value.dtype, '')


def declaration(number: int, name: str, element: str, access: str = 'read') -> str:
    """WGSL of a bound array."""
    return f'@group(0) @binding({number}) var<storage, {access}> {name}: array<{element}>;'


def gpu_size(value: Value) -> int:
    """Bytes that `value` takes there, rounded up so that it can be read as vec4s."""
    return max(ROUND, (value.count() * KIND_BYTES[kind_of(value)] + ROUND - 1) // ROUND * ROUND)


def gpu_offset(value: Value) -> int:
    """Bytes from the start of the root's memory to the start of a view, on the GPU."""
    root = value.root()
    if root.count() == 0 or root.size == 0:
        return 0
    return value.root_offset() * root.count() // root.size * KIND_BYTES[kind_of(root)]


class GpuBuilder(StepBuilder):
    """A StepBuilder whose nodes may also be dispatches."""

    def __init__(self, constants: Constants, features: GpuFeatures) -> None:
        super().__init__(constants)
        self.features: GpuFeatures = features
        # How often nodes and outputs of the graph read a value, by its name; and the chains that made values, by their number.
        self.uses: dict[str, int] = {}
        self.chains: dict[int, Chain] = {}
        # The nodes of the graph that read a value, by its name; and its initializers: the weight of a name.
        self.readers: dict[str, list[Node]] = {}
        self.weight: Callable[[str], Value | None] = lambda name: None
        # In steps of sessions: writes a product of one row by weights in blocks (MatMulNBits); False: it has no kernel.
        self.row_product: RowProduct | None = None
        # The norms of one row that made values, by their number; and products that can be written again with an addition behind.
        self.norms: dict[int, Norm] = {}
        self.endings: dict[int, Callable[[Value, Value], bool]] = {}
        # What writes a kernel again that made a value, by its number, with a chain over the value as its end; False: it cannot.
        self.takers: dict[int, Callable[[Chain, Value], bool]] = {}
        # The layer norms of few rows, by the number of the result.
        self.layer_norms: dict[int, Norm] = {}
        # What was turned, and how, by the number of the result; and the masks that a dispatch before has looked through.
        self.turns: dict[int, tuple[Value, Turn]] = {}
        self.checked: set[int] = set()
        # By the name of an output: where in another value it is; None: it is made where its node is.
        self.grouped: dict[str, tuple[Value, int] | None] = {}
        # Whether what is being lowered is for WASM as a whole.
        self.near: bool = False
        # The nodes that may fail, by their place in `faults`.
        self.failing: list[str] = []
        self.faults: Value | None = None

    def kind(self, value: Value | None) -> str:
        """kind_of(value); '' for None."""
        return '' if value is None else kind_of(value)

    def dispatch(
        self, kernel: str, bindings: list[Value], words: list[int], groups: list[int],
        constants: dict[str, int] | None = None, code: dict[str, str] | None = None,
    ) -> None:
        """Run wgsl/`kernel`.wgsl over `groups` workgroups [x, y, z]; nothing if there are none.

        words: the parameters: integers; real numbers as self.real(x), since JS cannot tell 1.0 from 1. bindings: at most
        features.buffers. Each value is an array from its first element on, also where it is a view (StepBuilder.alias, whose offset is
        in bytes by the plan's dtypes): the executable sees to the alignment. A value that is read must not be a view of one that
        the same dispatch writes; a value may be written in place by binding it once, read_write, after may_reuse() of the output.
        """
        if groups[0] * groups[1] * groups[2] == 0:
            return
        pointers: list[Word] = [Pointer(value, 0) for value in bindings]
        self.steps.append(Dispatch(kernel, pointers, words, groups, {} if constants is None else constants, {} if code is None else code))

    def fault(self) -> int:
        """The place of this node in fault_flags(): a kernel that meets bad data writes a code of wasm/errors.h there (1: an index is out of
        range), and the run fails.
        """
        self.failing.append(self.where())
        return min(len(self.failing), MOST_FAULTS) - 1

    def fault_flags(self) -> Value:
        """What a kernel that can fail binds read_write: array<u32>, all 0 when a run begins."""
        if self.faults is None:
            self.faults = self.new_value('faults', 'uint32', [MOST_FAULTS])
        return self.faults

    def temporary(self, dtype: str, shape: list[int]) -> Value:
        """A value that lives between this node's dispatches."""
        return self.new_value('temporary', dtype, shape)

    def placed(self, node: Node, output: Value) -> bool:
        """Whether a dispatch of a node before has made `output` too, which then is a view."""
        found = self.grouped.get(node.outputs[0])
        if found is None:
            return False
        self.alias(output, found[0], found[1] * KIND_BYTES['f32'])
        return True

    def alike(self, node: Node) -> list[Node]:
        """Nodes of the graph that are not made yet and read the same first input as `node`, of its operator and with its attributes; all else that they
        read are weights of the graph."""
        self.grouped[node.outputs[0]] = None
        found: list[Node] = []
        for other in self.readers.get(node.inputs[0], []):
            same = other.key() == node.key() and other.inputs[0] == node.inputs[0] and len(other.inputs) == len(node.inputs) and other.outputs[0] not in self.grouped
            for name in other.inputs[1:]:
                same = same and (name == '' or self.weight(name) is not None)
            if same:
                found.append(other)
        return found

    def added(self, first: Value, other: Value, output: Value) -> bool:
        """Write output = first + other as the end of the product that made one of them, if only this reads it. False: none did."""
        for made, residual in [(first, other), (other, first)]:
            ending = self.endings.get(made.number)
            if ending is not None and self.uses.get(made.name, 2) == 1 and made.shape == output.shape and residual.shape == output.shape:
                if residual.dtype == 'float32' and ending(residual, output):
                    return True
        return False

    def spread(self, threads: int, size: int) -> list[int]:
        """Workgroups of `size` for so many threads: [x, y, 1]. A kernel's group has the number id.y * (groups in x) + id.x; some may have nothing to do."""
        groups = (threads + size - 1) // size
        most = self.features.groups
        if groups <= most:
            return [groups, 1, 1]
        y = (groups + most - 1) // most
        return [(groups + y - 1) // y, y, 1]


RowProduct = Callable[[GpuBuilder, Node, list[Value | None], Value], bool]
GpuLowering = Callable[[GpuBuilder, Node, list[Value | None], list[Value | None]], bool]
