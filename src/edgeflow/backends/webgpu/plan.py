"""A plan for WebGPU: dispatches with their bind groups, WASM steps on a tape, and the copies between the two, in order."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgeflow.backends.wasm.plans import WasmPlan, free_plan, node_name, output_literals, written_plan
from edgeflow.backends.webgpu.builder import Dispatch, GpuBuilder, gpu_offset, gpu_size, kind_of
from edgeflow.backends.webgpu.chains import count_uses
from edgeflow.backends.webgpu.crossings import UPLOAD, Crossing, Crossings
from edgeflow.backends.webgpu.device import Gpu
from edgeflow.backends.webgpu.machine import GpuMachine
from edgeflow.backends.webgpu.memory import ALIGNMENT, POOL, TABLE, assign_slots
from edgeflow.errors import EdgeflowError
from edgeflow.host.gpu import narrowed, widened
from edgeflow.host.platform import array_bytes, array_of, join_bytes, new_bytes, write_i32s
from edgeflow.host.port import Bytes, GpuBuffer, GpuCommand, GpuPiece
from edgeflow.ir.graph import Graph
from edgeflow.plan.arena import align
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.link import WORD, link
from edgeflow.plan.planner import Draft, make_plan
from edgeflow.plan.values import Pointer, Step, Value

# What an action does.
GPU = 'gpu'
WASM = 'wasm'
UP = 'up'
DOWN = 'down'


@dataclass
class Action:
    """One thing that a run does: commands for the GPU, or WASM steps `first` to `last` (excluded), or copies of near values to their far twins or back."""

    kind: str
    first: int
    last: int
    commands: list[GpuCommand]
    near: list[Value]
    far: list[Value]
    # Of each command, '' for a copy: its kernel and its node, as errors name it.
    kernels: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


@dataclass
class GpuPlan:
    """wasm: the WASM steps, their tape and their arena. version: of the slots that the bind groups refer to; -1: there are none yet."""

    draft: Draft
    crossings: Crossings
    wasm: WasmPlan
    slot_sizes: list[int]
    uniforms: GpuBuffer | None
    constants: GpuBuffer | None
    constant_offsets: dict[int, int]
    bytes: int
    failing: list[str]
    faults: Value | None
    actions: list[Action]
    # Aligned copies of views.
    moved: list[GpuBuffer]
    version: int = -1


async def make_gpu_plan(
    graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: GpuMachine, known: dict[str, list[int]],
    cache: CacheLayout | None = None,
) -> GpuPlan:
    """Plan, compile what is not compiled yet, and write what the plan keeps in memory. EdgeflowErrors: those of make_plan(), 'out-of-memory', 'device-lost'."""
    wasm = machine.wasm
    engine = wasm.engine
    b = GpuBuilder(machine, machine.gpu.features)
    b.cache = cache
    count_uses(graph, b.uses)
    for node in graph.nodes:
        for name in node.inputs:
            b.readers.setdefault(name, []).append(node)
    if machine.sessions is not None:
        b.row_product = machine.sessions.product
    b.weight = lambda name: machine.initializer(name) if name in graph.initializers else None
    wasm.begin_plan()
    try:
        draft = make_plan(graph, shapes, outputs, machine, b, known)
        crossings = machine.crossings
        if crossings is None:
            raise EdgeflowError('internal', 'the plan was not divided', {})
        steps = [step for step in draft.steps() if not isinstance(step, Dispatch) and not isinstance(step, Crossing)]
        await bring_home(machine, steps, crossings.outputs)
        await machine.gpu.compile(dispatches_of(draft))
        tape = link(steps, engine.kernels, output_literals(draft))
        far = far_contents(machine, draft, crossings)
        engine.ensure_arena(draft.arena_size)
        address = engine.heap.allocate(len(tape.words) * WORD)
    except Exception:
        wasm.end_plan(set())
        raise
    wasm_plan = written_plan(wasm, draft, steps, tape, address)
    plan = GpuPlan(draft, crossings, wasm_plan, assign_slots(draft.far), None, None, {}, wasm_plan.bytes, b.failing, b.faults, [], [])
    before = list(machine.memory.weights.keys())
    machine.gpu.device.watch()
    try:
        try:
            write_contents(machine, plan, far)
        finally:
            await machine.gpu.device.settled()
    except Exception:
        free_gpu_plan(machine, plan)
        machine.memory.free_weights(before)
        raise
    return plan


def write_contents(machine: GpuMachine, plan: GpuPlan, contents: list[Content]) -> None:
    """Put what the plan keeps on the GPU into buffers: its parameters, and constants; initializers into buffers of their own."""
    device = machine.gpu.device
    words = uniform_bytes(plan.draft)
    if len(words) > 0:
        plan.bytes = plan.bytes + len(words)
        plan.uniforms = device.buffer(len(words), True)
        device.write(plan.uniforms, 0, words)
    size = 0
    for content in contents:
        if content.root.initializer == '':
            plan.constant_offsets[content.root.number] = size
            size = size + align(max(gpu_size(content.root), len(content.words)), ALIGNMENT)
    if size > 0:
        plan.bytes = plan.bytes + size
        plan.constants = device.buffer(size)
    for content in contents:
        if content.root.initializer != '':
            device.write(machine.memory.add_weight(content.root.initializer, gpu_size(content.root)), 0, content.words)
        elif plan.constants is not None:
            device.write(plan.constants, plan.constant_offsets[content.root.number], content.words)


def free_gpu_plan(machine: GpuMachine, plan: GpuPlan) -> None:
    """Give back what the plan owns."""
    free_plan(machine.wasm, plan.wasm)
    for buffer in [plan.uniforms, plan.constants] + plan.moved:
        if buffer is not None:
            machine.gpu.device.free(buffer)


async def bring_home(machine: GpuMachine, steps: list[Step], outputs: list[Value]) -> None:
    """Copy to WASM memory, for good, the weights on the GPU that WASM steps read after all, and those that are outputs."""
    wanted: dict[int, Value] = {}
    for step in steps:
        for word in step.words:
            if isinstance(word, Pointer) and machine.is_far(word.value.root()):
                wanted[word.value.root().number] = word.value.root()
    for value in outputs:
        if machine.is_far(value.root()):
            wanted[value.root().number] = value.root()
    for root in wanted.values():
        size = gpu_size(root)
        data = (await machine.gpu.device.run([], [GpuPiece(machine.memory.weights[root.initializer], 0, size)]))[0]
        machine.wasm.adopt(root, plain_bytes(root, data))


def plain_bytes(value: Value, data: Bytes) -> Bytes:
    """What lies on the GPU as `data`, in the form of WASM memory; float16 stays so."""
    kind = kind_of(value)
    if kind == 'bytes':
        return data[:value.count()]
    if kind == 'f16':
        return data[:value.count() * 2]
    return widened(value.dtype, data[:value.count() * WORD])


@dataclass(frozen=True)
class Content:
    """What a constant holds, as it lies on the GPU."""

    root: Value
    words: Bytes


def far_contents(machine: GpuMachine, draft: Draft, crossings: Crossings) -> list[Content]:
    """The constants that dispatches bind and that are not on the GPU yet."""
    found: dict[int, Content] = {}
    for step in dispatches_of(draft):
        for value in step.bindings():
            root = value.root()
            there = root.initializer in machine.memory.weights or root.initializer == POOL or root.initializer == TABLE
            if root.constant and root.number not in found and not there:
                found[root.number] = Content(root, join_bytes([constant_words(machine, crossings.origins[root.number])]))
    return list(found.values())


def constant_words(machine: GpuMachine, root: Value) -> Bytes:
    """The content of a constant in WASM memory as it lies on the GPU. 'run-failed' for an int64 that does not fit."""
    if root.count() == 0:
        return new_bytes(0)
    literal = root.literal
    if literal is not None:
        data = array_bytes(array_of(root.dtype, literal))
    else:
        data = machine.wasm.engine.read_bytes(root)
    words = data if kind_of(root) == 'bytes' else narrowed(root.dtype, data)
    if words is None:
        raise EdgeflowError('run-failed', f"'{root.name}' holds an int64 beyond the 32 bits that integers have on the GPU", {'name': root.name})
    return words


def uniform_bytes(draft: Draft) -> Bytes:
    """The parameters of all dispatches, each at a multiple of ALIGNMENT."""
    steps = dispatches_of(draft)
    size = 0
    for step in steps:
        size = size + align(max(len(step.parameters), 1) * WORD, ALIGNMENT)
    data = new_bytes(size)
    at = 0
    for step in steps:
        write_i32s(data, at, step.parameters)
        at = at + align(max(len(step.parameters), 1) * WORD, ALIGNMENT)
    return data


def dispatches_of(draft: Draft) -> list[Dispatch]:
    """The dispatches among the steps."""
    found: list[Dispatch] = []
    for step in draft.steps():
        if isinstance(step, Dispatch):
            found.append(step)
    return found


def named_steps(draft: Draft) -> list[tuple[Step, str]]:
    """All steps, in order, each with its node."""
    steps: list[tuple[Step, str]] = []
    for group in draft.groups:
        for step in group.steps:
            steps.append((step, node_name(group.node)))
    return steps


class Binder:
    """Makes the actions of a plan, for the slots as they are now."""

    def __init__(self, machine: GpuMachine, plan: GpuPlan) -> None:
        self._machine: GpuMachine = machine
        self._gpu: Gpu = machine.gpu
        self._plan: GpuPlan = plan
        self._actions: list[Action] = []

    def bind(self) -> None:
        """Set the plan's actions."""
        machine = self._machine
        machine.memory.ensure_slots(self._plan.slot_sizes)
        for buffer in self._plan.moved:
            self._gpu.device.free(buffer)
        self._plan.moved = []
        at = 0
        wasm = 0
        for step, node in named_steps(self._plan.draft):
            if isinstance(step, Dispatch):
                size = align(max(len(step.parameters), 1) * WORD, ALIGNMENT)
                self._dispatch(step, at, node)
                at = at + size
            elif isinstance(step, Crossing):
                action = self._action(UP if step.kernel == UPLOAD else DOWN)
                for word in step.words:
                    if isinstance(word, Pointer):
                        (action.far if word.value.far else action.near).append(word.value)
            else:
                action = self._action(WASM)
                if action.last == 0:
                    action.first = wasm
                wasm = wasm + 1
                action.last = wasm
        self._plan.actions = self._actions
        self._plan.version = machine.memory.version

    def _action(self, kind: str) -> Action:
        """The last action if it is of this kind, else a new one."""
        if len(self._actions) == 0 or self._actions[-1].kind != kind:
            self._actions.append(Action(kind, 0, 0, [], [], []))
        return self._actions[-1]

    def _dispatch(self, step: Dispatch, at: int, node: str) -> None:
        label = step.label()
        forms = self._gpu.forms(label)
        values = step.bindings()
        if len(forms) != 1 + len(values):
            raise EdgeflowError('internal', f'{label} has the bindings {forms}; {len(values)} values were given', {})
        action = self._action(GPU)
        commands = action.commands
        pieces: list[GpuPiece] = [GpuPiece(self._plan.uniforms, at, align(max(len(step.parameters), 1) * WORD, 16))]
        for i in range(len(values)):
            piece = piece_of(self._machine, self._plan, values[i])
            if piece.offset % ALIGNMENT != 0:
                if forms[i + 1] != 'r':
                    raise EdgeflowError('internal', f'{label} writes a view at byte {piece.offset}', {})
                buffer = self._gpu.device.buffer(align(piece.size, 16))
                self._plan.moved.append(buffer)
                commands.append(GpuCommand(None, None, [], piece, GpuPiece(buffer, 0, piece.size)))
                piece = GpuPiece(buffer, 0, align(piece.size, 16))
                action.kernels.append('')
                action.nodes.append('')
            pieces.append(piece)
        commands.append(GpuCommand(self._gpu.compiled(label), self._gpu.device.group(forms, pieces), step.groups))
        action.kernels.append(step.kernel)
        action.nodes.append(node)


def piece_of(machine: GpuMachine, plan: GpuPlan, value: Value) -> GpuPiece:
    """Where a far value lies: its elements, and as much behind them as rounds it up, if it is there."""
    root = value.root()
    offset = gpu_offset(value)
    size = min(gpu_size(value), gpu_size(root) - offset)
    if not root.constant:
        return GpuPiece(machine.memory.slots[root.offset], offset, size)
    if root.initializer != '':
        return GpuPiece(machine.memory.weights[root.initializer], offset, machine.memory.whole.get(root.initializer, size))
    return GpuPiece(plan.constants, plan.constant_offsets[root.number] + offset, size)
