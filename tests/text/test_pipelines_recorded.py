"""Pipelines with encoders beside what transformers' own pipelines made of the same files; record_pipelines.py wrote the cases."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.text_classification import label_names
from edgeflow.pipelines.token_classification import aggregated, scored_tokens
from tests.text.test_tokenizer_cases import tokenizer_of
from tests.text.tokenizer_cases import MODELS

RECORDED = json.loads(Path(__file__).with_name('pipeline_cases.json').read_text())
CASES = [case for case in RECORDED if 'task' in case]
AGGREGATIONS = [case for case in RECORDED if 'strategy' in case]


def plain(value: object) -> object:
    """Records as dicts."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def same(got: object, expected: object) -> None:
    """Equal, with scores to four digits."""
    if isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, value in expected.items():
            same(got[key], value)
    elif isinstance(expected, list):
        assert len(got) == len(expected)
        for item, value in zip(got, expected, strict=True):
            same(item, value)
    elif isinstance(expected, float):
        assert got == pytest.approx(expected, rel=1e-3, abs=1e-5)
    else:
        assert got == expected


@pytest.mark.parametrize('case', CASES, ids=[f'{case["task"]}-{i}' for i, case in enumerate(CASES)])
async def test_answers_as_transformers_does(case: dict) -> None:
    pipe = await pipeline(case['task'], str(MODELS / case['model']))
    got = plain(await pipe(*case['arguments'], **case['options']))
    pipe.dispose()
    same(got, case['expected'])


def test_every_task_is_recorded() -> None:
    assert {case['task'] for case in CASES} == {'fill-mask', 'token-classification', 'question-answering', 'zero-shot-classification'}


@pytest.mark.parametrize('case', AGGREGATIONS, ids=[case['strategy'] for case in AGGREGATIONS])
def test_tokens_become_entities_as_in_transformers(case: dict) -> None:
    tokenizer = tokenizer_of('bert-ner-mini')
    [row] = tokenizer.windows(case['text'], None, max_length=128, stride=0)
    names = label_names(json.loads((MODELS / 'bert-ner-mini' / 'config.json').read_text()), 9)
    found = aggregated(tokenizer, scored_tokens(tokenizer, case['text'], row, case['logits'], 9), names, case['strategy'])
    same([entity for entity in plain(found) if entity.get('entity', entity.get('entity_group')) != 'O'], case['expected'])


@pytest.mark.parametrize('task, model, arguments, options, code', [
    ('fill-mask', 'modernbert-mlm-mini', ['no mask'], {}, 'invalid-argument'),
    ('fill-mask', 'modernbert-mlm-mini', ['a [MASK]'], {'top_k': 0}, 'invalid-argument'),
    ('fill-mask', 'bert-qa-mini', ['a [MASK]'], {}, 'invalid-graph'),
    ('ner', 'bert-ner-mini', ['a'], {'aggregation_strategy': 'median'}, 'invalid-argument'),
    ('ner', 'bert-ner-mini', ['a'], {'stride': 3}, 'invalid-argument'),
    ('ner', 'bert-ner-mini', ['a ' * 300], {'stride': 126, 'aggregation_strategy': 'simple'}, 'invalid-argument'),
    ('question-answering', 'bert-qa-mini', ['a', ['b', 'c']], {}, 'invalid-argument'),
    ('question-answering', 'bert-qa-mini', ['a', 'b'], {'top_k': 0}, 'invalid-argument'),
    ('question-answering', 'bert-qa-mini', ['a', 'b'], {'topk': 1}, 'unknown-option'),
    ('zero-shot-classification', 'deberta-v2-nli-mini', ['a', ['b']], {'hypothesis_template': 'no place'}, 'invalid-argument'),
    ('zero-shot-classification', 'deberta-v2-nli-mini', ['a', ' , '], {}, 'invalid-argument'),
])
async def test_what_makes_no_sense_is_refused(task: str, model: str, arguments: list, options: dict, code: str) -> None:
    pipe = await pipeline(task, str(MODELS / model))
    with pytest.raises(EdgeflowError) as caught:
        await pipe(*arguments, **options)
    pipe.dispose()
    assert caught.value.code == code
