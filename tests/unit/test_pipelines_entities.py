"""From scores to entities, answers and labels, without a model."""

from __future__ import annotations

import pytest

from edgeflow.pipelines.question_answering import Answer, add_answer, best_spans, masked
from edgeflow.pipelines.token_classification import EntityGroup, ScoredToken, labelled, tag_of, without_overlaps, words_of
from edgeflow.pipelines.zero_shot_classification import entailment_id

NAMES = ['O', 'B-PER', 'I-PER']


def token(word: str, scores: list[float], start: int, is_subword: bool) -> ScoredToken:
    return ScoredToken(word, scores, start, start + 2, start, is_subword)


def test_a_word_has_one_label_by_each_strategy() -> None:
    word = [token('Ma', [0.5, 0.3, 0.2], 0, False), token('##ry', [0.05, 0.05, 0.9], 2, True)]
    assert [labelled(word, NAMES, strategy, 'Mary').entity for strategy in ('first', 'max', 'average')] == ['O', 'I-PER', 'I-PER']
    assert [labelled(word, NAMES, 'average', 'Mary').score] == pytest.approx([0.55])
    assert labelled(word, NAMES, 'first', 'Mary').end == 4
    assert [len(found) for found in words_of([*word, token('.', [1.0, 0.0, 0.0], 4, False)])] == [2, 1]
    assert [tag_of(name) for name in ('B-PER', 'I-PER', 'O', 'B')] == ['PER', 'PER', 'O', 'B']


def test_of_overlapping_groups_the_longer_stays_then_the_likelier() -> None:
    long = EntityGroup('LOC', 0.5, 'New York', 4, 12)
    short = EntityGroup('LOC', 0.9, 'York', 8, 12)
    other = EntityGroup('PER', 0.7, 'Mary', 20, 24)
    better = EntityGroup('ORG', 0.8, 'Mary', 20, 24)
    assert without_overlaps([other, short, long, better]) == [long, better]
    assert without_overlaps([]) == []


def test_spans_end_after_they_start_and_are_not_too_long() -> None:
    spans = best_spans([0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [True, True, True], 2, 3)
    assert [[span.start, span.end] for span in spans] == [[1, 2], [2, 2], [1, 1]]
    assert [[span.start, span.end] for span in best_spans([0.9, 0.1], [0.9, 0.1], [False, True], 5, 3)] == [[1, 1]]
    assert masked([5.0, 1.0, 1.0], [False, True, True]) == pytest.approx([0.0, 0.5, 0.5])


def test_answers_of_one_text_are_one() -> None:
    found: list[Answer] = []
    add_answer(found, 'Rex and rex', 0.25, (0, 3))
    add_answer(found, 'Rex and rex', 0.5, (8, 11))
    add_answer(found, 'Rex and rex', 0.125, (4, 7))
    assert found == [Answer(0.75, 0, 3, 'Rex'), Answer(0.125, 4, 7, 'and')]


def test_the_label_that_says_it_follows_is_found_or_the_last() -> None:
    assert entailment_id({'label2id': {'contradiction': 0, 'ENTAILMENT': 1}}, 3) == 1
    assert entailment_id({'id2label': {'0': 'Entailment', '1': 'neutral'}}, 3) == 0
    assert entailment_id({}, 3) == 2
