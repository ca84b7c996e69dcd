from __future__ import annotations

import pytest

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.passes.dims import (
    Dim, add_dims, broadcast_dims, declared_dim, divide_dim, fits_into, missing_dim, multiply_dims, reshape_dims, same_dims, shorter_dim,
)
from edgeflow.passes.shape_rules import shapes_of


def ints(values: list[int], shape: list[int]) -> TensorData:
    return TensorData('int64', shape, array_bytes(array_of('int64', values)))


def test_arithmetic_of_dims() -> None:
    assert [add_dims(2, 3), multiply_dims(2, 3), add_dims('s', 0), multiply_dims(1, 's'), divide_dim(6, 4)] == [5, 6, 's', 's', '']
    assert add_dims('a', 'b') == add_dims('b', 'a')
    assert divide_dim(multiply_dims('b', 4), 4) == 'b'
    assert divide_dim(multiply_dims('b', 4), 2) == ''
    assert divide_dim(add_dims('b', 4), 4) == ''
    assert [add_dims('', 1), multiply_dims('a', '')] == ['', '']


def test_amounts_beyond_exact_numbers_are_unknown() -> None:
    huge = 9007199254740991
    assert [add_dims(huge, 1), multiply_dims(huge, 2), missing_dim([huge, huge], [2])] == ['', '', '']


def test_symbols_do_not_grow_without_end() -> None:
    dim: Dim = 'n'
    for i in range(20):
        dim = add_dims(dim, dim)
    assert dim == ''


def test_declared_symbols_cannot_pass_for_sums() -> None:
    assert [declared_dim(x) for x in ['n', 'batch_size', 3, '']] == ['n', 'batch_size', 3, '']
    for name in ['(4*n)', 'min(n,4)', '4', 'a + b', '@0:x', '-1']:
        assert declared_dim(name) == f'[{name}]'
        assert divide_dim(declared_dim(name), 4) == ''


@pytest.mark.parametrize('a, b, result', [
    ([2, 3], [3], [2, 3]), (['b', 1], ['s'], ['b', 's']), (['b', 's', 8], ['b', 's', 8], ['b', 's', 8]), ([1, 5], ['b', 1], ['b', 5]),
    (['a'], ['b'], ['']), (['s'], ['min(s,128)'], ['s']), (['min(s,128)'], ['s'], ['s']), ([4], ['s'], [4]), ([0], [1], [0]),
])
def test_broadcasting(a: list[Dim], b: list[Dim], result: list[Dim]) -> None:
    assert broadcast_dims(a, b) == result


@pytest.mark.parametrize('given, wanted, result', [
    (['b', 's', 48], ['b', -1, 4, 12], ['b', 's', 4, 12]), (['b', 's', 4, 12], [0, 0, 48], ['b', 's', 48]),
    (['b', 4, 's', 10], [-1, 's', 10], ['(4*b)', 's', 10]), (['(4*b)', 's', 10], [-1, 4, 's', 10], ['b', 4, 's', 10]),
    (['b', 's', 48], [-1, 5], ['', 5]), (['b', 's'], ['c', -1], ['c', '']), ([6], [4, -1], [4, '']), ([2, 3], [-1], [6]),
])
def test_reshape(given: list[Dim], wanted: list[Dim], result: list[Dim]) -> None:
    assert reshape_dims(given, wanted, False) == result


def test_certainty() -> None:
    assert same_dims(['b', 2], ['b', 2])
    assert not same_dims(['b', ''], ['b', ''])
    assert not same_dims(['b'], ['b', 1])
    assert not same_dims(None, None)
    assert fits_into([1, 's'], ['b', 4, 't', 's'])
    assert not fits_into(['t', 's'], ['b', 4, 's', 's'])
    assert not fits_into([1, 1, 1], [1, 1])
    assert shorter_dim('s', 's') == 's'


