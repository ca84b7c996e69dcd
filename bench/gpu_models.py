"""Write the models that bench/gpu_bench.mjs measures: `python -m bench.gpu_models FOLDER`. Well-known shapes, random weights; needs numpy only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from bench.onnx_write import Writer, bert, decoder, resnet18


def half_product(weights: np.ndarray) -> bytes:
    """x [rows, k] times float16 weights [k, n], as float16 models have it."""
    w = Writer()
    k, n = weights.shape
    w.info('x', 'float32', ['rows', k])
    w.info('y', 'float32', ['rows', n], output=True)
    product = w.node('MatMul', [w.node('Cast', ['x'], to=10), w.constant(weights)])
    w.node('Cast', [product], ['y'], to=1)
    return w.model()


def write_decoder(folder: Path, vocabulary: int) -> None:
    """A repository: the decoder of SmolLM2-135M's shape, and a tokenizer whose words are t0, t1, ..."""
    (folder / 'onnx').mkdir(parents=True, exist_ok=True)
    (folder / 'onnx/model_q4f16.onnx').write_bytes(decoder(30, 576, 9, 3, 1536, vocabulary, 8192))
    words = {'type': 'WordPiece', 'unk_token': 't0', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100, 'vocab': {f't{i}': i for i in range(vocabulary)}}
    tokenizer = {'version': '1.0', 'truncation': None, 'padding': None, 'added_tokens': [], 'normalizer': None, 'pre_tokenizer': {'type': 'Whitespace'},
                 'post_processor': None, 'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': False}, 'model': words}
    for name, content in [('config', {'model_type': 'llama', 'vocab_size': vocabulary}), ('tokenizer', tokenizer), ('tokenizer_config', {})]:
        (folder / f'{name}.json').write_text(json.dumps(content))


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'minilm.onnx').write_bytes(bert(6, 384, 12, 1536))
    weights = np.random.default_rng(1).standard_normal((4096, 4096), np.float32).astype(np.float16)
    (folder / 'half.onnx').write_bytes(half_product(weights))
    (folder / 'half.bin').write_bytes(weights.astype(np.float32).tobytes())
    # The shape of SmolLM2-135M.
    write_decoder(folder / 'decoder', 49152)
    (folder / 'resnet18.onnx').write_bytes(resnet18())
    (folder / 'bert.onnx').write_bytes(bert(12, 768, 12, 3072))


if __name__ == '__main__':
    main()
