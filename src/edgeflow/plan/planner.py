"""Planning: a graph and concrete input shapes -> constants, and steps with lifetimes and offsets.

The planner walks the nodes once. What depends on shapes alone is computed on the spot by the backend's own kernels, so
the shape arithmetic that exporters write into a graph leaves no steps. An `If` whose condition is known is replaced by
the branch it takes. All else is lowered to steps. The last part drops steps nobody needs and gives values their memory.

Where a shape depends on data (NonZero, Loop, ...) a lowering or shape rule asks for the elements of a value that is no
constant, and StepBuilder.ints raises 'unsupported-op'. That place is where a plan can be cut in two: everything
planned so far is complete, and the rest could be planned once the run has reached the cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgeflow.errors import EdgeflowError
from edgeflow.ir.dtype import element_count
from edgeflow.ir.graph import Graph, Node
from edgeflow.ir.ops.infer import InferContext, Type
from edgeflow.ir.ops.table import infer_types
from edgeflow.ir.order import read_names
from edgeflow.ir.pooled import add_pooled
from edgeflow.plan.arena import live_peak, place_values
from edgeflow.plan.builder import Lowering, StepBuilder
from edgeflow.plan.lifetimes import Lifetime, find_lifetimes, live_groups, reuse_memory
from edgeflow.plan.stretches import Shared, Stretch, hold_stretches
from edgeflow.plan.values import NodeSteps, Pointer, Step, Value

EAGER_BYTES = 2097152
FOLD_BYTES = 65536
FOLD_GROWTH = 4

MEMORY_DTYPES: dict[str, str] = {'float16': 'float32', 'bfloat16': 'float32'}

SHAPE_OPS: list[str] = ['Shape', 'Size']
PLANNED_OPS: list[str] = SHAPE_OPS + ['If']


class Machine(Protocol):
    """What the planner needs of a backend."""

    def lowering(self, key: str) -> Lowering | None: ...

    def initializer(self, key: str) -> Value: ...

    def evaluate(self, b: StepBuilder, outputs: list[Value | None]) -> bool:
        """Run b.steps now and make `outputs` constants. False: it cannot do so now."""

    def convert(self, b: StepBuilder, source: Value, target: Value) -> None:
        """Write the step that converts between the 16-bit float types of the model's border and float32."""

    def read_ints(self, value: Value) -> list[int]: ...

    def share(self, groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], b: StepBuilder) -> Shared:
        """Divide what several machines can work on at once, and say what lies where."""


@dataclass
class Draft:
    """A plan with offsets, before addresses. `inputs` and `outputs` are as the model declares them (float16 stays float16)."""

    inputs: list[Value]
    outputs: list[Value]
    groups: list[NodeSteps]
    arena_size: int
    live_peak: int
    stretches: list[Stretch]
    # Of the values on the GPU, which have no place in the arena.
    far: list[Lifetime] = field(default_factory=list)
    # The stretches as they are shared: on the tape behind the other steps.
    divided: list[NodeSteps] = field(default_factory=list)

    def steps(self) -> list[Step]:
        """The steps of a run, in order: without those that are shared."""
        steps: list[Step] = []
        for group in self.groups:
            steps.extend(group.steps)
        return steps


class Scope:
    """The values of a graph while it is planned; those of a subgraph see the outer ones. `key` names its initializers."""

    def __init__(self, graph: Graph, key: str, parent: Scope | None) -> None:
        self.graph: Graph = graph
        self.key: str = key
        self.parent: Scope | None = parent
        self.values: dict[str, Value] = {}


def memory_dtype(dtype: str) -> str:
    """The dtype in which a tensor of `dtype` lies in memory."""
    return MEMORY_DTYPES.get(dtype, dtype)


def scope_key(parent: str, node: Node, attribute: str) -> str:
    """The key of a subgraph: unique, because the names of a node's outputs are."""
    return parent + '/' + node.outputs[0] + '.' + attribute


