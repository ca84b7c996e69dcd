from __future__ import annotations

from edgeflow.backends.wasm.pages import PastInput, find_pasts
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData, ValueInfo
from edgeflow.ir.verify import verify
from edgeflow.passes import absorb_transposes
from edgeflow.passes.inline_constant_if import deciding_inputs
from edgeflow.passes.last_logits import LOGITS, TOKEN, last_logits
from edgeflow.passes.past_positions import POSITIONS, past_positions
from edgeflow.passes.pipeline import run_passes
from edgeflow.runtime.loading import declared_inputs


def node(op: str, inputs: list[str], output: str) -> Node:
    return Node(op, '', output, inputs, [output])


def floats(values: list[float], shape: list[int]) -> TensorData:
    return TensorData('float32', shape, array_bytes(array_of('float32', values)))


def ints(values: list[int], shape: list[int]) -> TensorData:
    return TensorData('int64', shape, array_bytes(array_of('int64', values)))


def keys(graph: Graph) -> list[str]:
    return [made.key() for made in graph.nodes]


CONSTANTS: dict[str, TensorData] = {
    'scale': floats([0.5], []), 'zero': floats([0.0], []), 'two': ints([2], [1]), 'wide': ints([1, 2, 3, 7, 4], [5]), 'flat': ints([1, 6, 7, 4], [4]),
}


def repeated(source: str, prefix: str) -> list[Node]:
    """Each head three times."""
    return [node('Unsqueeze', [source, 'two'], prefix + '_u'), node('Expand', [prefix + '_u', 'wide'], prefix + '_e'),
            node('Reshape', [prefix + '_e', 'flat'], prefix + '_r')]


def attention(repeat: bool, guard: bool) -> Graph:
    nodes: list[Node] = [
        Node('Concat', '', 'pk', ['past_k', 'k'], ['present_k'], {'axis': 2}), Node('Concat', '', 'pv', ['past_v', 'v'], ['present_v'], {'axis': -2}),
    ]
    keys_of = 'present_k'
    values_of = 'present_v'
    if repeat:
        nodes.extend(repeated('present_k', 'k'))
        nodes.extend(repeated('present_v', 'v'))
        keys_of = 'k_r'
        values_of = 'v_r'
    nodes.extend([
        Node('Transpose', '', 't', [keys_of], ['kt'], {'perm': [0, 1, 3, 2]}), node('Mul', ['q', 'scale'], 'qs'), node('Mul', ['kt', 'scale'], 'ks'),
        node('MatMul', ['qs', 'ks'], 'scores'), node('Add', ['scores', 'mask'], 'masked'), Node('Softmax', '', 's', ['masked'], ['p'], {'axis': -1}),
    ])
    probabilities = 'p'
    if guard:
        nodes.extend([node('IsNaN', ['p'], 'nan'), node('Where', ['nan', 'zero', 'p'], 'guarded')])
        probabilities = 'guarded'
    nodes.append(node('MatMul', [probabilities, values_of], 'y'))
    past: list[int | str] = ['b', 2, 'p', 4]
    new: list[int | str] = ['b', 2, 's', 4]
    inputs = [ValueInfo('q', 'float32', ['b', 6, 's', 4]), ValueInfo('k', 'float32', new), ValueInfo('v', 'float32', new),
              ValueInfo('past_k', 'float32', past), ValueInfo('past_v', 'float32', past), ValueInfo('mask', 'float32', ['b', 1, 's', 't'])]
    outputs = [ValueInfo(name, 'float32', None) for name in ['y', 'present_k', 'present_v']]
    return Graph('main', inputs, outputs, nodes, dict(CONSTANTS), {'': 17})


def fused(graph: Graph) -> Node:
    """The one fused node after all passes."""
    run_passes(graph, lambda name: verify(graph))
    found = [made for made in graph.nodes if made.key() == 'edgeflow:CachedAttention']
    assert len(found) == 1
    return found[0]


def test_attention_over_past_and_new_keys_becomes_one_node() -> None:
    for repeat in [False, True]:
        for guard in [False, True]:
            graph = attention(repeat, guard)
            made = fused(graph)
            assert made.inputs == ['q', 'k', 'v', 'past_k', 'past_v', 'mask', 'present_k', 'present_v']
            assert made.attributes == {'scale': 0.25, 'guard': 1 if guard else 0}
            assert keys(graph) == ['Concat', 'Concat', 'edgeflow:CachedAttention']


def test_keys_and_values_that_are_not_alike_stay_as_they_are() -> None:
    graph = attention(True, False)
    graph.nodes[len(graph.nodes) - 1].inputs[1] = 'present_v'
    run_passes(graph)
    assert 'edgeflow:CachedAttention' not in keys(graph)


