"""Folding constants, with an evaluator that only knows how to add up what it gets."""

from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_ints, array_of, array_view
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.passes.fold_constants import fold_constants


def scalar(number: int) -> TensorData:
    return TensorData('int64', [], array_bytes(array_of('int64', [number])))


def number_of(tensor: TensorData) -> int:
    return array_ints(array_view('int64', tensor.data))[0]


def evaluate(node: Node, opset: int, inputs: list[TensorData | None]) -> list[TensorData] | None:
    if node.op == 'Huge':
        return None
    if node.op == 'Fails':
        raise EdgeflowError('run-failed', 'an index is out of range', {})
    if node.op == 'Broken':
        raise EdgeflowError('invalid-graph', 'the node breaks a rule', {})
    assert opset == 17
    total = 0
    for tensor in inputs:
        total = total + (0 if tensor is None else number_of(tensor))
    return [scalar(total)]


def node(op: str, inputs: list[str], output: str) -> Node:
    return Node(op, '', 'n_' + output, inputs, [output])


def graph(nodes: list[Node], output: str) -> Graph:
    return Graph('g', [ValueInfo('x', 'int64', [])], [ValueInfo(output, 'int64', [])], nodes, {'two': scalar(2), 'three': scalar(3)}, {'': 17})


def ops(given: Graph) -> list[str]:
    return [x.op for x in given.nodes]


def test_chain_of_constants_becomes_initializers() -> None:
    given = graph([node('Add', ['two', 'three'], 'five'), node('Add', ['five', 'five', ''], 'ten'), node('Add', ['x', 'ten'], 'y')], 'y')
    assert fold_constants(given, evaluate)
    assert ops(given) == ['Add']
    assert given.nodes[0].name == 'n_y'
    assert number_of(given.initializers['ten']) == 10


def test_graph_without_constant_nodes_is_left_alone() -> None:
    given = graph([node('Add', ['x', 'two'], 'a'), node('Add', ['a', 'three'], 'y')], 'y')
    assert not fold_constants(given, evaluate)
    assert len(given.nodes) == 2


@pytest.mark.parametrize('op', ['Huge', 'Fails'])
def test_node_that_is_not_worth_it_or_fails_stays_with_its_readers(op: str) -> None:
    given = graph([node(op, ['two'], 'a'), node('Add', ['a', 'two'], 'y')], 'y')
    assert not fold_constants(given, evaluate)
    assert ops(given) == [op, 'Add']


def test_node_that_breaks_a_rule_is_an_error() -> None:
    with pytest.raises(EdgeflowError) as e:
        fold_constants(graph([node('Broken', ['two'], 'y')], 'y'), evaluate)
    assert e.value.code == 'invalid-graph'


def test_node_without_inputs_is_no_constant() -> None:
    given = graph([node('RandomUniform', [], 'a'), node('Add', ['a', 'two'], 'y')], 'y')
    assert not fold_constants(given, evaluate)


def test_subgraphs_see_the_constants_around_them() -> None:
    branch = Graph('branch', [], [ValueInfo('inner', 'int64', [])], [node('Add', ['two', 'own'], 'inner')], {'own': scalar(40)})
    chosen = node('If', ['x'], 'y')
    chosen.attributes['then_branch'] = branch
    assert fold_constants(graph([chosen], 'y'), evaluate)
    assert ops(branch) == []
    assert number_of(branch.initializers['inner']) == 42
