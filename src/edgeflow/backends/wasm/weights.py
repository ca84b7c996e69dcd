"""The initializers of a model in WASM memory, each in the forms that its readers want.

At load every node says what it reads: some kernels want weights packed (FORMS), all else wants them plain. Memory is
laid out for all of them first, then each initializer is copied once from the file's bytes: plain ones straight to their
place, packed ones to a staging block behind the weights, from which a kernel packs them. Types that the kernels do not
hold (float16, bfloat16, 4 bits) are widened on the way. The staging block becomes the arena's memory afterwards, and
nothing of the file is referred to any more.

Where the file came into this memory as it was downloaded (kernels.Image), plain initializers stay where they are, and others are
packed from there; what was packed makes room for the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgeflow.backends.wasm.engine import WasmEngine
from edgeflow.backends.wasm.kernels import Image
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import drop_memory, hold_memory
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import DTYPE_CODES, ITEM_BITS, PACKED, PACKED_BITS, byte_size, element_count
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.planner import initializer_key, memory_dtype, scope_key
from edgeflow.plan.values import Value

KEPT_PLAIN = 1024
# An embedding table of hundreds of megabytes is copied with halts.
PART_BYTES = 8388608

FormOf = Callable[[Node, list[Value | None]], PackedForm | None]


@dataclass
class Weight:
    """An initializer. `packed`: values by the form's key. `uses`: how often it will yet be copied from the file."""

    value: Value
    data: TensorData | None
    wants_plain: bool = False
    uses: int = 0
    packed: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class _Packing:
    node: Node
    form: PackedForm
    inputs: list[Value | None]
    target: Value


