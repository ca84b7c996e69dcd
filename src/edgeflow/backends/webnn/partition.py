"""Cuts the nodes of a plan into partitions for WebNN, and says what crosses between them and WASM.

Nodes are put into an order in which their two sides alternate as rarely as their dependencies allow. Each stretch of nodes for WebNN becomes one
graph. What a partition takes of WASM and gives to it are the words of its step, so that the planner keeps the values in the arena as long; values
that only WebNN reads have no place there.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.webnn.emitter import Emission
from edgeflow.ir.graph import Node
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value, Word

LIGHT = 'too little work to be worth a crossing'
BULKY = 'a large table, of which every graph would have a copy'


@dataclass
class Partition(Step):
    """Nodes that become one graph. inputs, outputs: roots of values, each a tensor. feeds: those of the inputs that a run is given; uploads, downloads: what
    comes from WASM before, and goes there afterwards."""

    groups: list[NodeSteps] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    uploads: list[Value] = field(default_factory=list)
    downloads: list[Value] = field(default_factory=list)


@dataclass
class Division:
    """A plan's groups, those for WebNN in Partitions. near_inputs, near_outputs: what lies in the arena of the inputs and outputs of a run; far_inputs, far:
    roots of the inputs that go to tensors, and numbers of the roots that partitions make. places: of the outputs that partitions make, by number: the number of
    the root and where in it they begin (afterwards the planner may put roots into other memory). reasons: why operators went to WASM that WebNN could have run."""

    groups: list[NodeSteps]
    near_inputs: list[Value]
    near_outputs: list[Value]
    far_inputs: list[Value]
    far: set[int]
    reasons: dict[str, str]
    places: dict[int, tuple[int, int]] = field(default_factory=dict)


def is_far(group: NodeSteps) -> bool:
    """Whether a group is a node for WebNN."""
    return len(group.steps) > 0 and isinstance(group.steps[0], Emission)


def roots_of(group: NodeSteps) -> dict[int, Value]:
    """The roots of all values that a group touches, but constants, by number."""
    found: dict[int, Value] = {}
    for step in group.steps:
        for word in step.words:
            if isinstance(word, Pointer) and not word.value.root().constant:
                found[word.value.root().number] = word.value.root()
    return found


def dependencies(groups: list[NodeSteps]) -> list[list[int]]:
    """For each group, which earlier ones must come before it: those that wrote what it touches, and where it writes into a view, all that touched that."""
    writers: dict[int, list[int]] = {}
    users: dict[int, list[int]] = {}
    result: list[list[int]] = []
    for i in range(len(groups)):
        needed: set[int] = set()
        roots = roots_of(groups[i])
        for number in roots:
            for j in writers.get(number, []):
                needed.add(j)
        for value in groups[i].outputs:
            number = value.root().number
            for j in users.get(number, []):
                needed.add(j)
            writers[number] = writers.get(number, []) + [i]
        for number in roots:
            users[number] = users.get(number, []) + [i]
        result.append(list(needed))
    return result


def arranged(groups: list[NodeSteps], needs: list[list[int]], far_first: bool) -> list[list[NodeSteps]]:
    """The groups as stretches that alternate between the sides; each takes all that it can. needs: their dependencies()."""
    done: list[bool] = [False] * len(groups)
    rest: list[int] = [i for i in range(len(groups))]
    stretches: list[list[NodeSteps]] = []
    side: bool = far_first
    while len(rest) > 0:
        stretch: list[NodeSteps] = []
        later: list[int] = []
        for i in rest:
            ready: bool = is_far(groups[i]) == side
            for j in needs[i]:
                ready = ready and done[j]
            if ready:
                done[i] = True
                stretch.append(groups[i])
            else:
                later.append(i)
        rest = later
        side = not side
        if len(stretch) > 0:
            stretches.append(stretch)
    return stretches


def best_order(groups: list[NodeSteps]) -> list[list[NodeSteps]]:
    """The arrangement with the fewest crossings."""
    needs = dependencies(groups)
    one = arranged(groups, needs, False)
    two = arranged(groups, needs, True)
    return one if len(one) <= len(two) else two


def is_heavy(stretch: list[NodeSteps]) -> bool:
    """Whether a stretch for WebNN is worth a crossing, or cannot be elsewhere."""
    for group in stretch:
        step = group.steps[0]
        if isinstance(step, Emission) and (step.heavy or step.near is None):
            return True
    return False


def number_far(stretches: list[list[NodeSteps]]) -> int:
    """How many of the stretches are for WebNN."""
    return len([stretch for stretch in stretches if is_far(stretch[0])])


def name_of(node: Node) -> str:
    """Tells the nodes of a plan apart, but for a conversion of what a Cast gave."""
    return node.key() + ' ' + node.outputs[0]


def moved_home(groups: list[NodeSteps], moved: set[str], reasons: dict[str, str], reason: str) -> list[NodeSteps]:
    """The groups, those of these names for WASM."""
    result: list[NodeSteps] = []
    for group in groups:
        step = group.steps[0]
        if isinstance(step, Emission) and step.near is not None and name_of(group.node) in moved:
            result.append(NodeSteps(group.node, group.outputs, step.near))
            reasons[group.node.key()] = reason
        else:
            result.append(group)
    return result


def without_bulk(groups: list[NodeSteps], reasons: dict[str, str]) -> list[NodeSteps]:
    """The groups, what picks of large tables for WASM if that makes no more graphs."""
    bulky: set[str] = set()
    for group in groups:
        step = group.steps[0]
        if isinstance(step, Emission) and step.bulky:
            bulky.add(name_of(group.node))
    found: dict[str, str] = {}
    moved = moved_home(groups, bulky, found, BULKY)
    if len(found) == 0 or number_far(best_order(moved)) > number_far(best_order(groups)):
        return groups
    reasons.update(found)
    return moved


def without_light(groups: list[NodeSteps], reasons: dict[str, str]) -> list[list[NodeSteps]]:
    """The groups as stretches, the light ones for WASM. Where no stretch is heavy, all stay."""
    while True:
        stretches = best_order(groups)
        heavy: bool = False
        light: set[str] = set()
        for stretch in stretches:
            if is_heavy(stretch):
                heavy = True
            elif is_far(stretch[0]):
                for group in stretch:
                    light.add(name_of(group.node))
        if not heavy or len(light) == 0:
            return stretches
        groups = moved_home(groups, light, reasons, LIGHT)


def divide(groups: list[NodeSteps], inputs: list[Value], outputs: list[Value]) -> Division:
    """Cut a plan."""
    reasons: dict[str, str] = {}
    stretches = without_light(without_bulk(groups, reasons), reasons)
    readers: dict[int, set[int]] = {}
    near_needs: set[int] = set()
    for i in range(len(stretches)):
        far = is_far(stretches[i][0])
        for group in stretches[i]:
            for number in roots_of(group):
                if number not in readers:
                    readers[number] = set()
                readers[number].add(i)
                if not far:
                    near_needs.add(number)
    given: dict[int, Value] = {value.number: value for value in inputs}
    division = Division([], [], [], [], set(), reasons)
    wanted: set[int] = set([value.root().number for value in outputs])
    there: set[int] = set()
    for stretch in stretches:
        if not is_far(stretch[0]):
            division.groups.extend(stretch)
            continue
        partition = _partition(stretch, readers, wanted)
        for value in partition.inputs:
            if value.number in there:
                continue
            there.add(value.number)
            if value.number in given:
                division.far_inputs.append(value)
            elif value.number not in division.far:
                partition.uploads.append(value)
        for value in partition.outputs:
            division.far.add(value.number)
            there.add(value.number)
            if value.number in near_needs:
                partition.downloads.append(value)
        for value in partition.uploads + partition.downloads:
            partition.words.append(Pointer(value, 0))
        node = Node('Graph', 'edgeflow', f'{len(partition.groups)} nodes', [], [])
        division.groups.append(NodeSteps(node, partition.downloads, [partition]))
    division.near_inputs = [value for value in inputs if value.number in near_needs or value.number in wanted]
    for value in outputs:
        if value.root().number in division.far:
            division.places[value.number] = (value.root().number, value.root_offset())
        else:
            division.near_outputs.append(value)
    return division


def _partition(stretch: list[NodeSteps], readers: dict[int, set[int]], wanted: set[int]) -> Partition:
    """What a stretch reads of outside, and what of it is read outside."""
    words: list[Word] = []
    partition = Partition('webnn', words, stretch)
    made: set[int] = set()
    seen: set[int] = set()
    for group in stretch:
        for value in group.outputs:
            if value.base is None:
                made.add(value.number)
        for number, root in roots_of(group).items():
            if number in seen:
                continue
            seen.add(number)
            if number not in made:
                partition.inputs.append(root)
            elif number in wanted or len(readers[number]) > 1:
                partition.outputs.append(root)
    return partition
