from __future__ import annotations

from edgeflow.host.platform import array_bytes, array_of, new_bytes
from edgeflow.ir.elements import elements
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.ir.verify import verify
from edgeflow.passes import (
    constants_to_initializers, eliminate_dead_nodes, eliminate_identities, fold_shapes, inline_constant_if, merge_equal_nodes,
)
from edgeflow.passes.pipeline import run_passes
from edgeflow.passes.shape_rules import shapes_of


def ints(values: list[int], shape: list[int]) -> TensorData:
    return TensorData('int64', shape, array_bytes(array_of('int64', values)))


def floats(values: list[float], shape: list[int]) -> TensorData:
    return TensorData('float32', shape, array_bytes(array_of('float32', values)))


def graph_of(nodes: list[Node], constants: dict[str, TensorData], output: str) -> Graph:
    inputs = [ValueInfo('x', 'float32', ['b', 's', 8]), ValueInfo('z', 'float32', ['b', 's', 8])]
    return Graph('main', inputs, [ValueInfo(output, 'float32', None)], nodes, constants, {'': 18})


def keys(graph: Graph) -> list[str]:
    return [node.key() for node in graph.nodes]


def test_constants_become_initializers() -> None:
    nodes = [
        Node('Constant', '', '', [], ['a'], {'value': floats([1.5], [])}), Node('Constant', '', '', [], ['b'], {'value_int': 7}),
        Node('Constant', '', '', [], ['c'], {'value_floats': [1.0, 2.5]}), Node('Constant', '', '', [], ['d'], {'value_ints': []}),
        Node('Constant', '', '', [], ['e'], {'value_strings': ['p', 'q']}), Node('Add', '', '', ['x', 'a'], ['y']),
    ]
    graph = graph_of(nodes, {}, 'y')
    assert constants_to_initializers.run(graph)
    assert keys(graph) == ['Add']
    assert [graph.initializers[name].dtype for name in 'abcde'] == ['float32', 'int64', 'float32', 'int64', 'string']
    assert [graph.initializers[name].shape for name in 'abcde'] == [[], [], [2], [0], [2]]
    assert elements(graph.initializers['c']) == [1.0, 2.5]
    assert not constants_to_initializers.run(graph)


def test_identities_go_and_the_output_keeps_its_name() -> None:
    nodes = [
        Node('Identity', '', '', ['x'], ['a']), Node('Dropout', '', '', ['a'], ['b', 'mask']), Node('Neg', '', '', ['b'], ['c']),
        Node('Cast', '', '', ['c'], ['d'], {'to': 1}), Node('Mul', '', '', ['d', 'one'], ['e']), Node('Identity', '', '', ['e'], ['y']),
    ]
    graph = graph_of(nodes, {'one': floats([1.0], [])}, 'y')
    assert eliminate_identities.run(graph, shapes_of(graph, 18))
    verify(graph)
    assert keys(graph) == ['Neg']
    assert [graph.nodes[0].inputs[0], graph.nodes[0].outputs[0]] == ['x', 'y']


def test_identities_that_are_none() -> None:
    nodes = [
        Node('Cast', '', '', ['x'], ['a'], {'to': 10}), Node('Mul', '', '', ['z', 'row'], ['b']), Node('Identity', '', '', ['x'], ['y']),
        Node('Transpose', '', '', ['z'], ['c'], {'perm': [0, 2, 1]}),
    ]
    graph = graph_of(nodes, {'row': floats([1.0], [1, 1, 1, 1])}, 'y')
    assert not eliminate_identities.run(graph, shapes_of(graph, 18))
    assert len(graph.nodes) == 4


def test_one_value_under_two_output_names() -> None:
    nodes = [Node('Neg', '', '', ['x'], ['a']), Node('Identity', '', '', ['a'], ['y']), Node('Identity', '', '', ['a'], ['y2'])]
    graph = graph_of(nodes, {}, 'y')
    graph.outputs.append(ValueInfo('y2', 'float32', None))
    eliminate_identities.run(graph, shapes_of(graph, 18))
    verify(graph)
    assert keys(graph) == ['Neg', 'Identity']
    assert [graph.nodes[1].inputs[0], graph.nodes[1].outputs[0]] == ['y', 'y2']


