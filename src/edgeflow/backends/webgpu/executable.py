"""A model on WebGPU: weights on the device, plans by input shapes, runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeflow.backends.contract import Feed, Held, HelperLink, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder
from edgeflow.backends.rests import Rests
from edgeflow.backends.turnstile import flights_of
from edgeflow.backends.wasm.decoder import WasmDecoder
from edgeflow.backends.wasm.engine import failure
from edgeflow.backends.wasm.kernels import Image
from edgeflow.backends.wasm.load import detach, improve, open_machine
from edgeflow.backends.wasm.lowerings import needs_more
from edgeflow.backends.wasm.machine import check_operators
from edgeflow.backends.wasm.placement import expected_placement
from edgeflow.backends.wasm.plans import MOST_PLANS, known_values, place_arena, plan_key, run_part, shapes_of, step_failure, total_bytes
from edgeflow.backends.webgpu.builder import MOST_FAULTS, Dispatch
from edgeflow.backends.webgpu.crossings import Crossing
from edgeflow.backends.webgpu.device import shared_gpu
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS, install_lowerings
from edgeflow.backends.webgpu.machine import NO_KERNEL, NO_TYPE, GpuMachine
from edgeflow.backends.webgpu.memory import GpuMemory
from edgeflow.backends.webgpu.plan import GPU, UP, WASM, Action, Binder, GpuPlan, free_gpu_plan, make_gpu_plan, piece_of, plain_bytes
from edgeflow.backends.webgpu.weights import load_weights
from edgeflow.errors import EdgeflowError
from edgeflow.host.gpu import narrowed
from edgeflow.host.platform import array_bytes, array_copy, array_view, new_array, new_bytes, read_u32
from edgeflow.host.port import Bytes, GpuCommand, GpuPiece
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.passes.rename import all_graphs
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.link import WORD
from edgeflow.plan.values import Value

if TYPE_CHECKING:
    from edgeflow.backends.webgpu.ahead import SubmittedStep


@dataclass
class _Numbers:
    executables: int = 0


_numbers = _Numbers()


class GpuExecutable:
    """contract.Executable on a GpuMachine."""

    def __init__(self, graph: Graph, machine: GpuMachine) -> None:
        _numbers.executables = _numbers.executables + 1
        # The GPU works on runs of several models; this thread only hands them over.
        self.lane: str = f'gpu {_numbers.executables}'
        self.flights: int = flights_of(graph)
        self.place: object = machine.gpu.device
        self._graph: Graph = graph
        self._machine: GpuMachine | None = machine
        self._plans: dict[str, GpuPlan] = {}
        self._deciding: list[str] = deciding_inputs(graph)
        self._decoder: WasmDecoder | None = None
        # Of runs by the decoder; they own no weights.
        self._siblings: list[GpuExecutable] = []
        # Where plans find past keys and values; None: in their inputs.
        self.cache: CacheLayout | None = None
        self._on_loss: list[Callable[[], None]] = []
        self._placement: Placement = expected_placement(graph, 'webgpu', GPU_LOWERINGS, NO_KERNEL)

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
        spare: Callable[[], int] | None = None,
    ) -> dict[str, Feed]:
        # Runs of one model take turns up to their last commands; their results are read while the next ones are at work.
        turns = self._living().turns
        await turns.enter()
        try:
            machine = self._living()
            plan = await self._prepared(machine, feeds, outputs)
            pending = await self._until_end(machine, plan, control)
            kept: dict[str, Held] = {}
            if control is not None and control.keeps:
                from edgeflow.backends.webgpu.more.resident import keep_outputs
                pending = pending + await keep_outputs(machine, plan, outputs, kept)
            ending = self._end_run(machine, plan, outputs, pending, kept)
        finally:
            turns.leave()
        try:
            return await ending
        except Exception:
            for held in kept.values():
                held.free()
            raise

    async def _until_end(self, machine: GpuMachine, plan: GpuPlan, control: RunControl | None) -> list[GpuCommand]:
        """All of a run but the commands that come last, which are given."""
        times = None if control is None else control.times
        if times is not None:
            from edgeflow.backends.webgpu.more.profiling import run_timed
            await run_timed(self, machine, plan, times)
            return []
        device = machine.gpu.device
        pending: list[GpuCommand] = []
        for action in plan.actions:
            if action.kind == GPU:
                pending = action.commands if len(pending) == 0 else pending + action.commands
            elif action.kind == WASM:
                self.run_wasm(machine, plan, action)
            elif action.kind == UP:
                if len(pending) > 0:
                    device.submit(pending)
                    pending = []
                self.send(machine, plan, action)
            else:
                await self.fetch(machine, plan, action, pending)
                pending = []
                self._check(control)
        return pending

    async def _prepared(self, machine: GpuMachine, feeds: dict[str, Feed], outputs: list[str]) -> GpuPlan:
        """The plan for these feeds, which are where it has them."""
        shapes = shapes_of(feeds)
        for name in self._deciding:
            await bring(feeds, name)
        known = known_values(self._deciding, feeds)
        plan = await self._plan(machine, shapes, outputs, known)
        for value in plan.crossings.inputs:
            if not value.far:
                await bring(feeds, value.name)
        pages = machine.pages
        paged = pages if self.cache is not None else None
        if plan.version == machine.memory.version and (paged is None or not paged.lacks()):
            # Nothing is made that could fail.
            if paged is not None:
                paged.realize()
            self._place(machine, plan)
            self._feed(machine, plan, feeds)
            return plan
        # Scopes of errors are a stack that all models share, so nothing is waited for between watch() and settled().
        machine.gpu.device.watch()
        try:
            if paged is not None:
                paged.realize()
            self._place(machine, plan)
            self._feed(machine, plan, feeds)
        except Exception as error:
            await self._settled(machine)
            if isinstance(error, EdgeflowError) and error.code == 'out-of-memory':
                # Where it is told at once.
                self._forget_plans(machine)
            raise
        await self._settled(machine)
        return plan

    async def submit(self, feeds: dict[str, Feed], token: str, chained: bool) -> SubmittedStep | None:
        """Submit a decoder's step, whose output `token` is read; chained: it takes the one of the step before, so none is fed. None: it cannot."""
        from edgeflow.backends.webgpu.ahead import submit_step
        turns = self._living().turns
        await turns.enter()
        try:
            machine = self._living()
            return submit_step(machine, await self._prepared(machine, feeds, [token]), chained)
        finally:
            turns.leave()

    async def _settled(self, machine: GpuMachine) -> None:
        pages = machine.pages
        try:
            await machine.gpu.device.settled()
        except Exception:
            # Some buffer of a plan or slot is not there.
            self._forget_plans(machine)
            if pages is not None:
                pages.settle(False)
            raise
        if pages is not None:
            pages.settle(True)

    def _forget_plans(self, machine: GpuMachine) -> None:
        self._free_plans(machine)
        for sibling in self._siblings:
            sibling._free_plans(machine)
        machine.memory.free_slots()

    def _free_plans(self, machine: GpuMachine) -> None:
        for plan in self._plans.values():
            free_gpu_plan(machine, plan)
        self._plans = {}

    def _check(self, control: RunControl | None) -> None:
        if control is not None and control.cancelled():
            raise EdgeflowError('aborted', 'the run was cancelled', {})
        self._living()

    def _place(self, machine: GpuMachine, plan: GpuPlan) -> None:
        """Have the plan's arena and its slots in place."""
        place_arena(machine.wasm, plan.wasm)
        if plan.version != machine.memory.version:
            Binder(machine, plan).bind()

    async def _plan(self, machine: GpuMachine, shapes: dict[str, list[int]], outputs: list[str], known: dict[str, list[int]]) -> GpuPlan:
        key = plan_key(self._graph, shapes, outputs, known)
        plan = self._plans.pop(key, None)
        if plan is None:
            machine.reasons = {}
            plan = await make_gpu_plan(self._graph, shapes, outputs, machine, known, self.cache)
            self._placement = placement_of(machine, plan)
            if len(self._plans) >= MOST_PLANS:
                free_gpu_plan(machine, self._plans.pop(list(self._plans.keys())[0]))
        self._plans[key] = plan
        return plan

    def _feed(self, machine: GpuMachine, plan: GpuPlan, feeds: dict[str, Feed]) -> None:
        """Bring the inputs to where the plan has them."""
        for value in plan.crossings.inputs:
            if not value.far:
                if value.size > 0:
                    machine.wasm.engine.upload(plan.wasm.arena_base + value.offset, array_bytes(feeds[value.name].data))
            elif plan.faults is not None and plan.crossings.origins[value.number] is plan.faults:
                machine.gpu.device.write(machine.memory.slots[value.offset], 0, new_bytes(flag_bytes(plan)))
            else:
                held = feeds[value.name].held
                if held is None:
                    self._upload(machine, plan, value, array_bytes(feeds[value.name].data))
                elif value.count() > 0:
                    source = GpuPiece(held.buffer(), 0, value.count() * WORD)
                    machine.gpu.device.submit([GpuCommand(None, None, [], source, exact(piece_of(machine, plan, value), value))])

    def send(self, machine: GpuMachine, plan: GpuPlan, action: Action) -> None:
        """Bring values to the GPU."""
        for i in range(len(action.near)):
            self._upload(machine, plan, action.far[i], self._near_bytes(machine, plan, action.near[i]))

    def _upload(self, machine: GpuMachine, plan: GpuPlan, far: Value, data: Bytes) -> None:
        """Write elements in the form of WASM memory to the GPU."""
        words = narrowed(far.dtype, data)
        if words is None:
            raise EdgeflowError('run-failed', f"'{far.name}' holds an int64 beyond the 32 bits that integers have on the GPU", {'name': far.name, 'bits': 32})
        if len(words) > 0:
            piece = piece_of(machine, plan, far)
            machine.gpu.device.write(piece.buffer, piece.offset, words, True)

    def _near_bytes(self, machine: GpuMachine, plan: GpuPlan, value: Value) -> Bytes:
        return machine.wasm.engine.view(plan.wasm.address(value), value.size)

    def run_wasm(self, machine: GpuMachine, plan: GpuPlan, action: Action) -> None:
        """Run the WASM steps of an action."""
        code = run_part(machine.wasm, plan.wasm, action.first, action.last)
        if code != 0:
            raise step_failure(plan.wasm, code)

    async def fetch(self, machine: GpuMachine, plan: GpuPlan, action: Action, pending: list[GpuCommand]) -> None:
        """Run what is pending and bring values to WASM memory."""
        pieces = [exact(piece_of(machine, plan, value), value) for value in action.far]
        parts = await machine.gpu.device.run(pending, pieces)
        for i in range(len(parts)):
            machine.wasm.engine.upload(plan.wasm.address(action.near[i]), plain_bytes(action.far[i], parts[i]))

    async def _end_run(self, machine: GpuMachine, plan: GpuPlan, outputs: list[str], pending: list[GpuCommand], kept: dict[str, Held]) -> dict[str, Feed]:
        """The outputs, copied out, once all is done; but those that are kept."""
        values = plan.crossings.outputs
        pieces: list[GpuPiece] = []
        for i in range(len(values)):
            value = values[i]
            if value.far and (i >= len(outputs) or outputs[i] not in kept):
                pieces.append(exact(piece_of(machine, plan, value), value))
        if plan.faults is not None:
            flags = pieces.pop()
            pieces.append(GpuPiece(flags.buffer, flags.offset, flag_bytes(plan)))
        results: dict[str, Feed] = {}
        for i in range(len(outputs)):
            if not values[i].far:
                results[outputs[i]] = Feed(values[i].dtype, values[i].shape, array_copy(values[i].dtype, self._near_bytes(machine, plan, values[i])))
        # Nothing of the plan is looked at after this, when another run may have begun.
        parts: list[Bytes] = []
        if len(pending) > 0 or len(pieces) > 0:
            parts = await machine.gpu.device.run(pending, pieces)
        if plan.faults is not None:
            check_flags(plan, parts[-1])
        far = 0
        for i in range(len(outputs)):
            value = values[i]
            held = kept.get(outputs[i])
            if held is not None:
                results[outputs[i]] = Feed(value.dtype, value.shape, new_array('uint8', 0), [], held)
            elif value.far:
                results[outputs[i]] = Feed(value.dtype, value.shape, array_view(value.dtype, plain_bytes(value, parts[far])))
                far = far + 1
        return results

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        plan = await self._plan(self._living(), shapes, outputs, {})
        from edgeflow.plan.printer import print_plan

        return print_plan(plan.draft)

    def memory(self) -> MemoryUse:
        machine = self._machine
        if machine is None:
            return MemoryUse(0, 0, 0, 0)
        plans = total_bytes(self._plans)
        for sibling in self._siblings:
            plans = plans + total_bytes(sibling._plans)
        memory = machine.memory
        far = memory.weight_bytes + memory.slot_bytes + plans
        for size in memory.whole.values():
            far = far + size
        return MemoryUse(
            machine.wasm.engine.instance.memory_size() + far, machine.wasm.weights.bytes + memory.weight_bytes,
            machine.wasm.engine.arena_size + memory.slot_bytes, plans, far)

    def placement(self) -> Placement:
        return self._placement

    def lost(self) -> bool:
        return self._machine is not None and self._machine.gpu.device.lost

    def on_loss(self, callback: Callable[[], None]) -> None:
        if self._machine is not None:
            self._machine.gpu.losers.append(callback)
            self._on_loss.append(callback)

    async def decoder(self) -> Decoder:
        from edgeflow.backends.wasm.decoder import WasmDecoder
        from edgeflow.backends.webgpu.ahead import StepsAhead
        from edgeflow.backends.webgpu.drawing import with_draws
        from edgeflow.backends.webgpu.sessions import page_memory, session_kernels
        if self._decoder is None:
            machine = self._living()
            machine.sessions = session_kernels()
            self._decoder = WasmDecoder(
                self._graph, lambda graph: self._sibling(machine, with_draws(graph)), lambda pasts: page_memory(machine, pasts), self.memory, StepsAhead())
        return self._decoder

    def _sibling(self, machine: GpuMachine, graph: Graph) -> GpuExecutable:
        """What runs another graph on the same weights; it ends with this one."""
        made = GpuExecutable(graph, machine)
        self._siblings.append(made)
        return made

    def lend(self, helpers: list[HelperLink]) -> None:
        """The GPU needs no helpers."""

    def divisible(self) -> bool:
        return False

    def dispose(self) -> None:
        machine = self._machine
        if machine is None:
            return
        self._forget_plans(machine)
        machine.memory.dispose()
        for hear in self._on_loss:
            machine.gpu.losers.remove(hear)
        for sibling in self._siblings:
            sibling._machine = None
        self._siblings = []
        self._decoder = None
        self._machine = None

    def _living(self) -> GpuMachine:
        if self._machine is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._machine


