"""Write the decoder of the generation bench: the graph that optimum exports for SmolLM2-135M, with random weights, in fp32 and q4.

`python -m bench.decoder`. The graph is that of tests/models/smollm2-mini, which optimum exported: its second layer is repeated
with the sizes of SmolLM2-135M. q4 is what its model_q4.onnx does: MatMulNBits with blocks of 32 and accuracy_level 4 in the layers;
the product with the vocabulary stays float32 there, as the embedding is shared with it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
MINI = ROOT / 'tests/models/smollm2-mini'
TARGET = ROOT / 'build/bench/smollm2-135m'

LAYERS, HIDDEN, INNER, HEADS, GROUPS, WIDTH, VOCABULARY = 30, 576, 1536, 9, 3, 64, 49152
BLOCK = 32
SIZES = {48: HIDDEN, 24: GROUPS * WIDTH, 96: INNER, 500: VOCABULARY}
RANDOM = np.random.default_rng(0)


def weights(shape: list[int]) -> np.ndarray:
    """Random weights that keep the size of activations."""
    return (RANDOM.standard_normal(shape, np.float32) / np.float32(np.sqrt(shape[0]))).astype(np.float32)


def resized(node: onnx.NodeProto, repeats: set[str]) -> onnx.NodeProto:
    """A Constant of the mini as the large model has it: head widths, frequencies, scales, and how often keys are repeated."""
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    value = numpy_helper.to_array(node.attribute[0].t)
    new = value
    if value.dtype == np.int64 and value.tolist() == [12]:
        new = np.array([WIDTH], np.int64)
    elif node.output[0] in repeats:
        new = np.full_like(value, HEADS // GROUPS)
    elif value.shape == (1, 6, 1):
        new = (10000.0 ** -(np.arange(WIDTH // 2, dtype=np.float32) / (WIDTH // 2))).reshape(1, -1, 1).astype(np.float32)
    elif value.shape == () and value.dtype == np.float32 and abs(value - 12**-0.25) < 1e-6:
        new = np.array(WIDTH**-0.25, np.float32)
    copy.attribute[0].t.CopyFrom(numpy_helper.from_array(new))
    return copy


def large_graph() -> onnx.ModelProto:
    model = onnx.load(MINI / 'onnx/model.onnx')
    graph = model.graph
    old = {tensor.name: tensor for tensor in graph.initializer}
    # The twos that count heads are those which shapes are made of; others are axes, exponents, halves.
    repeats = {name for node in graph.node if node.op_type in ('Concat', 'Mul') and 'self_attn' in node.name for name in node.input}
    repeats &= {node.output[0] for node in graph.node if node.op_type == 'Constant' and numpy_helper.to_array(node.attribute[0].t).tolist() in (2, [2])}
    by_layer = [node for node in graph.node if any('layers.1/' in name for name in node.output)]
    first = graph.node[:].index(by_layer[0])
    last = max(i for i, node in enumerate(graph.node) if any('layers.1/' in name for name in node.output) or 'present.1.value' in node.output)
    template = graph.node[first:last + 1]
    rest = graph.node[last + 1:]
    before = graph.node[:first]
    nodes = [resized(node, repeats) if node.op_type == 'Constant' else node for node in before]
    tensors = [numpy_helper.from_array(weights([SIZES[d] for d in old[name].dims]), name) for name in old if 'layers.1' not in name and len(old[name].dims) == 2 and any(name in node.input for node in [*before, *rest])]
    tensors += [numpy_helper.from_array(np.ones(HIDDEN, np.float32), name) for name in old if len(old[name].dims) == 1 and 'layers.1' not in name]
    outputs_of_template = {name for node in template for name in node.output}
    for layer in range(1, LAYERS):
        def renamed(name: str, layer: int = layer) -> str:
            if '/layers.1/' in name or 'layers.1.' in name:
                return re.sub(r'layers\.1([./])', rf'layers.{layer}\1', name)
            if name == '/model/layers.0/Add_1_output_0':
                return f'/model/layers.{layer - 1}/Add_1_output_0'
            if name in ('past_key_values.1.key', 'past_key_values.1.value', 'present.1.key', 'present.1.value'):
                return name.replace('.1.', f'.{layer}.')
            if name in outputs_of_template or name in old and any(name in node.input for node in template):
                return f'{name}/{layer}'
            return name

        for node in template:
            copy = resized(node, repeats) if node.op_type == 'Constant' else onnx.NodeProto.FromString(node.SerializeToString())
            copy.name = re.sub(r'layers\.1/', f'layers.{layer}/', copy.name) if copy.name else ''
            copy.input[:] = [renamed(name) for name in copy.input]
            copy.output[:] = [renamed(name) for name in copy.output]
            nodes.append(copy)
            for name in node.input:
                if name in old:
                    dims = [SIZES[d] for d in old[name].dims]
                    value = weights(dims) if len(dims) == 2 else np.ones(dims, np.float32)
                    tensors.append(numpy_helper.from_array(value, renamed(name)))
    for node in rest:
        copy = resized(node, repeats) if node.op_type == 'Constant' else onnx.NodeProto.FromString(node.SerializeToString())
        copy.input[:] = [f'/model/layers.{LAYERS - 1}/Add_1_output_0' if name == '/model/layers.1/Add_1_output_0' else name for name in copy.input]
        nodes.append(copy)
    past = [helper.make_tensor_value_info(f'past_key_values.{i}.{kind}', TensorProto.FLOAT, ['batch_size', GROUPS, 'past_sequence_length', WIDTH])
            for i in range(LAYERS) for kind in ('key', 'value')]
    present = [helper.make_tensor_value_info(f'present.{i}.{kind}', TensorProto.FLOAT, ['batch_size', GROUPS, 'past_sequence_length + sequence_length', WIDTH])
               for i in range(LAYERS) for kind in ('key', 'value')]
    logits = helper.make_tensor_value_info('logits', TensorProto.FLOAT, ['batch_size', 'sequence_length', VOCABULARY])
    inputs = [info for info in graph.input if not info.name.startswith('past')]
    made = helper.make_graph(nodes, 'main_graph', [*inputs, *past], [logits, *present], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid('', 17), helper.make_opsetid('com.microsoft', 1)], ir_version=8)


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The products with constant matrices as MatMulNBits, each block of 32 scaled by its largest value."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, gone, added = [], set(), []
    for node in model.graph.node:
        if node.op_type != 'MatMul' or node.input[1] not in tensors:
            nodes.append(node)
            continue
        name = node.input[1]
        matrix = numpy_helper.to_array(tensors[name]).T
        n, k = matrix.shape
        blocks = matrix.reshape(n, k // BLOCK, BLOCK)
        extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
        scales = extreme / -8
        codes = np.clip(np.rint(blocks / scales) + 8, 0, 15).astype(np.uint8)
        packed = codes[..., 0::2] | codes[..., 1::2] << 4
        gone.add(name)
        added += [numpy_helper.from_array(packed, name + '_Q4'), numpy_helper.from_array(scales[..., 0].astype(np.float32), name + '_scales')]
        nodes.append(helper.make_node('MatMulNBits', [node.input[0], name + '_Q4', name + '_scales'], list(node.output), name=node.name + '_Q4',
                                      domain='com.microsoft', K=k, N=n, bits=4, block_size=BLOCK, accuracy_level=4))
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in gone]
    graph = helper.make_graph(nodes, 'main_graph', list(model.graph.input), list(model.graph.output), kept + added)
    return helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=8)


def write_config() -> None:
    config = json.loads((MINI / 'config.json').read_text())
    config.update(hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=GROUPS,
                  head_dim=WIDTH, vocab_size=VOCABULARY, max_position_embeddings=8192)
    (TARGET / 'config.json').write_text(json.dumps(config, indent=2))
    for name in ('generation_config.json', 'tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'):
        if (MINI / name).exists():
            (TARGET / name).write_bytes((MINI / name).read_bytes())


def write_models() -> Path:
    """The folder of the models, written if it is not there."""
    files = [TARGET / 'onnx' / name for name in ('model.onnx', 'model_q4.onnx')]
    if not all(file.exists() for file in files):
        (TARGET / 'onnx').mkdir(parents=True, exist_ok=True)
        write_config()
        model = large_graph()
        onnx.save(model, files[0])
        onnx.save(quantized(model), files[1])
    return TARGET


if __name__ == '__main__':
    folder = write_models()
    for path in sorted(folder.rglob('*.onnx')):
        print(f'{path.relative_to(ROOT)} {path.stat().st_size:,} bytes')