def test_equal_nodes_and_equal_constants_merge() -> None:
    nodes = [
        Node('Add', '', '', ['x', 'a'], ['p']), Node('Add', '', '', ['x', 'b'], ['q']), Node('Add', '', '', ['x', 'c'], ['r']),
        Node('Softmax', '', '', ['p'], ['s'], {'axis': 1}), Node('Softmax', '', '', ['q'], ['t'], {'axis': 1}),
        Node('Softmax', '', '', ['q'], ['u'], {'axis': 2}), Node('Sum', '', '', ['s', 't', 'u', 'r'], ['y']),
    ]
    graph = graph_of(nodes, {'a': floats([1.0], []), 'b': floats([1.0], []), 'c': ints([1], [])}, 'y')
    assert merge_equal_nodes.run(graph)
    verify(graph)
    assert keys(graph) == ['Add', 'Add', 'Softmax', 'Softmax', 'Sum']
    assert graph.nodes[4].inputs == ['s', 's', 'u', 'r']
    assert list(graph.initializers.keys()) == ['a', 'c']


def test_nodes_with_the_same_inputs_merge_by_their_attributes() -> None:
    """Also two of which neither is the first of these inputs; a subgraph, or fewer outputs, keeps a node apart."""
    branch = Graph('then', [], [ValueInfo('i', '', None)], [Node('Neg', '', '', ['x'], ['i'])], {})
    nodes = [
        Node('If', '', '', ['w'], ['a'], {'then_branch': branch}), Node('If', '', '', ['w'], ['b'], {'then_branch': branch}),
        Node('Softmax', '', '', ['x'], ['c'], {'axis': 0}), Node('Softmax', '', '', ['x'], ['d'], {'axis': 1}),
        Node('Softmax', '', '', ['x'], ['e'], {'axis': 1}), Node('Softmax', '', '', ['x'], ['f'], {'axis': 0}),
        Node('Dropout', '', '', ['x'], ['g']), Node('Split', '', '', ['x'], ['h', 'i'], {'axis': 0}),
        Node('Split', '', '', ['x'], ['j'], {'axis': 0}), Node('Split', '', '', ['x'], ['k', 'l'], {'axis': 0}),
        Node('Sum', '', '', ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l'], ['y']),
    ]
    graph = graph_of(nodes, {'w': ints([1], [])}, 'y')
    assert merge_equal_nodes.run(graph)
    assert graph.nodes[-1].inputs == ['a', 'b', 'c', 'd', 'd', 'c', 'g', 'h', 'i', 'j', 'h', 'i']


def test_random_nodes_do_not_merge() -> None:
    nodes = [Node('RandomNormal', '', '', [], ['a']), Node('RandomNormal', '', '', [], ['b']), Node('Sub', '', '', ['a', 'b'], ['y'])]
    assert not merge_equal_nodes.run(graph_of(nodes, {}, 'y'))


def test_dead_nodes_and_constants_go() -> None:
    branch = Graph('then', [], [ValueInfo('i', '', None)], [Node('Add', '', '', ['kept', 'c'], ['i'])], {})
    nodes = [
        Node('Neg', '', '', ['x'], ['kept']), Node('Abs', '', '', ['x'], ['dead']), Node('Exp', '', '', ['dead'], ['deader']),
        Node('If', '', '', ['w'], ['y'], {'then_branch': branch}),
    ]
    graph = graph_of(nodes, {'w': ints([1], []), 'c': floats([1], []), 'unused': ints([2], [])}, 'y')
    assert eliminate_dead_nodes.run(graph)
    assert keys(graph) == ['Neg', 'If']
    assert list(graph.initializers.keys()) == ['w', 'c']
    assert not eliminate_dead_nodes.run(graph)


def test_shape_arithmetic_becomes_constants() -> None:
    """1 / sqrt(last dim), as exporters write the scale of attention."""
    nodes = [
        Node('Shape', '', '', ['x'], ['shape']), Node('Slice', '', '', ['shape', 'minus', 'huge'], ['last']),
        Node('Cast', '', '', ['last'], ['wide'], {'to': 1}), Node('Sqrt', '', '', ['wide'], ['root']),
        Node('Div', '', '', ['one', 'root'], ['scale']), Node('Mul', '', '', ['x', 'scale'], ['y']),
    ]
    graph = graph_of(nodes, {'minus': ints([-1], [1]), 'huge': ints([9007199254740991], [1]), 'one': floats([2.0], [1])}, 'y')
    assert fold_shapes.run(graph, shapes_of(graph, 18))
    verify(graph)
    assert keys(graph) == ['Shape', 'Mul']
    assert abs(elements(graph.initializers['scale'])[0] - 2.0 / 8.0 ** 0.5) < 1e-6
    assert elements(graph.initializers['last']) == [8]


def test_equal_amounts_are_computed_once() -> None:
    """x and z have the same batch size by their symbols."""
    nodes: list[Node] = []
    for name in ['x', 'z']:
        nodes.append(Node('Shape', '', '', [name], [name + 's']))
        nodes.append(Node('Gather', '', '', [name + 's', 'zero'], [name + 'b'], {'axis': 0}))
        nodes.append(Node('Unsqueeze', '', '', [name + 'b', 'axes'], [name + 'u']))
        nodes.append(Node('Concat', '', '', [name + 'u', 'rest'], [name + 'c'], {'axis': 0}))
        nodes.append(Node('Reshape', '', '', [name, name + 'c'], [name + 'r']))
    nodes.append(Node('Add', '', '', ['xr', 'zr'], ['y']))
    graph = graph_of(nodes, {'zero': ints([0], []), 'axes': ints([0], [1]), 'rest': ints([-1], [1])}, 'y')
    assert fold_shapes.run(graph, shapes_of(graph, 18))
    verify(graph)
    assert keys(graph) == ['Shape', 'Gather', 'Unsqueeze', 'Concat', 'Reshape', 'Reshape', 'Add']


def test_the_branch_of_a_constant_if_is_inlined() -> None:
    then = Graph('then', [], [ValueInfo('i', '', None)], [Node('Neg', '', '', ['x'], ['h']), Node('Add', '', '', ['h', 'k'], ['i'])], {'k': floats([1.0], [])})
    other = Graph('else', [], [ValueInfo('z', '', None)], [], {})
    truth = new_bytes(1)
    truth[0] = 1
    for taken, expected in [(truth, ['Neg', 'Add', 'Exp']), (new_bytes(1), ['Identity', 'Exp'])]:
        choice = Node('If', '', '', ['w'], ['o'], {'then_branch': then, 'else_branch': other})
        graph = graph_of([choice, Node('Exp', '', '', ['o'], ['y'])], {'w': TensorData('bool', [], taken)}, 'y')
        assert inline_constant_if.run(graph)
        verify(graph)
        assert keys(graph) == expected


def test_no_if_without_a_constant_condition_is_inlined() -> None:
    branch = Graph('then', [], [ValueInfo('i', '', None)], [Node('Neg', '', '', ['x'], ['i'])], {})
    graph = graph_of([Node('If', '', '', ['z'], ['y'], {'then_branch': branch, 'else_branch': branch})], {}, 'y')
    assert not inline_constant_if.run(graph)


def test_all_passes_say_whether_they_changed_something_and_in_which_order() -> None:
    graph = graph_of([Node('Identity', '', '', ['x'], ['a']), Node('Neg', '', '', ['a'], ['y'])], {}, 'y')
    order: list[str] = []
    assert run_passes(graph, lambda name: order.append(name))
    assert keys(graph) == ['Neg']
    assert order[:4] == ['constants_to_initializers', 'merge_equal_nodes', 'eliminate_identities', 'fold_shapes']
    assert order[-1] == 'eliminate_dead_nodes'
    assert not run_passes(graph, None)
