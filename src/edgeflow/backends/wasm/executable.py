"""A model on WASM: runs, at once, in slices or with helpers, of plans by input shapes."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

from edgeflow.backends.contract import HERE, Feed, HelperLink, MemoryUse, Placement, RunControl
from edgeflow.backends.generation import Decoder
from edgeflow.backends.wasm.decoder import WasmDecoder
from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.wasm.more.interpreter import Interpreter
from edgeflow.backends.wasm.placement import count_ops
from edgeflow.backends.wasm.plans import (
    MOST_PLAN_BYTES, WasmPlan, free_plan, known_values, make_room, make_wasm_plan, place_arena, plan_key, run_part, shapes_of, step_failure, total_bytes,
)
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_copy, now, pause
from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.plan.builder import CacheLayout

# A run that can be cancelled pauses after SLICE_MS, between calls of run_tape that aim at PART_MS each.
SLICE_MS = 6.0
PART_MS = 1.5
FIRST_PART_STEPS = 4


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
            code = machine.engine.run_tape(plan.tape_address, plan.words) if plan.words > 0 else 0
        elif plan.words > 0:
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
        await self.let_go(machine.fetch_division(), control, 0, plan.count)
        machine.undivided = False
        self.forget_plans()

    def run_now(self, feeds: dict[str, Feed], outputs: list[str]) -> dict[str, Feed]:
        """A run without a pause, for callers that cannot wait."""
        machine = self._living()
        plan = self._begin_run(machine, feeds, outputs)
        code = machine.engine.run_tape(plan.tape_address, plan.words) if plan.words > 0 else 0
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
        if control is None:
            return run_part(machine, plan, done, plan.count)
        stride = FIRST_PART_STEPS
        slice_began = now()
        part_began = slice_began
        while done < plan.count:
            last = min(done + stride, plan.count)
            code = run_part(machine, plan, done, last)
            if code != 0 or last == plan.count:
                return code
            time = now()
            stride = next_stride(last - done, time - part_began)
            done = last
            if time - slice_began >= SLICE_MS:
                await self.let_go(pause(), control, done, plan.count)
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


def takes_numbers(graph: Graph, texts: dict[str, TensorData]) -> bool:
    """Whether all that a graph is given, and its tensors, is numbers. texts: its tensors of strings."""
    for info in graph.inputs:
        if info.dtype == 'string' or info.dtype not in DTYPE_CODES:
            return False
    return len(texts) == 0


def next_stride(steps: int, took: float) -> int:
    """How many steps the next part runs, if the last one's `steps` took `took` ms."""
    if took * 4 < PART_MS:
        return steps * 4
    return max(1, math.floor(steps * PART_MS / took))
