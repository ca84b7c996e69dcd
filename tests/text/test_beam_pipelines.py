"""Beam search in pipelines: the texts that transformers finds with the same files (record_beams.py wrote them), sharing, cancelling."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.pipelines.pipeline import pipeline
from tests.engine.cases import MODELS

CASES = json.loads(Path(__file__).with_name('beam_cases.json').read_text())
TASKS = {'smollm2-mini': 'text-generation', 't5-mini': 'text2text-generation', 'marian-mini': 'translation'}


@pytest.mark.parametrize('model', TASKS)
async def test_the_texts_are_those_of_transformers(model: str) -> None:
    made = await pipeline(TASKS[model], str(MODELS / model), dtype='fp32')
    cases = [case for case in CASES if case['model'] == model]
    assert len(cases) == 8
    for case in cases:
        ids: list[int] = []
        await made.run(case['text'], **case['options'], eos_token_id=case['eos_token_id'], on_token=lambda event, ids=ids: ids.append(event.token_id))
        assert ids == case['new_ids'], case['options']
    writer = await made.writer()._executable.decoder()
    assert writer._sessions == {}
    assert writer.cache_memory().arena == 0
    made.dispose()


@pytest.mark.parametrize('model', TASKS)
async def test_rows_are_searched_at_the_same_time_in_shared_runs(model: str) -> None:
    generator = await pipeline(TASKS[model], str(MODELS / model), dtype='fp32')
    texts = ['Once upon a time there was', 'The capital']
    options = {'num_beams': 3, 'max_new_tokens': 10}
    alone = [await generator.run(text, **options) for text in texts]
    if model != 'smollm2-mini':
        alone = [one for (one,) in alone]
    decoder = await generator.writer()._executable.decoder()
    runs: list[int] = []
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        runs.append(len(feedings))
        return await advance(feedings, control)

    decoder.advance = counted
    assert await generator.run(texts, **options) == alone
    assert runs.count(6) >= 7
    generator.dispose()


async def test_a_stream_searches_without_beams_and_drawing_beams_are_refused() -> None:
    generator = await pipeline('text-generation', str(MODELS / 'smollm2-mini'), dtype='fp32')
    generator.config['generation_config'] = {'num_beams': 4}
    events = [event async for event in generator.stream('Once', max_new_tokens=5)]
    (plain,) = await generator.run('Once', max_new_tokens=5, num_beams=1)
    assert 'Once' + events[-1].text == plain.generated_text
    with pytest.raises(EdgeflowError, match='num_beams') as e:
        await generator.run('Once', temperature=2.0)
    assert e.value.code == 'invalid-argument'
    generator.dispose()


async def test_a_search_that_is_cancelled_frees_its_beams() -> None:
    generator = await pipeline('text-generation', str(MODELS / 'smollm2-mini'), dtype='fp32')
    decoder = await generator.model._executable.decoder()
    controller = new_abort_controller()
    advance = decoder.advance
    steps: list[int] = []

    async def counted(feedings: list, control: object = None) -> list:
        steps.append(len(feedings))
        if len(steps) == 5:
            controller.abort()
        return await advance(feedings, control)

    decoder.advance = counted
    with pytest.raises(EdgeflowError) as e:
        await generator.run('Once upon a time', num_beams=4, max_new_tokens=200, signal=controller.signal)
    assert e.value.code == 'aborted'
    assert len(steps) <= 6
    assert decoder._sessions == {}
    assert decoder.cache_memory().arena == 0
    generator.dispose()
