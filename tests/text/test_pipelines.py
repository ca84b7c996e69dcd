"""Pipelines on the small models of tests/models, in CPython, against onnxruntime on the same files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.pooling import first_pooled, mean_pooled, normalized
from edgeflow.runtime.tensor import Tensor
from edgeflow.store.progress import ProgressEvent
from edgeflow.text.tokenizer import Tokenizer, read_tokenizer
from tests.text.tokenizer_cases import MODELS

SENTENCE = MODELS / 'bert-mini-sentence'
SENTIMENT = MODELS / 'distilbert-sst2-mini'
TEXTS = ['Hello world!', 'The quick brown fox jumps over the lazy dog.', '']


def tokenizer_of(folder: Path) -> Tokenizer:
    return read_tokenizer(
        memoryview((folder / 'tokenizer.json').read_bytes()), memoryview((folder / 'tokenizer_config.json').read_bytes()))


def reference(folder: Path, texts: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The first output of onnxruntime for a batch, and the attention mask."""
    session = onnxruntime.InferenceSession(str(folder / 'onnx' / 'model.onnx'), providers=['CPUExecutionProvider'])
    encoded = tokenizer_of(folder).encode(texts, padding=True, truncation=True)
    rows = {'input_ids': encoded.input_ids, 'attention_mask': encoded.attention_mask, 'token_type_ids': encoded.token_type_ids}
    feeds = {value.name: np.array(rows[value.name], np.int64) for value in session.get_inputs()}
    return session.run(None, feeds)[0], np.array(encoded.attention_mask)


def array(tensor: Tensor) -> np.ndarray:
    return np.array(tensor.data).reshape(tensor.shape)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize('pooling', ['none', 'mean', 'cls'])
@pytest.mark.parametrize('normalize', [False, True])
async def test_features_of_a_batch(pooling: str, normalize: bool) -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    hidden, mask = reference(SENTENCE, TEXTS)
    expected = hidden
    if pooling == 'mean':
        expected = (hidden * mask[..., None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
    if pooling == 'cls':
        expected = hidden[:, 0]
    if normalize:
        expected = expected / np.linalg.norm(expected, axis=-1, keepdims=True)
    got = array(await extractor(TEXTS, pooling=pooling, normalize=normalize))
    if pooling == 'none':
        got, expected = got[mask == 1], expected[mask == 1]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)
    extractor.dispose()


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('pooling', ['mean', 'cls'])
async def test_what_is_pooled_where_the_model_runs_is_what_the_page_makes_of_all_vectors(pooling: str, side: str) -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    extractor.tokenizer.padding_side = side
    mask = extractor.tokenizer.encode(TEXTS, padding=True).attention_mask
    hidden = await extractor(TEXTS)
    outputs = [info.name for info in extractor.model.outputs]
    for normalize in (False, True):
        expected = (mean_pooled if pooling == 'mean' else first_pooled)(hidden, mask)
        expected = normalized(expected) if normalize else expected
        np.testing.assert_array_equal(array(await extractor(TEXTS, pooling=pooling, normalize=normalize)), array(expected))
    assert [info.name for info in extractor.model.outputs] == outputs
    extractor.dispose()


@pytest.mark.parametrize('pooling', ['mean', 'cls'])
async def test_texts_of_a_model_without_a_mask_are_pooled_by_the_tokenizers_mask(tmp_path: Path, pooling: str) -> None:
    folder = tmp_path / 'model'
    shutil.copytree(SENTENCE, folder, ignore=shutil.ignore_patterns('cases', 'onnx'))
    (folder / 'onnx').mkdir()
    table = np.random.default_rng(1).standard_normal((2048, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node('Gather', ['table', 'input_ids'], ['last_hidden_state'])], 'table',
        [onnx.helper.make_tensor_value_info('input_ids', onnx.TensorProto.INT64, ['batch', 'sequence'])],
        [onnx.helper.make_tensor_value_info('last_hidden_state', onnx.TensorProto.FLOAT, ['batch', 'sequence', 3])], [onnx.numpy_helper.from_array(table, 'table')])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid('', 17)], ir_version=8), folder / 'onnx' / 'model.onnx')
    extractor = await pipeline('feature-extraction', str(folder))
    encoded = extractor.tokenizer.encode(TEXTS)
    rows = [table[ids] for ids in encoded.input_ids]
    expected = [row.mean(axis=0) if pooling == 'mean' else row[0] for row in rows]
    np.testing.assert_allclose(array(await extractor(TEXTS, pooling=pooling)), expected, rtol=1e-5, atol=1e-6)
    extractor.dispose()


async def test_one_text_is_a_batch_of_one_and_padding_changes_nothing() -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    alone = array(await extractor.run(TEXTS[0], pooling='mean'))
    batch = array(await extractor.run(TEXTS, pooling='mean'))
    assert alone.shape == (1, 48)
    np.testing.assert_allclose(alone[0], batch[0], rtol=1e-4, atol=1e-5)
    extractor.dispose()


