"""Sequences and optionals. Lists of values on the host; what is in them stays in the engine's memory."""

from __future__ import annotations

from edgeflow.backends.wasm.more.values import Call, Datum, Held, Interpret
from edgeflow.ir.attributes import int_of
from edgeflow.plan.values import Value


def _position(c: Call, index: int, count: int, most: int) -> int:
    """The position that input `index` means, counted from the front; at most `most`."""
    given = int(c.scalar(index))
    if given < -count or given > most:
        raise c.fail(f'a position from {-count} to {most}', f'{given}')
    return given + count if given < 0 else given


def _at(c: Call) -> list[Datum | None]:
    items = c.items(0)
    return [items[_position(c, 1, len(items), len(items) - 1)]]


def _construct(c: Call) -> list[Datum | None]:
    return [Held('sequence', [c.datum(i) for i in range(len(c.inputs))])]


def _empty(c: Call) -> list[Datum | None]:
    return [Held('sequence', [])]


def _erase(c: Call) -> list[Datum | None]:
    items = c.items(0)[:]
    items.pop(_position(c, 1, len(items), len(items) - 1) if c.has(1) else len(items) - 1)
    return [Held('sequence', items)]


def _insert(c: Call) -> list[Datum | None]:
    items = c.items(0)[:]
    items.insert(_position(c, 2, len(items), len(items)) if c.has(2) else len(items), c.datum(1))
    return [Held('sequence', items)]


def _length(c: Call) -> list[Datum | None]:
    return [c.t.make('int64', [], [len(c.items(0))])]


def _split(c: Call) -> list[Datum | None]:
    source = c.value(0)
    axis = c.axis(int_of(c.node, 'axis'), len(source.shape))
    dim = source.shape[axis]
    keeps = c.has(1) or int_of(c.node, 'keepdims', 1) == 1
    sizes: list[int] = []
    if not c.has(1):
        sizes = [1] * dim
    elif len(c.value(1).shape) > 0:
        sizes = c.ints(1)
        if sum(sizes) != dim:
            raise c.fail(f'sizes that add up to {dim}', f'{sizes}')
    else:
        size = c.ints(1)[0]
        if size < 1:
            raise c.fail('a size of 1 or more', f'{size}')
        sizes = [min(size, dim - start) for start in range(0, dim, size)]
    parts: list[Datum] = []
    start = 0
    for size in sizes:
        bounds: list[Value | None] = [source, *[c.t.make('int64', [1], [x]) for x in [start, start + size, axis]]]
        part = c.t.apply('Slice', bounds)
        parts.append(part if keeps else c.t.reshaped(part, source.shape[:axis] + source.shape[axis + 1:]))
        start = start + size
    return [Held('sequence', parts)]


def _concat(c: Call) -> list[Datum | None]:
    parts = c.tensors(0)
    if len(parts) == 0:
        raise c.fail('a sequence with items', 'an empty one')
    axis = int_of(c.node, 'axis')
    if int_of(c.node, 'new_axis') == 1:
        at = c.axis(axis, len(parts[0].shape) + 1)
        parts = [c.t.reshaped(part, part.shape[:at] + [1] + part.shape[at:]) for part in parts]
        axis = at
    rows: list[Value | None] = [part for part in parts]
    return [c.t.apply('Concat', rows, {'axis': axis})]


def _optional(c: Call) -> list[Datum | None]:
    return [c.datum(0) if c.has(0) else Held('none', [])]


def _get(c: Call) -> list[Datum | None]:
    found = c.datum(0)
    if isinstance(found, Held) and found.kind == 'none':
        raise c.fail('an optional with an element', 'an empty one')
    return [found]


def _has(c: Call) -> list[Datum | None]:
    found: Datum | None = c.datum(0) if c.has(0) else None
    empty = found is None or (isinstance(found, Held) and found.kind == 'none')
    return [c.t.make('bool', [], [0 if empty else 1])]


SEQUENCE_RULES: dict[str, Interpret] = {
    'SequenceAt': _at, 'SequenceConstruct': _construct, 'SequenceEmpty': _empty, 'SequenceErase': _erase, 'SequenceInsert': _insert,
    'SequenceLength': _length, 'SplitToSequence': _split, 'ConcatFromSequence': _concat,
    'Optional': _optional, 'OptionalGetElement': _get, 'OptionalHasElement': _has,
}
