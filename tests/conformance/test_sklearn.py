"""Models of scikit-learn, written by skl2onnx, predict what scikit-learn predicts. In Chromium: `make conformance`."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import DictionaryType, FloatTensorType, StringTensorType
from sklearn.feature_extraction import DictVectorizer
from sklearn.linear_model import LogisticRegression

from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor
from tests.conformance.in_cpython import judge
from tests.conformance.sklearn_cases import CLASSIFIERS, IRIS, LABELS, NAMES, OUTLIERS, REGRESSORS, sklearn_cases
from toolchain.wasm import build_wasm

CASES = [
    *(f'{name}, {labels}' for name in CLASSIFIERS for labels in LABELS), *(f'{name}, regression' for name in REGRESSORS), *OUTLIERS,
    'bins', 'columns', 'words',
]  # fmt: skip


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


@pytest.mark.parametrize('name', CASES)
def test_predictions(name: str) -> None:
    assert judge(sklearn_cases()[f'sklearn/{name}']) == (None, True)


async def predict(proto: bytes, inputs: dict[str, object]) -> list[object]:
    model = await create_model(memoryview(proto), {}, 'wasm')
    try:
        return list((await model.run(inputs)).values())
    finally:
        model.dispose()


def test_probabilities_by_name() -> None:
    estimator = LogisticRegression(max_iter=500).fit(IRIS, NAMES)
    proto = to_onnx(estimator, initial_types=[('X', FloatTensorType([None, 4]))]).SerializeToString()
    _, maps = asyncio.run(predict(proto, {'X': tensor(IRIS[:4])}))
    assert [list(row) for row in maps] == [list(estimator.classes_)] * 4
    np.testing.assert_allclose([list(row.values()) for row in maps], estimator.predict_proba(IRIS[:4]), atol=1e-6)


def test_a_dict_of_features() -> None:
    estimator = DictVectorizer(sparse=False).fit([{'a': 1.0, 'b': 2.0}, {'c': 3.0}])
    proto = to_onnx(estimator, initial_types=[('X', DictionaryType(StringTensorType([1]), FloatTensorType([])))]).SerializeToString()
    (row,) = asyncio.run(predict(proto, {'X': {'c': 4.0, 'a': 0.5}}))
    assert row.tolist() == estimator.transform([{'c': 4.0, 'a': 0.5}]).tolist()
