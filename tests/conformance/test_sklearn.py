"""Models of scikit-learn, written by skl2onnx, predict what scikit-learn predicts."""

from __future__ import annotations

import asyncio
import warnings

import numpy as np
import pytest
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor, IsolationForest,
    RandomForestClassifier, RandomForestRegressor, VotingClassifier,
)
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Binarizer, KBinsDiscretizer, MinMaxScaler, Normalizer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from edgeflow.runtime.model import create_model
from edgeflow.runtime.tensor import tensor
from toolchain.wasm import build_wasm


@pytest.fixture(scope='module', autouse=True)
def _binaries() -> None:
    build_wasm()


async def predict(proto: bytes, inputs: dict[str, object]) -> dict[str, object]:
    model = await create_model(memoryview(proto), {}, 'wasm')
    try:
        return await model.run(inputs)
    finally:
        model.dispose()


def run(estimator: object, inputs: dict[str, np.ndarray], **options: object) -> list[object]:
    """The outputs of the estimator as an ONNX model."""
    kinds = {'f': FloatTensorType, 'i': Int64TensorType}
    types = [(name, kinds.get(array.dtype.kind, StringTensorType)([None, array.shape[1]])) for name, array in inputs.items()]
    proto = to_onnx(estimator, initial_types=types, **options).SerializeToString()
    given = {
        name: tensor(array.tolist(), dtype='string') if array.dtype.kind in 'OU' else tensor(np.ascontiguousarray(array))
        for name, array in inputs.items()
    }
    return list(asyncio.run(predict(proto, given)).values())


IRIS, KINDS = load_iris(return_X_y=True)
IRIS = IRIS.astype(np.float32)
NAMES = np.array(['setosa', 'versicolor', 'virginica'])[KINDS]
PAIR, PAIR_KINDS = IRIS[50:], KINDS[50:]
BODIES, PROGRESS = load_diabetes(return_X_y=True)
BODIES = BODIES.astype(np.float32)

CLASSIFIERS = {
    'tree': DecisionTreeClassifier(max_depth=4),
    'forest': RandomForestClassifier(n_estimators=12, random_state=0),
    'extra trees': ExtraTreesClassifier(n_estimators=9, random_state=0),
    'gradient boosting': GradientBoostingClassifier(n_estimators=8, random_state=0),
    'ada boost': AdaBoostClassifier(n_estimators=8, random_state=0),
    'logistic regression': LogisticRegression(max_iter=500),
    'stochastic gradient': make_pipeline(StandardScaler(), SGDClassifier(loss='log_loss', random_state=0)),
    'support vectors': SVC(),
    'polynomial support vectors': SVC(kernel='poly', degree=2),
    'support vectors with probabilities': SVC(probability=True, random_state=0),
    'linear support vectors': LinearSVC(random_state=0),
    'naive bayes': GaussianNB(),
    'bernoulli': make_pipeline(Binarizer(threshold=2.0), BernoulliNB()),
    'neighbours': KNeighborsClassifier(3),
    'perceptron': MLPClassifier((8,), max_iter=300, random_state=0),
    'scaled': make_pipeline(StandardScaler(), MinMaxScaler(), Normalizer(), LogisticRegression(max_iter=500)),
    'vote': VotingClassifier([('a', LogisticRegression(max_iter=500)), ('b', DecisionTreeClassifier(max_depth=2))], voting='soft', flatten_transform=False),
}
REGRESSORS = {
    'linear regression': LinearRegression(),
    'tree': DecisionTreeRegressor(max_depth=5),
    'forest': RandomForestRegressor(n_estimators=10, random_state=0),
    'gradient boosting': GradientBoostingRegressor(n_estimators=20, random_state=0),
    'support vectors': SVR(C=10),
    'gaussian process': GaussianProcessRegressor(alpha=1.0),
}


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('labels', ['three numbers', 'three names', 'two numbers'])
@pytest.mark.parametrize('name', CLASSIFIERS)
def test_classifier(name: str, labels: str) -> None:
    inputs, targets = {'three numbers': (IRIS, KINDS), 'three names': (IRIS, NAMES), 'two numbers': (PAIR, PAIR_KINDS)}[labels]
    estimator = CLASSIFIERS[name].fit(inputs, targets)
    got, scores = run(estimator, {'X': inputs[::3]}, options={'zipmap': False} if hasattr(estimator, 'predict_proba') or name == 'support vectors' else None)
    assert np.array(got.tolist()).tolist() == estimator.predict(inputs[::3]).tolist()
    if hasattr(estimator, 'predict_proba'):
        np.testing.assert_allclose(scores.tolist(), estimator.predict_proba(inputs[::3]), atol=2e-5)


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', REGRESSORS)
def test_regressor(name: str) -> None:
    estimator = REGRESSORS[name].fit(BODIES, PROGRESS)
    assert not is_classifier(estimator)
    got, *_ = run(estimator, {'X': BODIES[::5]})
    np.testing.assert_allclose(np.ravel(got.tolist()), estimator.predict(BODIES[::5]), rtol=2e-4, atol=2e-2)


