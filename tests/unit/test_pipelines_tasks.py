"""Names of tasks and their default models."""

from __future__ import annotations

import pytest

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import native_mapping
from edgeflow.ir.graph import ValueInfo
from edgeflow.pipelines.base import first_name, model_inputs, text_list
from edgeflow.pipelines.tasks import default_model, task_name
from edgeflow.text.tokenizer import Encoded


def test_a_task_is_found_by_its_name_and_by_its_alias() -> None:
    assert task_name('feature-extraction') == 'feature-extraction'
    assert task_name('embeddings') == 'feature-extraction'
    assert task_name('sentiment-analysis') == 'text-classification'


@pytest.mark.parametrize('task, near', [
    ('feature-extracton', 'feature-extraction'), ('text_classification', 'text-classification'), ('zzz', None),
])
def test_an_unknown_task_is_an_error_that_names_the_nearest(task: str, near: str | None) -> None:
    with pytest.raises(EdgeflowError) as caught:
        task_name(task)
    assert caught.value.code == 'unsupported-task'
    assert caught.value.details['nearest'] == near
    assert task in caught.value.message


def test_env_goes_before_the_table_of_default_models() -> None:
    assert default_model('feature-extraction') == 'onnx-community/all-MiniLM-L6-v2-ONNX'
    before = env.default_models
    try:
        env.default_models = native_mapping({'feature-extraction': 'own/model'})
        assert default_model('feature-extraction') == 'own/model'
        assert default_model('text-classification') == 'Xenova/distilbert-base-uncased-finetuned-sst-2-english'
    finally:
        env.default_models = before


def test_one_text_is_a_list_of_one() -> None:
    assert text_list('a') == ['a']
    assert text_list(['a', '']) == ['a', '']


@pytest.mark.parametrize('texts', [None, 3, [], ['a', 3], {'a': 'b'}])
def test_what_is_no_text_is_an_error(texts: object) -> None:
    with pytest.raises(EdgeflowError, match='expected a') as caught:
        text_list(texts)
    assert caught.value.code == 'invalid-argument'


def test_a_model_gets_the_inputs_that_it_declares() -> None:
    encoded = Encoded([[5, 6], [7, 0]], [[1, 1], [1, 0]], [[0, 0], [0, 0]])
    dims: list[int | str] = ['batch', 'sequence']
    inputs = model_inputs(encoded, [ValueInfo('input_ids', 'int64', dims), ValueInfo('attention_mask', 'int32', dims)])
    assert sorted(inputs.keys()) == ['attention_mask', 'input_ids']
    assert inputs['input_ids'].dtype == 'int64'
    assert inputs['attention_mask'].dtype == 'int32'
    assert inputs['input_ids'].shape == [2, 2]
    assert inputs['input_ids'].tolist() == [[5, 6], [7, 0]]
    with pytest.raises(EdgeflowError, match="'pixel_values'") as caught:
        model_inputs(encoded, [ValueInfo('pixel_values', 'float32', dims)])
    assert caught.value.code == 'invalid-input'


def test_the_first_known_output_is_taken() -> None:
    assert first_name(['logits', 'last_hidden_state'], ['last_hidden_state', 'logits']) == 'last_hidden_state'
    with pytest.raises(EdgeflowError, match='pooler_output') as caught:
        first_name(['pooler_output'], ['logits'])
    assert caught.value.code == 'invalid-graph'
