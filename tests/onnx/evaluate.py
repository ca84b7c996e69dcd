"""Runs an edgeflow Graph on onnxruntime: operators of domain 'edgeflow' are written out in ONNX operators.

What the fused operators mean is stated here a second time, by plain ONNX nodes, so that a pass can be checked without
the engine: outputs before and after must agree.
"""

from __future__ import annotations

from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper

from edgeflow.ir.dtype import DTYPE_CODES
from edgeflow.ir.graph import Graph, Node, TensorData, ValueInfo
from edgeflow.onnx.reader import Model, read_model
from edgeflow.passes.shape_rules import shapes_of

MODELS = Path(__file__).parents[1] / 'models'
FLOAT16 = 'float16'


def load(path: Path) -> Model:
    """Read a model of tests/models with its external data."""
    return read_model(memoryview(path.read_bytes()), lambda name: memoryview((path.parent / name).read_bytes()))


def tensor_proto(name: str, tensor: TensorData) -> TensorProto:
    if tensor.dtype == 'string':
        return helper.make_tensor(name, TensorProto.STRING, tensor.shape, [text.encode() for text in tensor.strings])
    return helper.make_tensor(name, DTYPE_CODES[tensor.dtype], tensor.shape, bytes(tensor.data), raw=True)


def value_info(info: ValueInfo) -> onnx.ValueInfoProto:
    if info.dtype == '':
        return onnx.ValueInfoProto(name=info.name)
    shape = None if info.shape is None else [None if dim == '' else dim for dim in info.shape]
    return helper.make_tensor_value_info(info.name, DTYPE_CODES[info.dtype], shape)


class Writer:
    """Writes one graph; `halves` are the values of type float16."""

    def __init__(self, graph: Graph, opset: int) -> None:
        self.graph = graph
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        table = shapes_of(graph, opset)
        self.halves = {name for name, dtype in table.dtypes.items() if dtype == FLOAT16}
        self.extra: list[TensorProto] = []
        self.count = 0

    def write(self) -> onnx.GraphProto:
        for node in self.graph.nodes:
            expand = EXPANSIONS.get(node.key())
            if expand is not None:
                expand(self, node)
            else:
                self.plain(node)
        constants = [tensor_proto(name, tensor) for name, tensor in self.graph.initializers.items()] + self.extra
        return helper.make_graph(
            self.nodes, self.graph.name or 'graph', [value_info(x) for x in self.graph.inputs],
            [value_info(x) for x in self.graph.outputs], constants,
        )

    def plain(self, node: Node) -> None:
        attributes = {}
        for name, value in node.attributes.items():
            if isinstance(value, Graph):
                attributes[name] = Writer(value, self.opset).write()
            elif isinstance(value, TensorData):
                attributes[name] = tensor_proto(name, value)
            else:
                attributes[name] = value
        domain = node.domain
        self.nodes.append(helper.make_node(node.op, node.inputs, node.outputs, domain=domain, **attributes))

    def new(self) -> str:
        self.count += 1
        return f'#{self.graph.outputs[0].name}#{self.count}'

    def op(self, op: str, *inputs: str, output: str | None = None, domain: str = '', **attributes: object) -> str:
        name = output if output is not None else self.new()
        self.nodes.append(helper.make_node(op, list(inputs), [name], domain=domain, **attributes))
        return name

    def number(self, value: float) -> str:
        name = self.new()
        self.extra.append(helper.make_tensor(name, TensorProto.FLOAT, [], [value]))
        return name

    def whole(self, value: int) -> str:
        name = self.new()
        self.extra.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
        return name

    def wide(self, name: str) -> str:
        """The value in float32."""
        return self.op('Cast', name, to=TensorProto.FLOAT)

    def finish(self, value: str, node: Node, index: int = 0) -> None:
        """Give `value` out as the node's output, in its type."""
        name = node.outputs[index]
        kind = TensorProto.FLOAT16 if name in self.halves else TensorProto.FLOAT
        self.op('Cast', value, output=name, to=kind)

    def activation(self, value: str, name: str) -> str:
        if name == '':
            return value
        if name == 'gelu':
            erf = self.op('Erf', self.op('Mul', value, self.number(2**-0.5)))
            return self.op('Mul', self.op('Mul', value, self.number(0.5)), self.op('Add', erf, self.number(1)))
        if name == 'gelu_tanh':
            cube = self.op('Mul', self.op('Mul', value, value), self.op('Mul', value, self.number(0.044715)))
            tanh = self.op('Tanh', self.op('Mul', self.op('Add', value, cube), self.number((2 / numpy.pi) ** 0.5)))
            return self.op('Mul', self.op('Mul', value, self.number(0.5)), self.op('Add', tanh, self.number(1)))
        if name == 'silu':
            return self.op('Mul', value, self.op('Sigmoid', value))
        return self.op({'relu': 'Relu', 'tanh': 'Tanh', 'sigmoid': 'Sigmoid'}[name], value)


