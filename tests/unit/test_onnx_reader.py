from __future__ import annotations

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import bytes_of, utf8_encode
from edgeflow.host.port import Bytes
from edgeflow.ir.elements import elements
from edgeflow.ir.printer import print_graph
from edgeflow.onnx.reader import external_files, read_head, read_model
from edgeflow.onnx.skeleton import varint


def listed(data: Bytes) -> list[int]:
    return [data[i] for i in range(len(data))]


def text(number: int, value: str) -> list[int]:
    return part(number, listed(utf8_encode(value)))


def part(number: int, content: list[int]) -> list[int]:
    """A length-delimited field."""
    return [number * 8 + 2] + varint(len(content)) + content


def tensor(name: str, dtype: int, dims: list[int], raw: list[int]) -> list[int]:
    fields: list[int] = [16, dtype] + text(8, name) + part(9, raw)
    for dim in dims:
        fields = fields + [8, dim]
    return fields


def info(number: int, name: str) -> list[int]:
    kind = [8, 1] + part(2, part(1, text(2, 'n')) + part(1, [8, 3]) + part(1, []))
    return part(number, text(1, name) + part(2, part(1, kind)))


def node(op: str, inputs: list[str], outputs: list[str], attributes: list[int]) -> list[int]:
    fields: list[int] = []
    for name in inputs:
        fields = fields + text(1, name)
    for name in outputs:
        fields = fields + text(2, name)
    return part(1, fields + text(4, op) + attributes)


def model(graph: list[int]) -> Bytes:
    return bytes_of([8, 9] + text(2, 'test') + part(8, [16, 18]) + part(8, text(1, 'own') + [16, 2]) + part(7, graph))


def test_a_whole_graph() -> None:
    graph = text(2, 'main') + info(11, 'x') + info(12, 'y')
    graph = graph + part(5, tensor('w', 1, [1, 3], [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 0, 192]))
    graph = graph + node('Add', ['x', 'w'], ['h'], [])
    axes = part(5, text(1, 'axes') + [160, 1, 7] + [64, 1, 64] + [255, 255, 255, 255, 255, 255, 255, 255, 255, 1])
    alpha = part(5, text(1, 'alpha') + [160, 1, 1] + [21, 0, 0, 0, 63])
    mode = part(5, text(1, 'mode') + [160, 1, 3] + text(4, 'linear'))
    graph = graph + node('Odd', ['h', '', 'x'], ['y', ''], axes + alpha + mode)
    read = read_model(model(graph), None)
    assert [read.ir_version, read.producer] == [9, 'test']
    assert print_graph(read.graph) == '\n'.join([
        'graph main (onnx 18, own 2)',
        '  input x: float32[n, 3, ?]',
        '  constant w: float32[1, 3] (1, 2, -2)',
        '  h = Add(x, w)',
        "  y, _ = Odd(h, _, x) {alpha=0.5, axes=[1, -1], mode='linear'}",
        '  output y: float32[n, 3, ?]',
        '',
    ])


def test_inputs_with_initializers_are_constants() -> None:
    graph = info(11, 'x') + info(11, 'w') + info(12, 'y') + part(5, tensor('w', 2, [], [7])) + node('Add', ['x', 'w'], ['y'], [])
    read = read_model(model(graph), None).graph
    assert [value.name for value in read.inputs] == ['x']
    assert elements(read.initializers['w']) == [7]


def test_external_data() -> None:
    def entry(key: str, value: str) -> list[int]:
        return part(13, text(1, key) + text(2, value))

    where = [8, 2, 16, 2] + text(8, 'w') + entry('location', './folder/w.bin') + entry('offset', '1') + entry('length', '2') + [112, 1]
    data = model(info(12, 'w') + part(5, where))
    assert external_files(data) == ['folder/w.bin']
    asked: list[str] = []

    def give(name: str) -> Bytes:
        asked.append(name)
        return bytes_of([1, 2, 3, 4])

    assert elements(read_model(data, give).graph.initializers['w']) == [2, 3]
    assert asked == ['folder/w.bin']
    with pytest.raises(EdgeflowError) as error:
        read_model(data, None)
    assert error.value.code == 'file-missing'


@pytest.mark.parametrize('dtype, raw, values', [
    (2, [1, 255], [1, 255]), (3, [1, 255], [1, -1]), (5, [1, 0, 255, 255], [1, -1]), (4, [1, 0, 255, 255], [1, 65535]),
    (9, [0, 1], [0, 1]), (10, [0, 60, 0, 192], [1, -2]), (16, [128, 63, 0, 192], [1, -2]),
    (7, [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0], [-1, 4294967296]),
    (7, [255, 255, 255, 255, 255, 255, 255, 127, 0, 0, 0, 0, 0, 0, 0, 128], [9007199254740991, -9007199254740991]),
    (22, [241], [1, -1]), (21, [241], [1, 15]),
])
def test_elements(dtype: int, raw: list[int], values: list[float]) -> None:
    data = model(info(12, 't') + part(5, tensor('t', dtype, [2], raw)))
    assert elements(read_model(data, None).graph.initializers['t']) == values


