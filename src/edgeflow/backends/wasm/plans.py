"""Plans in WASM memory: made, run in parts, kept by their input shapes, and given back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.engine import failure
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes
from edgeflow.ir.graph import Graph, Node
from edgeflow.plan.builder import CacheLayout, StepBuilder
from edgeflow.plan.link import WORD, Tape, link
from edgeflow.plan.planner import Draft, make_plan
from edgeflow.plan.stretches import SharePlan
from edgeflow.plan.values import Pointer, Step, Value

if TYPE_CHECKING:
    from typing import TypeVar

    P = TypeVar('P', bound='OwnsBytes')

MOST_PLANS = 16
MOST_PLAN_BYTES = 67108864


@dataclass
class WasmPlan:
    """A draft with addresses. `constants`: heap blocks that it owns. `bytes`: their size, the tape's included.

    steps: those of the tape: the first `count`, which are `words` words, are the plan, the others its stretches as they are shared.
    arena_base: where the arena was when the tape was written. ends: where each step ends, in words; made when first asked for.
    helped: by member of the crew and first step, how a share is done there.
    """

    draft: Draft
    tape: Tape
    steps: list[Step]
    count: int
    words: int
    tape_address: int
    arena_base: int
    constants: list[Value]
    bytes: int
    ends: list[int] = field(default_factory=list)
    helped: dict[str, SharePlan] = field(default_factory=dict)

    def address(self, value: Value) -> int:
        """Where a value of the plan lies."""
        root = value.root()
        if root.literal is not None:
            return self.tape_address + self.tape.literal_offsets[root.number] + value.root_offset()
        return (root.address if root.constant else self.arena_base + root.offset) + value.root_offset()


class OwnsBytes(Protocol):
    """A plan of some backend."""

    bytes: int


def total_bytes(plans: Mapping[str, OwnsBytes]) -> int:
    """What plans take of memory."""
    total = 0
    for plan in plans.values():
        total = total + plan.bytes
    return total


def make_room(plans: dict[str, P], wanted: int, most: int, free: Callable[[P], None]) -> None:
    """Forget the plans that were not used for longest, until one more of `wanted` bytes fits: MOST_PLANS, and `most` bytes."""
    for key in list(plans.keys()):
        if len(plans) < MOST_PLANS and wanted + total_bytes(plans) <= most:
            return
        free(plans.pop(key))


def plan_key(graph: Graph, shapes: dict[str, list[int]], outputs: list[str], known: dict[str, list[int]]) -> str:
    """Names what a plan is for: the input shapes in the graph's order, the outputs, and the values of inputs that are known."""
    parts: list[str] = []
    for info in graph.inputs:
        if info.name in shapes:
            parts.append('x'.join([str(dim) for dim in shapes[info.name]]))
    key = ','.join(parts) + ' ' + ','.join(outputs)
    for name in known:
        key = f'{key} {name}={known[name]}'
    return key


def shapes_of(feeds: dict[str, Feed]) -> dict[str, list[int]]:
    """The shapes of what a run is given."""
    return {name: feeds[name].shape for name in feeds}


def known_values(deciding: list[str], feeds: dict[str, Feed]) -> dict[str, list[int]]:
    """The values of the inputs that decide which branches are taken."""
    return {name: [int(x) for x in array_bytes(feeds[name].data)] for name in deciding if name in feeds}


def make_wasm_plan(
    graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: WasmMachine, known: dict[str, list[int]],
    cache: CacheLayout | None = None,
) -> WasmPlan:
    """Plan, link and write the tape. Whatever was allocated is freed again if that fails."""
    engine = machine.engine
    b = StepBuilder(machine)
    b.cache = cache
    machine.begin_plan()
    try:
        draft = make_plan(graph, shapes, outputs, machine, b, known)
        steps = draft.steps()
        for group in draft.divided:
            steps.extend(group.steps)
        tape = link(steps, engine.kernels, output_literals(draft))
        engine.ensure_arena(draft.arena_size)
        address = engine.heap.allocate(len(tape.words) * WORD)
    except Exception:
        machine.end_plan(set())
        raise
    return written_plan(machine, draft, steps, tape, address)