def given(node: Node, index: int) -> str:
    return node.inputs[index] if index < len(node.inputs) else ''


def epilogue(w: Writer, node: Node, value: str, bias: int) -> None:
    if given(node, bias):
        value = w.op('Add', value, w.wide(node.inputs[bias]))
    value = w.activation(value, node.attributes.get('activation', ''))
    if given(node, bias + 1):
        value = w.op('Add', value, w.wide(node.inputs[bias + 1]))
    w.finish(value, node)


def conv(w: Writer, node: Node) -> None:
    attributes = {**node.attributes}
    name = attributes.pop('activation', '')
    if name == '':
        w.plain(node)
    else:
        w.finish(w.activation(w.wide(w.op('Conv', *node.inputs, **attributes)), name), node)


def matmul(w: Writer, node: Node) -> None:
    a, b = w.wide(node.inputs[0]), w.wide(node.inputs[1])
    if node.attributes.get('trans_a'):
        a = w.op('Transpose', a, perm=[1, 0])
    if node.attributes.get('trans_b'):
        b = w.op('Transpose', b, perm=[1, 0])
    value = w.op('MatMul', a, b)
    if node.attributes.get('alpha', 1) != 1:
        value = w.op('Mul', value, w.number(node.attributes['alpha']))
    epilogue(w, node, value, 2)


def qmatmul(w: Writer, node: Node) -> None:
    if given(node, 6):
        q, scale, zero = node.inputs[6:9]
    else:
        q, scale, zero = w.new(), w.new(), w.new()
        w.nodes.append(helper.make_node('DynamicQuantizeLinear', [w.wide(node.inputs[0])], [q, scale, zero]))
    inputs = [q, node.inputs[1], zero] + ([node.inputs[3]] if given(node, 3) else [])
    total = w.op('Cast', w.op('MatMulInteger', *inputs), to=TensorProto.FLOAT)
    epilogue(w, node, w.op('Mul', total, w.op('Mul', scale, node.inputs[2])), 4)


def sdpa(w: Writer, node: Node) -> None:
    q, k, v = (
        w.op('Transpose', w.wide(name), perm=node.attributes[perm])
        for name, perm in zip(node.inputs[:3], ('q_perm', 'k_perm', 'v_perm'), strict=True)
    )
    scores = w.op('MatMul', q, w.op('Transpose', k, perm=[0, 1, 3, 2]))
    scores = w.op('Mul', scores, w.number(node.attributes['scale']))
    if given(node, 3):
        scores = w.op('Add', scores, w.wide(node.inputs[3]))
    value = w.op('MatMul', w.op('Softmax', scores, axis=3), v)
    w.finish(w.op('Transpose', value, perm=node.attributes['out_perm']), node)


def rotary(w: Writer, node: Node) -> None:
    x, cos, sin = (w.wide(name) for name in node.inputs)
    half = w.whole(node.attributes['half'])
    first, second = w.op('Slice', x, w.whole(0), half, w.whole(3)), w.op('Slice', x, half, w.whole(2**31), w.whole(3))
    turned = w.op('Concat', w.op('Neg', second), first, axis=3)
    w.finish(w.op('Add', w.op('Mul', x, cos), w.op('Mul', turned, sin)), node)


