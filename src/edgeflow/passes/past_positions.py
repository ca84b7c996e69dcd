"""A decoder's graph for a cache with room for more tokens than the past has: what counts positions from the length of the past, as
Range(past, past + new) for a table of positions, is given them as an input instead.

Masks may go on counting from that length: attention over a cache knows how to read them. The states of an encoder are not read any
more: their keys and values are part of the past. The given graph is left as it is.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.ir.graph import Attribute, Graph, Node, ValueInfo
from edgeflow.ir.order import read_names
from edgeflow.passes.fuse_cached_attention import counts_from_past
from edgeflow.passes.match import GraphIndex, input_at

POSITIONS = '#positions'
STATES = 'encoder_hidden_states'
# What only gives positions another shape.
WAY: list[str] = ['Cast', 'Expand', 'Identity', 'Reshape', 'Squeeze', 'Tile', 'Unsqueeze']


def past_positions(graph: Graph) -> Graph:
    """The graph with the input POSITIONS, int64 [batch, tokens].

    EdgeflowError 'unsupported-op' if a result depends on the past's length, or on STATES, in another way than through attention.
    """
    lengthy: set[str] = set([info.name for info in graph.inputs if info.name.startswith('past') or info.name == STATES])
    nodes = _with_input(graph, lengthy)
    for info in graph.outputs:
        if info.name in lengthy:
            raise EdgeflowError('unsupported-op', f"'{info.name}' depends on the past's length, so the past cannot lie in a session's cache", {})
    return Graph(graph.name, graph.inputs + [ValueInfo(POSITIONS, 'int64', None)], graph.outputs, nodes, graph.initializers, graph.opsets)


def _with_input(graph: Graph, lengthy: set[str]) -> list[Node]:
    """The nodes of the graph. lengthy: values whose shapes or elements follow the length of the past; grows."""
    index = GraphIndex(graph)
    # The beginnings of tables: as long as the past says, but what is looked up in them is the same.
    tables: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        made = node
        read = read_names(node)
        if node.key() == 'Gather' and index.producer(node.inputs[0]) is None and _are_positions(index, node.inputs[1]) and _is_added(index, node.outputs[0]):
            made = Node(node.op, node.domain, node.name, [node.inputs[0], POSITIONS], node.outputs, node.attributes)
            read = []
        elif node.key() == 'edgeflow:CachedAttention' or node.key() == 'com.microsoft:GroupQueryAttention':
            # New keys and values, unless they are those of the past.
            read = [name for name in node.inputs[:3] if name not in node.inputs[3:5]]
        elif node.key() == 'If':
            branches: dict[str, Attribute] = dict(node.attributes)
            for key in node.attributes:
                branch = node.attributes[key]
                # Of two that an input chooses from, the first is the one with a past.
                if isinstance(branch, Graph) and (key == 'then_branch' or index.producer(node.inputs[0]) is not None):
                    inner: set[str] = set(lengthy)
                    branches[key] = Graph(branch.name, branch.inputs, branch.outputs, _with_input(branch, inner), branch.initializers, branch.opsets)
                    for i in range(len(node.outputs)):
                        if branch.outputs[i].name in inner:
                            lengthy.add(node.outputs[i])
            made = Node(node.op, node.domain, node.name, node.inputs, node.outputs, branches)
            read = []
        elif node.key() == 'Shape' and node.inputs[0] == 'attention_mask':
            lengthy.add(node.outputs[0])
        elif node.key() == 'Slice' and input_at(node, 1) not in lengthy and node.inputs[0] not in lengthy:
            if node.inputs[0] in tables or input_at(node, 2) in lengthy:
                tables.update(node.outputs)
            read = []
        elif node.key() in WAY and node.inputs[0] in tables:
            tables.update(node.outputs)
            read = []
        elif node.key() == 'Gather' and node.inputs[0] in tables:
            read = node.inputs[1:]
        for name in read:
            if name in lengthy or name in tables:
                lengthy.update(node.outputs)
        nodes.append(made)
    return nodes


def _are_positions(index: GraphIndex, name: str) -> bool:
    """Whether a value is Range(past, past + new), in whatever shape."""
    node = index.producer(name)
    while node is not None and node.key() in WAY:
        node = index.producer(node.inputs[0])
    if node is None or node.key() != 'Range' or not counts_from_past(index, node):
        return False
    end = index.made_by(node.inputs[1], 'Add')
    return end is not None and node.inputs[0] in end.inputs


def _is_added(index: GraphIndex, name: str) -> bool:
    """Whether a value is only added to others, so that it may have a batch."""
    for reader in index.readers(name):
        if reader.key() in ['Cast', 'DequantizeLinear'] and _is_added(index, reader.outputs[0]):
            continue
        if reader.key() not in ['Add', 'edgeflow:SkipLayerNorm']:
            return False
    return name not in index.outputs
