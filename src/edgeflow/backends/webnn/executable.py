"""A model on WebNN: weights in WASM memory, a compiled graph for each partition of a plan, plans by input shapes, runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.backends.contract import Feed, HelperLink, KernelTime, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder
from edgeflow.backends.rests import Rests
from edgeflow.backends.turnstile import Turnstile, flights_of
from edgeflow.backends.wasm.decoder import WasmDecoder
from edgeflow.backends.wasm.engine import failure
from edgeflow.backends.wasm.executable import WasmExecutable, takes_numbers
from edgeflow.backends.wasm.kernels import Image
from edgeflow.backends.wasm.load import detach, improve, open_machine, take_texts
from edgeflow.backends.wasm.lowerings import FORMS
from edgeflow.backends.wasm.machine import WasmMachine, check_operators
from edgeflow.backends.wasm.placement import expected_placement
from edgeflow.backends.wasm.plans import known_values, make_room, node_name, place_arena, plan_key, run_part, shapes_of, step_failure, step_name, total_bytes
from edgeflow.backends.webnn.device import shared_nn
from edgeflow.backends.webnn.lowerings import NN_LOWERINGS
from edgeflow.backends.webnn.machine import NO_OPERATOR, NnMachine
from edgeflow.backends.webnn.partition import Partition
from edgeflow.backends.webnn.plan import Compiled, NnPlan, free_nn_plan, make_nn_plan
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_copy, new_deferred, now
from edgeflow.host.port import Bytes, Deferred, NnTensor
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.plan.values import NodeSteps, Value

# Each plan's graphs have copies of the weights that they read.
MOST_BYTES = 1073741824

NO_PLAN = 'shapes depend on data, or values are no numbers: the graph is interpreted'


@dataclass
class _Numbers:
    executables: int = 0


_numbers = _Numbers()


class NnExecutable:
    """contract.Executable on an NnMachine."""

    def __init__(self, graph: Graph, machine: NnMachine, device: str, texts: dict[str, TensorData]) -> None:
        """texts: the graph's tensors of strings."""
        _numbers.executables = _numbers.executables + 1
        # WebNN works on runs of several models in a process of its own; this thread only hands them over.
        self.lane: str = f'webnn {_numbers.executables}'
        self.flights: int = flights_of(graph)
        self.place: object = None
        self._device: str = device
        self._graph: Graph = graph
        self._machine: NnMachine | None = machine
        self._plans: dict[str, NnPlan] = {}
        self._deciding: list[str] = deciding_inputs(graph)
        self._decoder: WasmDecoder | None = None
        self._on_loss: list[Callable[[], None]] = []
        self._placement: Placement = expected_placement(graph, device, NN_LOWERINGS, NO_OPERATOR)
        self._texts: dict[str, TensorData] = texts
        # Runs what has no plan.
        self._whole: WasmExecutable | None = None
        self._turns: Turnstile = Turnstile()
        # Runs whose results are being read, and what tells that one has ended.
        self._ending: int = 0
        self._ended: Deferred = new_deferred()

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
        spare: Callable[[], int] | None = None,
    ) -> dict[str, Feed]:
        # A context works in the order in which it is told to: a run may begin while the results of others are being read.
        await self._turns.enter()
        try:
            machine = self._living()
            plan = await self._prepared_unless_interpreted(machine, feeds, outputs)
            if plan is None:
                return await self._interpreter(machine).run(feeds, outputs, control)
            times = None if control is None else control.times
            if times is not None:
                await self._run_timed(machine, plan, times)
            else:
                for stage in plan.stages:
                    await self._run_graph(machine, plan, stage, control)
                    self._run_wasm(machine, plan, stage.first, stage.last)
            ending = self._end_run(machine, plan, outputs)
        finally:
            self._turns.leave()
        return await ending

    async def _run_timed(self, machine: NnMachine, plan: NnPlan, times: list[KernelTime]) -> None:
        """Graphs and WASM steps one by one."""
        for stage in plan.stages:
            partition = stage.partition
            if partition is not None:
                began = now()
                await self._run_graph(machine, plan, stage, None)
                await self._read(machine, list(stage.outputs.values()))
                times.append(KernelTime(self._device, 'graph', f'{len(partition.groups)} nodes', now() - began))
            for i in range(stage.first, stage.last):
                began = now()
                self._run_wasm(machine, plan, i, i + 1)
                times.append(KernelTime('wasm', plan.wasm.steps[i].kernel, step_name(plan.wasm, i), now() - began))

    async def _prepared_unless_interpreted(self, machine: NnMachine, feeds: dict[str, Feed], outputs: list[str]) -> NnPlan | None:
        """As _prepared(); None if there can be no plan: shapes depend on data, or values are no tensors of numbers."""
        if self._whole is not None or not takes_numbers(self._graph, self._texts):
            return None
        try:
            return await self._prepared(machine, feeds, outputs)
        except EdgeflowError as error:
            if error.code != 'unsupported-op':
                raise
            return None

    def _interpreter(self, machine: NnMachine) -> WasmExecutable:
        """What interprets the graph as a whole on WASM, now and from now on."""
        if self._whole is None:
            self._free_plans(machine)
            self._whole = WasmExecutable(self._graph, machine.wasm, self._texts)
            self._placement = expected_placement(self._graph, self._device, {}, NO_PLAN)
        return self._whole

    def _free_plans(self, machine: NnMachine) -> None:
        for plan in self._plans.values():
            free_nn_plan(machine, plan)
        self._plans = {}

    async def _prepared(self, machine: NnMachine, feeds: dict[str, Feed], outputs: list[str]) -> NnPlan:
        """The plan for these feeds, which are where it has them."""
        plan = await self._plan(machine, shapes_of(feeds), outputs, known_values(self._deciding, feeds))
        place_arena(machine.wasm, plan.wasm)
        for value in plan.division.near_inputs:
            if value.size > 0:
                machine.wasm.engine.upload(plan.wasm.arena_base + value.offset, array_bytes(feeds[value.name].data))
        for value in plan.division.far_inputs:
            machine.nn.context.write(plan.tensors[value.number], array_bytes(feeds[value.name].data))
        return plan

    async def _plan(self, machine: NnMachine, shapes: dict[str, list[int]], outputs: list[str], known: dict[str, list[int]]) -> NnPlan:
        key = plan_key(self._graph, shapes, outputs, known)
        plan = self._plans.pop(key, None)
        if plan is None:
            machine.reasons = {}
            # What is given up for it must not be in use.
            while self._ending > 0:
                await self._ended.result()
            plan = await make_nn_plan(self._graph, shapes, outputs, machine, known)
            self._placement = placement_of(machine, plan, self._device)
            make_room(self._plans, plan.bytes, MOST_BYTES, lambda old: free_nn_plan(machine, old))
        self._plans[key] = plan
        return plan

    async def _run_graph(self, machine: NnMachine, plan: NnPlan, stage: Compiled, control: RunControl | None) -> None:
        """Dispatch a stage's graph, and wait for what WASM needs of it."""
        partition = stage.partition
        graph = stage.graph
        if partition is None or graph is None:
            return
        engine = machine.wasm.engine
        for value in partition.uploads:
            machine.nn.context.write(plan.tensors[value.number], engine.view(plan.wasm.arena_base + value.place(), value.size))
        machine.nn.context.submit(graph, stage.inputs, stage.outputs)
        if len(partition.downloads) == 0:
            return
        parts = await self._read(machine, [plan.tensors[value.number] for value in partition.downloads])
        if control is not None and control.cancelled():
            raise EdgeflowError('aborted', 'the run was cancelled', {})
        for i in range(len(parts)):
            engine.upload(plan.wasm.arena_base + partition.downloads[i].place(), parts[i])

    async def _read(self, machine: NnMachine, tensors: list[NnTensor]) -> list[Bytes]:
        """What tensors hold. 'disposed' if the model ended meanwhile."""
        try:
            parts = await machine.nn.context.read(tensors)
        except Exception:
            self._living()
            raise
        self._living()
        return parts

    def _run_wasm(self, machine: NnMachine, plan: NnPlan, first: int, last: int) -> None:
        code = run_part(machine.wasm, plan.wasm, first, last)
        if code != 0:
            raise step_failure(plan.wasm, code)

    async def _end_run(self, machine: NnMachine, plan: NnPlan, outputs: list[str]) -> dict[str, Feed]:
        """The outputs, copied out, once all is done; all tensors are read at once."""
        tensors: list[NnTensor] = []
        stages: list[Compiled] = []
        for stage in plan.stages:
            if stage.checked is not None:
                tensors.append(stage.checked)
                stages.append(stage)
        found: dict[int, int] = {}
        for root, _ in plan.division.places.values():
            if root not in found:
                found[root] = len(tensors)
                tensors.append(plan.tensors[root])
        results: dict[str, Feed] = {}
        for i in range(len(outputs)):
            value = plan.draft.outputs[i]
            if value.number not in plan.division.places:
                results[outputs[i]] = Feed(value.dtype, value.shape, array_copy(value.dtype, machine.wasm.engine.view(plan.wasm.address(value), value.size)))
        # Nothing of the plan's memory is looked at after this, when another run may have begun.
        parts: list[Bytes] = []
        if len(tensors) > 0:
            self._ending = self._ending + 1
            try:
                parts = await self._read(machine, tensors)
            finally:
                self._ending = self._ending - 1
                ended = self._ended
                self._ended = new_deferred()
                ended.resolve(None)
        for i in range(len(stages)):
            check_flags(stages[i], parts[i])
        for i in range(len(outputs)):
            value = plan.draft.outputs[i]
            place = plan.division.places.get(value.number)
            if place is not None:
                root, start = place
                # Two outputs may be views of one tensor; results share no memory.
                results[outputs[i]] = Feed(value.dtype, value.shape, array_copy(value.dtype, parts[found[root]][start:start + value.size]))
        return results

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        plan = await self._plan(self._living(), shapes, outputs, {})
        from edgeflow.plan.printer import print_plan

        lines = [print_plan(plan.draft)]
        for stage in plan.stages:
            partition = stage.partition
            if partition is not None:
                lines.append(f'graph of {len(partition.groups)} nodes: ' + ', '.join([node_name(group.node) for group in partition.groups]))
        return '\n'.join(lines)

    def memory(self) -> MemoryUse:
        machine = self._machine
        if machine is None:
            return MemoryUse(0, 0, 0, 0)
        engine = machine.wasm.engine
        far = total_bytes(self._plans)
        near = 0
        for plan in self._plans.values():
            near = near + plan.wasm.bytes
        return MemoryUse(engine.instance.memory_size() + far, machine.wasm.weights.bytes, engine.arena_size, near + far, far)

    def placement(self) -> Placement:
        return self._placement

    def lost(self) -> bool:
        return self._machine is not None and self._machine.nn.context.lost

    def on_loss(self, callback: Callable[[], None]) -> None:
        if self._machine is not None:
            self._machine.nn.losers.append(callback)
            self._on_loss.append(callback)

    async def decoder(self) -> Decoder:
        from edgeflow.backends.wasm.decoder import WasmDecoder
        from edgeflow.backends.wasm.pages import Pages
        if self._decoder is None:
            machine = self._living().wasm
            # A compiled graph has one shape, and a session grows with every token: sessions run on WASM.
            pack_weights(self._graph, machine)
            self._decoder = WasmDecoder(
                self._graph, lambda graph: WasmExecutable(graph, machine), lambda pasts: Pages(machine.engine, pasts), self.memory)
        return self._decoder

    def lend(self, helpers: list[HelperLink]) -> None:
        """WebNN needs no helpers."""

    def divisible(self) -> bool:
        return False

    def dispose(self) -> None:
        machine = self._machine
        if machine is None:
            return
        self._free_plans(machine)
        for hear in self._on_loss:
            machine.nn.losers.remove(hear)
        self._decoder = None
        self._whole = None
        self._machine = None

    def _living(self) -> NnMachine:
        if self._machine is None:
            raise EdgeflowError('disposed', 'expected a living model; this one was disposed', {})
        return self._machine


