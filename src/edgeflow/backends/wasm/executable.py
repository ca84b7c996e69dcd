"""A model on WASM: weights in memory, plans by input shapes, runs.

One file because loading, planning and the ways to run (at once, in slices, with helpers) share the plan's tape and arena, and nothing else sees them.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edgeflow.backends.ahead import start_ahead
from edgeflow.backends.contract import HERE, Feed, HelperLink, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder
from edgeflow.backends.rests import Rests
from edgeflow.backends.wasm.decoder import WasmDecoder
from edgeflow.backends.wasm.engine import failure
from edgeflow.backends.wasm.kernels import Image, add_more, kernel_module, start_instance
from edgeflow.backends.wasm.lowerings import VISION_OPS, lacks, needs_more
from edgeflow.backends.wasm.machine import WasmMachine, check_operators
from edgeflow.backends.wasm.more.interpreter import Interpreter
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_copy, join_bytes, new_bytes, now, pause, start_task
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes import absorb_transposes, constants_to_initializers, eliminate_dead_nodes
from edgeflow.passes.fold_constants import fold_constants
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.passes.pipeline import pass_steps
from edgeflow.passes.rename import all_graphs
from edgeflow.plan.builder import CacheLayout, StepBuilder
from edgeflow.plan.link import WORD, Tape, link
from edgeflow.plan.planner import Draft, initializer_key, make_plan, scope_key
from edgeflow.plan.stretches import SharePlan
from edgeflow.plan.values import Pointer, Step, Value

if TYPE_CHECKING:
    from typing import TypeVar

    P = TypeVar('P', bound='OwnsBytes')

MOST_PLANS = 16
MOST_PLAN_BYTES = 67108864

# A run that can be cancelled pauses after SLICE_MS, between calls of run_tape that aim at PART_MS each.
SLICE_MS = 6.0
PART_MS = 1.5
FIRST_PART_STEPS = 4


@dataclass
class WasmPlan:
    """A draft with addresses. `constants`: heap blocks that it owns. `bytes`: their size, the tape's included.

    arena_base: where the arena was when the tape was written. ends: where each step ends, in words; made when first asked for.
    helped: by member of the crew and first step, how a share is done there.
    """

    draft: Draft
    tape: Tape
    steps: list[Step]
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


class HelpedRuns(Protocol):
    """What runs plans with helpers: crew.Crew."""

    async def run(self, plan: WasmPlan, helpers: list[HelperLink], control: RunControl | None) -> int:
        """Run a plan, whose inputs are in its memory; what run_tape gives."""

    def bytes(self) -> int:
        """What helpers take of memory."""

    def close(self) -> None:
        """The model is gone."""


class WasmExecutable:
    """contract.Executable on a WasmMachine."""

    def __init__(self, graph: Graph, machine: WasmMachine, texts: dict[str, TensorData] | None = None) -> None:
        """texts: the graph's tensors of strings."""
        self.lane: str = HERE
        self.flights: int = 1
        self.place: object = None
        # Where plans find past keys and values; None: in their inputs.
        self.cache: CacheLayout | None = None
        self._graph = graph
        self._machine: WasmMachine | None = machine
        self._decoder: WasmDecoder | None = None
        self._plans: dict[str, WasmPlan] = {}
        self._pausing: bool = False
        self._deciding: list[str] = deciding_inputs(graph)
        self._texts: dict[str, TensorData] = {} if texts is None else texts
        self._interpreter: Interpreter | None = None
        self._crew: HelpedRuns | None = None
        self._helpers: list[HelperLink] = []
        self._placement: Placement | None = None

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
        spare: Callable[[], int] | None = None,
    ) -> dict[str, Feed]:
        helpers = self._helpers
        self._helpers = []
        machine = self._living()
        plan = self._begin_unless_interpreted(machine, feeds, outputs)
        if plan is not None and machine.undivided:
            await self._divide(machine, plan, control)
            plan = self._begin_run(machine, feeds, outputs)
        if plan is None:
            return await self._interpret(machine, feeds, outputs, control)
        code = 0
        times = None if control is None else control.times
        if times is not None:
            from edgeflow.backends.wasm.timing import run_tape_timed

            code = run_tape_timed(machine, plan, times)
        elif len(helpers) > 0 and len(plan.draft.stretches) > 0:
            if self._crew is None:
                from edgeflow.backends.wasm.crew import Crew

                self._crew = Crew(self, machine)
            code = await self._crew.run(plan, helpers, control)
        elif control is None:
            code = machine.engine.run_tape(plan.tape_address, plan.tape.step_words) if plan.tape.step_words > 0 else 0
        elif plan.tape.step_words > 0:
            code = await self.run_slices(machine, plan, 0, control)
        return self._end_run(machine, plan, outputs, code)

    def _begin_unless_interpreted(self, machine: WasmMachine, feeds: dict[str, Feed], outputs: list[str]) -> WasmPlan | None:
        """As _begin_run(); None if there can be no plan."""
        if self._interpreter is not None or not takes_numbers(self._graph, self._texts):
            return None
        try:
            return self._begin_run(machine, feeds, outputs)
        except EdgeflowError as error:
            if error.code != 'unsupported-op' or self.cache is not None:
                raise
            return None

    async def _interpret(self, machine: WasmMachine, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None) -> dict[str, Feed]:
        """Run node by node, now and from now on: shapes depend on data, or values are no tensors of numbers."""
        if self._interpreter is None:
            from edgeflow.backends.wasm.more.interpreter import Interpreter

            self.forget_plans()
            self._interpreter = Interpreter(self._graph, machine, self._texts)
        self._pausing = True
        try:
            return await self._interpreter.run(feeds, outputs, control, self._living)
        finally:
            self._pausing = False

    async def _divide(self, machine: WasmMachine, plan: WasmPlan, control: RunControl | None) -> None:
        """Wait for what divides plans, and forget those that were made without it, `plan` among them."""
        await self.let_go(machine.fetch_division(), control, 0, len(step_ends_of(plan)))
        machine.undivided = False
        self.forget_plans()

    def run_now(self, feeds: dict[str, Feed], outputs: list[str]) -> dict[str, Feed]:
        """A run without a pause, for callers that cannot wait."""
        machine = self._living()
        plan = self._begin_run(machine, feeds, outputs)
        code = machine.engine.run_tape(plan.tape_address, plan.tape.step_words) if plan.tape.step_words > 0 else 0
        return self._end_run(machine, plan, outputs, code)

    def forget_plans(self) -> None:
        """Give the memory of all plans back to the heap."""
        for plan in self._plans.values():
            free_plan(self._living(), plan)
        self._plans = {}

    def _begin_run(self, machine: WasmMachine, feeds: dict[str, Feed], outputs: list[str]) -> WasmPlan:
        """The plan for these feeds, which are in its memory."""
        shapes = shapes_of(feeds)
        known = known_values(self._deciding, feeds)
        plan = self._plan(machine, shapes, outputs, known)
        for value in plan.draft.inputs:
            if value.size > 0:
                machine.engine.upload(plan.arena_base + value.offset, array_bytes(feeds[value.name].data))
        return plan

    def _end_run(self, machine: WasmMachine, plan: WasmPlan, outputs: list[str], code: int) -> dict[str, Feed]:
        """The outputs, copied out; the error if `code`, which run_tape gave, is one."""
        if code != 0:
            raise step_failure(plan, code)
        results: dict[str, Feed] = {}
        for i in range(len(outputs)):
            value = plan.draft.outputs[i]
            data = array_copy(value.dtype, machine.engine.view(plan.address(value), value.size))
            results[outputs[i]] = Feed(value.dtype, value.shape, data)
        return results

    async def run_slices(self, machine: WasmMachine, plan: WasmPlan, done: int, control: RunControl | None) -> int:
        """Run the tape from step `done` on in parts, with a pause after every SLICE_MS; what run_tape gives. 'aborted' once `control` says so."""
        ends = step_ends_of(plan)
        if control is None:
            return run_part(machine, plan, done, len(ends))
        stride = FIRST_PART_STEPS
        slice_began = now()
        part_began = slice_began
        while done < len(ends):
            last = min(done + stride, len(ends))
            code = run_part(machine, plan, done, last)
            if code != 0 or last == len(ends):
                return code
            time = now()
            stride = next_stride(last - done, time - part_began)
            done = last
            if time - slice_began >= SLICE_MS:
                await self.let_go(pause(), control, done, len(ends))
                time = now()
                slice_began = time
            part_began = time
        return 0

    async def let_go(self, waiting: Awaitable[None], control: RunControl | None, done: int, steps: int) -> None:
        """Wait within a run, after `done` of its steps. 'disposed' or 'aborted' if it is not to go on."""
        self._pausing = True
        try:
            await waiting
        finally:
            self._pausing = False
        if control is not None and control.cancelled():
            raise EdgeflowError('aborted', f'the run was cancelled after {done} of {steps} steps', {'steps': done, 'of': steps})
        self._living()

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        if self._pausing:
            raise EdgeflowError('invalid-argument', 'plans are described between runs; one is under way', {})
        from edgeflow.plan.printer import print_plan

        machine = self._living()
        plan = self._plan(machine, shapes, outputs, {})
        if machine.undivided:
            await self._divide(machine, plan, None)
            plan = self._plan(machine, shapes, outputs, {})
        return print_plan(plan.draft)

    def memory(self) -> MemoryUse:
        machine = self._machine
        if machine is None:
            return MemoryUse(0, 0, 0, 0)
        total = machine.engine.instance.memory_size()
        if self._crew is not None:
            total = total + self._crew.bytes()
        return MemoryUse(total, machine.weights.bytes, machine.engine.arena_size, total_bytes(self._plans))

    def placement(self) -> Placement:
        if self._placement is None:
            nodes: dict[str, int] = {}
            count_ops(self._graph, nodes)
            self._placement = Placement('wasm', nodes)
        return self._placement

    def lost(self) -> bool:
        return False

    def on_loss(self, callback: Callable[[], None]) -> None:
        """Its memory is not lost."""

    async def decoder(self) -> Decoder:
        from edgeflow.backends.wasm.decoder import WasmDecoder
        from edgeflow.backends.wasm.pages import Pages
        if self._decoder is None:
            machine = self._living()
            self._decoder = WasmDecoder(
                self._graph, lambda graph: WasmExecutable(graph, machine), lambda pasts: Pages(machine.engine, pasts), self.memory)
        return self._decoder

    def lend(self, helpers: list[HelperLink]) -> None:
        self._helpers = helpers

    def divisible(self) -> bool:
        """Whether helpers are of use to the plan that was used last."""
        keys = list(self._plans.keys())
        return len(keys) > 0 and len(self._plans[keys[-1]].draft.stretches) > 0

    def dispose(self) -> None:
        if self._crew is not None:
            self._crew.close()
            self._crew = None
        self._machine = None
        self._decoder = None
        self._interpreter = None
        self._plans = {}

    def _living(self) -> WasmMachine:
        if self._machine is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._machine

    def _plan(self, machine: WasmMachine, shapes: dict[str, list[int]], outputs: list[str], known: dict[str, list[int]]) -> WasmPlan:
        """The plan for these shapes, as the most recently used one, its arena in place."""
        key = plan_key(self._graph, shapes, outputs, known)
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = make_wasm_plan(self._graph, shapes, outputs, machine, known, self.cache)
            make_room(self._plans, plan.bytes, MOST_PLAN_BYTES, lambda old: free_plan(machine, old))
        self._plans[key] = plan
        place_arena(machine, plan)
        return plan


