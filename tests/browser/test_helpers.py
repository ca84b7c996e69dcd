"""Idle workers that take shares of a model's runs, in Chromium: results to the bit, and all that can happen meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.browser.test_workers import PAGES, PRELUDE, Do, overlapping, wait_for_workers
from tests.conftest import EXAMPLES
from toolchain.paths import MODELS
from toolchain.serve import Server

ALONE = """
  env.workers = 2;
  window.model = await load(library, MINILM);
  window.run = (options = {}) => model.run(batch(library, model, 1, 32, 2000), options);
  window.expected = (await run()).last_hidden_state.data;
  window.same = result => result.last_hidden_state.data.every((x, i) => x === expected[i]);
"""
# Until the second worker listens and has its share of the weights.
HELPED = ALONE + """
  window.before = library.memoryStats().models[0].total;
  for (let i = 0; i < 200 && library.memoryStats().models[0].total === before; i++) {
    if (!same(await run())) throw new Error('a run gave something else');
    await new Promise(resolve => setTimeout(resolve, 5));
  }
"""


COUNT = """() => {
  const post = MessagePort.prototype.postMessage;
  self.partials = 0;
  MessagePort.prototype.postMessage = function (message, transfer) {
    if (message instanceof Map && message.get('kind') === 'partial') self.partials++;
    return post.call(this, message, transfer);
  };
}"""


@pytest.fixture
def do(page: Page) -> Do:
    return lambda code, argument=None: page.evaluate(f'async argument => {{ {PRELUDE} {code} }}', argument)


def test_an_idle_worker_takes_shares_and_results_stay_the_same(page: Page, do: Do) -> None:
    grown = do(HELPED + "return library.memoryStats().models[0].total - before;")
    assert 21_000_000 < grown < 24_000_000, "half of the weights of MiniLM's layers and little more"
    assert len(page.workers) == 2
    page.workers[1].evaluate(COUNT)
    assert do('return [same(await run()), same(await run())];') == [True] * 2
    assert page.workers[1].evaluate('self.partials') == 24, 'two stretches in each of six layers'
    assert do('return (await Promise.all([run(), run(), run()])).map(same);') == [True] * 3
    held = do('return library.memoryStats().models[0].total;')
    assert do('for (let i = 0; i < 100; i++) await run(); return library.memoryStats().models[0].total;') == held, 'helpers take memory once'
    do('model.dispose();')
    wait_for_workers(page, 0)


def test_a_helper_that_gets_work_of_its_own_does_that(page: Page, do: Do) -> None:
    spans = do(HELPED + """
      const other = await load(library, MINILM);
      const models = [model, other], results = [];
      const inputs = batch(library, other, 1, 32, 2000);
      const first = run();
      const spans = await intervals(library, models, 4, 1, 32);
      results.push(await first, await run(), await other.run(inputs));
      return { spans: spans.filter(span => span.start !== undefined), same: results.map(same), lanes: new Set(spans.map(span => span.lane)).size };
    """)
    assert spans['same'] == [True] * 3
    assert spans['lanes'] == 2
    first, second = ([span for span in spans['spans'] if span['model'] == model] for model in sorted({s['model'] for s in spans['spans']}))
    assert any(overlapping(a, b) for a in first for b in second)


def test_where_cores_were_taken_the_last_time_a_run_is_sent_without_waiting_for_help(page: Page, do: Do) -> None:
    """Given runs that found all cores taken, when the next is asked for, then it is sent at once; alone, it has help again from the second time on."""
    page.evaluate("""() => {
      const post = Worker.prototype.postMessage;
      self.sent = 0;
      Worker.prototype.postMessage = function (message, transfer) {
        if (message instanceof Map && message.get('kind') === 'run') self.sent++;
        return post.call(this, message, transfer);
      };
    }""")
    seen = do(HELPED + """
      const other = await load(library, MINILM);
      const inputs = batch(library, other, 1, 32, 2000);
      const now = () => { self.sent = 0; const result = run(); return [result, self.sent]; };
      const seen = [];
      for (const together of [false, true, false, false]) {
        if (together) await Promise.all([run(), other.run(inputs)]);
        const [result, sent] = now();
        seen.push([sent, same(await result)]);
      }
      return seen;
    """)
    assert seen == [[0, True], [1, True], [0, True], [0, True]]


def test_a_helper_that_is_lost_costs_nothing_but_time(page: Page, do: Do) -> None:
    do(HELPED + """
      window.running = true;
      window.results = (async () => {
        let good = 0;
        while (running || good < 20) good += same(await run()) ? 1 : -1000;
        return good;
      })();
    """)
    page.workers[1].evaluate('self.close()')
    page.wait_for_timeout(200)
    assert do('running = false; return results;') >= 20


def test_a_run_with_help_can_be_cancelled(do: Do) -> None:
    told = do(HELPED + """
      const codes = [];
      for (let i = 0; i < 12; i++) {
        const controller = new AbortController();
        const work = failure(() => run({ signal: controller.signal }));
        setTimeout(() => controller.abort(), i / 2);
        const error = await work;
        codes.push(error === null ? 'done' : error.code);
      }
      return { codes, same: same(await run()) };
    """)
    assert set(told['codes']) <= {'done', 'aborted'} and 'aborted' in told['codes']
    assert told['same']


def test_no_helpers_where_they_are_not_wanted(page: Page, do: Do) -> None:
    do("env.spareCores = false;" + ALONE + "for (let i = 0; i < 8; i++) await run();")
    page.wait_for_timeout(100)
    assert len(page.workers) == 1


def test_no_helpers_where_memory_is_limited(page: Page, do: Do) -> None:
    do("env.memoryBudget = 1e9;" + ALONE + "for (let i = 0; i < 8; i++) await run();")
    page.wait_for_timeout(100)
    assert len(page.workers) == 1


def test_small_models_stay_alone(page: Page, do: Do) -> None:
    do("""
      env.workers = 2;
      const model = globalThis.held = await load(library, MINI);
      for (let i = 0; i < 8; i++) await model.run(batch(library, model, 1, 8));
    """)
    page.wait_for_timeout(100)
    assert len(page.workers) == 1


def test_only_runs_that_may_be_divided_wait_for_what_divides(page: Page, do: Do) -> None:
    held: list[Route] = []
    page.route('**/edgeflow-helpers.js*', lambda route: held.append(route))
    assert do("""
      env.workers = 2;
      const small = await load(library, MINI);
      const result = await small.run(batch(library, small, 1, 8));
      window.model = await load(library, MINILM);
      window.work = model.run(batch(library, model, 1, 32, 2000));
      return Promise.race([work.then(() => 'done'), new Promise(resolve => setTimeout(resolve, 300, 'waiting'))]);
    """) == 'waiting'
    assert held
    for route in held:
        route.continue_()
    assert do("""
      const other = await load(library, MINILM), expected = (await other.run(batch(library, other, 1, 32, 2000))).last_hidden_state.data;
      return (await work).last_hidden_state.data.every((x, i) => x === expected[i]);
    """)


def test_without_what_divides_models_run_alone(page: Page, do: Do) -> None:
    said: list[str] = []
    page.on('console', lambda message: said.append(message.text))
    page.route('**/edgeflow-helpers.js*', lambda route: route.fulfill(status=404, body=''))
    do(ALONE + "for (let i = 0; i < 8; i++) if (!same(await run())) throw new Error('a run gave something else');")
    assert len(page.workers) == 1
    assert len([text for text in said if 'no other thread can take shares of runs' in text]) == 1


def test_isolated_pages_share_the_memory_itself(browser: Browser, dist: Path) -> None:
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS, '/examples': EXAMPLES}, isolated=True) as server:
        page = browser.new_context().new_page()
        page.goto(server.url('/blank.html'))

        def do(code: str) -> object:
            return page.evaluate(f'async () => {{ {PRELUDE} {code} }}')

        assert do(ALONE + "window.before = library.memoryStats().models[0].total; return self.crossOriginIsolated;")
        for _ in range(200):
            if len(page.workers) == 2:
                break
            assert do('return same(await run());')
        page.workers[1].evaluate(COUNT)
        do('for (let i = 0; i < 100; i++) { await run(); await new Promise(resolve => setTimeout(resolve, 5)); }')
        page.workers[1].evaluate('self.partials = 0')
        assert do('return [same(await run()), same(await run({ signal: new AbortController().signal }))];') == [True] * 2
        assert page.workers[1].evaluate('self.partials') == 24
        assert do('return library.memoryStats().models[0].total - before;') < 2_000_000, 'no second copy of weights'
        good = do('let good = 0; for (let i = 0; i < 100; i++) good += same(await run()) ? 1 : 0; return good;')
        assert good == 100, 'threads in one memory keep out of each other\'s way'
        do("""
          const other = await load(library, MINILM);
          const spans = await intervals(library, [model, other], 4, 1, 32);
          if (!same(await other.run(batch(library, other, 1, 32, 2000))) || !same(await run())) throw new Error('a run gave something else');
          model.dispose();
          other.dispose();
        """)
        wait_for_workers(page, 0)
        page.context.close()
