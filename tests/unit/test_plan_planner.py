"""Planning on a fake backend: shape arithmetic folds away, branches are taken, steps and offsets come out as printed.

The fake knows a handful of operators. It computes integer constants itself and lowers all else to steps of its own.
"""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_bytes
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.plan.builder import Lowering, PackedForm, StepBuilder
from edgeflow.plan.planner import Draft, make_plan, needed_nodes
from edgeflow.plan.printer import print_plan
from edgeflow.plan.stretches import Shared
from edgeflow.plan.values import NodeSteps, Value

ELEMENTWISE = ['Add', 'Mul', 'Relu', 'Equal']


class FakeMachine:
    """Initializers are given as numbers. Constants are computed for the integer operators that the tests use."""

    def __init__(self, constants: dict[str, list[int]]) -> None:
        self.constants = constants
        self.evaluated: list[str] = []

    def lowering(self, key: str) -> Lowering | None:
        if key in ELEMENTWISE:
            return lower_elementwise
        if key == 'Reshape':
            return lower_reshape
        if key == 'MatMul' or key == 'Concat' or key == 'Gather':
            return lower_plain
        return None

    def initializer(self, key: str) -> Value:
        numbers = self.constants[key]
        value = Value(-1 - len(key), key, 'int64', [len(numbers)])
        value.constant = True
        value.initializer = key
        value.address = 4096
        value.literal = numbers
        return value

    def evaluate(self, b: StepBuilder, outputs: list[Value | None]) -> bool:
        node = b.node
        if node is None:
            raise AssertionError('no node')
        self.evaluated.append(node.op)
        output = outputs[0]
        if output is None or output.base is not None:
            return
        output.constant = True
        output.literal = self.compute(node.op, b)
        return True

    def compute(self, op: str, b: StepBuilder) -> list[int]:
        operands: list[list[int]] = []
        for word in b.steps[0].words[1:]:
            operands.append(self.read_ints(word.value))
        if op == 'Concat':
            return operands[0] + operands[1]
        if op == 'Gather':
            return [operands[0][operands[1][0]]]
        if op == 'Mul':
            return [operands[0][0] * operands[1][0]]
        if op == 'Equal':
            return [1 if operands[0] == operands[1] else 0]
        raise AssertionError(f'the fake computes no {op}')

    def convert(self, b: StepBuilder, source: Value, target: Value) -> None:
        b.step('convert', [b.pointer(target), b.pointer(source)])

    def share(self, groups: list[NodeSteps], inputs: list[Value], outputs: list[Value], b: StepBuilder) -> Shared:
        return Shared(groups, [])

    def packed(self, form: PackedForm, inputs: list[Value | None]) -> Value | None:
        return None

    def read_ints(self, value: Value) -> list[int]:
        literal = value.root().literal
        if literal is None:
            raise AssertionError(f'{value.name} has no numbers')
        return literal

    def read_floats(self, value: Value) -> list[float]:
        return self.read_ints(value)