def test_integers_as_varints() -> None:
    minus = [255, 255, 255, 255, 255, 255, 255, 255, 255, 1]
    small = [8, 2, 16, 3] + text(8, 'a') + part(5, [5] + minus)
    wide = [8, 2, 16, 7] + text(8, 'b') + part(7, [5] + minus)
    half = [8, 1, 16, 10] + text(8, 'c') + [40, 128, 120]
    graph = read_model(model(info(12, 'a') + part(5, small) + part(5, wide) + part(5, half)), None).graph
    assert listed(graph.initializers['a'].data) == [5, 255]
    assert listed(graph.initializers['b'].data) == [5, 0, 0, 0, 0, 0, 0, 0] + [255, 255, 255, 255, 255, 255, 255, 255]
    assert elements(graph.initializers['c']) == [1]


@pytest.mark.parametrize('change, message', [
    ([8, 4], 'expected 4 bytes, got 3'), ([8, 3, 8, 128, 128, 128, 128, 128, 128, 128, 128, 128, 1], 'negative'),
    ([8, 3, 16, 1], 'expected 12 bytes, got 3'), ([8, 3, 50, 1, 97], 'string data'), ([8, 3, 42, 1, 1], 'raw data and typed data'),
])
def test_tensors_that_contradict_themselves(change: list[int], message: str) -> None:
    broken = [16, 2] + text(8, 't') + part(9, [1, 2, 3]) + change
    with pytest.raises(EdgeflowError, match=message) as error:
        read_model(model(part(5, broken)), None)
    assert error.value.code == 'invalid-model'


def test_what_is_no_model() -> None:
    for content in ['<!DOCTYPE html>', '{"error": "Entry not found"}', 'version https://git-lfs.github.com/spec/v1']:
        with pytest.raises(EdgeflowError) as error:
            read_model(utf8_encode(content), None)
        assert error.value.code == 'invalid-model'
    with pytest.raises(EdgeflowError, match='no graph in 0 bytes'):
        read_model(bytes_of([]), None)
    with pytest.raises(EdgeflowError, match='IR version 0; expected 1 to'):
        read_model(bytes_of(part(7, [])), None)


def test_a_file_that_is_cut_off() -> None:
    graph = info(11, 'x') + info(12, 'y') + node('Relu', ['x'], ['y'], [])
    whole = bytes_of([8, 9] + text(2, 'test') + part(7, graph) + part(8, [16, 18]))
    assert len(read_model(whole, None).graph.nodes) == 1
    for size in range(len(whole)):
        with pytest.raises(EdgeflowError) as error:
            read_model(whole[:size], None)
        assert error.value.code == 'invalid-model'
    with pytest.raises(EdgeflowError, match='no opset in'):
        read_model(whole[:len(whole) - 4], None)


def test_nodes_are_read_before_the_rest_is_here() -> None:
    constant = part(5, text(1, 'value') + [160, 1, 4] + part(5, tensor('', 1, [1, 3], [0, 0, 128, 63, 0, 0, 0, 64, 0, 0, 0, 192])))
    nodes = node('Constant', [], ['w'], constant) + node('Add', ['x', 'w'], ['h'], []) + node('Neg', ['h'], ['y'], [])
    data = model(nodes + text(2, 'main') + info(11, 'x') + info(12, 'y'))
    expected = print_graph(read_model(data, None).graph)
    counts: set[int] = set()
    for end in range(len(data) + 1):
        head = read_head(data[:end])
        counts.add(len(head.nodes))
        assert print_graph(read_model(data, None, head).graph) == expected
    assert counts == {0, 1, 2, 3}


def test_a_beginning_that_is_none_is_left_to_who_reads_the_whole() -> None:
    far = part(5, text(1, 'value') + [160, 1, 4] + part(5, [16, 1, 112, 1] + part(13, text(1, 'location') + text(2, 'far'))))
    head = read_head(model(node('Neg', ['x'], ['h'], []) + node('Constant', [], ['w'], far)))
    assert [node.op for node in head.nodes] == ['Neg']
    for data in [[], [255, 255, 255], [56, 1], [0]]:
        assert len(read_head(bytes_of(data)).nodes) == 0


def test_the_beginning_tells_where_the_first_large_tensor_lies() -> None:
    large = [16, 1] + text(8, 'table') + part(9, [7 for _ in range(65536)])
    small = tensor('bias', 1, [1], [0, 0, 128, 63])
    graph = node('Add', ['x', 'bias'], ['h'], []) + node('Add', ['h', 'table'], ['y'], []) + text(2, 'main') + part(5, small) + part(5, large)
    data = model(graph + info(11, 'x') + info(12, 'y'))
    first = len(data) - 65536 - len(info(11, 'x') + info(12, 'y'))
    for end in range(first + 1):
        assert read_head(data[:end]).table == ([] if end < first else [first, first + 65536])
    assert read_head(model(node('Add', ['x', 'bias'], ['y'], []) + part(5, small) + info(11, 'x'))).table == []


def test_nodes_out_of_order_are_sorted() -> None:
    graph = info(11, 'x') + info(12, 'y') + node('Neg', ['b'], ['y'], []) + node('Abs', ['x'], ['a'], []) + node('Exp', ['a'], ['b'], [])
    assert [made.op for made in read_model(model(graph), None).graph.nodes] == ['Abs', 'Exp', 'Neg']


def test_a_cycle() -> None:
    graph = info(12, 'b') + node('Neg', ['b'], ['a'], []) + node('Abs', ['a'], ['b'], [])
    with pytest.raises(EdgeflowError, match='expected no cycle') as error:
        read_model(model(graph), None)
    assert error.value.code == 'invalid-graph'
