from __future__ import annotations

import pytest

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.ir.verify import verify
from edgeflow.passes.pipeline import run_passes


def node(op: str, inputs: list[str], output: str) -> Node:
    return Node(op, '', output, inputs, [output])


def floats(values: list[float], shape: list[int]) -> TensorData:
    return TensorData('float32', shape, array_bytes(array_of('float32', values)))


def ints(values: list[int], shape: list[int]) -> TensorData:
    return TensorData('int64', shape, array_bytes(array_of('int64', values)))


def filled(shape: list[int]) -> TensorData:
    count = 1
    for dim in shape:
        count = count * dim
    return floats([0.25 + i for i in range(count)], shape)


def graph_of(nodes: list[Node], constants: dict[str, TensorData], outputs: list[str]) -> Graph:
    inputs = [ValueInfo(name, 'float32', ['b', 's', 8]) for name in ['x', 'r']]
    inputs.append(ValueInfo('row', 'float32', [1, 's', 8]))
    return Graph('main', inputs, [ValueInfo(name, 'float32', None) for name in outputs], nodes, constants, {'': 17})


def fused(nodes: list[Node], constants: dict[str, TensorData], outputs: list[str]) -> Graph:
    """The graph after all passes."""
    graph = graph_of(nodes, constants, outputs)
    run_passes(graph, lambda name: verify(graph))
    return graph


def keys(graph: Graph) -> list[str]:
    return [made.key() for made in graph.nodes]


def layer_norm_nodes() -> list[Node]:
    mean = Node('ReduceMean', '', '', ['x'], ['m'], {'axes': [-1]})
    variance = Node('ReduceMean', '', '', ['p'], ['v'], {'axes': [-1]})
    return [
        mean, node('Sub', ['x', 'm'], 'd'), node('Pow', ['d', 'two'], 'p'), variance, node('Add', ['v', 'eps'], 'e'),
        node('Sqrt', ['e'], 'q'), node('Div', ['d', 'q'], 'n'), node('Mul', ['n', 'g'], 'k'), node('Add', ['k', 'h'], 'y'),
    ]


def layer_norm_constants() -> dict[str, TensorData]:
    return {'two': floats([2.0], []), 'eps': floats([1e-6], []), 'g': filled([8]), 'h': floats([1.0 for i in range(8)], [8])}


def test_layer_norm() -> None:
    graph = fused(layer_norm_nodes(), layer_norm_constants(), ['y'])
    assert keys(graph) == ['LayerNormalization']
    made = graph.nodes[0]
    assert [made.inputs, made.outputs] == [['x', 'g', 'h'], ['y']]
    epsilon = made.attributes['epsilon']
    assert isinstance(epsilon, float) and abs(epsilon - 1e-6) < 1e-12


def test_layer_norm_with_a_product_for_the_square_and_factors_turned() -> None:
    nodes = layer_norm_nodes()
    nodes[2] = node('Mul', ['d', 'd'], 'p')
    nodes[4] = node('Add', ['eps', 'v'], 'e')
    nodes[7] = node('Mul', ['g', 'n'], 'k')
    nodes[8] = node('Add', ['h', 'k'], 'y')
    assert keys(fused(nodes, layer_norm_constants(), ['y'])) == ['LayerNormalization']


@pytest.mark.parametrize('name', ['m', 'd', 'p', 'v', 'e', 'q', 'n', 'k'])
def test_layer_norm_whose_inner_value_is_an_output_stays(name: str) -> None:
    assert 'LayerNormalization' not in keys(fused(layer_norm_nodes(), layer_norm_constants(), ['y', name]))


def test_layer_norm_over_another_axis_power_or_length_stays() -> None:
    nodes = layer_norm_nodes()
    nodes[0].attributes['axes'] = [1]
    assert 'LayerNormalization' not in keys(fused(nodes, layer_norm_constants(), ['y']))
    constants = layer_norm_constants()
    constants['two'] = floats([3.0], [])
    assert 'LayerNormalization' not in keys(fused(layer_norm_nodes(), constants, ['y']))
    constants = layer_norm_constants()
    constants['g'] = filled([1])
    assert 'LayerNormalization' not in keys(fused(layer_norm_nodes(), constants, ['y']))


def gelu_constants() -> dict[str, TensorData]:
    return {
        'root': floats([1.4142135], []), 'inverse': floats([0.70710677], []), 'one': floats([1.0], []), 'half': floats([0.5], []),
        'cubic': floats([0.044715], []), 'three': floats([3.0], []), 'factor': floats([0.7978846], []),
    }


