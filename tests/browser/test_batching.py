"""Merged runs in Chromium, where the scheduler, the worker and the kernels are those of a page."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.test_workers import PRELUDE

MERGED = """
  env.workers = argument;
  const merged = await load(library, MINI, { batching: { maxSize: 4, maxWait: 300 } }), single = await load(library, MINI);
  const sizes = new Map(), stop = library.onTask(event => {
    if (event.kind === 'started' && event.modelId === merged.id) sizes.set(event.run, (sizes.get(event.run) ?? 0) + 1);
  });
  const inputs = [3, 4, 5, 6, 7, 8, 9].map(id => batch(library, merged, 1, 8, id));
  const controller = new AbortController();
  const leaving = failure(() => merged.run(batch(library, merged, 1, 8), { signal: controller.signal }));
  const results = Promise.all(inputs.map(given => merged.run(given)));
  controller.abort();
  let worst = 0;
  const expected = [];
  for (const given of inputs) expected.push(await single.run(given));
  (await results).forEach((result, i) => {
    const got = result.last_hidden_state, wanted = expected[i].last_hidden_state;
    if (String(got.shape) !== String(wanted.shape) || got.data.buffer.byteLength !== got.data.byteLength) worst = Infinity;
    got.data.forEach((x, at) => { worst = Math.max(worst, Math.abs(x - wanted.data[at])); });
  });
  stop();
  return { worst, left: (await leaving).code, sizes: [...sizes.values()] };
"""


def test_merged_runs_give_what_single_runs_give_in_a_worker(page: Page) -> None:
    check(page.evaluate(f'async argument => {{ {PRELUDE} {MERGED} }}', 1))
    assert len(page.workers) == 1


def test_and_on_the_page(page: Page) -> None:
    check(page.evaluate(f'async argument => {{ {PRELUDE} {MERGED} }}', 0))


def check(found: dict) -> None:
    assert found['worst'] < 1e-5
    assert found['left'] == 'aborted'
    # The one that leaves was among the first four, which run when its signal comes.
    assert found['sizes'] == [4, 4]


def test_a_pipeline_in_a_worker_merges_runs(page: Page) -> None:
    found = page.evaluate("""async () => {
      const { pipeline, onTask, env } = await import('/dist/edgeflow.js');
      env.remoteHost = location.origin + '/';
      env.remotePathTemplate = 'models/{model}/';
      const classify = await pipeline('text-classification', 'distilbert-sst2-mini', { batching: { maxSize: 8, maxWait: 500 } });
      const runs = new Set(), stop = onTask(event => { if (event.kind === 'started') runs.add(event.run); });
      const single = (await classify('tea'))[0];
      runs.clear();
      const [merged] = (await Promise.all(Array.from({ length: 8 }, () => classify('tea'))))[7];
      stop();
      return { runs: runs.size, single, merged };
    }""")
    assert found['runs'] == 1
    assert found['merged']['label'] == found['single']['label']
    assert abs(found['merged']['score'] - found['single']['score']) < 1e-5


def test_a_model_that_cannot_is_refused_and_leaves_nothing(page: Page) -> None:
    error, models = page.evaluate(f"""async () => {{ {PRELUDE}
      const refused = await failure(() => load(library, '/models/bert-mini-sentence/onnx/model_quantized.onnx', {{ batching: {{}} }}));
      return [refused, library.memoryStats().models.length];
    }}""")
    assert error['code'] == 'invalid-argument' and 'DynamicQuantizeLinear' in error['message']
    assert models == 0
    page.wait_for_timeout(100)
    assert page.workers == []


def test_an_unknown_option_names_the_nearest(page: Page) -> None:
    error = page.evaluate(f'async () => {{ {PRELUDE} return failure(() => load(library, MINI, {{ batching: {{ maxsize: 3 }} }})); }}')
    assert error['code'] == 'unknown-option' and "'maxSize'" in error['message']
