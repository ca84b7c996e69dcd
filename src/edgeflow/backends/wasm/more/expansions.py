"""Operators that are replaced by nodes of ai.onnx before planning, so that passes and all devices know them: what onnxruntime's
optimizer fused, com.microsoft's quantizers, and FlexAttention, which has graphs of its own as attributes."""

from __future__ import annotations

from edgeflow.host.platform import array_bytes, array_of
from edgeflow.ir.attributes import int_of, number_of, text_of
from edgeflow.ir.graph import Attribute, Graph, Node, TensorData
from edgeflow.ir.order import captured_names
from edgeflow.ir.renaming import new_name, renamed
from edgeflow.passes.rename import all_graphs


LETTERS = ['alpha', 'beta']


class _Expansion:
    """The nodes that stand for one, and the names they make."""

    def __init__(self, graph: Graph, node: Node) -> None:
        self.graph: Graph = graph
        self.prefix: str = node.outputs[0] + '#'
        self.nodes: list[Node] = []

    def put(self, op: str, inputs: list[str], attributes: dict[str, Attribute] | None = None) -> str:
        """A node; the name of its output."""
        name = f'{self.prefix}{len(self.nodes)}'
        self.nodes.append(Node(op, '', '', inputs, [name], attributes if attributes is not None else {}))
        return name

    def ints(self, values: list[int]) -> str:
        """A constant list."""
        name = self.prefix + 'i' + ','.join([str(x) for x in values])
        self.graph.initializers[name] = TensorData('int64', [len(values)], array_bytes(array_of('int64', values)))
        return name

    def real(self, x: float, like: str) -> str:
        """A constant scalar of the type of a value."""
        name = f'{self.prefix}r{len(self.nodes)}'
        self.graph.initializers[name] = TensorData('float32', [], array_bytes(array_of('float32', [x])))
        return self.put('CastLike', [name, like])

    def call(self, body: Attribute | None, given: str) -> str:
        """The result of a graph of one input; `given` itself if there is no graph."""
        if not isinstance(body, Graph):
            return given
        prefix = f'{self.prefix}{len(self.nodes)}/'
        names: dict[str, str] = {'': ''}
        for name in captured_names(body):
            names[name] = name
        names[body.inputs[0].name] = given
        for name, tensor in body.initializers.items():
            self.graph.initializers[new_name(name, names, prefix)] = tensor
        for inner in body.nodes:
            self.nodes.append(renamed(inner, names, prefix))
        return new_name(body.outputs[0].name, names, prefix)


def expand(graph: Graph) -> None:
    """Replace such nodes of the graph and its subgraphs."""
    for part in all_graphs(graph):
        nodes: list[Node] = []
        for node in part.nodes:
            key = node.key()
            if key == 'ai.onnx.preview:FlexAttention':
                nodes.extend(_flex_attention(part, node))
            elif key == 'com.microsoft:FusedConv' or key == 'com.microsoft:FusedGemm':
                nodes.extend(_fused(part, node))
            else:
                if key == 'com.microsoft:QuantizeLinear' or key == 'com.microsoft:DequantizeLinear':
                    node.domain = ''
                nodes.append(node)
        part.nodes = nodes


def _fused(graph: Graph, node: Node) -> list[Node]:
    """FusedConv, FusedGemm: Conv or Gemm, then what is added to a convolution, then an activation with up to two numbers."""
    e = _Expansion(graph, node)
    value = e.put(node.op[5:], node.inputs[:3], {name: of for name, of in node.attributes.items() if name[:10] != 'activation'})
    if len(node.inputs) > 3 and node.inputs[3] != '':
        value = e.put('Add', [value, node.inputs[3]])
    numbers = node.attributes.get('activation_params', [node.attributes.get('activation_' + name) for name in LETTERS])
    inputs = [value]
    attributes: dict[str, Attribute] = {}
    op = text_of(node, 'activation', 'Identity')
    for i in range(2):
        number = numbers[i] if isinstance(numbers, list) and i < len(numbers) else None
        if isinstance(number, (int, float)):
            if op == 'Clip':
                inputs.append(e.real(number, value))
            else:
                attributes[LETTERS[i]] = number
    e.nodes.append(Node(op, '', node.name, inputs, [node.outputs[0]], attributes))
    return e.nodes


def _flex_attention(graph: Graph, node: Node) -> list[Node]:
    """softmax(score_mod(scale * Q K^T)), then prob_mod of it, times V, where each head of K and V serves as many of Q as there are to one."""
    e = _Expansion(graph, node)
    q = node.inputs[0]
    shape = e.put('Shape', [q])
    keys: list[str] = []
    for name in node.inputs[1:3]:
        own = e.put('Shape', [name])
        heads = e.put('Shape', [name], {'start': 1, 'end': 2})
        times = e.put('Div', [e.put('Shape', [q], {'start': 1, 'end': 2}), heads])
        rows = e.put('Shape', [name], {'start': 2})
        wide = e.put('Concat', [e.put('Shape', [name], {'end': 2}), times, rows], {'axis': 0})
        repeated = e.put('Expand', [e.put('Unsqueeze', [name, e.ints([2])]), wide])
        full = e.put('Concat', [e.put('Slice', [shape, e.ints([0]), e.ints([2])]), e.put('Slice', [own, e.ints([2]), e.ints([4])])], {'axis': 0})
        keys.append(e.put('Reshape', [repeated, full]))
    if 'scale' in node.attributes:
        scale = e.real(number_of(node, 'scale', 1.0), q)
    else:
        width = e.put('CastLike', [e.put('Slice', [shape, e.ints([3]), e.ints([4])]), q])
        scale = e.put('Reciprocal', [e.put('Sqrt', [width])])
    scores = e.put('Mul', [e.put('MatMul', [q, e.put('Transpose', [keys[0]], {'perm': [0, 1, 3, 2]})]), scale])
    precision = int_of(node, 'softmax_precision')
    values = keys[1]
    if precision != 0:
        scores = e.put('Cast', [scores], {'to': precision})
        values = e.put('Cast', [values], {'to': precision})
    weights = e.call(node.attributes.get('prob_mod'), e.put('Softmax', [e.call(node.attributes.get('score_mod'), scores)], {'axis': -1}))
    product = e.put('MatMul', [weights, values])
    e.nodes.append(Node('CastLike', '', node.name, [product, node.inputs[2]], [node.outputs[0]]))
    return e.nodes
