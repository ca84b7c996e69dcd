"""Which steps of a plan several machines can share, and how: tensor parallelism.

After Shoeybi et al. 2019, "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism", section 3.
A stretch ends with a matrix product y = h W + b. Each share makes some columns of h, multiplies them with their rows of W, and
the partial sums are added. h comes from one product with an activation (a feed-forward layer: a share makes some of its
columns) or from attention (a share makes some of its heads, and their columns of Q, K and V).
A machine alone makes h whole, and y as the same partial sums one after the other: so results do not depend on who helps.
All shares work on the same packed weights: panels of 8 columns lie one after the other, rows of a panel too.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.wasm.lower_dense import COLUMNS, INNER, LINE, ROWS, product_work
from edgeflow.backends.wasm.machine import LEAST_WORK
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.stretches import Share, Shared, Stretch
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value, Word

PANEL = 8
FLOAT = 4
FLOAT_TYPE = 1

# More argument words of gemm_f32 (wasm/kernels_dense.h).
A = 0
B = 1
C = 2
BIAS = 3
RESIDUAL = 4
LDA = 8
LDC = 9
ACTIVATION = 12
LINES = 13

# Argument words of sdpa_f32; the last is its scratch memory.
OUT = 4
HEADS = 6
WIDTH = 9
VALUE_WIDTH = 10
GROUP = 11
STRIDES = [12, 16, 20, 24]
MASK = 3
MASK_STRIDES = 28
MASK_TYPE = 32


@dataclass
class _Layer:
    """The groups of a stretch by index: products that make columns, attention over them, the product at the end.

    units: what shares divide: panels of columns, or key heads.
    """

    before: list[int]
    attention: int
    end: int
    units: int
    work: float


@dataclass
class _Uses:
    """Which groups, by index, mention each root, by number."""

    groups: dict[int, list[int]]

    def are(self, word: Word, expected: list[int]) -> bool:
        """Whether the memory that `word` points to, from its start, is used by these groups alone."""
        if not isinstance(word, Pointer) or word.offset + word.value.root_offset() != 0:
            return False
        return self.groups.get(word.value.root().number) == expected


def share_groups(groups: list[NodeSteps], outputs: list[Value], b: StepBuilder, shares: int) -> Shared:
    """Divide what can be among `shares` machines, two or more. outputs: what the plan gives."""
    layers = _find_layers(groups, _find_uses(groups, outputs), shares)
    inner: set[int] = set()
    ends: dict[int, _Layer] = {}
    for layer in layers:
        ends[layer.end] = layer
        for i in layer.before:
            inner.add(i)
        inner.add(layer.attention)
    made: list[NodeSteps] = []
    divided: list[NodeSteps] = []
    stretches: list[Stretch] = []
    count = 0
    place = sum([len(group.steps) for group in groups])
    for i in range(len(groups)):
        if i in ends:
            whole = _whole(groups, ends[i], shares)
            made.extend(whole)
            parts = _divide(groups, ends[i], b, shares)
            start = place
            others: list[Share] = []
            for s in range(shares):
                divided.extend(parts[s])
                if s > 0:
                    steps = [group.steps[0] for group in parts[s]]
                    partial = _target(steps[-1])
                    others.append(Share(place, place + len(steps), steps, _inputs(steps), partial))
                place = place + len(parts[s])
            for share in others:
                divided.append(_join(groups[i], share.partial, b))
                place = place + 1
            stretches.append(Stretch(count, count + len(whole), start, others, place))
            count = count + len(whole)
        elif i not in inner:
            made.append(groups[i])
            count = count + len(groups[i].steps)
    return Shared(made, stretches, divided=divided)


def _find_uses(groups: list[NodeSteps], outputs: list[Value]) -> _Uses:
    uses: dict[int, list[int]] = {}
    for i in range(len(groups)):
        for step in groups[i].steps:
            for word in step.words:
                if isinstance(word, Pointer):
                    _use(uses, word.value, i)
    for value in outputs:
        _use(uses, value, len(groups))
    return _Uses(uses)


def _use(uses: dict[int, list[int]], value: Value, index: int) -> None:
    users = uses.setdefault(value.root().number, [])
    if len(users) == 0 or users[-1] != index:
        users.append(index)


def _find_layers(groups: list[NodeSteps], uses: _Uses, shares: int) -> list[_Layer]:
    layers: list[_Layer] = []
    taken: set[int] = set()
    for i in range(len(groups)):
        end = _only_step(groups[i], 'gemm_f32')
        if end is None or end.words[ACTIVATION] != 0 or end.words[LDA] != end.words[INNER]:
            continue
        root = _root(end.words[A])
        users: list[int] = [] if root is None else uses.groups.get(root.number, [])
        if len(users) != 2 or users[1] != i or users[0] in taken or not uses.are(end.words[A], users):
            continue
        layer = _feed_forward(groups, users[0], i) if len(groups[users[0]].steps) == 1 else None
        if layer is None:
            layer = _attention(groups, uses, users[0], i)
        if layer is not None and layer.units >= shares and layer.work >= LEAST_WORK and _can_travel(groups, layer):
            layers.append(layer)
            taken.add(i)
            for j in layer.before:
                taken.add(j)
    return layers


def _can_travel(groups: list[NodeSteps], layer: _Layer) -> bool:
    """Whether all constants of the layer are the model's own: those of a plan come and go with it."""
    indices = layer.before + [layer.end]
    if layer.attention >= 0:
        indices.append(layer.attention)
    for i in indices:
        for word in groups[i].steps[0].words:
            root = _root(word)
            if root is not None and root.constant and root.initializer == '':
                return False
    return True


