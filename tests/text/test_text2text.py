"""Pipelines with encoder-decoders on the tiny models, in CPython."""

from __future__ import annotations

import json

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.text2text_generation import Summary, Translation
from edgeflow.pipelines.text_generation import GeneratedText
from edgeflow.runtime.memory import memory_stats
from tests.engine.cases import MODELS


@pytest.mark.parametrize('model, task', [('t5-mini', 'text2text-generation'), ('marian-mini', 'translation')])
async def test_the_likeliest_text_is_that_of_onnxruntime(model: str, task: str) -> None:
    made = await pipeline(task, str(MODELS / model), dtype='fp32')
    for prompt in json.loads((MODELS / model / 'cases/generate.json').read_text())['prompts']:
        expected = prompt['files']['onnx/decoder_model_merged.onnx']['new_ids']
        stream = made.stream(prompt['prompt'], max_new_tokens=len(expected), do_sample=False, eos_token_id=[])
        assert [event.token_id async for event in stream] == expected
    made.dispose()


@pytest.mark.parametrize('task, record, field', [
    ('text2text-generation', GeneratedText, 'generated_text'), ('summarization', Summary, 'summary_text'),
    ('translation', Translation, 'translation_text'),
])
async def test_results_are_named_as_in_transformers(task: str, record: type, field: str) -> None:
    before = memory_stats().host.count
    made = await pipeline(task, str(MODELS / 't5-mini'), dtype='fp32')
    one = await made.run('A text', max_new_tokens=5, do_sample=False)
    two = await made.run(['A text', 'Another one, which is longer'], max_new_tokens=5, do_sample=False)
    assert [type(result) for result in two] == [record, record]
    assert one == two[:1]
    assert isinstance(getattr(one[0], field), str)
    assert (await made.decoder._executable.decoder())._sessions == {}
    made.dispose()
    assert made.decoder.disposed
    assert memory_stats().host.count == before


async def test_a_repository_without_a_decoder_is_an_error() -> None:
    with pytest.raises(EdgeflowError) as e:
        await pipeline('summarization', str(MODELS / 'smollm2-mini'), dtype='fp32')
    assert e.value.code == 'file-missing'
