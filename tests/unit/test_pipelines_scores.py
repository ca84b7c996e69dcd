"""Scores and labels of text classification."""

from __future__ import annotations

import math

import pytest

from edgeflow.pipelines.text_classification import Classification, label_names, ranked, score_function, scores


def near(a: float, b: float) -> bool:
    return math.fabs(a - b) < 1e-12


def test_softmax_shares_one_among_the_labels_and_does_not_overflow() -> None:
    shared = scores([1.0, 1.0], 'softmax')
    assert shared == [0.5, 0.5]
    far = scores([1000.0, 0.0, 1000.0], 'softmax')
    assert near(far[0], 0.5)
    assert near(far[1], 0.0)


def test_sigmoid_scores_each_label_for_itself_and_does_not_overflow() -> None:
    each = scores([0.0, 1000.0, -1000.0, 2.0], 'sigmoid')
    assert each[0] == 0.5
    assert each[1] == 1.0
    assert each[2] == 0.0
    assert near(each[3], 1.0 / (1.0 + math.exp(-2.0)))


def test_a_regression_keeps_its_numbers() -> None:
    assert scores([3.5], 'none') == [3.5]


@pytest.mark.parametrize('kind, count, multi_label, expected', [
    (None, 2, None, 'softmax'),
    ('single_label_classification', 3, None, 'softmax'),
    ('multi_label_classification', 3, None, 'sigmoid'),
    ('regression', 1, None, 'none'),
    (None, 1, None, 'sigmoid'),
    ('multi_label_classification', 3, False, 'softmax'),
    (None, 3, True, 'sigmoid'),
])
def test_the_function_goes_by_the_problem_type(
    kind: str | None, count: int, multi_label: bool | None, expected: str,
) -> None:
    assert score_function({'problem_type': kind}, count, multi_label) == expected


def test_labels_are_named_by_id2label_or_by_their_number() -> None:
    assert label_names({'id2label': {'0': 'NEGATIVE', '1': 'POSITIVE'}}, 2) == ['NEGATIVE', 'POSITIVE']
    assert label_names({'id2label': {'0': 'A'}}, 2) == ['A', 'LABEL_1']
    assert label_names({}, 2) == ['LABEL_0', 'LABEL_1']


def test_the_best_come_first_and_equal_ones_in_the_models_order() -> None:
    assert ranked([0.2, 0.5, 0.2, 0.1], ['a', 'b', 'c', 'd'], 3) == [
        Classification('b', 0.5), Classification('a', 0.2), Classification('c', 0.2)]