def placement_of(machine: GpuMachine, plan: GpuPlan) -> Placement:
    """Where the nodes of a plan that was just made run."""
    placement = Placement('webgpu', {}, {}, {})
    for group in plan.draft.groups:
        key = group.node.key()
        step = group.steps[0]
        if isinstance(step, Dispatch):
            placement.nodes[key] = placement.nodes.get(key, 0) + 1
        elif not isinstance(step, Crossing):
            placement.fallback[key] = placement.fallback.get(key, 0) + 1
            placement.reasons[key] = machine.reasons.get(key, NO_TYPE)
    return placement


async def bring(feeds: dict[str, Feed], name: str) -> None:
    """Have a feed here that is held elsewhere."""
    feed = feeds.get(name)
    if feed is not None and feed.held is not None:
        feeds[name] = await feed.held.fetch()


def exact(piece: GpuPiece, value: Value) -> GpuPiece:
    """Only the elements of `value`, all of which are words."""
    return GpuPiece(piece.buffer, piece.offset, value.count() * WORD)


def flag_bytes(plan: GpuPlan) -> int:
    """Bytes of the flags of nodes that may fail."""
    return min(len(plan.failing), MOST_FAULTS) * WORD


def check_flags(plan: GpuPlan, flags: Bytes) -> None:
    """'run-failed' for the first node that met bad data."""
    for i in range(min(len(plan.failing), MOST_FAULTS)):
        code = read_u32(flags, i * WORD)
        if code != 0:
            raise failure(code, plan.failing[i], 'on the GPU')