class Weights:
    """All initializers of a model's graph and subgraphs, by their key (planner.initializer_key)."""

    def __init__(self, engine: WasmEngine, image: Image | None) -> None:
        self._engine = engine
        self._image: Image | None = image
        # Of what lies in the image, by address: how many initializers still need it, and its size.
        self._holders: dict[int, int] = {}
        self._extents: dict[int, int] = {}
        self._weights: dict[str, Weight] = {}
        self._packings: list[_Packing] = []
        self._numbers: int = 0
        # The keys of those that are not in this memory at all.
        self._elsewhere: set[str] = set()
        self.bytes: int = 0

    def value(self, key: str) -> Value:
        """The initializer as a value of a plan."""
        return self._weights[key].value

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        """What was packed at load; None if the weight is no initializer."""
        first = inputs[form.sources[0]]
        if first is None or first.initializer == '':
            return None
        return self._weights[first.initializer].packed.get(form.key)

    def load(self, graph: Graph, forms: dict[str, FormOf], elsewhere: set[str]) -> Iterator[None]:
        """Put all initializers of `graph` but those of the keys `elsewhere` into memory, with a halt after each. EdgeflowError 'out-of-memory'."""
        self._elsewhere = elsewhere
        self._add(graph, '')
        self._demand(graph, [''], [graph], forms)
        self._reserve()
        for weight in self._weights.values():
            if weight.wants_plain and not self._stay(weight):
                self._engine.place(weight.value)
        if self._image is None:
            for packing in self._packings:
                self._engine.place(packing.target)
        for _ in self._fill():
            yield
        image = self._image
        if image is not None:
            # Last: until here what reading and passes took of memory, and compiling them, is given back.
            image.complete(image.address, image.size)
        for weight in self._weights.values():
            weight.data = None
        self._packings = []

    def _add(self, graph: Graph, scope: str) -> None:
        for name in graph.initializers:
            data = graph.initializers[name]
            key = initializer_key(scope, name)
            check_data(data, name)
            self._numbers = self._numbers - 1
            value = Value(self._numbers, name, memory_dtype(data.dtype), data.shape)
            value.constant = True
            value.initializer = key
            self._weights[key] = Weight(value, data)
        for node in graph.nodes:
            for attribute in node.attributes:
                inner = node.attributes[attribute]
                if isinstance(inner, Graph):
                    self._add(inner, scope_key(scope, node, attribute))

    def _demand(self, graph: Graph, scopes: list[str], graphs: list[Graph], forms: dict[str, FormOf]) -> None:
        for node in graph.nodes:
            inputs: list[Value | None] = []
            for name in node.inputs:
                inputs.append(self._find(name, scopes, graphs))
            form_of = forms.get(node.key())
            form = form_of(node, inputs) if form_of is not None else None
            if form is not None and inputs[form.sources[0]] is None:
                form = None
            for i in range(len(inputs)):
                value = inputs[i]
                if value is not None and (form is None or i not in form.sources or value.size <= KEPT_PLAIN):
                    self._weights[value.initializer].wants_plain = True
            if form is not None:
                self._want_packed(node, form, inputs)
            for attribute in node.attributes:
                inner = node.attributes[attribute]
                if isinstance(inner, Graph):
                    self._demand(inner, scopes + [scope_key(scopes[-1], node, attribute)], graphs + [inner], forms)
        for info in graph.outputs:
            value = self._find(info.name, scopes, graphs)
            if value is not None:
                self._weights[value.initializer].wants_plain = True

    def _find(self, name: str, scopes: list[str], graphs: list[Graph]) -> Value | None:
        """The initializer that `name` means to a node of the innermost graph."""
        for i in range(len(graphs) - 1, -1, -1):
            if name in graphs[i].initializers:
                key = initializer_key(scopes[i], name)
                return None if key in self._elsewhere else self._weights[key].value
        return None

    def _want_packed(self, node: Node, form: PackedForm, inputs: list[Value | None]) -> None:
        first = inputs[form.sources[0]]
        if first is None:
            return
        weight = self._weights[first.initializer]
        if form.key in weight.packed:
            return
        self._numbers = self._numbers - 1
        target = Value(self._numbers, first.name + ':' + form.key, 'uint8', [form.size])
        target.initializer = first.initializer + ':' + form.key
        weight.packed[form.key] = target
        for i in form.sources:
            value = inputs[i] if i < len(inputs) else None
            if value is not None:
                self._weights[value.initializer].uses += 1
        self._packings.append(_Packing(node, form, inputs, target))

    def pack_now(self, node: Node, form: PackedForm, inputs: list[Value | None]) -> None:
        """After load(): pack what lies in memory plain, if it is not packed so yet."""
        self._want_packed(node, form, inputs)
        for packing in self._packings:
            self._engine.place(packing.target)
            self.bytes = self.bytes + packing.target.size
            b = StepBuilder(NoConstants())
            b.begin(node, 1)
            form.pack(b, inputs, packing.target)
            self._engine.run_now(b, packing.target.name)
        self._packings = []

    def _reserve(self) -> None:
        """Grow the memory once for all weights and the largest staging block."""
        total = 0
        staging = 0
        for weight in self._weights.values():
            if weight.wants_plain:
                total = total + weight.value.size + 64
            elif len(weight.packed) > 0 and weight.data is not None:
                staging = max(staging, weight.value.size + weight.data.size())
        for packing in self._packings:
            total = total + packing.target.size + 64
        self.bytes = total
        if self._image is None:
            self._engine.heap.reserve(total + staging)

    def _stay(self, weight: Weight) -> bool:
        """Whether the content can be used where it lies: then that is its address."""
        data = weight.data
        if data is None or data.stored is None or widens(data, weight.value):
            return False
        weight.value.address = data.stored.address
        return True

    def _give_gaps(self) -> None:
        """Free what of the file's image no weight lies in any more: its nodes, its unused tensors."""
        image = self._image
        if image is None:
            return
        at = image.address
        last = at
        for address in sorted(self._extents.keys()):
            self._give_gap(image, at, address)
            if address < at:
                # They share bytes: neither is ever freed.
                self._holders[last] += 1
                self._holders[address] += 1
            last = address
            at = max(at, address + self._extents[address])
        self._give_gap(image, at, image.address + image.size)

    def _give_gap(self, image: Image, start: int, end: int) -> None:
        if start < end:
            image.complete(start, end - start, False)
            self._engine.heap.give(start, end - start)

    def _fill(self) -> Iterator[None]:
        b = StepBuilder(NoConstants())
        for weight in self._weights.values():
            if weight.wants_plain:
                weight.uses += 1
            if weight.data is not None and weight.uses > 0:
                for part in weight.data.parts:
                    hold_memory(part)
                stored = weight.data.stored
                if stored is not None:
                    self._holders[stored.address] = self._holders.get(stored.address, 0) + 1
                    self._extents[stored.address] = stored.length
        self._give_gaps()
        for weight in self._weights.values():
            if weight.wants_plain and weight.data is not None and weight.data.stored is not None and weight.value.address == weight.data.stored.address:
                # It stays there for good: one holder too many.
                self._holders[weight.value.address] += 1
                self._used(weight)
            elif weight.wants_plain:
                for _ in self._copy_in_parts(b, weight):
                    yield
                self._used(weight)
        for packing in self._packings:
            if packing.target.address == 0:
                self._engine.place(packing.target)
            staged = self._stage(b, packing)
            b.begin(packing.node, 1)
            packing.form.pack(b, packing.inputs, packing.target)
            self._engine.run_now(b, f"packing '{packing.target.name}'")
            for weight in staged:
                if weight.data is None or weight.data.stored is None or weight.data.stored.address != weight.value.address:
                    self._engine.heap.free(weight.value.address)
                weight.value.address = 0
            for i in packing.form.sources:
                value = packing.inputs[i] if i < len(packing.inputs) else None
                if value is not None:
                    self._used(self._weights[value.initializer])
            yield

    def _stage(self, b: StepBuilder, packing: _Packing) -> list[Weight]:
        """Bring the sources that have no plain copy into memory for the time of packing."""
        staged: list[Weight] = []
        for i in packing.form.sources:
            value = packing.inputs[i] if i < len(packing.inputs) else None
            if value is None or value.address != 0:
                continue
            weight = self._weights[value.initializer]
            if not self._stay(weight):
                self._engine.place(value)
                self._copy(b, weight)
            elif self._image is not None:
                self._image.complete(value.address, value.size)
            staged.append(weight)
        return staged

    def _used(self, weight: Weight) -> None:
        """One copy less is to be made; after the last the pieces of the file that only it needed are freed."""
        weight.uses -= 1
        if weight.uses == 0 and weight.data is not None:
            for part in weight.data.parts:
                drop_memory(part)
            stored = weight.data.stored
            if stored is not None:
                self._holders[stored.address] -= 1
                if self._holders[stored.address] == 0:
                    self._engine.heap.give(stored.address, stored.length)
            weight.data = None

    def _copy_in_parts(self, b: StepBuilder, weight: Weight) -> Iterator[None]:
        """As _copy(), with a halt after each part. If this is its only use, each piece of the file goes as soon as it was copied."""
        data = weight.data
        if data is None or data.stored is not None or widens(data, weight.value):
            self._copy(b, weight)
            yield
            return
        at = weight.value.address
        for part in data.parts if len(data.parts) > 1 else [data.data]:
            for start in range(0, len(part), PART_BYTES):
                piece = part[start:start + PART_BYTES]
                self._engine.upload(at, piece)
                at = at + len(piece)
                yield
            if weight.uses == 1 and len(data.parts) > 0:
                drop_memory(part)
                weight.data = None

    def _copy(self, b: StepBuilder, weight: Weight) -> None:
        """Copy an initializer from the file to its value's address, widened if need be."""
        value = weight.value
        data = weight.data
        if data is None:
            raise EdgeflowError('platform', f"the data of '{value.name}' is gone", {'name': value.name})
        upload(self._engine, b, data, value)


