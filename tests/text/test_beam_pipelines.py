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
    assert len(cases) == 10
    for case in cases:
        ids: list[list[int]] = [[] for _ in case['new_ids']]
        results = await made.run(
            case['text'], **case['options'], eos_token_id=case['eos_token_id'], on_token=lambda event, ids=ids: ids[event.row].append(event.token_id))
        assert ids == case['new_ids'], case['options']
        assert len(results) == case['options'].get('num_return_sequences', 1)
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


@pytest.mark.parametrize('model', TASKS)
async def test_several_texts_are_drawn_for_each_given_one_from_what_read_it_once(model: str) -> None:
    made = await pipeline(TASKS[model], str(MODELS / model), dtype='fp32')
    options = {'max_new_tokens': 12, 'temperature': 3.0, 'seed': 7, 'eos_token_id': []}
    texts = ['Once upon a time there was', 'The capital']
    decoder = await made.writer()._executable.decoder()
    fed: list[list[int]] = []
    advance = decoder.advance

    async def counted(feedings: list, control: object = None) -> list:
        fed.append([len(feeding.ids) for feeding in feedings])
        return await advance(feedings, control)

    decoder.advance = counted
    drawn = await made.run(texts, num_return_sequences=3, **options)
    assert [len(set(map(str, results))) for results in drawn] == [3, 3]
    assert len([run for run in fed if max(run) > 1]) == (2 if model == 'smollm2-mini' else 0)
    assert fed.count([1] * 6) >= 11
    # Each row of a batch draws by its own place in it: the first text's first is the one that is drawn for it alone.
    alone = await made.run(texts[0], **options)
    assert alone == drawn[0][:1]
    assert await made.run(texts[0], num_return_sequences=3, **options) == drawn[0]
    rows = [event.row async for event in made.stream(texts[0], num_return_sequences=2, **options)]
    assert sorted(set(rows)) == [0, 1]
    for given in [{'num_return_sequences': 2}, {'num_return_sequences': 3, 'num_beams': 2}, {'num_return_sequences': 0}]:
        with pytest.raises(EdgeflowError, match='num_return_sequences') as e:
            await made.run(texts[0], **given)
        assert e.value.code == 'invalid-argument'
    made.dispose()


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


@pytest.mark.parametrize('model', TASKS)
@pytest.mark.parametrize('when', [1, 2, 3])
async def test_texts_that_are_cancelled_while_they_begin_free_their_sessions(model: str, when: int) -> None:
    made = await pipeline(TASKS[model], str(MODELS / model), dtype='fp32')
    decoder = await made.writer()._executable.decoder()
    controller = new_abort_controller()
    advance = decoder.advance
    steps: list[int] = []

    async def counted(feedings: list, control: object = None) -> list:
        steps.append(len(feedings))
        if len(steps) == when:
            controller.abort()
        return await advance(feedings, control)

    decoder.advance = counted
    with pytest.raises(EdgeflowError) as e:
        await made.run(['Once upon a time', 'The capital'], num_return_sequences=3, temperature=1.0, max_new_tokens=20, signal=controller.signal)
    assert e.value.code == 'aborted'
    assert decoder._sessions == {}
    assert decoder.cache_memory().arena == 0
    made.dispose()