def _feed_forward(groups: list[NodeSteps], before: int, end: int) -> _Layer | None:
    product = _only_step(groups[before], 'gemm_f32')
    if product is None or not _makes_all(product, groups[end].steps[0]):
        return None
    return _Layer([before], -1, end, _number(product, COLUMNS) // PANEL, _work([product, groups[end].steps[0]]))


def _attention(groups: list[NodeSteps], uses: _Uses, attention: int, end: int) -> _Layer | None:
    """Heads side by side in the rows of Q, K, V and of the result, each made by a product of its own."""
    step = _only_step(groups[attention], 'sdpa_f32')
    if step is None:
        return None
    heads = _number(step, HEADS)
    keys = heads // _number(step, GROUP)
    widths = [_number(step, WIDTH), _number(step, WIDTH), _number(step, VALUE_WIDTH), _number(step, VALUE_WIDTH)]
    counts = [heads, keys, keys, heads]
    for i in range(4):
        first = STRIDES[i]
        width = widths[i]
        side_by_side = [width, width * counts[i], 1]
        if step.words[first + 1:first + 4] != side_by_side or width % PANEL != 0:
            return None
    before: list[int] = []
    products: list[Step] = [groups[end].steps[0]]
    for i in range(3):
        root = _root(step.words[i])
        users = [] if root is None else uses.groups.get(root.number, [])
        if len(users) != 2 or users[1] != attention or not uses.are(step.words[i], users):
            return None
        product = _only_step(groups[users[0]], 'gemm_f32')
        if product is None or not uses.are(product.words[C], users) or product.words[RESIDUAL] != 0:
            return None
        if product.words[COLUMNS] != counts[i] * widths[i] or product.words[LDC] != product.words[COLUMNS]:
            return None
        before.append(users[0])
        products.append(product)
    if not uses.are(step.words[OUT], [attention, end]) or groups[end].steps[0].words[INNER] != heads * widths[3]:
        return None
    return _Layer(before, attention, end, keys, _work(products))


def _makes_all(product: Step, end: Step) -> bool:
    """Whether `product` makes the whole input of `end`, and nothing is added to it."""
    return (product.words[RESIDUAL] == 0 and product.words[COLUMNS] == end.words[INNER]
            and product.words[LDC] == product.words[COLUMNS] and product.words[ROWS] == end.words[ROWS]
            and _root(product.words[C]) is _root(end.words[A]))


def _whole(groups: list[NodeSteps], layer: _Layer, shares: int) -> list[NodeSteps]:
    """The groups of a layer for one machine: undivided, but for the sum at the end, which is made as `shares` machines would."""
    whole = [groups[i] for i in layer.before]
    if layer.attention >= 0:
        whole.append(groups[layer.attention])
    end = groups[layer.end]
    step = end.steps[0]
    whole.append(_with_step(end, Step('gemm_parts_f32', step.words + [shares, layer.units, _end_unit(groups, layer)])))
    return whole


def _end_unit(groups: list[NodeSteps], layer: _Layer) -> int:
    """How many rows of the last product's weights belong to one of `units`."""
    if layer.attention < 0:
        return PANEL
    attention = groups[layer.attention].steps[0]
    return _number(attention, VALUE_WIDTH) * _number(attention, GROUP)


def _divide(groups: list[NodeSteps], layer: _Layer, b: StepBuilder, shares: int) -> list[list[NodeSteps]]:
    """The groups of each share, one step each."""
    parts: list[list[NodeSteps]] = []
    end = groups[layer.end]
    attention = groups[layer.attention].steps[0] if layer.attention >= 0 else None
    for s in range(shares):
        low = layer.units * s // shares
        high = layer.units * (s + 1) // shares
        part: list[NodeSteps] = []
        for i in range(len(layer.before)):
            product = groups[layer.before[i]].steps[0]
            unit = PANEL
            if attention is not None:
                unit = _number(product, COLUMNS) // layer.units
            # What is left of the last panel goes to the last share.
            to = _number(product, COLUMNS) if s == shares - 1 else high * unit
            part.append(_with_step(groups[layer.before[i]], columns_step(product, low * unit, to)))
        if attention is not None:
            part.append(_with_step(groups[layer.attention], heads_step(attention, low, high, b)))
        unit = _end_unit(groups, layer)
        to = _number(end.steps[0], INNER) if s == shares - 1 else high * unit
        part.append(_with_step(end, rows_step(end.steps[0], low * unit, to, s > 0, b)))
        parts.append(part)
    return parts


def columns_step(step: Step, low: int, high: int) -> Step:
    """The product `step` for columns `low`, a multiple of 8, to `high` only."""
    words = step.words[:]
    _move_weights(words, low * _number(step, INNER) * FLOAT)
    words[C] = _moved(words[C], low * FLOAT)
    words[BIAS] = _moved(words[BIAS], low * FLOAT)
    words[COLUMNS] = high - low
    return Step('gemm_f32', words)


def rows_step(step: Step, low: int, high: int, partial: bool, b: StepBuilder) -> Step:
    """The product `step` over rows `low` to `high` of the weights only. partial: into memory of its own, nothing added."""
    words = step.words[:]
    words[A] = _moved(words[A], low * FLOAT)
    _move_weights(words, low * PANEL * FLOAT)
    words[INNER] = high - low
    if partial:
        rows = _number(step, ROWS)
        columns = _number(step, COLUMNS)
        words[C] = Pointer(b.new_value('partial', 'float32', [rows, columns]), 0)
        words[BIAS] = 0
        words[RESIDUAL] = 0
        words[LDC] = columns
    return Step('gemm_rows_f32', words + [step.words[INNER]])


def heads_step(step: Step, low: int, high: int, b: StepBuilder) -> Step:
    """Attention for key heads `low` to `high` only, with scratch memory of its own."""
    words = step.words[:]
    group = _number(step, GROUP)
    firsts = [low * group, low, low, low * group]
    places = [0, 1, 2, OUT]
    for i in range(4):
        words[places[i]] = _moved(words[places[i]], firsts[i] * _number(step, STRIDES[i] + 1) * FLOAT)
    item = FLOAT if words[MASK_TYPE] == 1 else 1
    words[MASK] = _moved(words[MASK], low * group * _number(step, MASK_STRIDES + 1) * item)
    words[HEADS] = (high - low) * group
    scratch = step.words[-1]
    if low > 0 and isinstance(scratch, Pointer):
        words[-1] = Pointer(b.new_value('scratch', 'uint8', [scratch.value.size]), 0)
    return Step('sdpa_f32', words)


def _join(end: NodeSteps, partial: Value, b: StepBuilder) -> NodeSteps:
    """Add a partial sum to the result."""
    target = end.steps[0].words[C]
    words: list[Word] = [0, FLOAT_TYPE, FLOAT_TYPE, FLOAT_TYPE, target, b.pointer(partial), target, 1, partial.count(), 1, 1]
    return _with_step(end, Step('binary', words))


def _inputs(steps: list[Step]) -> list[Value]:
    """What the steps read that they have not written."""
    own: set[int] = set()
    found: list[Value] = []
    seen: set[int] = set()
    for step in steps:
        own.add(_target(step).root().number)
        if step.kernel == 'sdpa_f32':
            scratch = _root(step.words[-1])
            if scratch is not None:
                own.add(scratch.number)
        for word in step.words:
            root = _root(word)
            if root is not None and not root.constant and root.number not in own and root.number not in seen:
                seen.add(root.number)
                found.append(root)
    return found


def _target(step: Step) -> Value:
    """What a product or attention writes."""
    word = step.words[OUT if step.kernel == 'sdpa_f32' else C]
    assert isinstance(word, Pointer)
    return word.value


def _only_step(group: NodeSteps, kernel: str) -> Step | None:
    return group.steps[0] if len(group.steps) == 1 and group.steps[0].kernel == kernel else None


def _with_step(group: NodeSteps, step: Step) -> NodeSteps:
    return NodeSteps(group.node, group.outputs, [step])


def _work(products: list[Step]) -> float:
    work = 0.0
    for step in products:
        work = work + product_work(step)
    return work


def _root(word: Word) -> Value | None:
    return word.value.root() if isinstance(word, Pointer) else None


def _moved(word: Word, offset: int) -> Word:
    return Pointer(word.value, word.offset + offset) if isinstance(word, Pointer) else word


def _move_weights(words: list[Word], offset: int) -> None:
    """Let the product begin `offset` bytes later in its weights; amid a line, nothing tells it about lines."""
    words[B] = _moved(words[B], offset)
    words[LINES] = _moved(words[LINES], offset // LINE) if offset % LINE == 0 else 0


def _number(step: Step, index: int) -> int:
    word = step.words[index]
    return 0 if isinstance(word, Pointer) else word