def cached_attention(w: Writer, node: Node) -> None:
    q, k, v = (w.wide(name) for name in (node.inputs[0], node.inputs[6], node.inputs[7]))
    # Each head of K and V for a group of heads of Q: [batch, groups, heads / groups, rows, width].
    heads, groups = (w.op('Slice', w.op('Shape', x), w.whole(1), w.whole(2)) for x in (q, k))
    each = w.op('Div', heads, groups)
    b = w.op('Slice', w.op('Shape', q), w.whole(0), w.whole(1))
    s, t = (w.op('Slice', w.op('Shape', x), w.whole(2), w.whole(4)) for x in (q, k))
    apart = w.op('Reshape', q, w.op('Concat', b, groups, each, s, axis=0))
    k, v = (w.op('Unsqueeze', x, w.whole(2)) for x in (k, v))
    scores = w.op('MatMul', apart, w.op('Transpose', k, perm=[0, 1, 2, 4, 3]))
    rows = w.op('Slice', s, w.whole(0), w.whole(1))
    scores = w.op('Reshape', scores, w.op('Concat', b, heads, rows, w.op('Slice', t, w.whole(0), w.whole(1)), axis=0))
    scores = w.op('Mul', scores, w.number(node.attributes['scale']))
    if given(node, 5):
        scores = w.op('Add', scores, w.wide(node.inputs[5]))
    probabilities = w.op('Softmax', scores, axis=3)
    if node.attributes['guard']:
        probabilities = w.op('Where', w.op('IsNaN', probabilities), w.number(0), probabilities)
    probabilities = w.op('Reshape', probabilities, w.op('Concat', b, groups, each, rows, w.op('Slice', t, w.whole(0), w.whole(1)), axis=0))
    value = w.op('MatMul', probabilities, v)
    w.finish(w.op('Reshape', value, w.op('Concat', b, heads, w.op('Slice', w.op('Shape', value), w.whole(3), w.whole(5)), axis=0)), node)


def skip_layer_norm(w: Writer, node: Node) -> None:
    total = w.op('Add', w.wide(node.inputs[0]), w.wide(node.inputs[1]))
    if given(node, 4):
        total = w.op('Add', total, w.wide(node.inputs[4]))
    if len(node.outputs) > 1 and node.outputs[1]:
        w.finish(total, node, 1)
    inputs = [total, w.wide(node.inputs[2])] + ([w.wide(node.inputs[3])] if given(node, 3) else [])
    w.finish(w.op('LayerNormalization', *inputs, axis=-1, epsilon=node.attributes['epsilon']), node)


def gelu(w: Writer, node: Node) -> None:
    name = 'gelu_tanh' if node.attributes['approximate'] == 'tanh' else 'gelu'
    w.finish(w.activation(w.wide(node.inputs[0]), name), node)


def bias_act(w: Writer, node: Node) -> None:
    value = w.op('Add', w.wide(node.inputs[0]), w.wide(node.inputs[1]))
    w.finish(w.activation(value, node.attributes['activation']), node)


EXPANSIONS = {
    'Conv': conv,
    'edgeflow:MatMul': matmul, 'edgeflow:QMatMul': qmatmul, 'edgeflow:Sdpa': sdpa, 'edgeflow:SkipLayerNorm': skip_layer_norm,
    'edgeflow:Gelu': gelu, 'edgeflow:BiasAct': bias_act, 'edgeflow:CachedAttention': cached_attention, 'edgeflow:Rotary': rotary,
}


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """The graph as an ONNX model."""
    opsets = [helper.make_opsetid(domain, version) for domain, version in graph.opsets.items() if domain != 'edgeflow']
    return helper.make_model(Writer(graph, graph.opsets.get('', 1)).write(), opset_imports=opsets, ir_version=10)


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, ['CPUExecutionProvider'])


def run(graph: Graph, inputs: dict[str, numpy.ndarray]) -> dict[str, numpy.ndarray]:
    """Run the graph on onnxruntime, nothing optimized."""
    session = session_of(to_onnx(graph).SerializeToString())
    names = {x.name for x in session.get_inputs()}
    values = session.run(None, {name: value for name, value in inputs.items() if name in names})
    return {x.name: value for x, value in zip(session.get_outputs(), values, strict=True)}