def node_name(node: Node) -> str:
    """A node as errors name it."""
    return f"{node.key()} (node '{node.name}')"


def step_name(plan: WasmPlan, index: int) -> str:
    """The node of a step, as errors name it."""
    step = plan.steps[index]
    return [node_name(group.node) for group in plan.draft.groups for other in group.steps if other is step][0]


def step_failure(plan: WasmPlan, code: int) -> EdgeflowError:
    """The error for what a run of the plan's tape gave; it names the node."""
    index = code // 256
    return failure(code, step_name(plan, index), plan.steps[index].kernel)


def takes_numbers(graph: Graph, texts: dict[str, TensorData]) -> bool:
    """Whether all that a graph is given, and its tensors, is numbers. texts: its tensors of strings."""
    for info in graph.inputs:
        if info.dtype == 'string' or info.dtype not in DTYPE_CODES:
            return False
    return len(texts) == 0


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


def shapes_of(feeds: dict[str, Feed]) -> dict[str, list[int]]:
    """The shapes of what a run is given."""
    return {name: feeds[name].shape for name in feeds}


def known_values(deciding: list[str], feeds: dict[str, Feed]) -> dict[str, list[int]]:
    """The values of the inputs that decide which branches are taken."""
    return {name: [int(x) for x in array_bytes(feeds[name].data)] for name in deciding if name in feeds}