class NoConstants:
    """For packing, where no lowering may ask for constants."""

    def read_ints(self, value: Value) -> list[int]:
        raise EdgeflowError('platform', f"packing reads no elements (of '{value.name}')", {})

    def read_floats(self, value: Value) -> list[float]:
        raise EdgeflowError('platform', f"packing reads no elements (of '{value.name}')", {})

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        return None

    def lowering(self, key: str) -> Lowering | None:
        return None


def widens(data: TensorData, value: Value) -> bool:
    """Whether the elements take more room in memory than in the file."""
    return data.dtype != value.dtype or data.dtype in PACKED_BITS


def upload(engine: WasmEngine, b: StepBuilder, data: TensorData, value: Value) -> None:
    """Copy the tensor to the address of `value`, widened if they are held so."""
    if not widens(data, value):
        upload_parts(engine, value.address, data)
        return
    b.begin(Node('Cast', '', value.name, [], []), 1)
    raw = b.scratch(data.size())
    stored = data.stored
    if stored is None:
        engine.place(raw)
    else:
        raw.constant = True
        stored.memory.complete(stored.address, stored.length)
        raw.address = stored.address
    try:
        if stored is None:
            upload_parts(engine, raw.address, data)
        b.step('cast', [DTYPE_CODES[data.dtype] + (PACKED if data.dtype in PACKED_BITS else 0), DTYPE_CODES[value.dtype], b.pointer(raw), b.pointer(value), value.count()])
        engine.run_steps(b.steps, f"widening '{value.name}'")
    finally:
        if stored is None:
            engine.heap.free(raw.address)
        b.begin(Node('Cast', '', value.name, [], []), 1)


def upload_parts(engine: WasmEngine, address: int, data: TensorData) -> None:
    """Copy the tensor's bytes to an address."""
    stored = data.stored
    if stored is not None:
        engine.upload(address, stored.memory.view(stored.address, stored.length))
        return
    at = address
    for part in data.parts if len(data.parts) > 1 else [data.data]:
        engine.upload(at, part)
        at = at + len(part)


def check_data(data: TensorData, name: str) -> None:
    """'unsupported-op' for tensors of strings, which no kernel takes; 'invalid-model' if the bytes do not fit the shape."""
    if data.dtype == 'string' or data.dtype not in ITEM_BITS:
        raise EdgeflowError('unsupported-op', f"tensor '{name}' holds {data.dtype}, which no kernel takes", {'name': name, 'dtype': data.dtype})
    expected = byte_size(data.dtype, element_count(data.shape))
    if data.size() != expected:
        raise EdgeflowError('invalid-model', f"tensor '{name}' ({data.dtype} {data.shape}): expected {expected} bytes, got {data.size()}",
                            {'name': name, 'expected': expected, 'got': data.size()})