@pytest.mark.parametrize('order', [0, 1, 2, 3])
def test_gelu(order: int) -> None:
    """x * 0.5 * (1 + erf(x / sqrt(2))), the factors in the orders in which exporters write them."""
    start = [node('Div', ['x', 'root'], 'd') if order % 2 == 0 else node('Mul', ['inverse', 'x'], 'd'), node('Erf', ['d'], 'e')]
    start.append(node('Add', ['e', 'one'], 'a') if order < 2 else node('Add', ['one', 'e'], 'a'))
    ends = [
        [node('Mul', ['x', 'a'], 'p'), node('Mul', ['p', 'half'], 'y')], [node('Mul', ['half', 'a'], 'p'), node('Mul', ['x', 'p'], 'y')],
        [node('Mul', ['x', 'half'], 'p'), node('Mul', ['p', 'a'], 'y')], [node('Mul', ['a', 'half'], 'p'), node('Mul', ['p', 'x'], 'y')],
    ]
    graph = fused(start + ends[order], gelu_constants(), ['y'])
    assert keys(graph) == ['edgeflow:Gelu']
    assert graph.nodes[0].attributes['approximate'] == 'none'


@pytest.mark.parametrize('cube', [0, 1, 2])
def test_gelu_by_tanh(cube: int) -> None:
    powers = [
        [node('Pow', ['x', 'three'], 'c'), node('Mul', ['cubic', 'c'], 'k'), node('Add', ['x', 'k'], 's'), node('Mul', ['s', 'factor'], 't')],
        [
            node('Mul', ['x', 'x'], 'c'), node('Mul', ['c', 'x'], 'c3'), node('Mul', ['c3', 'cubic'], 'k'), node('Add', ['k', 'x'], 's'),
            node('Mul', ['factor', 's'], 't'),
        ],
        [
            node('Mul', ['cubic', 'x'], 'c'), node('Mul', ['c', 'x'], 'k'), node('Add', ['one', 'k'], 's'), node('Mul', ['x', 'factor'], 'f'),
            node('Mul', ['f', 's'], 't'),
        ],
    ]
    end = [node('Tanh', ['t'], 'h'), node('Add', ['h', 'one'], 'a'), node('Mul', ['x', 'half'], 'p'), node('Mul', ['p', 'a'], 'y')]
    graph = fused(powers[cube] + end, gelu_constants(), ['y'])
    assert keys(graph) == ['edgeflow:Gelu']
    assert graph.nodes[0].attributes['approximate'] == 'tanh'


def test_what_only_looks_like_gelu() -> None:
    nodes = [
        node('Div', ['x', 'root'], 'd'), node('Erf', ['d'], 'e'), node('Add', ['e', 'one'], 'a'), node('Mul', ['r', 'a'], 'p'),
        node('Mul', ['p', 'half'], 'y'),
    ]
    assert 'edgeflow:Gelu' not in keys(fused(nodes, gelu_constants(), ['y']))


def test_matmul_takes_bias_activation_and_residual() -> None:
    nodes = [node('MatMul', ['x', 'w'], 'm'), node('Add', ['bias', 'm'], 'a'), node('Relu', ['a'], 'c'), node('Add', ['r', 'c'], 'y')]
    graph = fused(nodes, {'w': filled([8, 8]), 'bias': filled([8])}, ['y'])
    assert keys(graph) == ['edgeflow:MatMul']
    assert graph.nodes[0].inputs == ['x', 'w', 'bias', 'r']
    assert graph.nodes[0].attributes['activation'] == 'relu'


def test_matmul_takes_silu() -> None:
    nodes = [node('MatMul', ['x', 'w'], 'm'), node('Sigmoid', ['m'], 's'), node('Mul', ['m', 's'], 'y')]
    graph = fused(nodes, {'w': filled([8, 8])}, ['y'])
    assert keys(graph) == ['edgeflow:MatMul']
    assert graph.nodes[0].attributes['activation'] == 'silu'