def test_probabilities_by_name() -> None:
    estimator = LogisticRegression(max_iter=500).fit(IRIS, NAMES)
    _, maps = run(estimator, {'X': IRIS[:4]})
    expected = estimator.predict_proba(IRIS[:4])
    assert [list(row) for row in maps] == [list(estimator.classes_)] * 4
    np.testing.assert_allclose([list(row.values()) for row in maps], expected, atol=1e-6)


@pytest.mark.parametrize('estimator', [IsolationForest(n_estimators=10, random_state=0), OneClassSVM(gamma=0.1)])
def test_outliers(estimator: object) -> None:
    estimator.fit(IRIS)
    got, *_ = run(estimator, {'X': IRIS[::4]}, target_opset={'': 15, 'ai.onnx.ml': 3})
    assert np.ravel(got.tolist()).tolist() == estimator.predict(IRIS[::4]).tolist()


def test_columns_of_texts_and_numbers() -> None:
    names = np.array([['red'], ['blue'], ['red'], ['green']], dtype=object)
    numbers = np.array([[1, np.nan], [2, 3], [np.nan, 4], [5, 6]], dtype=np.float32)
    both = np.concatenate([names, numbers.astype(object)], axis=1)
    estimator = ColumnTransformer([
        ('names', OneHotEncoder(handle_unknown='ignore', sparse_output=False), [0]), ('numbers', make_pipeline(SimpleImputer(), StandardScaler()), [1, 2]),
    ]).fit(both)
    got, *_ = run(estimator, {'names': names, 'numbers': numbers})
    np.testing.assert_allclose(got.tolist(), np.asarray(estimator.transform(both), dtype=np.float64), atol=1e-6)


def test_bins() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        estimator = KBinsDiscretizer(4, encode='ordinal').fit(IRIS)
    got, *_ = run(estimator, {'X': IRIS[::6]})
    np.testing.assert_allclose(got.tolist(), estimator.transform(IRIS[::6]))


def test_words() -> None:
    texts = np.array([['the first document'], ['this is the second one'], ['and the third, the last one'], ['is this the first?']])
    estimator = TfidfVectorizer(token_pattern='[a-zA-Z]+').fit(texts.ravel())
    got, *_ = run(estimator, {'texts': texts})
    np.testing.assert_allclose(got.tolist(), estimator.transform(texts.ravel()).toarray(), atol=1e-6)


def test_a_dict_of_features() -> None:
    from skl2onnx.common.data_types import DictionaryType

    estimator = DictVectorizer(sparse=False).fit([{'a': 1.0, 'b': 2.0}, {'c': 3.0}])
    proto = to_onnx(estimator, initial_types=[('X', DictionaryType(StringTensorType([1]), FloatTensorType([])))]).SerializeToString()
    results = asyncio.run(predict(proto, {'X': {'c': 4.0, 'a': 0.5}}))
    assert next(iter(results.values())).tolist() == estimator.transform([{'c': 4.0, 'a': 0.5}]).tolist()
