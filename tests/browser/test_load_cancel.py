"""Loading that is cancelled halfway, in a worker that other models live in and on the page: it ends soon and leaves nothing."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.test_workers import PRELUDE
from tests.engine.minilm import folder
from tests.soak.inspector import Inspector

# Tells every rest of a thread, which is a message to itself, to whoever listens, and lasts until that one answers (if one does).
TELL_RESTS = """() => {
  const channel = new BroadcastChannel('rests'), post = MessagePort.prototype.postMessage;
  MessagePort.prototype.postMessage = function (...message) {
    const go = () => { clearTimeout(late); channel.onmessage = null; post.apply(this, message); };
    const late = setTimeout(go, 500);
    channel.onmessage = go;
    channel.postMessage('rests');
  };
}"""
# Loads a model whose signal comes at a given rest of the thread that reads it (never, with 0); tells how that ended, after how many rests.
HELPERS = """
  const bytes = new Uint8Array(await (await fetch(MINILM)).arrayBuffer());
  const cancelled = async at => {
    const controller = new AbortController(), channel = new BroadcastChannel('rests');
    let rests = 0;
    channel.onmessage = () => {
      if (++rests === at) controller.abort();
      channel.postMessage('go');
    };
    let model = null;
    const error = await failure(async () => { model = await library.loadModel(bytes, { signal: controller.signal }); });
    await new Promise(resolve => setTimeout(resolve, 20));
    channel.close();
    model?.dispose();
    return { code: error?.code ?? null, message: error?.message ?? '', rests };
  };
"""


def in_page(page: Page, code: str, argument: object = None) -> dict:
    return page.evaluate(f'async argument => {{ {PRELUDE} {HELPERS} {code} }}', argument)


@pytest.mark.parametrize('workers', [1, 0])
def test_a_load_is_cancelled_halfway(page: Page, workers: int) -> None:
    folder()
    inspector = Inspector(page)
    in_page(page, 'env.workers = argument; window.keep = await load(library, MINI);', workers)
    (page.workers[0] if workers else page).evaluate(TELL_RESTS)
    whole = in_page(page, 'return cancelled(0);')
    assert whole['code'] is None and whole['rests'] >= 2
    counts = 'const { models, wasm, tensors } = library.memoryStats(); return [models.length, wasm.size, tensors];'
    before, sizes = in_page(page, counts), held_wasm(page, inspector)
    for _ in range(2):
        ended = in_page(page, 'return cancelled(1);')
        assert ended['code'] == 'aborted' and 'loading' in ended['message']
        assert ended['rests'] <= 3, 'nothing of it is done after the cancel'
    assert in_page(page, counts) == before
    assert held_wasm(page, inspector) == sizes
    assert in_page(page, 'return (await keep.run(batch(library, keep, 1, 8))).last_hidden_state.shape;')[:2] == [1, 8]
    assert len(page.workers) == workers


def held_wasm(page: Page, inspector: Inspector) -> list[int]:
    inspector.collect_garbage()
    return inspector.wasm_sizes()


def test_a_load_that_waits_in_the_worker_is_cancelled_at_once(page: Page) -> None:
    folder()
    found = in_page(page, """
      env.workers = 1;
      const busy = await load(library, MINILM), order = [], controller = new AbortController(), post = Worker.prototype.postMessage;
      const run = busy.run(batch(library, busy, 24, 64), { signal: new AbortController().signal }).then(result => { order.push('run'); return result; });
      Worker.prototype.postMessage = function (message, transfer) {
        post.call(this, message, transfer);
        if (message.get('kind') === 'load') setTimeout(() => controller.abort());
      };
      const error = await failure(() => load(library, MINI, { signal: controller.signal }));
      order.push('load');
      return { rows: (await run).last_hidden_state.shape[0], order, code: error.code, message: error.message, models: library.memoryStats().models.length };
    """)
    assert found['order'] == ['load', 'run']
    assert 'before it began' in found['message']
    assert (found['code'], found['models'], found['rows']) == ('aborted', 1, 24)


def test_the_only_model_of_a_worker_takes_the_worker_with_it(page: Page) -> None:
    folder()
    found = in_page(page, """
      env.workers = 1;
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 60);
      const error = await failure(() => library.loadModel(bytes, { signal: controller.signal }));
      const again = await library.loadModel(bytes);
      return { code: error.code, shape: (await again.run(batch(library, again, 1, 8))).last_hidden_state.shape, models: library.memoryStats().models.length };
    """)
    assert (found['code'], found['models'], found['shape'][:2]) == ('aborted', 1, [1, 8])
    assert len(page.workers) == 1


def test_a_pipeline_is_cancelled_while_its_model_is_read(page: Page) -> None:
    folder()
    in_page(page, 'env.workers = 1; window.keep = await load(library, MINI);')
    page.workers[0].evaluate(TELL_RESTS)
    found = in_page(page, """
      env.remoteHost = location.origin + '/';
      env.remotePathTemplate = 'examples/{model}/';
      const controller = new AbortController(), channel = new BroadcastChannel('rests');
      channel.onmessage = () => { controller.abort(); channel.postMessage('go'); };
      const error = await failure(() => library.pipeline('feature-extraction', 'minilm', { signal: controller.signal }));
      const models = library.memoryStats().models.length;
      return { code: error.code, models, shape: (await keep.run(batch(library, keep, 1, 8))).last_hidden_state.shape };
    """)
    assert (found['code'], found['models'], found['shape'][:2]) == ('aborted', 1, [1, 8])


def test_a_run_is_cancelled_while_its_model_loads_again(page: Page) -> None:
    folder()
    page.evaluate(TELL_RESTS)
    found = in_page(page, """
      env.workers = 0;
      const model = await load(library, MINILM);
      env.memoryBudget = 1.5 * model.memory().total;
      (await load(library, MINILM)).dispose();
      const evicted = model.memory().total, controller = new AbortController(), channel = new BroadcastChannel('rests');
      channel.onmessage = () => { controller.abort(); channel.postMessage('go'); };
      const error = await failure(() => model.run(batch(library, model, 1, 8), { signal: controller.signal }));
      const after = model.memory().total;
      return { evicted, code: error.code, after, shape: (await model.run(batch(library, model, 1, 8))).last_hidden_state.shape };
    """)
    assert (found['evicted'], found['code'], found['after'], found['shape'][:2]) == (0, 'aborted', 0, [1, 8])