def test_matmul_leaves_what_would_broadcast_or_is_needed_elsewhere() -> None:
    weights = {'w': filled([8, 8]), 'bias': filled([8]), 'one': filled([1])}
    assert keys(fused([node('MatMul', ['x', 'w'], 'm'), node('Add', ['m', 'row'], 'y')], weights, ['y'])) == ['MatMul', 'Add']
    assert keys(fused([node('MatMul', ['row', 'w'], 'm'), node('Add', ['m', 'x'], 'y')], weights, ['y'])) == ['MatMul', 'Add']
    assert keys(fused([node('MatMul', ['x', 'w'], 'm'), node('Add', ['m', 'bias'], 'y')], weights, ['y', 'm'])) == ['MatMul', 'Add']
    assert keys(fused([node('MatMul', ['x', 'w'], 'm'), node('Add', ['m', 'one'], 'y')], weights, ['y'])) == ['MatMul', 'Add']
    assert keys(fused([node('MatMul', ['x', 'w'], 'm'), node('Add', ['m', 'm'], 'y')], weights, ['y'])) == ['MatMul', 'Add']


@pytest.mark.parametrize('attributes, expected', [
    ({}, ['edgeflow:MatMul']), ({'transB': 1, 'alpha': 0.5}, ['edgeflow:MatMul']), ({'beta': 0.5}, ['Gemm']),
])
def test_gemm(attributes: dict[str, float], expected: list[str]) -> None:
    gemm = Node('Gemm', '', 'g', ['f', 'w', 'bias'], ['y'])
    for name, value in attributes.items():
        gemm.attributes[name] = value
    graph = fused([Node('Flatten', '', '', ['x'], ['f'], {'axis': 2}), gemm], {'w': filled([8, 8]), 'bias': filled([8])}, ['y'])
    assert keys(graph) == ['Flatten'] + expected
    if 'transB' in attributes:
        assert [graph.nodes[1].attributes['trans_b'], graph.nodes[1].attributes['alpha']] == [1, 0.5]


def quantized_nodes(count: int) -> list[Node]:
    """What onnxruntime's dynamic quantizer writes for `count` MatMuls of one input."""
    nodes = [Node('DynamicQuantizeLinear', '', 'dql', ['x'], ['q', 'qs', 'qz'])]
    for i in range(count):
        nodes.append(node('MatMulInteger', ['q', f'w{i}', 'qz', 'wz'], f'i{i}'))
        nodes.append(Node('Cast', '', '', [f'i{i}'], [f'c{i}'], {'to': 1}))
        nodes.append(node('Mul', ['qs', 'ws'], f's{i}'))
        nodes.append(node('Mul', [f'c{i}', f's{i}'], f'm{i}'))
        nodes.append(node('Add', [f'b{i}', f'm{i}'], f'y{i}'))
    return nodes


def quantized_constants() -> dict[str, TensorData]:
    first = TensorData('int8', [8, 4], array_bytes(array_of('int8', [i - 16 for i in range(32)])))
    second = TensorData('int8', [8, 4], array_bytes(array_of('int8', [16 - i for i in range(32)])))
    zero = TensorData('int8', [], array_bytes(array_of('int8', [0])))
    return {'w0': first, 'w1': second, 'wz': zero, 'ws': filled([4]), 'b0': floats([1.0, 2.0, 3.0, 4.0], [4]), 'b1': floats([5.0, 6.0, 7.0, 8.0], [4])}


def test_dynamically_quantized_matmul_takes_its_quantizer() -> None:
    graph = fused(quantized_nodes(1), quantized_constants(), ['y0'])
    assert keys(graph) == ['edgeflow:QMatMul']
    assert graph.nodes[0].inputs == ['x', 'w0', 'ws', 'wz', 'b0']


def test_a_quantizer_that_feeds_several_stays() -> None:
    graph = fused(quantized_nodes(2), quantized_constants(), ['y0', 'y1'])
    assert keys(graph) == ['DynamicQuantizeLinear', 'edgeflow:QMatMul', 'edgeflow:QMatMul']
    assert graph.nodes[1].inputs == ['x', 'w0', 'ws', 'wz', 'b0', '', 'q', 'qs', 'qz']
    assert graph.nodes[2].inputs == ['x', 'w1', 'ws', 'wz', 'b1', '', 'q', 'qs', 'qz']


