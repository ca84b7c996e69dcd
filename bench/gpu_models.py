"""Write the models that bench/gpu_bench.mjs measures: `python -m bench.gpu_models FOLDER`. Well-known shapes, random weights; needs numpy only."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from bench.onnx_write import Writer, bert, decoder


def half_product(weights: np.ndarray) -> bytes:
    """x [rows, k] times float16 weights [k, n], as float16 models have it."""
    w = Writer()
    k, n = weights.shape
    w.info('x', 'float32', ['rows', k])
    w.info('y', 'float32', ['rows', n], output=True)
    product = w.node('MatMul', [w.node('Cast', ['x'], to=10), w.constant(weights)])
    w.node('Cast', [product], ['y'], to=1)
    return w.model()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'minilm.onnx').write_bytes(bert(6, 384, 12, 1536))
    weights = np.random.default_rng(1).standard_normal((4096, 4096), np.float32).astype(np.float16)
    (folder / 'half.onnx').write_bytes(half_product(weights))
    (folder / 'half.bin').write_bytes(weights.astype(np.float32).tobytes())
    # The shape of SmolLM2-135M.
    (folder / 'decoder-q4f16.onnx').write_bytes(decoder(30, 576, 9, 3, 1536, 49152, 8192))
    (folder / 'bert.onnx').write_bytes(bert(12, 768, 12, 3072))


if __name__ == '__main__':
    main()
