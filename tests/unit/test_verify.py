from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_bytes
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.ir.verify import verify, verify_operators


def graph_of(nodes: list[Node]) -> Graph:
    inputs = [ValueInfo('x', 'float32', ['n'])]
    constants = {'w': TensorData('float32', [], new_bytes(4))}
    return Graph('main', inputs, [ValueInfo('y', 'float32', ['n'])], nodes, constants, {'': 18})


def test_a_valid_graph() -> None:
    graph = graph_of([Node('Add', '', 'add', ['x', 'w'], ['h']), Node('Clip', '', '', ['h', '', 'w'], ['y'])])
    verify(graph)
    verify_operators(graph)


@pytest.mark.parametrize('nodes, message', [
    ([Node('Neg', '', 'first', ['h'], ['y']), Node('Neg', '', '', ['x'], ['h'])], r"node 'first' \(Neg\): expected inputs that are made before it, got 'h'"),
    ([Node('Neg', '', '', ['z'], ['y'])], "node Neg that makes 'y': expected inputs that are made before it, got 'z'"),
    ([Node('Neg', '', 'n', ['x'], ['y']), Node('Abs', '', 'a', ['x'], ['y'])], r"node 'a' \(Abs\): expected a new name for its value, got 'y'"),
    ([Node('Neg', '', 'n', ['x'], ['x'])], "expected a new name for its value, got 'x'"),
    ([Node('Neg', '', 'n', ['x'], ['w'])], "expected a new name for its value, got 'w'"),
    ([Node('Neg', '', 'n', ['x'], ['h'])], "graph 'main': expected an output 'y', which nothing makes"),
])
def test_broken_graphs(nodes: list[Node], message: str) -> None:
    with pytest.raises(EdgeflowError, match=message) as error:
        verify(graph_of(nodes))
    assert error.value.code == 'invalid-graph'


@pytest.mark.parametrize('node, code, message', [
    (Node('Neg', '', 'n', ['x', 'x'], ['y']), 'invalid-graph', 'got 2'),
    (Node('Add', '', 'n', ['x'], ['y']), 'invalid-graph', 'got 1'),
    (Node('Frobnicate', '', 'n', ['x'], ['y']), 'unsupported-op', "Frobnicate .*'n'.* version 18 "),
    (Node('Frobnicate', 'com.example', 'n', ['x'], ['y']), 'unsupported-op', 'com.example:Frobnicate'),
    (Node('If', '', 'n', ['x'], ['y']), 'invalid-graph', "as 'then_branch', got none"),
    (Node('If', '', 'n', [], ['y']), 'invalid-graph', 'expected 1 input, got 0'),
])
def test_operators(node: Node, code: str, message: str) -> None:
    with pytest.raises(EdgeflowError, match=message) as error:
        verify_operators(graph_of([node]))
    assert error.value.code == code


@pytest.mark.parametrize('opset', [0, 99])
def test_opsets_that_nobody_knows(opset: int) -> None:
    graph = graph_of([Node('Neg', '', 'n', ['x'], ['y'])])
    graph.opsets[''] = opset
    with pytest.raises(EdgeflowError, match=f'opset {opset} of domain ai.onnx: expected 1 to') as error:
        verify(graph)
    assert error.value.code == 'unsupported-op'


def branch_of(nodes: list[Node], output: str) -> Graph:
    return Graph('branch', [], [ValueInfo(output, '', None)], nodes, {})


def test_subgraphs_see_outer_values_but_not_the_reverse() -> None:
    taken = branch_of([Node('Neg', '', '', ['h'], ['inner'])], 'inner')
    other = branch_of([Node('Abs', '', '', ['x'], ['inner'])], 'inner')
    choice = Node('If', '', 'if', ['w'], ['y'], {'then_branch': taken, 'else_branch': other})
    before = Node('Neg', '', '', ['x'], ['h'])
    verify(graph_of([before, choice]))
    verify_operators(graph_of([before, choice]))
    with pytest.raises(EdgeflowError, match="expected inputs that are made before it, got 'h'"):
        verify(graph_of([choice, before]))
    with pytest.raises(EdgeflowError, match="got 'inner'"):
        verify(graph_of([before, Node('If', '', 'if', ['w'], ['h2'], choice.attributes), Node('Neg', '', '', ['inner'], ['y'])]))


def test_subgraphs_may_not_hide_outer_values() -> None:
    hiding = branch_of([Node('Neg', '', '', ['x'], ['w'])], 'w')
    choice = Node('If', '', 'if', ['w'], ['y'], {'then_branch': hiding, 'else_branch': hiding})
    with pytest.raises(EdgeflowError, match='expected a new name'):
        verify(graph_of([choice]))


def test_inputs_without_type_and_graphs_without_outputs() -> None:
    graph = graph_of([])
    graph.outputs = []
    with pytest.raises(EdgeflowError, match='expected outputs, got none'):
        verify(graph)
    graph = graph_of([Node('Neg', '', '', ['x'], ['y'])])
    graph.inputs = [ValueInfo('x', '', None)]
    with pytest.raises(EdgeflowError, match="input 'x': expected a data type, got none"):
        verify(graph)