def attention_nodes(middle: list[Node], last: str) -> list[Node]:
    """Q, K and V are x; heads of 4; `middle` stands between the scores 'c' and the softmax of `last`."""
    nodes: list[Node] = []
    for name, perm in [('q', [0, 2, 1, 3]), ('k', [0, 2, 3, 1]), ('v', [0, 2, 1, 3])]:
        nodes.append(node('Mul', ['x', name + 'w'], name + '0'))
        nodes.append(Node('Reshape', '', '', [name + '0', 'heads'], [name + '1']))
        nodes.append(Node('Transpose', '', '', [name + '1'], [name + '2'], {'perm': perm}))
    nodes.append(node('MatMul', ['q2', 'k2'], 'c'))
    nodes = nodes + middle
    nodes.append(Node('Softmax', '', '', [last], ['p'], {'axis': -1}))
    nodes.append(node('MatMul', ['p', 'v2'], 'o'))
    nodes.append(Node('Transpose', '', '', ['o'], ['y'], {'perm': [0, 2, 1, 3]}))
    return nodes


def attention(middle: list[Node], last: str, outputs: list[str]) -> Graph:
    constants = {
        'heads': ints([0, 0, 2, 4], [4]), 'qw': filled([8]), 'kw': floats([2.0 for i in range(8)], [8]), 'vw': floats([3.0 for i in range(8)], [8]),
        'scale': floats([2.0], []), 'huge': floats([-3.4e38], []), 'small': floats([-1.0], []), 'zero': floats([0.0], []),
        'first': ints([0], [1]), 'second': ints([1], [1]),
    }
    graph = graph_of(attention_nodes(middle, last), constants, outputs)
    graph.inputs.append(ValueInfo('mask', 'float32', ['b', 1, 1, 's']))
    graph.inputs.append(ValueInfo('wide', 'float32', ['more', 2, 's', 's']))
    graph.inputs.append(ValueInfo('hidden', 'bool', ['b', 1, 1, 's']))
    run_passes(graph, lambda name: verify(graph))
    return graph


def the_sdpa(graph: Graph) -> Node:
    found = [made for made in graph.nodes if made.key() == 'edgeflow:Sdpa']
    assert len(found) == 1
    assert 'Softmax' not in keys(graph)
    return found[0]


def test_attention_with_its_transposes_scale_and_mask() -> None:
    made = the_sdpa(attention([node('Div', ['c', 'scale'], 'd'), node('Add', ['mask', 'd'], 'e')], 'e', ['y']))
    assert [made.inputs, made.outputs] == [['q1', 'k1', 'v1', 'mask'], ['y']]
    assert made.attributes['scale'] == 0.5
    for name in ['q_perm', 'k_perm', 'v_perm', 'out_perm']:
        assert made.attributes[name] == [0, 2, 1, 3]


def test_attention_without_mask_and_with_another_reader_of_its_result() -> None:
    made = the_sdpa(attention([], 'c', ['y', 'o']))
    assert [made.inputs, made.outputs] == [['q1', 'k1', 'v1'], ['o']]
    assert made.attributes['scale'] == 1
    assert made.attributes['out_perm'] == [0, 1, 2, 3]


def test_attention_masked_by_where() -> None:
    for chosen, masked in [(['hidden', 'huge', 'c'], 1), (['hidden', 'c', 'huge'], 2)]:
        graph = attention([node('Where', chosen, 'e')], 'e', ['y'])
        made = the_sdpa(graph)
        masks = [other for other in graph.nodes if other.outputs[0] == made.inputs[3]]
        assert [masks[0].op, masks[0].inputs[0], masks[0].inputs[masked]] == ['Where', 'hidden', 'edgeflow#masked']


@pytest.mark.parametrize('outputs', [['y'], ['y', 'wider'], ['y', 'minus']])
def test_masks_are_not_expanded_unless_something_else_asks_for_it(outputs: list[str]) -> None:
    middle = [
        Node('Shape', '', '', ['x'], ['xs']), Node('Gather', '', '', ['xs', 'first'], ['b1']), Node('Gather', '', '', ['xs', 'second'], ['s1']),
        Node('Concat', '', '', ['b1', 'second', 's1', 's1'], ['full'], {'axis': 0}), node('Expand', ['mask', 'full'], 'wider'),
        node('Mul', ['wider', 'small'], 'minus'), node('Add', ['c', 'minus'], 'e'),
    ]
    graph = attention(middle, 'e', outputs)
    assert ('Expand' in keys(graph)) == (len(outputs) == 2)


@pytest.mark.parametrize('case', [0, 1, 2, 3])
def test_attention_that_cannot_be_proved_stays(case: int) -> None:
    middles = [
        [node('Add', ['c', 'wide'], 'e')], [node('Where', ['hidden', 'small', 'c'], 'e')], [node('Mul', ['c', 'mask'], 'e')],
        [node('Add', ['c', 'mask'], 'e')],
    ]
    outputs = ['y', 'p'] if case == 3 else ['y']
    assert 'edgeflow:Sdpa' not in keys(attention(middles[case], 'e', outputs))


