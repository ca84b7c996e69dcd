"""What the tests of all-MiniLM-L6-v2 share: texts, and the embeddings that onnxruntime (CPU) computes from the same file."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import onnxruntime

from edgeflow.text.tokenizer import Tokenizer, read_tokenizer
from toolchain.demo import export_model

TEXTS = [
    'The weather is lovely today.',
    "It's so sunny outside!",
    'He drove to the stadium.',
    'A man is playing a guitar on stage, and the crowd that came to hear him sings along with every single word of it.',
    '',
    'Ünïcödé, 東京 and 😀: what the vocabulary lacks.',
    'word ' * 300,
]
# Without the last: at that length onnxruntime's own int8 results differ by 0.03 between its optimisation levels.
SHORT_TEXTS = TEXTS[:6]


@functools.cache
def folder() -> Path:
    """The model's folder, exported if need be."""
    return export_model()


@functools.cache
def tokenizer() -> Tokenizer:
    return read_tokenizer(
        memoryview((folder() / 'tokenizer.json').read_bytes()), memoryview((folder() / 'tokenizer_config.json').read_bytes()))


@functools.cache
def session(file: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder() / 'onnx' / file), options, providers=['CPUExecutionProvider'])


def reference(texts: list[str], file: str) -> tuple[np.ndarray, np.ndarray]:
    """onnxruntime's last_hidden_state for a batch, and its attention mask."""
    encoded = tokenizer().encode(texts, padding=True, truncation=True)
    feeds = {
        'input_ids': encoded.input_ids, 'attention_mask': encoded.attention_mask,
        'token_type_ids': encoded.token_type_ids,
    }
    (hidden,) = session(file).run(None, {name: np.array(rows, np.int64) for name, rows in feeds.items()})
    return hidden, np.array(encoded.attention_mask)


def embeddings(hidden: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean over the tokens, made 1 long, in float64."""
    weights = mask[:, :, None].astype(np.float64)
    mean = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)
