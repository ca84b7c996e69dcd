"""A plan as text, for tests and for people who want to see what will run."""

from __future__ import annotations

from edgeflow.plan.planner import Draft
from edgeflow.plan.values import Pointer, Value, Word


def print_plan(draft: Draft) -> str:
    """One line a step: kernel, node, and each pointer as name[shape]@place; numbers of the kernel call are left out."""
    lines: list[str] = []
    for value in draft.inputs:
        lines.append('input ' + print_value(value))
    index = 0
    for group in draft.groups:
        for step in group.steps:
            pointers: list[str] = []
            for word in step.words:
                text = _pointer(word)
                if text != '':
                    pointers.append(text)
            lines.append(f'{index} {step.kernel} ({group.node.key()} {group.node.name}): ' + ', '.join(pointers))
            index = index + 1
    for value in draft.outputs:
        lines.append('output ' + print_value(value))
    for stretch in draft.stretches:
        lines.append(f'steps {stretch.first} to {stretch.last - 1} can be shared among {len(stretch.shares) + 1}')
    lines.append(f'{index} steps, arena {draft.arena_size} bytes, live at most {draft.live_peak} bytes')
    return '\n'.join(lines)


def print_value(value: Value) -> str:
    """name dtype[shape]@place; a place is an arena offset, 'weight', 'constant' or 'literal'."""
    shape = 'x'.join([str(dim) for dim in value.shape])
    return f'{value.name} {value.dtype}[{shape}]@{_place(value)}'


def _place(value: Value) -> str:
    root = value.root()
    if root.literal is not None:
        return 'literal'
    if root.initializer != '':
        return 'weight'
    if root.constant:
        return 'constant'
    return str(root.offset + value.root_offset())


def _pointer(word: Word) -> str:
    return print_value(word.value) if isinstance(word, Pointer) else ''