def lower_plain(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    b.step(node.op.lower(), [b.pointer(outputs[0])] + [b.pointer(x) for x in inputs])


def lower_elementwise(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    b.may_reuse(outputs[0], inputs[0])
    lower_plain(b, node, inputs, outputs)


def lower_reshape(b: StepBuilder, node: Node, inputs: list[Value | None], outputs: list[Value | None]) -> None:
    b.alias(outputs[0], inputs[0])


def node(op: str, inputs: list[str], output: str) -> Node:
    return Node(op, '', 'n_' + output, inputs, [output])


def graph(nodes: list[Node], outputs: list[str], constants: dict[str, list[int]], dtype: str = 'float32') -> Graph:
    initializers: dict[str, TensorData] = {}
    for name in constants:
        initializers[name] = TensorData('int64', [len(constants[name])], new_bytes(8 * len(constants[name])))
    inputs = [ValueInfo('x', dtype, ['n', 4]), ValueInfo('w', dtype, [4, 4])]
    return Graph('test', inputs, [ValueInfo(name, dtype, None) for name in outputs], nodes, initializers, {'': 17})


def plan(given: Graph, constants: dict[str, list[int]], outputs: list[str] | None = None, n: int = 2) -> Draft:
    machine = FakeMachine(constants)
    wanted = outputs if outputs is not None else [info.name for info in given.outputs]
    return make_plan(given, {'x': [n, 4], 'w': [4, 4]}, wanted, machine, StepBuilder(machine))


def kernels(draft: Draft) -> list[str]:
    return [step.kernel for step in draft.steps()]


def test_plan_reads_as_steps_with_offsets() -> None:
    # given y = relu(x @ w) + x, whose parts die one after the other
    nodes = [node('MatMul', ['x', 'w'], 'a'), node('Relu', ['a'], 'b'), node('Add', ['b', 'x'], 'y')]
    # when it is planned, then relu and add work in place
    assert print_plan(plan(graph(nodes, ['y'], {}), {})) == '\n'.join([
        'input x float32[2x4]@64',
        'input w float32[4x4]@0',
        '0 matmul (MatMul n_a): a float32[2x4]@128, x float32[2x4]@64, w float32[4x4]@0',
        '1 relu (Relu n_b): b float32[2x4]@128, a float32[2x4]@128',
        '2 add (Add n_y): y float32[2x4]@128, b float32[2x4]@128, x float32[2x4]@64',
        'output y float32[2x4]@128',
        '3 steps, arena 192 bytes, live at most 128 bytes',
    ])


def test_shape_arithmetic_leaves_no_steps() -> None:
    # given a reshape to [shape(x)[0] * 2, -1] as exporters write it
    constants = {'zero': [0], 'two': [2], 'rest': [-1]}
    nodes = [
        node('Shape', ['x'], 's'), node('Gather', ['s', 'zero'], 'n'), node('Mul', ['n', 'two'], 'm'),
        node('Concat', ['m', 'rest'], 't'), node('Reshape', ['x', 't'], 'r'), node('Relu', ['r'], 'y'),
    ]
    nodes[3].attributes['axis'] = 0
    # when it is planned
    draft = plan(graph(nodes, ['y'], constants), constants, None, 3)
    # then there is one step, and its output has the computed shape
    assert kernels(draft) == ['relu']
    assert draft.outputs[0].shape == [6, 2]
    assert draft.outputs[0].root() is draft.inputs[0]


def test_nodes_that_no_wanted_output_needs_are_not_planned() -> None:
    nodes = [node('Relu', ['x'], 'a'), node('MatMul', ['x', 'w'], 'b')]
    given = graph(nodes, ['a', 'b'], {})
    assert kernels(plan(given, {}, ['a'])) == ['relu']
    assert kernels(plan(given, {}, ['b'])) == ['matmul']
    assert needed_nodes(given, ['b']) == [False, True]


def branch(output: str, op: str) -> Graph:
    return Graph(output, [], [ValueInfo(output, 'float32', None)], [node(op, ['x', 'w'] if op == 'MatMul' else ['x'], output)], {})


@pytest.mark.parametrize('n, taken', [(2, 'relu'), (3, 'matmul')])
def test_if_becomes_the_branch_that_its_condition_names(n: int, taken: str) -> None:
    constants = {'zero': [0], 'two': [2]}
    chosen = node('If', ['c'], 'y')
    chosen.attributes['then_branch'] = branch('inner_then', 'Relu')
    chosen.attributes['else_branch'] = branch('inner_else', 'MatMul')
    nodes = [node('Shape', ['x'], 's'), node('Gather', ['s', 'zero'], 'n'), node('Equal', ['n', 'two'], 'c'), chosen]
    assert kernels(plan(graph(nodes, ['y'], constants), constants, None, n)) == [taken]


def test_if_that_depends_on_data_is_refused_by_name() -> None:
    chosen = node('If', ['c'], 'y')
    chosen.attributes['then_branch'] = branch('inner_then', 'Relu')
    chosen.attributes['else_branch'] = branch('inner_else', 'MatMul')
    nodes = [node('Equal', ['x', 'x'], 'c'), chosen]
    with pytest.raises(EdgeflowError, match="If .node 'n_y'. cannot run: its condition depends on data") as e:
        plan(graph(nodes, ['y'], {}), {})
    assert e.value.code == 'unsupported-op'


def test_shape_that_depends_on_data_is_refused_by_name() -> None:
    nodes = [node('Reshape', ['x', 'w'], 'y')]
    given = graph(nodes, ['y'], {}, 'int64')
    machine = FakeMachine({})
    with pytest.raises(EdgeflowError, match="node 'n_y'") as e:
        make_plan(given, {'x': [2, 4], 'w': [2]}, ['y'], machine, StepBuilder(machine))
    assert e.value.code == 'unsupported-op'


def test_unknown_operator_is_refused_by_name() -> None:
    with pytest.raises(EdgeflowError, match="Frobnicate .node 'n_y'") as e:
        plan(graph([node('Frobnicate', ['x'], 'y')], ['y'], {}), {})
    assert e.value.code == 'unsupported-op'


def test_value_that_nothing_writes_is_named() -> None:
    with pytest.raises(EdgeflowError, match="reads 'nowhere'") as e:
        plan(graph([node('Relu', ['nowhere'], 'y')], ['y'], {}), {})
    assert e.value.code == 'invalid-graph'


def test_float16_is_converted_at_the_border_only() -> None:
    nodes = [node('MatMul', ['x', 'w'], 'a'), node('Relu', ['a'], 'y')]
    draft = plan(graph(nodes, ['y'], {}, 'float16'), {})
    assert kernels(draft) == ['convert', 'convert', 'matmul', 'relu', 'convert']
    assert [value.dtype for value in draft.inputs] == ['float16', 'float16']
    assert [value.dtype for value in draft.outputs] == ['float16']
    assert draft.outputs[0].size == 16


def test_shape_as_an_output_is_a_literal() -> None:
    draft = plan(graph([node('Shape', ['x'], 'y')], ['y'], {}), {})
    assert draft.outputs[0].literal == [2, 4]
    assert kernels(draft) == []