def written_plan(machine: WasmMachine, draft: Draft, steps: list[Step], tape: Tape, address: int) -> WasmPlan:
    """The plan whose tape of `steps` is written to `address`; the constants that it does not use are freed."""
    engine = machine.engine
    constants = machine.end_plan(used_constants(steps, draft.outputs))
    total = len(tape.words) * WORD
    for value in constants:
        total = total + value.size
    for i in tape.tape_words:
        tape.words[i] = tape.words[i] + address
    for i in tape.arena_words:
        tape.words[i] = tape.words[i] + engine.arena_address
    engine.write_words(address, tape.words)
    count = len(steps) - sum([len(group.steps) for group in draft.divided])
    return WasmPlan(draft, tape, steps, count, sum([2 + len(step.words) for step in steps[:count]]), address, engine.arena_address, constants, total)


def free_plan(machine: WasmMachine, plan: WasmPlan) -> None:
    """Give back the heap blocks of a plan."""
    machine.engine.heap.free(plan.tape_address)
    for value in plan.constants:
        machine.engine.heap.free(value.address)


def output_literals(draft: Draft) -> list[Value]:
    """The literals that are outputs of the graph."""
    literals: list[Value] = []
    for value in draft.outputs:
        root = value.root()
        if root.literal is not None:
            literals.append(root)
    return literals


def place_arena(machine: WasmMachine, plan: WasmPlan) -> None:
    """Have the plan's arena in place; if it has moved, the tape is written with its new address."""
    engine = machine.engine
    engine.ensure_arena(plan.draft.arena_size)
    move = engine.arena_address - plan.arena_base
    if move == 0:
        return
    words = plan.tape.words
    for i in plan.tape.arena_words:
        words[i] = words[i] + move
    plan.arena_base = engine.arena_address
    engine.write_words(plan.tape_address, words)


def used_constants(steps: list[Step], outputs: list[Value]) -> set[int]:
    """Numbers of the roots of the constants that steps or outputs read."""
    used: set[int] = set()
    for step in steps:
        for word in step.words:
            if isinstance(word, Pointer):
                root = word.value.root()
                if root.constant:
                    used.add(root.number)
    for value in outputs:
        used.add(value.root().number)
    return used


def step_ends_of(plan: WasmPlan) -> list[int]:
    if len(plan.ends) == 0:
        plan.ends = step_ends(plan.tape)
    return plan.ends


def step_ends(tape: Tape) -> list[int]:
    """Where each step of a tape ends, in words."""
    ends: list[int] = []
    at = 0
    while at < tape.step_words:
        at = at + 2 + tape.words[at + 1]
        ends.append(at)
    return ends


def node_name(node: Node) -> str:
    """A node as errors name it."""
    return f"{node.key()} (node '{node.name}')"


def step_name(plan: WasmPlan, index: int) -> str:
    """The node of a step, as errors name it."""
    step = plan.steps[index]
    return [node_name(group.node) for group in plan.draft.groups + plan.draft.divided for other in group.steps if other is step][0]


def step_failure(plan: WasmPlan, code: int) -> EdgeflowError:
    """The error for what a run of the plan's tape gave; it names the node."""
    index = code // 256
    return failure(code, step_name(plan, index), plan.steps[index].kernel)


def run_part(machine: WasmMachine, plan: WasmPlan, first: int, last: int) -> int:
    """Run steps `first` to `last` (excluded) of a plan: 0, or the step's index in the plan * 256 + code."""
    if last <= first:
        return 0
    ends = step_ends_of(plan)
    start = 0 if first == 0 else ends[first - 1]
    code = machine.engine.run_tape(plan.tape_address + start * WORD, ends[last - 1] - start)
    return 0 if code == 0 else code + first * 256