def test_a_past_that_the_graph_itself_makes_is_no_past() -> None:
    graph = attention(False, False)
    graph.nodes.insert(0, node('Neg', ['past_k'], 'negative'))
    graph.nodes[1].inputs[0] = 'negative'
    run_passes(graph)
    assert 'edgeflow:CachedAttention' not in keys(graph)


def test_the_past_inputs_of_attention_are_found() -> None:
    graph = attention(False, False)
    fused(graph)
    assert find_pasts(graph) == [PastInput('past_k', 2, 4, False), PastInput('past_v', 2, 4, True)]
    graph.inputs.append(ValueInfo('past_of_something', 'float32', ['b', 2, 'p', 4]))
    try:
        find_pasts(graph)
        assert False
    except EdgeflowError as error:
        assert error.code == 'unsupported-op'
        assert "'past_of_something'" in error.message


def biased(starts: str, query: str, last: bool) -> Graph:
    """Attention whose mask is a bias by distance and the rest. starts: where keys are counted from; query: where queries are."""
    graph = attention(False, False)
    bias: list[Node] = [
        node('Shape', ['past_k'], 'dims'), node('Gather', ['dims', 'axis'], 'past'), node('Shape', ['k'], 'new_dims'),
        node('Gather', ['new_dims', 'axis'], 'new'), node('Add', ['past', 'new'], 'end'), node('Range', [starts, 'end', 'one'], 'keys'),
        node('Range', [query, 'end', 'one'], 'queries'), node('Unsqueeze', ['keys', 'first'], 'across'), node('Unsqueeze', ['queries', 'second'], 'down'),
        node('Sub', ['across', 'down'], 'distance'), node('Min', ['distance', 'none'], 'before'), node('Neg', ['before'], 'bucket'),
        node('Gather', ['table', 'bucket'], 'looked'), Node('Transpose', '', 'lt', ['looked'], ['heads'], {'perm': [2, 0, 1]}),
        node('Unsqueeze', ['heads', 'first'], 'whole'),
    ]
    if last:
        bias.extend([node('Neg', ['new'], 'minus'), node('Unsqueeze', ['minus', 'first'], 'from'), node('Slice', ['whole', 'from', 'most', 'two'], 'bias')])
    else:
        bias.append(node('Identity', ['whole'], 'bias'))
    bias.append(node('Add', ['bias', 'mask'], 'sum'))
    graph.nodes = bias + graph.nodes
    for made in graph.nodes:
        if made.outputs == ['masked']:
            made.inputs[1] = 'sum'
    graph.initializers.update({
        'axis': ints([2], []), 'none': ints([0], []), 'one': ints([1], []), 'first': ints([0], [1]), 'second': ints([1], [1]),
        'most': ints([9999], [1]), 'table': floats([0.0] * 48, [8, 6]),
    })
    return graph


def test_a_bias_by_distance_comes_apart_from_the_rest_of_the_mask() -> None:
    assert fused(biased('none', 'past', False)).inputs[8:] == ['whole', 'mask']
    # Queries counted from 0, of which the last ones are taken.
    assert fused(biased('none', 'none', True)).inputs[8:] == ['bias', 'mask']
    # Where they are not, or both are counted from the past, it is no distance from a query behind the past.
    assert len(fused(biased('none', 'none', False)).inputs) == 8
    assert len(fused(biased('past', 'past', False)).inputs) == 8


def test_attention_to_a_past_that_nothing_is_added_to() -> None:
    graph = attention(False, False)
    graph.nodes = [made for made in graph.nodes if made.op != 'Concat']
    for made in graph.nodes:
        made.inputs = [name.replace('present', 'past') for name in made.inputs]
    graph.outputs = graph.outputs[:1]
    made = fused(graph)
    assert made.inputs == ['q', 'past_k', 'past_v', 'past_k', 'past_v', 'mask', 'past_k', 'past_v']
    assert find_pasts(graph) == [PastInput('past_k', 2, 4, False, True), PastInput('past_v', 2, 4, True, True)]


def flat_heads(op: Node) -> Graph:
    """Attention by the operator that takes keys and values flat: heads are repeated, then laid side by side."""
    graph = attention(True, False)
    nodes: list[Node] = [made for made in graph.nodes if made.op in ['Concat', 'Unsqueeze', 'Expand', 'Reshape']]
    for name in ['k', 'v']:
        nodes.append(Node('Transpose', '', '', [name + '_r'], [name + '_t'], {'perm': [0, 2, 1, 3]}))
        nodes.append(node('Reshape', [name + '_t', 'side'], name + '_flat'))
    graph.nodes = [*nodes, op]
    graph.inputs[0] = ValueInfo('q', 'float32', ['b', 's', 24])
    graph.initializers['side'] = ints([0, 0, 24], [3])
    return graph