async def test_labels_of_one_text_and_of_a_list() -> None:
    classifier = await pipeline('text-classification', str(SENTIMENT))
    labels = json.loads((SENTIMENT / 'config.json').read_text())['id2label']
    expected = softmax(reference(SENTIMENT, TEXTS)[0])
    one = await classifier(TEXTS[0])
    assert [found.label for found in one] == [labels[str(expected[0].argmax())]]
    assert one[0].score == pytest.approx(expected[0].max(), abs=1e-4)
    several = await classifier(TEXTS)
    assert [found.label for found in several] == [labels[str(i)] for i in expected.argmax(axis=1)]
    every = await classifier(TEXTS[0], top_k=None)
    assert sorted(found.label for found in every) == sorted(labels.values())
    assert every[0].score >= every[1].score
    assert sum(found.score for found in every) == pytest.approx(1)
    table = await classifier(TEXTS, top_k=2)
    assert [len(row) for row in table] == [2, 2, 2]
    apart = await classifier(TEXTS[0], top_k=None, multi_label=True)
    logits = reference(SENTIMENT, TEXTS[:1])[0][0]
    assert sorted(found.score for found in apart) == pytest.approx(sorted(1 / (1 + np.exp(-logits))), abs=1e-4)
    classifier.dispose()


async def test_long_texts_are_cut_to_the_models_length() -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    assert (await extractor('word ' * 1000)).shape[1] == 128
    extractor.dispose()


async def test_progress_is_told_for_every_file_and_ends_with_ready() -> None:
    events = []
    extractor = await pipeline('feature-extraction', str(SENTENCE), on_progress=events.append)
    extractor.dispose()
    done = {event.file for event in events if event.status == 'done'}
    assert {'config.json', 'tokenizer.json', 'tokenizer_config.json', 'onnx/model.onnx'} <= done
    assert events[-1].status == 'ready'
    sizes = [(SENTENCE / file).stat().st_size for file in done]
    assert events[-1].loaded_all == events[-1].total_all == sum(sizes)


async def test_without_a_model_env_says_which() -> None:
    before = env.default_models
    env.default_models = {'feature-extraction': str(SENTENCE)}
    try:
        extractor = await pipeline('feature-extraction')
        assert (await extractor('Hello', pooling='cls')).shape == [1, 48]
        extractor.dispose()
    finally:
        env.default_models = before


async def test_a_disposed_pipeline_says_so() -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    extractor.dispose()
    extractor.dispose()
    with pytest.raises(EdgeflowError) as caught:
        await extractor('Hello')
    assert caught.value.code == 'disposed'


@pytest.mark.parametrize('options, code', [
    ({'dtipe': 'fp32'}, 'unknown-option'), ({'dtype': 'fp31'}, 'invalid-argument'), ({'device': 'tpu'}, 'invalid-argument'),
    ({'dtype': 'q4f16'}, 'file-missing'),
])
async def test_wrong_options_are_errors(options: dict[str, str], code: str) -> None:
    with pytest.raises(EdgeflowError) as caught:
        await pipeline('feature-extraction', str(SENTENCE), **options)
    assert caught.value.code == code


async def test_wrong_options_of_a_run_are_errors() -> None:
    extractor = await pipeline('feature-extraction', str(SENTENCE))
    for options, code in [({'poling': 'mean'}, 'unknown-option'), ({'pooling': 'max'}, 'invalid-argument')]:
        with pytest.raises(EdgeflowError) as caught:
            await extractor('Hello', **options)
        assert caught.value.code == code
    extractor.dispose()


async def test_loading_can_be_cancelled() -> None:
    controller = new_abort_controller()
    stages: list[str] = []

    def abort_at_first_download(event: ProgressEvent) -> None:
        stages.append(event.status)
        if event.status == 'download':
            controller.abort()

    with pytest.raises(EdgeflowError) as caught:
        await pipeline('feature-extraction', str(SENTENCE), on_progress=abort_at_first_download, signal=controller.signal)
    assert caught.value.code == 'aborted'
    assert 'ready' not in stages


async def test_a_model_that_is_no_text_is_an_error() -> None:
    with pytest.raises(EdgeflowError, match='id, address or path') as caught:
        await pipeline('feature-extraction', 3)
    assert caught.value.code == 'invalid-argument'


async def test_an_unknown_task_is_an_error() -> None:
    with pytest.raises(EdgeflowError, match='feature-extraction') as caught:
        await pipeline('feature-extracion', str(SENTENCE))
    assert caught.value.code == 'unsupported-task'


@pytest.mark.parametrize('file, content, code', [
    ('tokenizer.json', None, 'file-missing'), ('tokenizer.json', '{"model"', 'invalid-tokenizer'),
    ('tokenizer_config.json', '[]', 'invalid-tokenizer'), ('config.json', 'x', 'invalid-model'),
    ('onnx/model.onnx', None, 'file-missing'), ('onnx/model.onnx', 'no protobuf', 'invalid-model'),
])
async def test_missing_and_broken_files_are_errors(tmp_path: Path, file: str, content: str | None, code: str) -> None:
    folder = tmp_path / 'model'
    shutil.copytree(SENTENCE, folder, ignore=shutil.ignore_patterns('cases', 'model_*'))
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_text(content)
    with pytest.raises(EdgeflowError) as caught:
        await pipeline('feature-extraction', str(folder))
    assert caught.value.code == code


async def test_a_model_needs_no_tokenizer_config(tmp_path: Path) -> None:
    folder = tmp_path / 'model'
    shutil.copytree(SENTENCE, folder, ignore=shutil.ignore_patterns('cases', 'model_*'))
    (folder / 'tokenizer_config.json').unlink()
    extractor = await pipeline('feature-extraction', str(folder))
    assert (await extractor('Hello', pooling='mean')).shape == [1, 48]
    extractor.dispose()
