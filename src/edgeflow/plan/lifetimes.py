"""When each value of a plan is alive, which steps nobody needs, and which results may be made in place."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.plan.values import NodeSteps, Pointer, Value


@dataclass
class Lifetime:
    """From step `first` to step `last`, both included, the memory of `value` (a root) must not hold anything else.

    Inputs of the graph are alive from step -1, outputs to the step after the last.
    """

    value: Value
    first: int
    last: int


def live_groups(groups: list[NodeSteps], outputs: list[Value]) -> list[NodeSteps]:
    """The groups whose results reach `outputs`, in their order. A group is kept or dropped as a whole."""
    needed: set[int] = set()
    for value in outputs:
        needed.add(value.root().number)
    kept: list[NodeSteps] = []
    for group in reversed(groups):
        if not _writes_one_of(group, needed):
            continue
        kept.append(group)
        for step in group.steps:
            for word in step.words:
                if isinstance(word, Pointer):
                    needed.add(word.value.root().number)
    kept.reverse()
    return kept


def _writes_one_of(group: NodeSteps, needed: set[int]) -> bool:
    for value in group.outputs:
        if value.root().number in needed:
            return True
    return False


def find_lifetimes(groups: list[NodeSteps], inputs: list[Value], outputs: list[Value]) -> dict[int, Lifetime]:
    """The lifetime of every root that lies in the arena, by its number. Constants have none."""
    lives: dict[int, Lifetime] = {}
    for value in inputs:
        hold(lives, value, -1, -1)
    index = 0
    for group in groups:
        for step in group.steps:
            for word in step.words:
                if isinstance(word, Pointer):
                    hold(lives, word.value, index, index)
            index = index + 1
    for value in outputs:
        hold(lives, value, index, index)
    return lives


def hold(lives: dict[int, Lifetime], value: Value, first: int, last: int) -> None:
    """Have a value's root alive from step `first` to step `last`, and as long as it is already."""
    root = value.root()
    if root.constant:
        return
    life = lives.get(root.number)
    if life is None:
        lives[root.number] = Lifetime(root, first, last)
    else:
        life.first = min(life.first, first)
        life.last = max(life.last, last)


def reuse_memory(lives: dict[int, Lifetime], wishes: list[tuple[Value, Value]]) -> None:
    """Grant the wishes (output, source) of StepBuilder.may_reuse, in order, where the source dies as the output is born.

    A granted output becomes a view of its source, and the source's lifetime takes in the output's.
    """
    for wish in wishes:
        output = wish[0]
        source = wish[1]
        root = source.root()
        if output.base is not None or output.constant or root.constant or output.size > source.size:
            continue
        born = lives.get(output.number)
        dying = lives.get(root.number)
        if born is None or dying is None or born.first < 0 or dying.last > born.first:
            continue
        output.base = source
        output.base_offset = 0
        dying.last = born.last
        lives.pop(output.number)