def test_multi_head_attention_over_past_and_new_keys_becomes_one_node() -> None:
    attributes: dict[str, Attribute] = {'num_heads': 6, 'scale': 0.5}
    graph = flat_heads(Node('MultiHeadAttention', 'com.microsoft', 'm', ['q', 'k_flat', 'v_flat', '', '', 'mask'], ['y'], attributes))
    made = fused(graph)
    assert made.inputs[1:] == ['k', 'v', 'past_k', 'past_v', 'mask', 'present_k', 'present_v']
    assert made.attributes == {'scale': 0.5, 'guard': 0}
    assert keys(graph) == ['Concat', 'Concat', 'Reshape', 'Transpose', 'edgeflow:CachedAttention', 'Transpose', 'Reshape']
    # With a bias of its own on the queries it is another operator.
    other = flat_heads(Node('MultiHeadAttention', 'com.microsoft', 'm', ['q', 'k_flat', 'v_flat', 'side', '', 'mask'], ['y'], attributes))
    run_passes(other)
    assert 'edgeflow:CachedAttention' not in keys(other)


def counted(last: list[Node]) -> Graph:
    nodes: list[Node] = [
        node('Shape', ['past_k'], 'dims'), node('Gather', ['dims', 'axis'], 'past'), node('Add', ['past', 'axis'], 'end'),
        node('Range', ['past', 'end', 'axis'], 'places'), node('Unsqueeze', ['places', 'axis'], 'row'),
    ]
    inputs = [ValueInfo('x', 'float32', ['b', 's', 4]), ValueInfo('past_k', 'float32', ['b', 2, 'p', 4]), ValueInfo('encoder_hidden_states', 'float32', None)]
    constants = {'axis': ints([2], []), 'table': floats([0.0] * 8, [2, 4])}
    return Graph('main', inputs, [ValueInfo('y', 'float32', None)], nodes + last, constants, {'': 17})


def test_positions_counted_from_the_past_become_an_input() -> None:
    graph = counted([node('Gather', ['table', 'row'], 'e'), node('Cast', ['e'], 'c'), node('Add', ['x', 'c'], 'y')])
    changed = past_positions(graph)
    assert changed.nodes[5].inputs == ['table', POSITIONS]
    assert changed.inputs[3].name == POSITIONS
    assert graph.nodes[5].inputs == ['table', 'row']


def test_what_is_looked_up_in_the_beginning_of_a_table_does_not_depend_on_its_length() -> None:
    # Slice(table, 0, end), reshaped, and the rows that an input asks for.
    looked: list[Node] = [
        node('Unsqueeze', ['end', 'axis'], 'ends'), node('Slice', ['table', 'axis', 'ends'], 'begun'), node('Slice', ['begun', 'axis', 'axis'], 'less'),
        node('Squeeze', ['less'], 'rows'), node('Gather', ['rows', 'x'], 'e'), node('Mul', ['x', 'e'], 'y'),
    ]
    assert keys(past_positions(counted(looked)))[-1] == 'Mul'
    # But the beginning itself does, and so does what begins at the end.
    for at in range(2):
        wrong = [*looked[:4], node('Add', ['x', 'rows'], 'y')]
        if at == 1:
            wrong = [looked[0], node('Slice', ['table', 'ends', 'axis'], 'rows'), looked[4], looked[5]]
        try:
            past_positions(counted(wrong))
            assert False
        except EdgeflowError as error:
            assert error.code == 'unsupported-op'


def test_what_else_depends_on_the_past_s_length_is_refused() -> None:
    # Positions that are not only added; a length as a number; states that the cache has instead.
    refused: list[list[Node]] = [
        [node('Gather', ['table', 'row'], 'e'), node('Mul', ['x', 'e'], 'y')], [node('Cast', ['past'], 'n'), node('Mul', ['x', 'n'], 'y')],
        [node('Add', ['x', 'encoder_hidden_states'], 'y')],
    ]
    for last in refused:
        try:
            past_positions(counted(last))
            assert False
        except EdgeflowError as error:
            assert error.code == 'unsupported-op'


