"""A plan for WebNN: a compiled graph for each partition, WASM steps on a tape, and the tensors that cross."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from edgeflow.backends.wasm.plans import WasmPlan, free_plan, node_name, output_literals, written_plan
from edgeflow.backends.webnn.emitter import TYPES, Emission, NnStepBuilder, repeat_call
from edgeflow.backends.webnn.machine import NnMachine
from edgeflow.backends.webnn.partition import Division, Partition, name_of
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_of
from edgeflow.host.port import Bytes, NnBuilder, NnGraph, NnOperand, NnTensor
from edgeflow.ir.graph import Graph
from edgeflow.plan.link import WORD, link
from edgeflow.plan.planner import Draft, make_plan
from edgeflow.plan.values import NodeSteps, Step, Value


# What is said where a graph cannot be compiled.
REFUSALS = ['internal', 'unsupported-op']


@dataclass
class Compiled:
    """A partition's graph with its tensors by the names of its inputs and outputs. first, last: the WASM steps that run after it.

    checked: the tensor of its checks, one byte each, and the nodes they are of.
    """

    partition: Partition | None
    first: int
    last: int = 0
    graph: NnGraph | None = None
    inputs: dict[str, NnTensor] = field(default_factory=dict)
    outputs: dict[str, NnTensor] = field(default_factory=dict)
    checked: NnTensor | None = None
    nodes: list[str] = field(default_factory=list)


@dataclass
class NnPlan:
    """wasm: the WASM steps, their tape and their arena. tensors: by the number of the value. bytes: of tensors and of the graphs' constants, which are no WASM memory."""

    draft: Draft
    division: Division
    wasm: WasmPlan
    stages: list[Compiled]
    tensors: dict[int, NnTensor]
    bytes: int


async def make_nn_plan(
    graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: NnMachine, known: dict[str, list[int]],
) -> NnPlan:
    """Plan and compile; what WebNN took and cannot compile after all goes to WASM. EdgeflowErrors: those of make_plan(), 'out-of-memory', 'device-lost',
    'internal' where it can compile each node but not all together."""
    while True:
        refused = len(machine.refused)
        try:
            return await _planned(graph, shapes, outputs, machine, known)
        except EdgeflowError:
            if len(machine.refused) == refused:
                raise


async def _planned(
    graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: NnMachine, known: dict[str, list[int]],
) -> NnPlan:
    wasm = machine.wasm
    engine = wasm.engine
    b = NnStepBuilder(machine, machine.nn.context.sketch())
    wasm.begin_plan()
    stages: list[Compiled] = []
    size = 0
    try:
        draft = make_plan(graph, shapes, outputs, machine, b, known)
        division = machine.division
        if division is None:
            raise EdgeflowError('internal', 'the plan was not divided', {})
        steps: list[Step] = []
        stages.append(Compiled(None, 0))
        for group in draft.groups:
            step = group.steps[0]
            if isinstance(step, Partition):
                stages.append(Compiled(step, len(steps), len(steps)))
            else:
                steps.extend(group.steps)
                stages[-1].last = len(steps)
        for stage in stages:
            partition = stage.partition
            if partition is not None:
                size = size + await _compile(machine, stage, partition)
        tape = link(steps, engine.kernels, output_literals(draft))
        engine.ensure_arena(draft.arena_size)
        address = engine.heap.allocate(len(tape.words) * WORD)
    except Exception:
        _destroy(stages)
        wasm.end_plan(set())
        raise
    plan = NnPlan(draft, division, written_plan(wasm, draft, steps, tape, address), stages, {}, size)
    try:
        for stage in stages:
            await _make_tensors(machine, plan, stage)
    except Exception:
        free_nn_plan(machine, plan)
        raise
    return plan


async def _compile(machine: NnMachine, stage: Compiled, partition: Partition) -> int:
    """Build a stage's graph; the bytes of its constants. Where that fails, NnMachine.refused hears of the nodes that cannot be compiled even alone.

    If that is each of them, nothing is wrong with the nodes.
    """
    try:
        return await _build(machine, stage, partition)
    except EdgeflowError as error:
        if error.code not in REFUSALS:
            raise
        found: dict[str, str] = {}
        compiled = False
        for group in partition.groups:
            message = await _try_alone(machine, group)
            if message == '':
                compiled = True
            else:
                found[name_of(group.node)] = message
        if compiled:
            machine.refused.update(found)
        raise EdgeflowError('internal', f'WebNN cannot compile a graph: {error.message}', {}) from None