def next_stride(steps: int, took: float) -> int:
    """How many steps the next part runs, if the last one's `steps` took `took` ms."""
    if took * 4 < PART_MS:
        return steps * 4
    return max(1, math.floor(steps * PART_MS / took))


def run_part(machine: WasmMachine, plan: WasmPlan, first: int, last: int) -> int:
    """Run steps `first` to `last` (excluded) of a plan: 0, or the step's index in the plan * 256 + code."""
    if last <= first:
        return 0
    ends = step_ends_of(plan)
    start = 0 if first == 0 else ends[first - 1]
    code = machine.engine.run_tape(plan.tape_address + start * WORD, ends[last - 1] - start)
    return 0 if code == 0 else code + first * 256


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


async def load_wasm(graph: Graph, rests: Rests, shares: int = 1, image: Image | None = None) -> WasmExecutable:
    """Run the passes over `graph`, put its weights into WASM memory, and let go of the file they came from.

    image: where the file lies already, if its large initializers are `stored` there. EdgeflowError 'unsupported-op' names the first operator that WASM does not have.
    """
    machine = await open_machine(graph, shares, image)
    if machine.shares > 1:
        start_task(machine.fetch_division)
    await improve(graph, machine, rests)
    check_operators(graph, [])
    texts: dict[str, TensorData] = {}
    take_texts(graph, '', texts)
    for _ in machine.load(graph):
        await rests.rest()
    detach(graph)
    return WasmExecutable(graph, machine, texts)