async def load_webgpu(graph: Graph, rests: Rests, image: Image | None = None) -> GpuExecutable:
    """As wasm.load.load_wasm(), for the GPU. EdgeflowErrors: 'platform' where there is none, too."""
    gpu = await shared_gpu()
    if gpu is None:
        raise EdgeflowError('platform', "there is no GPU that WebGPU could use here; device 'wasm' needs none", {})
    first = await open_machine(graph, 1, image)
    await improve(graph, first, rests)
    await install_lowerings(graph, len(first.engine.instance.added()) > 0 and needs_more(graph))
    check_operators(graph, list(GPU_LOWERINGS.keys()))
    memory = GpuMemory(gpu.device)
    gpu.device.watch()
    there: set[str] = set()
    try:
        try:
            for keys in load_weights(graph, first, gpu, memory):
                there = keys
                await rests.rest()
        finally:
            await gpu.device.settled()
    except Exception:
        memory.dispose()
        raise
    machine = GpuMachine(first, gpu, memory)
    if image is not None:
        # What the file took is given back with its instance.
        for part in all_graphs(graph):
            for name in part.initializers:
                data = part.initializers[name]
                if data.stored is not None:
                    part.initializers[name] = TensorData(data.dtype, data.shape, data.whole())
        machine.wasm = await open_machine(graph)
    for _ in machine.wasm.load_rest(graph, there, list(GPU_LOWERINGS.keys())):
        await rests.rest()
    detach(graph)
    return GpuExecutable(graph, machine)
