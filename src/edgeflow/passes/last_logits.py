"""A decoder's graph, changed so that it computes the logits of the last token only, and which token has the greatest.

Generation asks for nothing else, and the product with the vocabulary is the largest of all. The given graph is left as it is.
"""

from __future__ import annotations

from edgeflow.ir.graph import Attribute, Graph, Node, ValueInfo

LOGITS = '#logits'
TOKEN = '#token'
# A token that was drawn, where a backend can (backends/webgpu/drawing.py).
DRAWN = '#drawn'
PRODUCTS: list[str] = ['MatMul', 'edgeflow:MatMul', 'edgeflow:QMatMul', 'MatMulInteger', 'com.microsoft:MatMulNBits', 'com.microsoft:MatMulBnb4']
ELEMENTWISE: list[str] = ['Cast', 'Identity', 'Mul', 'Div', 'Add', 'Tanh', 'com.microsoft:Gelu']


def last_logits(graph: Graph, output: str) -> Graph:
    """A graph with the outputs LOGITS, float32 [batch, 1, vocabulary], and TOKEN, int64 [batch, 1]."""
    given = [info.name for info in graph.inputs]
    nodes = _with_last_row(graph, output, given)
    if nodes is None:
        # The product was not found: the rows before the last are computed, but nobody has to look at them.
        nodes = list(graph.nodes)
    nodes.append(Node('LastRow', 'edgeflow', LOGITS, [output], [LOGITS]))
    nodes.append(Node('ArgMax', '', TOKEN, [LOGITS], [TOKEN], {'axis': -1, 'keepdims': 0}))
    outputs = [ValueInfo(LOGITS, 'float32', None), ValueInfo(TOKEN, 'int64', None)]
    return Graph(graph.name, graph.inputs, outputs, nodes, graph.initializers, graph.opsets)


def _with_last_row(graph: Graph, output: str, given: list[str]) -> list[Node] | None:
    """The nodes of the graph, with LastRow before the product that makes `output`; None if there is no such product.

    given: the model's inputs.
    """
    name = output
    moving: set[str] = set(given)
    for node in graph.nodes:
        moving.update(node.outputs)
    while True:
        at = -1
        for i in range(len(graph.nodes)):
            if name in graph.nodes[i].outputs:
                at = i
        if at < 0:
            return None
        node = graph.nodes[at]
        if node.key() == 'If':
            branches = _branches(node, name, given)
            if branches is None:
                return None
            nodes = list(graph.nodes)
            nodes[at] = Node(node.op, node.domain, node.name, node.inputs, node.outputs, branches)
            return nodes
        # In between, only what works on each row by itself, and on nothing else that has rows.
        if node.key() in PRODUCTS and _are_constants(node.inputs[1:], moving):
            row = name + '#row'
            nodes = list(graph.nodes)
            nodes[at] = Node(node.op, node.domain, node.name, [row] + node.inputs[1:], node.outputs, node.attributes)
            nodes.insert(at, Node('LastRow', 'edgeflow', node.name, [node.inputs[0]], [row]))
            return nodes
        if node.key() not in ELEMENTWISE:
            return None
        first = 0 if node.inputs[0] in moving else 1
        if first >= len(node.inputs) or not _are_constants([x for x in node.inputs if x != node.inputs[first]], moving):
            return None
        name = node.inputs[first]


def _are_constants(names: list[str], moving: set[str]) -> bool:
    """Whether all these are left out, or initializers of this graph or one around it."""
    for name in names:
        if name != '' and name in moving:
            return False
    return True


def _branches(node: Node, name: str, given: list[str]) -> dict[str, Attribute] | None:
    """The attributes of an If, both branches changed."""
    attributes: dict[str, Attribute] = {}
    for key in node.attributes:
        branch = node.attributes[key]
        if isinstance(branch, Graph):
            nodes = _with_last_row(branch, branch.outputs[node.outputs.index(name)].name, given)
            if nodes is None:
                return None
            attributes[key] = Graph(branch.name, branch.inputs, branch.outputs, nodes, branch.initializers, branch.opsets)
        else:
            attributes[key] = branch
    return attributes
