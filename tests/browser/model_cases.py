"""The text encoders among the tiny models: their files, cases and tolerances, as tests/models/README.md has them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import onnx

from toolchain.paths import MODELS

ENCODERS = ['bert', 'distilbert', 'roberta', 'xlm-roberta', 'deberta-v2', 'modernbert']
# Integer parts are exact, but one activation rounded the other way shifts single values by a quantisation step.
QUANTIZED = ['quantized', 'qdq', 'qdqu8']
HALF = ['fp16', 'q4f16', 'q4f16_rope']
VISION_AUDIO = ['resnet', 'vit', 'convnext', 'dinov2', 'depth_anything', 'segformer', 'swin2sr', 'yolos', 'clip', 'wav2vec2', 'whisper']
DECODERS = ['gpt2', 'llama', 'gemma2', 'qwen2', 'qwen3', 'smollm2']


@dataclass(frozen=True)
class ModelFile:
    """One ONNX file of the manifest. path: below tests/models; cases: its .npz files."""

    path: str
    variant: str
    cases: list[str]


@dataclass(frozen=True)
class Case:
    """Inputs and expected outputs of one run."""

    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def encoder_files() -> list[ModelFile]:
    files = json.loads((MODELS / 'manifest.json').read_text())['files']
    return [ModelFile(f['path'], f['variant'], f['cases']) for f in files if f['family'] in ENCODERS]


def vision_audio_files() -> list[ModelFile]:
    files = json.loads((MODELS / 'manifest.json').read_text())['files']
    return [ModelFile(f['path'], f['variant'], f['cases']) for f in files if f['family'] in VISION_AUDIO and '/decoder_' not in f['path']]


def every_file() -> list[ModelFile]:
    """All of the manifest."""
    decoders = {file.path: file for file in decoder_files()}
    files = json.loads((MODELS / 'manifest.json').read_text())['files']
    return [decoders.get(f['path'], ModelFile(f['path'], f['variant'], f['cases'])) for f in files]


def decoder_files() -> list[ModelFile]:
    files = json.loads((MODELS / 'manifest.json').read_text())['files']
    return [
        ModelFile(f['path'], 'rounded' if _rounds_activations(f['path']) else f['variant'], f['cases'])
        for f in files if any(f['family'].startswith(name) for name in DECODERS) or '/decoder_' in f['path']
    ]


def _rounds_activations(path: str) -> bool:
    """Whether the file has products whose accuracy_level allows activations of 8 bits."""
    model = onnx.load(MODELS / path, load_external_data=False)
    return any(a.name == 'accuracy_level' and a.i == 4 for node in model.graph.node for a in node.attribute)


def read_case(path: str) -> Case:
    with np.load(MODELS / path) as arrays:
        named = {name: arrays[name] for name in arrays.files}
    inputs = {name.removeprefix('in:'): a for name, a in named.items() if name.startswith('in:')}
    return Case(inputs, {name.removeprefix('out:'): a for name, a in named.items() if name.startswith('out:')})


def check_output(got: np.ndarray, expected: np.ndarray, variant: str) -> None:
    """AssertionError where an output is beyond the tolerance of its variant."""
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    wide, largest = expected.astype(np.float64), float(np.abs(expected).max(initial=0))
    if variant == 'rounded':  # between float16 tensors one code more or less is as much as the rounding itself (tests/engine/cases.py)
        np.testing.assert_allclose(got.astype(np.float64), wide, rtol=0, atol=5e-2 * largest)
        assert np.sqrt(np.sum((got.astype(np.float64) - wide) ** 2)) <= 1e-2 * largest * np.sqrt(wide.size)
    elif variant in HALF or variant in QUANTIZED:
        np.testing.assert_allclose(got.astype(np.float64), wide, rtol=0, atol=2e-2 * largest)
    else:
        np.testing.assert_allclose(got.astype(np.float64), wide, rtol=1e-3, atol=1e-4)
