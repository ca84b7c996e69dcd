"""The cases of tests/models and their tolerances (tests/models/README.md)."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import Tensor, tensor

MODELS = Path(__file__).resolve().parents[1] / 'models'
MANIFEST = json.loads((MODELS / 'manifest.json').read_text())

EXACT = ['fp32', 'O2', 'O3', 'q4', 'bnb4', 'q4gather', 'q4_qdq', 'mha']
FAMILIES = ['bert', 'distilbert', 'xlm-roberta', 'deberta-v2', 'modernbert']
DECODERS = ['gpt2', 'llama', 'gemma2', 'qwen2', 'qwen3', 'smollm2']
VISION_AUDIO = ['resnet', 'vit', 'convnext', 'dinov2', 'depth_anything', 'segformer', 'swin2sr', 'yolos', 'clip', 'wav2vec2', 'whisper']
OTHER_TEXT_ENCODERS = ['clip-mini/onnx/text_model', 'marian-mini/onnx/encoder_', 't5-mini/onnx/encoder_']


@dataclass(frozen=True)
class Case:
    """An ONNX file with inputs and the outputs that onnxruntime gave."""

    model: str
    variant: str
    case: str

    def __str__(self) -> str:
        return self.case.removesuffix('.npz').replace('/cases/', ':')

    def arrays(self, prefix: str) -> dict[str, np.ndarray]:
        with np.load(MODELS / self.case) as arrays:
            return {name.removeprefix(prefix): arrays[name] for name in arrays.files if name.startswith(prefix)}

    def inputs(self) -> dict[str, Tensor]:
        return {name: tensor(array) for name, array in self.arrays('in:').items()}


def text_encoder_cases() -> list[Case]:
    """Every case of every text encoder."""
    return [
        Case(file['path'], file['variant'], case)
        for file in MANIFEST['files']
        if file['family'] in FAMILIES or any(file['path'].startswith(start) for start in OTHER_TEXT_ENCODERS)
        for case in file['cases']
    ]


def is_decoder(file: dict) -> bool:
    """Whether a file of the manifest is a decoder, alone or of an encoder-decoder."""
    return any(file['family'].startswith(name) for name in DECODERS) or '/decoder_' in file['path']


def decoder_cases() -> list[Case]:
    """Every case of every decoder."""
    return [Case(file['path'], file['variant'], case) for file in MANIFEST['files'] if is_decoder(file) for case in file['cases']]


def vision_audio_cases() -> list[Case]:
    """Every case of every model of images or sound; decoders and text models among their files are in the other lists."""
    others = {case.case for case in [*text_encoder_cases(), *decoder_cases()]}
    return [
        Case(file['path'], file['variant'], case)
        for file in MANIFEST['files'] if file['family'] in VISION_AUDIO for case in file['cases'] if case not in others
    ]


@functools.cache
def rounds_activations(path: str) -> bool:
    """Whether the file has products whose accuracy_level allows activations of 8 bits."""
    model = onnx.load(MODELS / path, load_external_data=False)
    return any(a.name == 'accuracy_level' and a.i == 4 for node in model.graph.node for a in node.attribute)


def tolerance_of(case: Case) -> str:
    """The variant whose tolerance a case has: with rounded activations another one."""
    if not rounds_activations(case.model):
        return case.variant
    return 'rounded_fp16' if 'f16' in case.variant else 'rounded'


async def load(path: str) -> Model:
    """The model at a path in tests/models."""
    file = MODELS / path
    external = {other.name: memoryview(other.read_bytes()) for other in file.parent.glob(file.name + '_data*')}
    return await create_model(memoryview(file.read_bytes()), external, 'wasm')


def assert_close(variant: str, got: np.ndarray, expected: np.ndarray) -> None:
    """Compare by the tolerance of the variant."""
    assert got.dtype == expected.dtype
    a, b = got.astype(np.float64), expected.astype(np.float64)
    if variant in EXACT:
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    else:
        largest = np.abs(b[np.isfinite(b)]).max(initial=0)
        # Rounded activations between float16 tensors: those tensors' own rounding puts some of a row's codes one off, which is as
        # much as the codes' rounding itself. So single values may be further off, but not the mean.
        np.testing.assert_allclose(a, b, rtol=0, atol=(5e-2 if variant == 'rounded_fp16' else 2e-2) * largest)
        assert np.sqrt(np.sum((a - b) ** 2)) <= 1e-2 * largest * np.sqrt(a.size)


async def check_case(case: Case, tolerance: str) -> None:
    """Run a case and compare all its outputs, with the tolerance of this variant."""
    model = await load(case.model)
    try:
        results = await model.run(case.inputs())
        expected = case.arrays('out:')
        assert sorted(results) == sorted(expected)
        for name, array in expected.items():
            assert results[name].shape == list(array.shape)
            assert_close(tolerance, results[name].data.reshape(array.shape), array)
    finally:
        model.dispose()