def test_skip_layer_norm() -> None:
    norm = Node('LayerNormalization', '', 'n', ['t', 'g', 'h'], ['y'], {'axis': -1, 'epsilon': 0.001})
    constants = {'g': filled([8]), 'h': floats([1.0 for i in range(8)], [8]), 'bias': floats([2.0 for i in range(8)], [8])}
    graph = fused([node('Add', ['x', 'r'], 't'), norm], constants, ['y'])
    assert keys(graph) == ['edgeflow:SkipLayerNorm']
    assert [graph.nodes[0].inputs, graph.nodes[0].outputs] == [['x', 'r', 'g', 'h'], ['y']]
    graph = fused([node('Add', ['x', 'bias'], 'u'), node('Add', ['u', 'r'], 't'), norm, node('Neg', ['t'], 'z')], constants, ['y', 'z'])
    assert keys(graph) == ['edgeflow:SkipLayerNorm', 'Neg']
    assert [graph.nodes[0].inputs, graph.nodes[0].outputs] == [['x', 'r', 'g', 'h', 'bias'], ['y', 't']]
    assert keys(fused([node('Add', ['x', 'row'], 't'), norm], constants, ['y'])) == ['Add', 'LayerNormalization']


def test_bias_and_activation_without_a_product() -> None:
    constants = {'bias': filled([8])}
    graph = fused([node('Add', ['x', 'bias'], 'a'), node('Tanh', ['a'], 'y')], constants, ['y'])
    assert keys(graph) == ['edgeflow:BiasAct']
    assert [graph.nodes[0].inputs, graph.nodes[0].attributes['activation']] == [['x', 'bias'], 'tanh']
    for op, name in [('BiasGelu', 'gelu'), ('FastGelu', 'gelu_tanh')]:
        graph = fused([Node(op, 'com.microsoft', 'n', ['x', 'bias'], ['y'])], constants, ['y'])
        assert keys(graph) == ['edgeflow:BiasAct']
        assert graph.nodes[0].attributes['activation'] == name


def test_the_way_torch_writes_a_transpose() -> None:
    nodes = [
        Node('Reshape', '', '', ['x', 'four'], ['a']), Node('Reshape', '', '', ['a', 'three'], ['b3']),
        Node('Transpose', '', '', ['b3'], ['c'], {'perm': [0, 2, 1]}), Node('Shape', '', '', ['a'], ['as']),
        Node('Gather', '', '', ['as', 'order'], ['back'], {'axis': 0}), Node('Reshape', '', '', ['c', 'back'], ['y']),
    ]
    constants = {'four': ints([0, 2, -1, 8], [4]), 'three': ints([-1, 3, 8], [3]), 'order': ints([0, 1, 3, 2], [4])}
    graph = graph_of(nodes, constants, ['y'])
    graph.inputs[0] = ValueInfo('x', 'float32', ['b', 6, 8])
    run_passes(graph, lambda name: verify(graph))
    assert keys(graph) == ['Reshape', 'Transpose']
    assert graph.nodes[1].attributes['perm'] == [0, 1, 3, 2]


def test_activation_of_a_convolution() -> None:
    conv = Node('Conv', '', 'conv', ['x', 'w'], ['a'], {'group': 1})
    graph = fused([conv, node('Relu', ['a'], 'y')], {'w': filled([8, 4, 1])}, ['y'])
    assert keys(graph) == ['Conv']
    assert graph.nodes[0].attributes == {'group': 1, 'activation': 'relu'} and graph.nodes[0].outputs == ['y']
    swish = [conv_of('x', 'a'), node('Sigmoid', ['a'], 's'), node('Mul', ['a', 's'], 'y')]
    assert [made.attributes for made in fused(swish, {'w': filled([8, 4, 1])}, ['y']).nodes] == [{'activation': 'silu'}]
    # What others read too stays.
    assert keys(fused([conv_of('x', 'a'), node('Relu', ['a'], 'y')], {'w': filled([8, 4, 1])}, ['y', 'a'])) == ['Conv', 'Relu']


def conv_of(x: str, y: str) -> Node:
    return Node('Conv', '', 'conv', [x, 'w'], [y])