async def fetch_operators(graph: Graph) -> None:
    """Fetch the parts that know the graph's operators. 'file-missing' if they cannot be had."""
    if lacks(graph, None):
        start_ahead(lambda: kernel_module(True))
        await fetch_rare()
    elif lacks(graph, VISION_OPS):
        start_ahead(lambda: kernel_module(True))
        from edgeflow.backends.wasm.lower_spatial import install_spatial

        install_spatial()


async def fetch_rare() -> None:
    """Fetch the part of rare operators, and the one whose operators they are made of."""
    from edgeflow.backends.wasm.lower_spatial import install_spatial
    from edgeflow.backends.wasm.more.lowerings import install

    install_spatial()
    install()


async def open_machine(graph: Graph, shares: int = 1, image: Image | None = None) -> WasmMachine:
    """A machine for a graph; with the part and the binary of rare operators, if it has such, and then without the image."""
    for part in all_graphs(graph):
        constants_to_initializers.run(part)
    if not needs_more(graph):
        instance = await start_instance() if image is None else image.instance
        return WasmMachine(await add_more(instance) if lacks(graph, VISION_OPS) else instance, shares, image)
    await fetch_rare()
    from edgeflow.backends.wasm.more.expansions import expand

    expand(graph)
    # The image is in an instance without the rare kernels, from where its weights are copied. Helpers lack them too.
    leave_image(graph)
    return WasmMachine(await add_more(await start_instance()))


async def improve(graph: Graph, machine: WasmMachine, rests: Rests) -> None:
    """Run the passes, which compute constants on `machine`."""
    for part in all_graphs(graph):
        absorb_transposes.run(part)
    eliminate_dead_nodes.run(graph)
    fold_constants(graph, machine.fold)
    for _ in pass_steps(graph):
        await rests.rest()
    fold_constants(graph, machine.fold)
    eliminate_dead_nodes.run(graph)


def take_texts(graph: Graph, scope: str, texts: dict[str, TensorData]) -> None:
    """Move the initializers of strings, which no kernel takes, out of the graph and its subgraphs, by their keys."""
    for name in list(graph.initializers.keys()):
        if graph.initializers[name].dtype == 'string':
            texts[initializer_key(scope, name)] = graph.initializers.pop(name)
    for node in graph.nodes:
        for attribute in node.attributes:
            inner = node.attributes[attribute]
            if isinstance(inner, Graph):
                take_texts(inner, scope_key(scope, node, attribute), texts)


def leave_image(graph: Graph) -> None:
    """Make initializers that are stored in an instance's memory views of it, for another instance to copy. That memory must not grow."""
    for part in all_graphs(graph):
        for name in part.initializers:
            data = part.initializers[name]
            stored = data.stored
            if stored is not None:
                part.initializers[name] = TensorData(data.dtype, data.shape, stored.memory.view(stored.address, stored.length))


def detach(graph: Graph) -> None:
    """Replace the tensors of a loaded graph, which are views into the file: initializers by empty ones, attributes by copies."""
    graph.outer = None
    for name in graph.initializers:
        data = graph.initializers[name]
        graph.initializers[name] = TensorData(data.dtype, data.shape, new_bytes(0))
    for node in graph.nodes:
        for name in node.attributes:
            value = node.attributes[name]
            if isinstance(value, TensorData):
                copy = join_bytes([value.whole()])
                node.attributes[name] = TensorData(value.dtype, value.shape, copy, value.strings)
            elif isinstance(value, Graph):
                detach(value)


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
    return WasmPlan(draft, tape, steps, address, engine.arena_address, constants, total)


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


def count_ops(graph: Graph, nodes: dict[str, int]) -> None:
    """Count the nodes of a graph and its subgraphs by operator."""
    for node in graph.nodes:
        nodes[node.key()] = nodes.get(node.key(), 0) + 1
        for inner in subgraphs(node):
            count_ops(inner, nodes)


def expected_placement(graph: Graph, device: str, taken: Mapping[str, object], reason: str) -> Placement:
    """What the operators alone tell: a device takes those that are keys of `taken`; `reason` for the others."""
    counts: dict[str, int] = {}
    count_ops(graph, counts)
    placement = Placement(device, {}, {}, {})
    for key, count in counts.items():
        if key in taken:
            placement.nodes[key] = count
        else:
            placement.fallback[key] = count
            placement.reasons[key] = reason
    return placement


def subgraphs(node: Node) -> list[Graph]:
    """The graphs among a node's attributes."""
    found: list[Graph] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            found.append(attribute)
    return found
