"""A decoder's graph, changed so that it computes the logits of the last token only, and which token has the greatest.

Generation asks for nothing else, and the product with the vocabulary is the largest of all. The given graph is left as it is.
"""

from __future__ import annotations

from edgeflow.ir.graph import Attribute, Graph, Node, ValueInfo

TOKEN = '#token'
PRODUCTS: list[str] = ['MatMul', 'edgeflow:MatMul', 'edgeflow:QMatMul', 'MatMulInteger', 'com.microsoft:MatMulNBits', 'com.microsoft:MatMulBnb4']
ELEMENTWISE: list[str] = ['Cast', 'Identity', 'Mul', 'Div', 'Add', 'Tanh', 'com.microsoft:Gelu']


def last_logits(graph: Graph, output: str) -> Graph:
    """A graph with the outputs `output`, float32 [batch, 1, vocabulary], and TOKEN, int64 [batch, 1]."""
    nodes = _with_last_row(graph, output)
    if nodes is None:
        # The product was not found: the rows before the last are computed, but nobody has to look at them.
        nodes = [_renamed_output(node, output, output + '#all') for node in graph.nodes]
        nodes.append(Node('LastRow', 'edgeflow', output, [output + '#all'], [output]))
    nodes.append(Node('ArgMax', '', TOKEN, [output], [TOKEN], {'axis': -1, 'keepdims': 0}))
    outputs = [ValueInfo(output, 'float32', None), ValueInfo(TOKEN, 'int64', None)]
    return Graph(graph.name, graph.inputs, outputs, nodes, graph.initializers, graph.opsets)


def _renamed_output(node: Node, name: str, new_name: str) -> Node:
    if name not in node.outputs:
        return node
    return Node(node.op, node.domain, node.name, node.inputs, [new_name if x == name else x for x in node.outputs], node.attributes)


def _with_last_row(graph: Graph, output: str) -> list[Node] | None:
    """The nodes of the graph, with LastRow before the product that makes `output`; None if there is no such product."""
    name = output
    while True:
        at = -1
        for i in range(len(graph.nodes)):
            if name in graph.nodes[i].outputs:
                at = i
        if at < 0:
            return None
        node = graph.nodes[at]
        if node.key() == 'If':
            branches = _branches(node, name)
            if branches is None:
                return None
            nodes = list(graph.nodes)
            nodes[at] = Node(node.op, node.domain, node.name, node.inputs, node.outputs, branches)
            return nodes
        # In between, only what works on each row by itself, and on nothing else that has rows.
        if node.key() in PRODUCTS and _read_with_constants(graph, node, 1):
            row = name + '#row'
            nodes = list(graph.nodes)
            nodes[at] = Node(node.op, node.domain, node.name, [row] + node.inputs[1:], node.outputs, node.attributes)
            nodes.insert(at, Node('LastRow', 'edgeflow', node.name, [node.inputs[0]], [row]))
            return nodes
        if node.key() not in ELEMENTWISE:
            return None
        first = 1 if node.inputs[0] in graph.initializers else 0
        if len(node.inputs) > 1 and node.inputs[1 - first] not in graph.initializers:
            return None
        name = node.inputs[first]


def _read_with_constants(graph: Graph, node: Node, first: int) -> bool:
    """Whether a node's inputs from `first` on come from no node of this graph."""
    made: set[str] = set()
    for other in graph.nodes:
        made.update(other.outputs)
    for name in node.inputs[first:]:
        if name != '' and name in made:
            return False
    return True


def _branches(node: Node, name: str) -> dict[str, Attribute] | None:
    """The attributes of an If, both branches changed."""
    attributes: dict[str, Attribute] = {}
    for key in node.attributes:
        branch = node.attributes[key]
        if isinstance(branch, Graph):
            nodes = _with_last_row(branch, branch.outputs[node.outputs.index(name)].name)
            if nodes is None:
                return None
            attributes[key] = Graph(branch.name, branch.inputs, branch.outputs, nodes, branch.initializers, branch.opsets)
        else:
            attributes[key] = branch
    return attributes