def pack_weights(graph: Graph, machine: WasmMachine) -> None:
    """Pack for WASM what was left plain for WebNN."""
    for node in graph.nodes:
        form_of = FORMS.get(node.key())
        if form_of is None or node.key() not in NN_LOWERINGS:
            continue
        inputs: list[Value | None] = [machine.initializer(name) if name in graph.initializers else None for name in node.inputs]
        form = form_of(node, inputs)
        if form is not None and inputs[form.sources[0]] is not None:
            machine.weights.pack_now(node, form, inputs)


def check_flags(stage: Compiled, flags: Bytes) -> None:
    """'run-failed' for the first node that met bad data."""
    for i in range(len(stage.nodes)):
        if flags[i] == 0:
            raise failure(1, stage.nodes[i], 'in WebNN')


def placement_of(machine: NnMachine, plan: NnPlan, device: str) -> Placement:
    """Where the nodes of a plan that was just made run."""
    placement = Placement(device, {}, {}, {})
    for group in plan.draft.groups:
        step = group.steps[0]
        if isinstance(step, Partition):
            nodes: list[NodeSteps] = step.groups
            for inner in nodes:
                key = inner.node.key()
                placement.nodes[key] = placement.nodes.get(key, 0) + 1
        else:
            key = group.node.key()
            placement.fallback[key] = placement.fallback.get(key, 0) + 1
            placement.reasons[key] = machine.reasons.get(key, plan.division.reasons.get(key, NO_OPERATOR))
    return placement


async def load_webnn(graph: Graph, rests: Rests, device: str, image: Image | None = None) -> NnExecutable:
    """As wasm.load.load_wasm(), for WebNN. device: 'webnn', or that with '-cpu', '-gpu', '-npu'. EdgeflowErrors: 'platform' where there is none, too."""
    nn = await shared_nn(device[6:])
    if nn is None:
        raise EdgeflowError('platform', f"there is no {device} here; device 'wasm' needs none", {'device': device})
    wasm = await open_machine(graph, 1, image)
    await improve(graph, wasm, rests)
    check_operators(graph, [])
    texts: dict[str, TensorData] = {}
    take_texts(graph, '', texts)
    for _ in wasm.load_rest(graph, set(), list(NN_LOWERINGS.keys())):
        await rests.rest()
    detach(graph)
    return NnExecutable(graph, NnMachine(wasm, nn), device, texts)
