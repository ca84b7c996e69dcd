"""A model on WASM: weights in memory, plans by input shapes, runs."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.backends.contract import Feed, MemoryUse, Placement
from edgeflow.backends.wasm.machine import WasmMachine, check_operators
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_copy, copy_bytes, instantiate_wasm, load_asset, new_bytes, wasm_features
from edgeflow.host.port import WasmInstance
from edgeflow.ir.graph import Graph, Node, TensorData
from edgeflow.passes import constants_to_initializers, eliminate_dead_nodes
from edgeflow.passes.fold_constants import fold_constants
from edgeflow.passes.pipeline import run_passes
from edgeflow.passes.rename import all_graphs
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.link import WORD, Tape, link
from edgeflow.plan.planner import Draft, make_plan
from edgeflow.plan.printer import print_plan
from edgeflow.plan.values import Pointer, Step, Value

MOST_PLANS = 16
MOST_PLAN_BYTES = 67108864


@dataclass
class WasmPlan:
    """A draft with addresses. `constants`: heap blocks that it owns. `bytes`: their size, the tape's included.

    arena_base: where the arena was when the tape was written.
    """

    draft: Draft
    tape: Tape
    steps: list[Step]
    tape_address: int
    arena_base: int
    constants: list[Value]
    bytes: int


class WasmExecutable:
    """contract.Executable on a WasmMachine."""

    def __init__(self, graph: Graph, machine: WasmMachine) -> None:
        self._graph = graph
        self._machine: WasmMachine | None = machine
        self._plans: dict[str, WasmPlan] = {}

    async def run(self, feeds: dict[str, Feed], outputs: list[str]) -> dict[str, Feed]:
        return self.run_now(feeds, outputs)

    def run_now(self, feeds: dict[str, Feed], outputs: list[str]) -> dict[str, Feed]:
        """The run itself; WASM runs without a pause."""
        machine = self._living()
        engine = machine.engine
        shapes: dict[str, list[int]] = {}
        for name in feeds:
            shapes[name] = feeds[name].shape
        plan = self._plan(machine, shapes, outputs)
        for value in plan.draft.inputs:
            if value.size > 0:
                engine.upload(plan.arena_base + value.offset, array_bytes(feeds[value.name].data))
        if plan.tape.step_words > 0:
            code = engine.run_tape(plan.tape_address, plan.tape.step_words)
            if code != 0:
                raise machine.step_failure(plan.draft, code)
        results: dict[str, Feed] = {}
        for i in range(len(outputs)):
            value = plan.draft.outputs[i]
            data = array_copy(value.dtype, engine.view(self._address(plan, value), value.size))
            results[outputs[i]] = Feed(value.dtype, value.shape, data)
        return results

    def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        return print_plan(self._plan(self._living(), shapes, outputs).draft)

    def memory(self) -> MemoryUse:
        machine = self._machine
        if machine is None:
            return MemoryUse(0, 0, 0, 0)
        plans = 0
        for plan in self._plans.values():
            plans = plans + plan.bytes
        return MemoryUse(machine.engine.instance.memory_size(), machine.weights.bytes, machine.engine.arena_size, plans)

    def placement(self) -> Placement:
        nodes: dict[str, int] = {}
        count_ops(self._graph, nodes)
        return Placement('wasm', nodes)

    def dispose(self) -> None:
        self._machine = None
        self._plans = {}

    def _living(self) -> WasmMachine:
        if self._machine is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._machine

    def _plan(self, machine: WasmMachine, shapes: dict[str, list[int]], outputs: list[str]) -> WasmPlan:
        """The plan for these shapes, as the most recently used one, its arena in place."""
        key = plan_key(self._graph, shapes, outputs)
        plan = self._plans.pop(key, None)
        if plan is None:
            plan = make_wasm_plan(self._graph, shapes, outputs, machine)
            self._make_room(machine, plan.bytes)
        self._plans[key] = plan
        engine = machine.engine
        engine.ensure_arena(plan.draft.arena_size)
        if plan.arena_base != engine.arena_address:
            relink(machine, plan)
        return plan

    def _make_room(self, machine: WasmMachine, wanted: int) -> None:
        """Forget the plans that were not used for longest, until one more of `wanted` bytes fits the bounds."""
        total = wanted
        for plan in self._plans.values():
            total = total + plan.bytes
        for key in list(self._plans.keys()):
            if len(self._plans) < MOST_PLANS and total <= MOST_PLAN_BYTES:
                return
            oldest = self._plans.pop(key)
            total = total - oldest.bytes
            machine.engine.heap.free(oldest.tape_address)
            for value in oldest.constants:
                machine.engine.heap.free(value.address)

    def _address(self, plan: WasmPlan, value: Value) -> int:
        root = value.root()
        if root.literal is not None:
            return plan.tape_address + plan.tape.literal_offsets[root.number] + value.root_offset()
        if root.constant:
            return root.address + value.root_offset()
        return plan.arena_base + root.offset + value.root_offset()


async def start_instance() -> WasmInstance:
    """A fresh instance of the best binary that the platform can run. 'platform' where WebAssembly lacks SIMD."""
    features = wasm_features()
    if not features.simd:
        raise EdgeflowError('platform', 'edgeflow needs WebAssembly with SIMD; this platform lacks it', {})
    name = 'edgeflow-relaxed.wasm' if features.relaxed_simd else 'edgeflow-simd.wasm'
    return await instantiate_wasm(await load_asset(name, env.wasm_location))


async def load_wasm(graph: Graph) -> WasmExecutable:
    """Run the passes over `graph`, put its weights into WASM memory, and let go of the file they came from.

    EdgeflowError 'unsupported-op' names the first operator that WASM does not have.
    """
    machine = WasmMachine(await start_instance())
    for part in all_graphs(graph):
        constants_to_initializers.run(part)
    fold_constants(graph, machine.fold)
    run_passes(graph)
    fold_constants(graph, machine.fold)
    eliminate_dead_nodes.run(graph)
    check_operators(graph)
    machine.load(graph)
    detach(graph)
    return WasmExecutable(graph, machine)


def detach(graph: Graph) -> None:
    """Replace the tensors of a loaded graph, which are views into the file: initializers by empty ones, attributes by copies."""
    for name in graph.initializers:
        data = graph.initializers[name]
        graph.initializers[name] = TensorData(data.dtype, data.shape, new_bytes(0))
    for node in graph.nodes:
        for name in node.attributes:
            value = node.attributes[name]
            if isinstance(value, TensorData):
                copy = new_bytes(len(value.data))
                copy_bytes(copy, 0, value.data)
                node.attributes[name] = TensorData(value.dtype, value.shape, copy, value.strings)
            elif isinstance(value, Graph):
                detach(value)


def plan_key(graph: Graph, shapes: dict[str, list[int]], outputs: list[str]) -> str:
    """Names what a plan is for: the input shapes in the graph's order, and the outputs."""
    parts: list[str] = []
    for info in graph.inputs:
        if info.name in shapes:
            parts.append('x'.join([str(dim) for dim in shapes[info.name]]))
    return ','.join(parts) + ' ' + ','.join(outputs)


