"""Models of scikit-learn, written by skl2onnx, as cases: what scikit-learn predicts is what is expected."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    AdaBoostClassifier, ExtraTreesClassifier, GradientBoostingClassifier, GradientBoostingRegressor, IsolationForest,
    RandomForestClassifier, RandomForestRegressor, VotingClassifier,
)
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

from tests.conformance.cases import Case
from tests.conformance.values import plain

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
LABELS = {'numbers': (IRIS, KINDS), 'names': (IRIS, NAMES), 'pair': (PAIR, PAIR_KINDS)}
OUTLIERS = {'isolation forest': IsolationForest(n_estimators=10, random_state=0), 'one class': OneClassSVM(gamma=0.1)}
COLORS = np.array([['red'], ['blue'], ['red'], ['green']], dtype=object)
SIZES = np.array([[1, np.nan], [2, 3], [np.nan, 4], [5, 6]], dtype=np.float32)
SENTENCES = np.array([['the first document'], ['this is the second one'], ['and the third, the last one'], ['is this the first?']], dtype=object)


def case(name: str, estimator: BaseEstimator, inputs: dict[str, np.ndarray], expected: list[np.ndarray], atol: float, **options: object) -> Case:
    """The estimator as a model, whose first outputs are to be these."""
    types = [(key, (FloatTensorType if array.dtype.kind == 'f' else StringTensorType)([None, array.shape[1]])) for key, array in inputs.items()]
    model = to_onnx(estimator, initial_types=types, **options)
    infos = model.graph.output[:len(expected)]
    wanted = []
    for info, array in zip(infos, expected, strict=True):
        kind = info.type.tensor_type.elem_type
        dtype = object if kind == onnx.TensorProto.STRING else onnx.helper.tensor_dtype_to_np_dtype(kind)
        wanted.append(np.asarray(array).astype(dtype).reshape(-1, 1) if len(info.type.tensor_type.shape.dim) == 2 and np.ndim(array) == 1
                      else np.asarray(array).astype(dtype))
    run = ({key: plain(array) for key, array in inputs.items()}, wanted)
    return Case(f'sklearn/{name}', model.SerializeToString(), [info.name for info in infos], [run], 2e-4, atol, sorted({node.op_type for node in model.graph.node}))


def _classifiers() -> Iterator[Case]:
    for name, estimator in CLASSIFIERS.items():
        for labels, (inputs, targets) in LABELS.items():
            estimator.fit(inputs, targets)
            given = inputs[::3]
            shares = hasattr(estimator, 'predict_proba')
            expected = [estimator.predict(given), *([estimator.predict_proba(given)] if shares else [])]
            options = {'options': {'zipmap': False}} if shares or isinstance(estimator, SVC) else {}
            yield case(f'{name}, {labels}', estimator, {'X': given}, expected, 2e-5, **options)


def _others() -> Iterator[Case]:
    for name, estimator in REGRESSORS.items():
        estimator.fit(BODIES, PROGRESS)
        yield case(f'{name}, regression', estimator, {'X': BODIES[::5]}, [estimator.predict(BODIES[::5])], 2e-2)
    for name, estimator in OUTLIERS.items():
        estimator.fit(IRIS)
        yield case(name, estimator, {'X': IRIS[::4]}, [estimator.predict(IRIS[::4])], 0, target_opset={'': 15, 'ai.onnx.ml': 3})
    bins = KBinsDiscretizer(4, encode='ordinal').fit(IRIS)
    yield case('bins', bins, {'X': IRIS[::6]}, [bins.transform(IRIS[::6])], 0)
    both = np.concatenate([COLORS, SIZES.astype(object)], axis=1)
    columns = ColumnTransformer([
        ('colors', OneHotEncoder(handle_unknown='ignore', sparse_output=False), [0]), ('sizes', make_pipeline(SimpleImputer(), StandardScaler()), [1, 2]),
    ]).fit(both)
    yield case('columns', columns, {'colors': COLORS, 'sizes': SIZES}, [columns.transform(both)], 1e-6)
    words = TfidfVectorizer(token_pattern='[a-zA-Z]+').fit(SENTENCES.ravel())
    yield case('words', words, {'texts': SENTENCES}, [words.transform(SENTENCES.ravel()).toarray()], 1e-6)


@functools.cache
def sklearn_cases() -> dict[str, Case]:
    """All cases by name."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return {made.name: made for made in [*_classifiers(), *_others()]}