def rms_norm(with_reciprocal: bool) -> Graph:
    mean = Node('ReduceMean', '', '', ['p'], ['m'], {'axes': [-1], 'keepdims': 1})
    nodes: list[Node] = [node('Pow', ['x', 'two'], 'p'), mean, node('Add', ['m', 'eps'], 'e'), node('Sqrt', ['e'], 'q')]
    if with_reciprocal:
        nodes.extend([node('Div', ['one', 'q'], 'f'), node('Mul', ['x', 'f'], 'n')])
    else:
        nodes.append(node('Div', ['x', 'q'], 'n'))
    nodes.append(node('Mul', ['g', 'n'], 'y'))
    constants = {'two': floats([2.0], []), 'one': floats([1.0], []), 'eps': floats([0.5], []), 'g': floats([1.0, 2.0, 3.0], [3])}
    return Graph('main', [ValueInfo('x', 'float32', ['b', 3])], [ValueInfo('y', 'float32', None)], nodes, constants, {'': 17})


def test_rms_norm() -> None:
    for with_reciprocal in [False, True]:
        graph = rms_norm(with_reciprocal)
        run_passes(graph, lambda name: verify(graph))
        assert keys(graph) == ['SimplifiedLayerNormalization']
        assert graph.nodes[0].inputs == ['x', 'g']
        assert graph.nodes[0].attributes == {'axis': -1, 'epsilon': 0.5}


def head(last: list[Node]) -> Graph:
    inputs = [ValueInfo('x', 'float32', ['b', 's', 4]), ValueInfo('other', 'float32', ['b', 's', 8])]
    constants = {'w': floats([0.0] * 32, [4, 8]), 'c': floats([30.0], []), 'bias': floats([0.0] * 8, [8])}
    return Graph('main', inputs, [ValueInfo('logits', 'float16', None)], last, constants, {'': 17})


def test_the_last_row_is_taken_before_the_product_with_the_vocabulary() -> None:
    graph = head([node('Neg', ['x'], 'h'), node('MatMul', ['h', 'w'], 'm'), node('Add', ['bias', 'm'], 'a'), node('Div', ['a', 'c'], 'd'),
                  node('Tanh', ['d'], 'logits')])
    short = last_logits(graph, 'logits')
    assert keys(short) == ['Neg', 'edgeflow:LastRow', 'MatMul', 'Add', 'Div', 'Tanh', 'edgeflow:LastRow', 'ArgMax']
    assert short.nodes[2].inputs == ['m#row', 'w']
    assert [info.name for info in short.outputs] == [LOGITS, TOKEN]
    assert short.outputs[0].dtype == 'float32'
    assert len(graph.nodes) == 5
    assert graph.nodes[1].inputs == ['h', 'w']


def test_where_rows_meet_the_last_is_taken_at_the_end() -> None:
    graph = head([node('MatMul', ['x', 'w'], 'm'), node('Add', ['m', 'other'], 'logits')])
    assert keys(last_logits(graph, 'logits')) == ['MatMul', 'Add', 'edgeflow:LastRow', 'ArgMax']


def test_inputs_that_decide_branches_loosen_the_symbols() -> None:
    branch = Graph('then', [], [ValueInfo('logits', 'float32', None)], [node('MatMul', ['x', 'w'], 'logits')], {}, {})
    other = Graph('else', [], [ValueInfo('l', 'float32', None)], [node('MatMul', ['x', 'w'], 'l')], {}, {})
    choice = Node('If', '', 'if', ['use_cache_branch'], ['logits'], {'then_branch': branch, 'else_branch': other})
    graph = head([choice])
    assert deciding_inputs(graph) == []
    assert declared_inputs(graph) == graph.inputs
    graph.inputs.append(ValueInfo('use_cache_branch', 'bool', [1]))
    assert deciding_inputs(graph) == ['use_cache_branch']
    assert [info.shape for info in declared_inputs(graph)] == [['b', '', 4], ['b', '', 8], [1]]
    short = last_logits(graph, 'logits')
    inner = short.nodes[0].attributes['then_branch']
    assert isinstance(inner, Graph)
    assert keys(inner) == ['edgeflow:LastRow', 'MatMul']


def test_a_transposed_constant_is_read_as_it_lies() -> None:
    turn = Node('Transpose', '', 't', ['table'], ['turned'], {'perm': [1, 0]})
    graph = head([turn, node('MatMul', ['x', 'turned'], 'logits')])
    graph.initializers['table'] = floats([0.0] * 32, [8, 4])
    assert absorb_transposes.run(graph)
    assert graph.nodes[1] == Node('MatMul', 'edgeflow', 'logits', ['x', 'table'], ['logits'], {'trans_b': 1})
    other = head([turn, node('MatMul', ['x', 'turned'], 'logits'), node('Neg', ['turned'], 'n')])
    other.initializers['table'] = floats([0.0] * 32, [8, 4])
    assert not absorb_transposes.run(other)
