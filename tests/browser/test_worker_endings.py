"""Workers that end in the middle of a run, a load or a merged run: what they worked on fails, all else goes on, the numbers stay right."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.test_workers import PRELUDE, wait_for_workers
from tests.engine.minilm import folder

# Run in a worker: its next rest, which comes in the middle of long work, is its end.
ENDINGS = {
    'ends': '() => { MessagePort.prototype.postMessage = () => self.close(); }',
    'throws': """() => {
      const post = MessagePort.prototype.postMessage;
      MessagePort.prototype.postMessage = function (...message) {
        setTimeout(() => { throw new Error('out of cheese'); });
        post.apply(this, message);
      };
    }""",
}
LONG = '{ signal: new AbortController().signal }'
HELPERS = """
  const stats = () => {
    const { wasm, models, tensors } = library.memoryStats();
    return { wasm: wasm.size, count: wasm.count, models: models.map(model => model.total), running: models.map(model => model.running), tensors };
  };
  const shape = async (model, ...size) => (await model.run(batch(library, model, ...size))).last_hidden_state.shape;
"""


def in_page(page: Page, code: str, argument: object = None) -> dict:
    return page.evaluate(f'async argument => {{ {PRELUDE} {HELPERS} {code} }}', argument)


@pytest.mark.parametrize('ending', ENDINGS)
def test_in_the_middle_of_a_run(page: Page, ending: str) -> None:
    """Three models, two in the worker that ends: one at work, with a run of its own waiting, and one idle."""
    before = in_page(page, """
      env.workers = 2;
      window.models = [];
      for (let i = 0; i < 3; i++) models.push(await load(library, MINI));
      window.places = [];
      library.onTask(event => { if (event.kind === 'started') places.push([event.modelId, event.lane]); });
      for (const model of models) await shape(model, 1, 8);
      return { ...stats(), places: models.map(model => places.find(place => place[0] === model.id)[1]) };
    """)
    assert before['places'] == ['worker 1', 'worker 2', 'worker 1']
    assert before['wasm'] == sum(before['models']) and before['count'] == 3
    page.workers[0].evaluate(ENDINGS[ending])
    found = in_page(page, f"""
      const [first, second] = models;
      const lost = failure(() => first.run(batch(library, first, 128, 64), {LONG}));
      const waiting = shape(first, 1, 8), other = shape(second, 128, 64);
      const error = await lost, then = stats();
      return {{ error, then, waiting: await waiting, other: await other, after: stats() }};
    """)
    assert found['error']['code'] == 'worker-lost'
    if ending == 'throws':
        assert 'out of cheese' in found['error']['message']
    assert (found['waiting'][:2], found['other'][:2]) == ([1, 8], [128, 64])
    assert 0 < found['then']['count'] <= 2 and 0 in found['then']['models'], 'the idle model in the lost worker holds nothing either'
    assert found['then']['wasm'] == sum(found['then']['models'])
    assert found['after']['count'] == 2 and found['after']['running'] == [0, 0, 0]
    again = in_page(page, 'const sizes = []; for (const model of models) sizes.push(await shape(model, 1, 8)); return { sizes, ...stats() };')
    assert [size[:2] for size in again['sizes']] == [[1, 8]] * 3
    assert again['count'] == 3 and again['wasm'] == sum(again['models'])
    wait_for_workers(page, 2)
    assert in_page(page, 'for (const model of models) model.dispose(); return stats();')['wasm'] == 0
    wait_for_workers(page, 0)


@pytest.mark.parametrize('ending', ENDINGS)
def test_in_the_middle_of_a_load(page: Page, ending: str) -> None:
    folder()
    before = in_page(page, """
      env.workers = 2;
      window.models = [await load(library, MINI), await load(library, MINI)];
      window.bytes = new Uint8Array(await (await fetch(MINILM)).arrayBuffer());
      return stats();
    """)
    page.workers[0].evaluate(ENDINGS[ending])
    found = in_page(page, """
      const lost = failure(() => library.loadModel(bytes)), other = shape(models[1], 64, 64);
      return { error: await lost, other: await other, after: stats(), back: await shape(models[0], 1, 8) };
    """)
    assert found['error']['code'] == 'worker-lost'
    assert (found['other'][:2], found['back'][:2]) == ([64, 64], [1, 8])
    assert found['after']['models'][0] == 0 and len(found['after']['models']) == 2
    whole = in_page(page, 'models.push(await library.loadModel(bytes)); return { shape: await shape(models[2], 1, 8), ...stats() };')
    assert whole['shape'][:2] == [1, 8]
    assert whole['wasm'] == sum(whole['models']) and whole['count'] == len(before['models']) + 1
    wait_for_workers(page, 2)


@pytest.mark.parametrize('ending', ENDINGS)
def test_in_the_middle_of_a_merged_run(page: Page, ending: str) -> None:
    in_page(page, """
      env.workers = 2;
      window.models = [await load(library, MINI, { batching: { maxSize: 4, maxWait: 300 } }), await load(library, MINI)];
      for (const model of models) await shape(model, 1, 8);
    """)
    page.workers[0].evaluate(ENDINGS[ending])
    found = in_page(page, f"""
      const runs = [], stop = library.onTask(event => runs.push([event.kind, event.run, event.modelId === models[0].id]));
      const work = () => failure(() => models[0].run(batch(library, models[0], 64, 64), {LONG}));
      const members = [work(), work(), work(), work(), work()], other = shape(models[1], 64, 64);
      const ends = (await Promise.all(members)).map(error => error?.code ?? 'done');
      stop();
      const started = runs.filter(run => run[0] === 'started' && run[2]).map(run => run[1]);
      return {{ ends, merged: started.filter(run => run === started[0]).length, started: started.length, requeued: runs.filter(run => run[0] === 'requeued').length, other: await other, after: stats() }};
    """)
    assert found['merged'] == 4
    assert found['ends'] == ['worker-lost'] * 4 + ['done'], 'the fifth waited, and was run by the next worker'
    assert (found['started'], found['requeued']) == (5, 0), 'nothing is begun twice'
    assert found['other'][:2] == [64, 64]
    assert found['after']['running'] == [0, 0] and found['after']['wasm'] == sum(found['after']['models'])
    wait_for_workers(page, 2)
