"""The cases of tests/models and their tolerances (tests/models/README.md)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgeflow.runtime.model import Model, create_model
from edgeflow.runtime.tensor import Tensor, tensor

MODELS = Path(__file__).resolve().parents[1] / 'models'
MANIFEST = json.loads((MODELS / 'manifest.json').read_text())

EXACT = ['fp32', 'O2', 'O3', 'q4', 'bnb4']
FAMILIES = ['bert', 'distilbert', 'xlm-roberta', 'deberta-v2', 'modernbert']
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
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-2 * largest)
