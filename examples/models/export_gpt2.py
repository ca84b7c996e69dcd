"""A GPT-2 checkpoint as the ONNX decoder that optimum exports for it: past keys and values in, present ones out.

The causal mask is made of positions in the graph (`LessOrEqual` of two ranges), as in exports of today. The int8 file is made by
onnxruntime's quantize_dynamic: matrices a scale for each column, embeddings one scale, activations while running.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import onnx
from export_minilm import IR_VERSION, MASKED, OPSET, GraphWriter
from onnx import TensorProto, helper

EPSILON = 1e-5


def linear(g: GraphWriter, x: str, place: str) -> str:
    """x @ weight + bias; GPT-2 stores its matrices as they are multiplied."""
    scope = place.replace('.', '/')
    return g.node('Add', [g.node('MatMul', [x, g.weight(f'{place}.weight')], scope), g.weight(f'{place}.bias')], scope)


def gelu_new(g: GraphWriter, x: str, scope: str) -> str:
    """GELU by tanh (Hendrycks and Gimpel 2016)."""
    cube = g.node('Mul', [g.node('Pow', [x, g.real(3.0, scope)], scope), g.real(0.044715, scope)], scope)
    inner = g.node('Mul', [g.node('Add', [x, cube], scope), g.real(math.sqrt(2 / math.pi), scope)], scope)
    outer = g.node('Add', [g.node('Tanh', [inner], scope), g.real(1.0, scope)], scope)
    return g.node('Mul', [g.node('Mul', [x, g.real(0.5, scope)], scope), outer], scope)


def causal_mask(g: GraphWriter) -> str:
    """What is added to the scores, [batch, 1, new, all]: 0 where a token may look, else the smallest float32."""
    scope = 'transformer'
    past = g.node('Gather', [g.node('Shape', ['past_key_values.0.key'], scope), g.ints(2, scope)], scope, axis=0)
    new = g.node('Gather', [g.node('Shape', ['input_ids'], scope), g.ints(1, scope)], scope, axis=0)
    every = g.node('Add', [past, new], scope)
    queries = g.node('Range', [past, every, g.ints(1, scope)], scope)
    keys = g.node('Range', [g.ints(0, scope), every, g.ints(1, scope)], scope)
    rows = g.node('Unsqueeze', [queries, g.ints([0, 1, 3], scope)], scope)
    columns = g.node('Unsqueeze', [keys, g.ints([0, 1, 2], scope)], scope)
    present = g.node('Cast', [g.node('Unsqueeze', ['attention_mask', g.ints([1, 2], scope)], scope)], scope, to=TensorProto.BOOL)
    seen = g.node('And', [g.node('LessOrEqual', [columns, rows], scope), present], scope)
    return g.node('Where', [seen, g.real(0.0, scope), g.real(MASKED, scope)], scope)


def attention(g: GraphWriter, x: str, mask: str, layer: int, width: int, heads: int) -> str:
    """Attention of one layer over the past and the new tokens, with its output projection."""
    place = f'transformer.h.{layer}.attn'
    scope = place.replace('.', '/')
    size = width // heads
    parts = [f'/{scope}/Split_output_{i}' for i in range(3)]
    g.nodes.append(helper.make_node('Split', [linear(g, x, f'{place}.c_attn'), g.ints([width] * 3, scope)], parts, name=f'/{scope}/Split', axis=2))

    def split(value: str) -> str:
        shape = g.node('Concat', [g.dim(value, 0, scope), g.dim(value, 1, scope), g.ints([heads], scope), g.ints([size], scope)], scope, axis=0)
        return g.node('Transpose', [g.node('Reshape', [value, shape], scope)], scope, perm=[0, 2, 1, 3])

    query = split(parts[0])
    for kind, new in (('key', split(parts[1])), ('value', split(parts[2]))):
        g.nodes.append(helper.make_node('Concat', [f'past_key_values.{layer}.{kind}', new], [f'present.{layer}.{kind}'], name=f'/{scope}/Concat_{kind}', axis=2))
    turned = g.node('Transpose', [f'present.{layer}.key'], scope, perm=[0, 1, 3, 2])
    scores = g.node('Div', [g.node('MatMul', [query, turned], scope), g.real(math.sqrt(size), scope)], scope)
    shares = g.node('Softmax', [g.node('Add', [scores, mask], scope)], scope, axis=-1)
    context = g.node('Transpose', [g.node('MatMul', [shares, f'present.{layer}.value'], scope)], scope, perm=[0, 2, 1, 3])
    shape = g.node('Concat', [g.dim(context, 0, scope), g.dim(context, 1, scope), g.ints([width], scope)], scope, axis=0)
    return linear(g, g.node('Reshape', [context, shape], scope), f'{place}.c_proj')


def build_decoder(weights: dict[str, np.ndarray], config: dict) -> onnx.ModelProto:
    """The whole decoder, in float32."""
    width, heads, layers = config['n_embd'], config['n_head'], config['n_layer']
    g = GraphWriter(weights)
    words = g.node('Gather', [g.weight('transformer.wte.weight'), 'input_ids'], 'transformer/wte')
    places = g.node('Gather', [g.weight('transformer.wpe.weight'), 'position_ids'], 'transformer/wpe')
    x = g.node('Add', [words, places], 'transformer')
    mask = causal_mask(g)
    for i in range(layers):
        block = f'transformer.h.{i}'
        scope = block.replace('.', '/')
        attended = attention(g, g.layer_norm(x, f'{block}.ln_1', EPSILON), mask, i, width, heads)
        x = g.node('Add', [attended, x], scope)
        wide = gelu_new(g, linear(g, g.layer_norm(x, f'{block}.ln_2', EPSILON), f'{block}.mlp.c_fc'), f'{scope}/mlp/act')
        x = g.node('Add', [x, linear(g, wide, f'{block}.mlp.c_proj')], scope)
    hidden = g.layer_norm(x, 'transformer.ln_f', EPSILON)
    g.node('MatMul', [hidden, g.weight('transformer.wte.weight', transposed=True)], 'lm_head')
    g.nodes[-1].output[0] = 'logits'
    size = width // heads
    free = ['batch_size', 'sequence_length']
    total = 'past_sequence_length + sequence_length'
    kinds = [f'{i}.{kind}' for i in range(layers) for kind in ('key', 'value')]
    graph = helper.make_graph(
        g.nodes, 'main_graph',
        [helper.make_tensor_value_info('input_ids', TensorProto.INT64, free),
         helper.make_tensor_value_info('attention_mask', TensorProto.INT64, ['batch_size', total]),
         helper.make_tensor_value_info('position_ids', TensorProto.INT64, free),
         *[helper.make_tensor_value_info(f'past_key_values.{kind}', TensorProto.FLOAT, ['batch_size', heads, 'past_sequence_length', size]) for kind in kinds]],
        [helper.make_tensor_value_info('logits', TensorProto.FLOAT, [*free, config['vocab_size']]),
         *[helper.make_tensor_value_info(f'present.{kind}', TensorProto.FLOAT, ['batch_size', heads, total, size]) for kind in kinds]],
        g.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR_VERSION, producer_name='edgeflow-examples')
    onnx.checker.check_model(model)
    return model


def quantize(model: onnx.ModelProto, target: Path) -> None:
    """Write the int8 file."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / 'model.onnx'
        onnx.save(onnx.shape_inference.infer_shapes(model), source)
        quantize_dynamic(source, target, weight_type=QuantType.QInt8, per_channel=True)
    small = onnx.load(target)
    small.graph.ClearField('value_info')
    onnx.save(small, target)


def mean_loss(model: bytes | str, ids: np.ndarray, window: int, config: dict) -> float:
    """The mean loss of all tokens but the first in nats, by onnxruntime, in windows that follow each other."""
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=['CPUExecutionProvider'])
    empty = np.zeros((1, config['n_head'], 0, config['n_embd'] // config['n_head']), np.float32)
    past = {entry.name: empty for entry in session.get_inputs() if entry.name.startswith('past')}
    row = ids.astype(np.int64)
    total = 0.0
    for start in range(0, len(row) - 1, window):
        given, wanted = row[start:start + window][None], row[start + 1:start + window + 1]
        feed = {'input_ids': given, 'attention_mask': np.ones_like(given), 'position_ids': np.arange(given.shape[1])[None], **past}
        logits = session.run(['logits'], feed)[0][0, :len(wanted)].astype(np.float64)
        top = logits.max(-1)
        total += (np.log(np.exp(logits - top[:, None]).sum(-1)) + top - logits[np.arange(len(wanted)), wanted]).sum()
    return float(total / (len(row) - 1))