def initializer_key(scope: str, name: str) -> str:
    """The name of an initializer among those of all graphs of a model."""
    return name if scope == '' else scope + '/' + name


def make_plan(
    graph: Graph, shapes: dict[str, list[int]], outputs: list[str], machine: Machine, b: StepBuilder, known: dict[str, list[int]] | None = None,
) -> Draft:
    """Plan a run with inputs of these shapes that gives the outputs of these names.

    known: the elements of inputs that decide which branches are taken (inline_constant_if.deciding_inputs).

    EdgeflowError 'unsupported-op' names the node and the reason; 'invalid-graph' if the graph breaks ONNX's rules.
    """
    add_pooled(graph, outputs)
    planner = _Planner(graph, machine, b, {} if known is None else known)
    return planner.plan(shapes, outputs)


class _Planner:
    def __init__(self, graph: Graph, machine: Machine, b: StepBuilder, known: dict[str, list[int]]) -> None:
        self.graph = graph
        self.known: dict[str, list[int]] = known
        self.machine = machine
        self.b = b
        self.groups: list[NodeSteps] = []

    def plan(self, shapes: dict[str, list[int]], output_names: list[str]) -> Draft:
        scope = Scope(self.graph, '', None)
        inputs: list[Value] = []
        for info in self.graph.inputs:
            if info.name not in shapes:
                continue
            number = -1 if self.b.cache is None else self.b.cache.names.get(info.name, -1)
            if number >= 0:
                # In a session's pages: whoever reads it knows how (lower_decoder.py), so it takes no memory here.
                kept = self.b.new_value(info.name, memory_dtype(info.dtype), shapes[info.name])
                kept.cache = number
                scope.values[info.name] = kept
            else:
                inputs.append(self._input(scope, info.name, info.dtype, shapes[info.name]))
        wanted = needed_nodes(self.graph, output_names)
        for i in range(len(self.graph.nodes)):
            if wanted[i]:
                self._node(scope, self.graph.nodes[i])
        outputs: list[Value] = []
        for info in self.graph.outputs:
            if info.name in output_names:
                outputs.append(self._output(scope, info.name, info.dtype))
        return self._finish(inputs, outputs)

    def _input(self, scope: Scope, name: str, dtype: str, shape: list[int]) -> Value:
        held = memory_dtype(dtype)
        value = self.b.new_value(name, dtype, shape)
        scope.values[name] = value
        if name in self.known:
            # What runs is one branch, so this plan is for one value; others who read the input find it in memory as ever.
            decided = self.b.new_value(name, dtype, shape)
            decided.constant = True
            decided.literal = self.known[name]
            scope.values[name] = decided
        if held != dtype:
            scope.values[name] = self._converted(value, name, held)
        return value

    def _output(self, scope: Scope, name: str, dtype: str) -> Value:
        value = self._find(scope, name)
        if value is None:
            raise EdgeflowError('invalid-graph', f"output '{name}' is written by no node", {'name': name})
        if memory_dtype(dtype) != dtype and value.dtype == memory_dtype(dtype):
            return self._converted(value, name, dtype)
        return value

    def _converted(self, source: Value, name: str, dtype: str) -> Value:
        node = Node('Cast', '', name, [name], [name])
        target = self.b.new_value(name, dtype, source.shape)
        self.b.begin(node, 1)
        self.machine.convert(self.b, source, target)
        self.groups.append(NodeSteps(node, [target], self.b.steps))
        return target

    def _finish(self, inputs: list[Value], outputs: list[Value]) -> Draft:
        groups = live_groups(self.groups, outputs)
        for group in groups:
            _check_cache(self.b, group)
        shared = self.machine.share(groups, inputs, outputs, self.b)
        lives = find_lifetimes(shared.groups, inputs if shared.inputs is None else shared.inputs, outputs if shared.outputs is None else shared.outputs)
        hold_stretches(lives, shared)
        reuse_memory(lives, self.b.reuses)
        spans: list[Lifetime] = []
        far: list[Lifetime] = []
        for life in lives.values():
            (far if life.value.far else spans).append(life)
        arena_size = place_values(spans)
        return Draft(inputs, outputs, shared.groups, arena_size, live_peak(spans), shared.stretches, far, shared.divided)

    def _find(self, scope: Scope, name: str) -> Value | None:
        level: Scope | None = scope
        while level is not None:
            value = level.values.get(name)
            if value is not None:
                return value
            if name in level.graph.initializers:
                value = self.machine.initializer(initializer_key(level.key, name))
                level.values[name] = value
                return value
            level = level.parent
        return None

    def _node(self, scope: Scope, node: Node) -> None:
        inputs: list[Value | None] = []
        for name in node.inputs:
            value = None if name == '' else self._find(scope, name)
            if value is None and name != '':
                raise EdgeflowError('invalid-graph', f"{node.key()} (node '{node.name}') reads '{name}', which nothing has written",
                                    {'op': node.key(), 'node': node.name, 'name': name})
            inputs.append(value)
        opset = self.graph.opsets.get(node.domain, 1)
        self.b.begin(node, opset)
        key = node.key()
        if key == 'If':
            self._if(scope, node, inputs)
            return
        outputs = new_outputs(node, opset, inputs, self.b)
        for i in range(len(outputs)):
            output = outputs[i]
            if output is not None:
                scope.values[node.outputs[i]] = output
        if key in SHAPE_OPS:
            set_shape(node, inputs[0], outputs[0])
        else:
            self._lower(node, inputs, outputs)

    def _lower(self, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
        lower = self.machine.lowering(node.key())
        if lower is None:
            raise self.b.unsupported('no backend has this operator')
        lower_node(lower, self.b, node, inputs, outputs)
        if is_eager(inputs, outputs) and self.machine.evaluate(self.b, outputs):
            return
        self.groups.extend(self.b.parts)
        apart = [part.outputs[0] for part in self.b.parts]
        written: list[Value] = []
        for value in outputs:
            if value is not None and value not in apart:
                written.append(value)
        done = 0
        for value, count in self.b.halfway:
            self.groups.append(NodeSteps(node, [value], self.b.steps[done:count]))
            done = count
        if len(self.b.steps) > done:
            self.groups.append(NodeSteps(node, written, self.b.steps[done:]))

    def _if(self, scope: Scope, node: Node, inputs: list[Value | None]) -> None:
        condition = inputs[0]
        if condition is None or not condition.constant:
            raise self.b.unsupported('its condition depends on data')
        name = 'then_branch' if self.machine.read_ints(condition)[0] != 0 else 'else_branch'
        branch = node.attributes.get(name)
        if not isinstance(branch, Graph):
            raise EdgeflowError('invalid-graph', f"If (node '{node.name}') has no {name}", {'node': node.name})
        inner = Scope(branch, scope_key(scope.key, node, name), scope)
        for child in branch.nodes:
            self._node(inner, child)
        for i in range(min(len(node.outputs), len(branch.outputs))):
            value = self._find(inner, branch.outputs[i].name)
            if value is not None and node.outputs[i] != '':
                scope.values[node.outputs[i]] = value


def set_shape(node: Node, source: Value | None, output: Value | None) -> None:
    """Make the output of Shape or Size a literal."""
    if source is None or output is None:
        return
    output.constant = True
    if node.key() == 'Size':
        output.literal = [element_count(source.shape)]
        return
    rank = len(source.shape)
    start = _clamped(_int(node, 'start', 0), rank)
    end = _clamped(_int(node, 'end', rank), rank)
    output.literal = source.shape[start:max(start, end)]


def _check_cache(b: StepBuilder, group: NodeSteps) -> None:
    """Keys and values that lie in a session's pages are no tensors that just any kernel could read."""
    for step in group.steps:
        for word in step.words:
            if isinstance(word, Pointer) and word.value.root().cache >= 0:
                b.begin(group.node, 1)
                raise b.unsupported(f"'{word.value.root().name}' lies in a session's cache, which it cannot read")


def as_broken(b: StepBuilder, error: Exception) -> Exception:
    """What a rule or lowering failed with: its own error, or, where what the node asks for is nowhere (an index, a key), 'invalid-graph'."""
    if isinstance(error, EdgeflowError):
        return error
    return EdgeflowError('invalid-graph', f'{b.where()} breaks the rules of its operator: {error}', {'reason': str(error)})


def lower_node(lower: Lowering, b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    """Write the steps of a node. Errors are EdgeflowErrors, whatever the node's attributes are."""
    try:
        lower(b, node, inputs, outputs)
    except Exception as error:
        raise as_broken(b, error)


def new_outputs(node: Node, opset: int, inputs: list[Value | None], b: StepBuilder) -> list[Value | None]:
    """A new value for each output of a node, by the op table's rule; None where left out."""
    types: list[Type | None] = []
    for value in inputs:
        types.append(None if value is None else Type(value.dtype, value.shape))
    context = InferContext(node, opset, types, lambda i: _known_ints(b, inputs[i]), lambda i: _known_floats(b, inputs[i]))
    made: list[Type] = []
    try:
        made = infer_types(context)
    except Exception as error:
        raise as_broken(b, error)
    outputs: list[Value | None] = []
    for i in range(len(node.outputs)):
        name = node.outputs[i]
        if name == '':
            outputs.append(None)
        else:
            outputs.append(b.new_value(name, memory_dtype(made[i].dtype), made[i].shape))
    return outputs


def lower_at_once(node: Node, opset: int, inputs: list[Value | None], machine: Machine, b: StepBuilder) -> list[Value] | None:
    """Compute a node outside of a plan, its inputs all constant. None if that is not worth its memory, or no lowering has it."""
    lower = machine.lowering(node.key())
    if lower is None:
        return None
    b.begin(node, opset)
    outputs = new_outputs(node, opset, inputs, b)
    made: list[Value] = []
    for value in outputs:
        if value is None:
            return None
        made.append(value)
    if _total(outputs) > max(FOLD_BYTES, FOLD_GROWTH * _total(inputs)):
        return None
    lower_node(lower, b, node, inputs, outputs)
    machine.evaluate(b, outputs)
    return made


def _known_ints(b: StepBuilder, value: Value | None) -> list[int] | None:
    return b.ints(value) if value is not None and value.constant else None


def _known_floats(b: StepBuilder, value: Value | None) -> list[float] | None:
    return b.floats(value) if value is not None and value.constant else None


def _total(values: list[Value | None]) -> int:
    size = 0
    for value in values:
        if value is not None:
            size = size + value.size
    return size


def needed_nodes(graph: Graph, output_names: list[str]) -> list[bool]:
    """Which nodes of the graph, by index, the outputs of these names depend on."""
    wanted: set[str] = set(output_names)
    needed: list[bool] = [False] * len(graph.nodes)
    for i in range(len(graph.nodes) - 1, -1, -1):
        node = graph.nodes[i]
        for name in node.outputs:
            if name != '' and name in wanted:
                needed[i] = True
        if needed[i]:
            for name in read_names(node):
                wanted.add(name)
    return needed


def is_eager(inputs: list[Value | None], outputs: list[Value | None]) -> bool:
    """Whether a node runs while planning: its inputs are constant and its outputs are small, or no larger than the inputs."""
    given = 0
    for value in inputs:
        if value is None:
            continue
        if not value.constant:
            return False
        given = given + value.size
    made = 0
    for value in outputs:
        if value is not None and value.base is None:
            made = made + value.size
    return made <= EAGER_BYTES or made <= given


def _int(node: Node, name: str, default: int) -> int:
    value = node.attributes.get(name)
    return value if isinstance(value, int) else default


def _clamped(index: int, rank: int) -> int:
    return max(0, min(rank, index + rank if index < 0 else index))
