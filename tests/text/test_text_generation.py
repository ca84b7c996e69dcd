"""The pipeline text-generation on the tiny models, in CPython: whole texts, streams, sampling, conversations, cancelling."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.pipelines.pipeline import pipeline
from edgeflow.pipelines.text_generation import TextGenerationPipeline
from tests.engine.cases import MODELS

SMOL = MODELS / 'smollm2-mini'
CASES = json.loads((SMOL / 'cases/generate.json').read_text())


@pytest.fixture
async def generator() -> AsyncIterator[TextGenerationPipeline]:
    made = await pipeline('text-generation', str(SMOL), dtype='fp32')
    yield made
    made.dispose()


async def test_the_likeliest_text_is_that_of_onnxruntime(generator: TextGenerationPipeline) -> None:
    for prompt in CASES['prompts']:
        expected = prompt['files']['onnx/model.onnx']
        ids = [event.token_id async for event in generator.stream(prompt['prompt'], max_new_tokens=24, do_sample=False, eos_token_id=[])]
        assert ids == expected['new_ids']


async def test_run_gives_what_transformers_gives(generator: TextGenerationPipeline) -> None:
    text = CASES['prompts'][0]['prompt']
    events = [event async for event in generator.stream(text, max_new_tokens=9, do_sample=False)]
    assert [event.done for event in events] == [False] * 8 + [True]
    assert events[-1].reason == 'length'
    assert events[-1].usage.new_tokens == 9
    (whole,) = await generator.run(text, max_new_tokens=9, do_sample=False)
    assert whole.generated_text == text + events[-1].text == text + ''.join(event.token for event in events)
    (new,) = await generator.run(text, max_new_tokens=9, do_sample=False, return_full_text=False)
    assert new.generated_text == events[-1].text
    several = await generator.run([text, 'Another text'], max_new_tokens=9, do_sample=False)
    assert [len(results) for results in several] == [1, 1]
    assert several[0] == [whole]


async def test_same_seed_same_text_and_rows_draw_by_themselves(generator: TextGenerationPipeline) -> None:
    options = {'max_new_tokens': 12, 'temperature': 1.5, 'top_k': 50}
    first = await generator.run('Once', seed=7, **options)
    assert await generator.run('Once', seed=7, **options) == first
    assert await generator.run('Once', seed=8, **options) != first
    rows = await generator.run(['Once', 'Once'], seed=7, **options)
    assert rows[0] == first
    assert rows[1] != first


async def test_log_probabilities(generator: TextGenerationPipeline) -> None:
    events = [event async for event in generator.stream('Once', max_new_tokens=4, do_sample=False, logprobs=3)]
    assert [len(event.top) for event in events] == [3] * 4
    assert all(event.logprob == event.top[0].logprob < 0 for event in events)


async def test_a_conversation_goes_on_with_an_answer(generator: TextGenerationPipeline) -> None:
    messages = [{'role': 'user', 'content': 'Hello there'}]
    (result,) = await generator.run(messages, max_new_tokens=6, do_sample=False)
    assert result.generated_text[:1] == messages
    assert result.generated_text[1]['role'] == 'assistant'
    (answer,) = await generator.run(messages, max_new_tokens=6, do_sample=False, return_full_text=False)
    assert answer.generated_text == result.generated_text[1]['content']


async def test_the_next_text_of_a_conversation_computes_only_what_is_new(generator: TextGenerationPipeline) -> None:
    decoder = await generator.model._executable.decoder()
    await generator.run('The same beginning of a text', max_new_tokens=4, do_sample=False)
    fed: list[int] = []
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        fed.extend(len(feeding.ids) for feeding in feedings)
        return await advance(feedings, control)

    decoder.advance = counted
    await generator.run('The same beginning of a text', max_new_tokens=2, do_sample=False)
    assert fed == [1, 1]


async def test_leaving_a_stream_and_disposing_free_the_cache(generator: TextGenerationPipeline) -> None:
    decoder = await generator.model._executable.decoder()
    stream = generator.stream('Once upon a time', max_new_tokens=50, do_sample=False)
    async for event in stream:
        if event.usage is None and len(event.text) > 3:
            break
    await stream.aclose()
    assert decoder.cache_memory().arena == 0
    controller = new_abort_controller()
    with pytest.raises(EdgeflowError) as e:
        async for _ in generator.stream('Once upon', max_new_tokens=50, do_sample=False, signal=controller.signal):
            controller.abort()
    assert e.value.code == 'aborted'
    assert decoder.cache_memory().arena == 0


@pytest.mark.parametrize('text', ['', [], 3, [3]])
async def test_what_is_no_text_is_refused(generator: TextGenerationPipeline, text: object) -> None:
    with pytest.raises(EdgeflowError) as e:
        await generator.run(text)
    assert e.value.code == 'invalid-argument'


async def test_a_model_that_is_no_decoder_is_refused() -> None:
    bert = await pipeline('text-generation', str(MODELS / 'bert-mini-sentence'), dtype='fp32')
    with pytest.raises(EdgeflowError, match='no decoder') as e:
        await bert.run('Hello')
    assert e.value.code == 'unsupported-op'
    bert.dispose()