async def _try_alone(machine: NnMachine, group: NodeSteps) -> str:
    """Why a node cannot be compiled even alone; '' if it can, or must not run elsewhere."""
    step = group.steps[0]
    if not isinstance(step, Emission) or step.near is None:
        return ''
    builder = machine.nn.context.sketch()
    at: dict[int, NnOperand] = {}
    for value in step.values.values():
        if not value.root().constant:
            at[value.number] = builder.declare(f'v{value.number}', TYPES[value.dtype], value.shape)
    try:
        _repeat(machine, builder, step, at, [])
        (await builder.build({f'v{value.number}': at[value.number] for value in step.results.values()})).destroy()
    except EdgeflowError as error:
        if error.code not in REFUSALS:
            raise
        return error.message
    return ''


async def _build(machine: NnMachine, stage: Compiled, partition: Partition) -> int:
    builder = machine.nn.context.sketch()
    at: dict[int, NnOperand] = {}
    for value in partition.inputs:
        at[value.number] = builder.declare(f'v{value.number}', TYPES[value.dtype], value.shape)
    checks: list[NnOperand] = []
    size = 0
    for group in partition.groups:
        step = group.steps[0]
        if isinstance(step, Emission):
            size = size + _repeat(machine, builder, step, at, checks)
            for _ in step.checks:
                stage.nodes.append(node_name(group.node))
    outputs: dict[str, NnOperand] = {f'v{value.number}': at[value.number] for value in partition.outputs}
    if len(checks) > 0:
        given: list[object] = [checks, 0]
        outputs['checks'] = checks[0] if len(checks) == 1 else builder.call('concat', given, {})[0]
    stage.graph = await builder.build(outputs)
    return size


def _repeat(machine: NnMachine, builder: NnBuilder, step: Emission, at: dict[int, NnOperand], checks: list[NnOperand]) -> int:
    """Make a node's calls on a partition's builder. at: operands by the number of their value."""
    made: dict[int, NnOperand] = {}
    size = 0
    for number, value in step.values.items():
        if value.number not in at:
            # All that is no constant is an input of the partition or was made by a node before.
            at[value.number] = builder.embed(TYPES[value.dtype], value.shape, constant_bytes(machine, value))
            size = size + value.size
        made[number] = at[value.number]
    for call in step.calls:
        if call.op == '':
            dtype, shape, numbers = cast('tuple[str, list[int], list[float]]', call.given)
            made[call.results[0].number] = builder.embed(dtype, shape, array_bytes(array_of(dtype, numbers)))
            continue
        found = repeat_call(builder, call, made)
        for i in range(len(found)):
            made[call.results[i].number] = found[i]
    for number, value in step.results.items():
        at[value.number] = made[number]
    for operand in step.checks:
        checks.append(made[operand.number])
    return size


def constant_bytes(machine: NnMachine, value: Value) -> Bytes:
    """The content of a constant; a view into WASM memory where it lies there."""
    root = value.root()
    literal = root.literal
    if literal is None:
        return machine.wasm.engine.read_bytes(value)
    start = value.root_offset()
    return array_bytes(array_of(root.dtype, literal))[start:start + value.size]


async def _make_tensors(machine: NnMachine, plan: NnPlan, stage: Compiled) -> None:
    partition = stage.partition
    if partition is None:
        return
    context = machine.nn.context
    for values, tensors in [(partition.inputs, stage.inputs), (partition.outputs, stage.outputs)]:
        for value in values:
            if value.number not in plan.tensors:
                plan.tensors[value.number] = await context.buffer(TYPES[value.dtype], value.shape)
                plan.bytes = plan.bytes + value.size
            tensors[f'v{value.number}'] = plan.tensors[value.number]
    if len(stage.nodes) > 0:
        stage.checked = await context.buffer('uint8', [len(stage.nodes)])
        stage.outputs['checks'] = stage.checked


def _destroy(stages: list[Compiled]) -> None:
    for stage in stages:
        if stage.graph is not None:
            stage.graph.destroy()


def free_nn_plan(machine: NnMachine, plan: NnPlan) -> None:
    """Give back what the plan owns."""
    free_plan(machine.wasm, plan.wasm)
    _destroy(plan.stages)
    context = machine.nn.context
    for tensor in plan.tensors.values():
        context.free(tensor)
    for stage in plan.stages:
        if stage.checked is not None:
            context.free(stage.checked)