def test_the_shapes_that_exporters_compute() -> None:
    """The head of a BERT layer: [b,s,48] -> [b,s,4,12] by way of Shape, Gather, Unsqueeze and Concat."""
    nodes = [
        Node('Shape', '', '', ['x'], ['shape']), Node('Gather', '', '', ['shape', 'zero'], ['batch'], {'axis': 0}),
        Node('Unsqueeze', '', '', ['batch', 'axis'], ['first']), Node('Concat', '', '', ['first', 'rest'], ['target'], {'axis': 0}),
        Node('Reshape', '', '', ['x', 'target'], ['heads']), Node('Transpose', '', '', ['heads'], ['q'], {'perm': [0, 2, 1, 3]}),
        Node('Transpose', '', '', ['heads'], ['k'], {'perm': [0, 2, 3, 1]}), Node('MatMul', '', '', ['q', 'k'], ['scores']),
        Node('Softmax', '', '', ['scores'], ['p']), Node('Reshape', '', '', ['p', 'unknown'], ['y']),
    ]
    constants = {'zero': ints([0], []), 'axis': ints([0], [1]), 'rest': ints([-1, 4, 12], [3])}
    inputs = [ValueInfo('x', 'float32', ['b', 's', 48]), ValueInfo('unknown', 'int64', [2])]
    graph = Graph('g', inputs, [ValueInfo('y', 'float32', None)], nodes, constants, {'': 17})
    table = shapes_of(graph, 17)
    assert table.shape('heads') == ['b', 's', 4, 12]
    assert table.shape('k') == ['b', 4, 12, 's']
    assert table.shape('p') == ['b', 4, 's', 's']
    assert table.rank('y') == 2
    assert not table.same_shape('y', 'x')
    assert table.same_shape('y', 'y')
    assert table.numbers('target') is None
    assert [table.dtype('target'), table.dtype('p')] == ['int64', 'float32']


@pytest.mark.parametrize('start, end, step, length', [
    (0, 5, 1, 5), (-3, 9007199254740991, 1, 3), (8, 0, -3, 3), (0, 0, 1, 0), (5, 2, 1, 0), (-9007199254740991, -2, 1, 8), (0, 10, 4, 3), (9, -9007199254740991, -1, 10),
])
def test_slices(start: int, end: int, step: int, length: int) -> None:
    node = Node('Slice', '', '', ['x', 'start', 'end', 'axes', 'step'], ['y'])
    constants = {'start': ints([start], [1]), 'end': ints([end], [1]), 'axes': ints([1], [1]), 'step': ints([step], [1])}
    graph = Graph('g', [ValueInfo('x', 'float32', ['n', 10])], [], [node], constants)
    assert shapes_of(graph, 17).shape('y') == ['n', length]


def test_values_that_are_no_integers_are_no_shapes() -> None:
    target = TensorData('float32', [2], array_bytes(array_of('float32', [2.0, 3.0])))
    graph = Graph('g', [ValueInfo('x', 'float32', [6])], [], [Node('Reshape', '', '', ['x', 'target'], ['y'])], {'target': target})
    assert shapes_of(graph, 17).shape('y') == ['@0:y', '@1:y']


@pytest.mark.parametrize('attributes, inputs, shape', [
    ({'axes': [-1]}, ['x'], ['b', 's', 1]), ({'keepdims': 0}, ['x', 'axes'], ['b', 's']), ({}, ['x'], [1, 1, 1]),
    ({'noop_with_empty_axes': 1}, ['x'], ['b', 's', 8]), ({'keepdims': 0}, ['x', 'none'], []), ({'axes': [0, 2], 'keepdims': 0}, ['x'], ['s']),
])
def test_reductions(attributes: dict[str, int | list[int]], inputs: list[str], shape: list[Dim]) -> None:
    node = Node('ReduceSum', '', '', inputs, ['y'])
    for name, value in attributes.items():
        node.attributes[name] = value
    constants = {'axes': ints([2], [1]), 'none': ints([], [0])}
    graph = Graph('g', [ValueInfo('x', 'float32', ['b', 's', 8])], [], [node], constants)
    assert shapes_of(graph, 18).shape('y') == shape


def test_data_types_come_from_an_input() -> None:
    """The first one, unless the operator takes it from elsewhere or nowhere."""
    nodes = [
        Node('Round', '', '', ['x'], ['rounded']), Node('Where', '', '', ['mask', 'x', 'x'], ['chosen']), Node('EyeLike', '', '', ['x'], ['eye']),
        Node('NonsenseOp', '', '', ['x'], ['unknown']), Node('ArgMax', '', '', ['x'], ['place']), Node('Concat', '', '', ['ids', 'ids'], ['twice']),
    ]
    inputs = [ValueInfo('x', 'float16', None), ValueInfo('mask', 'bool', None), ValueInfo('ids', 'int32', None)]
    table = shapes_of(Graph('g', inputs, [], nodes, {}, {'': 17}), 17)
    names = ['rounded', 'chosen', 'eye', 'unknown', 'place', 'twice']
    assert [table.dtype(name) for name in names] == ['float16', 'float16', '', '', 'int64', 'int32']