def make_wasm_plan(graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: WasmMachine) -> WasmPlan:
    """Plan, link and write the tape. Whatever was allocated is freed again if that fails."""
    engine = machine.engine
    b = StepBuilder(machine)
    machine.begin_plan()
    try:
        draft = make_plan(graph, shapes, outputs, machine, b)
        steps = draft.steps()
        tape = link(steps, engine.kernels, output_literals(draft))
        engine.ensure_arena(draft.arena_size)
        address = engine.heap.allocate(len(tape.words) * WORD)
    except Exception:
        machine.end_plan(set())
        raise
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


def output_literals(draft: Draft) -> list[Value]:
    """The literals that are outputs of the graph."""
    literals: list[Value] = []
    for value in draft.outputs:
        root = value.root()
        if root.literal is not None:
            literals.append(root)
    return literals


def relink(machine: WasmMachine, plan: WasmPlan) -> None:
    """The arena has moved: write the tape with its new address."""
    move = machine.engine.arena_address - plan.arena_base
    words = plan.tape.words
    for i in plan.tape.arena_words:
        words[i] = words[i] + move
    plan.arena_base = machine.engine.arena_address
    machine.engine.write_words(plan.tape_address, words)


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


def subgraphs(node: Node) -> list[Graph]:
    """The graphs among a node's attributes."""
    found: list[Graph] = []
    for attribute in node.attributes.values():
        if isinstance(attribute, Graph):
            found.append(attribute)
    return found
