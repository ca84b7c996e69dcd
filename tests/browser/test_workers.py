"""Models in workers, in Chromium: that they work at the same time, and all that can happen to a worker.

One file because the tests share the pages and servers that it sets up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page

from tests.browser.model_cases import check_output, read_case
from tests.browser.page_model import run_in_page
from tests.browser.test_forms import CASE, MODEL
from tests.engine.minilm import folder
from toolchain.paths import MODELS, ROOT
from toolchain.serve import Server

PAGES = ROOT / 'tests' / 'browser' / 'pages'
PRELUDE = """
  const library = await import('/dist/edgeflow.js'), { env, tensor } = library;
  const { MINI, MINILM, batch, load, intervals, failure, time } = await import('/workers.js');
  // The cache has a worker of its own while it writes; here those that hold models are counted.
  env.cache = false;
"""

Do = Callable[..., object]


@pytest.fixture
def do(page: Page) -> Do:
    """Run JS in the page with the library and the helpers of pages/workers.js in reach."""
    return lambda code, argument=None: page.evaluate(f'async argument => {{ {PRELUDE} {code} }}', argument)


def wait_for_workers(page: Page, count: int) -> None:
    """The workers of a page that hold models end some time after terminate(). The cache's own comes from a blob."""
    def models() -> int:
        return len([worker for worker in page.workers if not worker.url.startswith('blob:')])

    for _ in range(200):
        if models() == count:
            return
        page.wait_for_timeout(10)
    assert models() == count


def overlapping(a: dict, b: dict) -> bool:
    return a['start'] < b['end'] and b['start'] < a['end']


def test_four_models_in_two_workers_run_at_the_same_time(page: Page, do: Do) -> None:
    spans = do("""
      env.workers = 2;
      window.models = await Promise.all([1, 2, 3, 4].map(() => load(library, MINI)));
      await intervals(library, models, 1, 1, 8);
      return intervals(library, models, 3, 8, 32);
    """)
    assert len(page.workers) == 2
    assert len({span['model'] for span in spans}) == 4
    lanes = {name: [span for span in spans if span['lane'] == name] for name in {span['lane'] for span in spans}}
    assert [len(lane) for lane in lanes.values()] == [6, 6], 'models are spread evenly'
    first, second = lanes.values()
    assert any(overlapping(a, b) for a in first for b in second)
    for lane in lanes.values():
        lane.sort(key=lambda span: span['start'])
        assert all(a['end'] <= b['start'] for a, b in zip(lane, lane[1:], strict=False)), 'a worker runs one at a time'
    do('for (const model of models) model.dispose();')
    wait_for_workers(page, 0)


def test_a_free_worker_is_not_kept_waiting_by_a_slow_model(do: Do) -> None:
    spans = do("""
      env.workers = 2;
      const slow = await load(library, MINILM), quick = await load(library, MINI);
      const spans = [], stop = library.onTask(event => { if (event.kind === 'done') spans.push(event.modelId); });
      await Promise.all([slow.run(batch(library, slow, 16, 64)), ...[1, 2, 3].map(() => quick.run(batch(library, quick, 1, 8)))]);
      stop();
      const order = spans.map(id => id === slow.id ? 'slow' : 'quick');
      slow.dispose();
      quick.dispose();
      return order;
    """)
    assert spans == ['quick', 'quick', 'quick', 'slow']


def test_a_page_that_hears_of_runs_late_knows_how_long_they_took(do: Do) -> None:
    told, counted = do("""
      env.workers = 1;
      const model = await load(library, MINILM), inputs = batch(library, model, 1, 16), stall = 400;
      await model.run(inputs);
      const times = [], stop = library.onTask(event => { if (event.kind === 'done') times.push(event.ran); });
      // While the page is busy, the worker ends one run and the one that it was given ahead.
      const runs = [model.run(inputs), model.run(inputs)];
      await new Promise(resolve => setTimeout(resolve));
      for (const end = performance.now() + stall; performance.now() < end;);
      await Promise.all(runs);
      stop();
      const { run } = library.schedulerStatistics().models.get(model.id);
      model.dispose();
      return [times, [run.p50, run.highest]];
    """)
    assert len(told) == 2
    assert all(0.5 < ms < 300 for ms in told), 'neither nothing nor the time for which the page was busy'
    assert all(0.5 < ms < 300 for ms in counted)


def test_workers_run_the_file_of_the_page(page: Page, server: Server, do: Do) -> None:
    before = len(server.site.log)
    do("env.workers = 2; window.models = [await load(library, MINI), await load(library, MINI)];")
    assert [worker.url for worker in page.workers] == [server.url('/dist/edgeflow.js')] * 2
    log = [record for record in server.site.log[before:] if record.path.startswith('/dist/')]
    assert sum(record.sent > 0 for record in log if record.path == '/dist/edgeflow.js') == 1, 'downloaded once, then from the cache'
    assert [record.path for record in log if record.path.endswith('.wasm')] == ['/dist/edgeflow-relaxed.wasm']


def test_as_many_workers_as_cores_and_no_more_than_models(page: Page, do: Do) -> None:
    cores = do("""
      window.models = [await load(library, MINI)];
      return navigator.hardwareConcurrency;
    """)
    assert len(page.workers) == 1
    do("for (let i = 0; i < navigator.hardwareConcurrency + 1; i++) models.push(await load(library, MINI));")
    assert len(page.workers) == cores


def test_priority_holds_across_models(do: Do) -> None:
    order = do("""
      env.workers = 1;
      const models = await Promise.all([1, 2].map(() => load(library, MINI)));
      const order = [];
      const stop = library.onTask(event => { if (event.kind === 'started') order.push(event.priority); });
      const priorities = ['normal', 'low', 'normal', 'high', 'critical'];
      await Promise.all(priorities.map((priority, i) => models[i % 2].run(batch(library, models[i % 2], 1, 8), { priority })));
      stop();
      return order;
    """)
    assert order == ['normal', 'critical', 'high', 'normal', 'low'], 'the first starts at once, the others in order'


def test_a_critical_run_starts_within_one_run_behind_a_hundred(do: Do) -> None:
    kinds = do("""
      env.workers = 2;
      const models = await Promise.all([1, 2, 3, 4].map(() => load(library, MINI)));
      const inputs = models.map(model => batch(library, model, 1, 8)), events = [];
      const others = Array.from({ length: 100 }, (_, i) => models[i % 4].run(inputs[i % 4]));
      await others[0];
      const stop = library.onTask(event => events.push([event.lane, event.priority === 'critical' ? `critical ${event.kind}` : event.kind]));
      await models[0].run(inputs[0], { priority: 'critical' });
      stop();
      await Promise.all(others);
      const lane = events.find(event => event[1] === 'critical queued')[0];
      return events.filter(event => event[0] === lane).map(event => event[1]);
    """)
    before = kinds[kinds.index('critical queued') + 1:kinds.index('critical started')]
    assert before in ([], ['done']), 'in its worker nothing else starts; the run that is under way ends'


# What can go wrong with a worker

ENDINGS = {
    'ends': 'self.close()',
    'throws': "setTimeout(() => { throw new Error('out of cheese'); })",
}


@pytest.mark.parametrize('ending', ENDINGS)
def test_a_lost_worker_fails_its_own_work_and_is_replaced(page: Page, server: Server, do: Do, ending: str) -> None:
    do("""
      env.workers = 2;
      env.cache = true;
      window.models = [await load(library, MINI), await load(library, MINI)];
      window.expected = (await models[0].run(batch(library, models[0], 1, 8))).last_hidden_state.data;
      window.work = Promise.allSettled([0, 1].map(i => failure(() => models[i].run(batch(library, models[i], 256, 128), { signal: new AbortController().signal }))));
    """)
    before = len(server.site.log)
    next(worker for worker in page.workers if not worker.url.startswith('blob:')).evaluate(ENDINGS[ending])
    outcomes = do('return work;')
    lost = [outcome['value'] for outcome in outcomes if outcome['value'] is not None]
    assert len(lost) == 1, 'the other model went on'
    assert lost[0]['code'] == 'worker-lost'
    if ending == 'throws':
        assert 'out of cheese' in lost[0]['message'] and 'out of cheese' in lost[0]['details']['reason']
    same = do("""
      env.cache = true;
      const results = await Promise.all(models.map(model => model.run(batch(library, model, 1, 8))));
      return results.map(result => result.last_hidden_state.data.every((x, i) => x === expected[i]));
    """)
    assert same == [True, True]
    assert [record.path for record in server.site.log[before:]].count('/models/bert-mini-sentence/onnx/model.onnx') == 0, 'it comes from the cache'
    wait_for_workers(page, 2)


def test_a_model_given_as_bytes_comes_back_while_its_bytes_are_held(page: Page, do: Do) -> None:
    size = do("""
      window.bytes = new Uint8Array(await (await fetch(MINI)).arrayBuffer());
      window.model = await library.loadModel(bytes);
      await model.run(batch(library, model, 1, 8));
      return bytes.length;
    """)
    assert size > 0, "the caller's bytes were copied, not moved"
    lose_worker(page)
    assert do('return (await model.run(batch(library, model, 1, 8))).last_hidden_state.shape;')[:2] == [1, 8]
    lose_worker(page)
    do('structuredClone(bytes, { transfer: [bytes.buffer] });')
    gone = do('return failure(() => model.run(batch(library, model, 1, 8)));')
    assert gone['code'] == 'worker-lost' and 'bytes' in gone['message']


def lose_worker(page: Page) -> None:
    """End the only worker while it has nothing to do; the page hears of it."""
    page.workers[0].evaluate('self.close()')
    wait_for_workers(page, 0)
    page.wait_for_timeout(50)


def test_a_worker_of_another_version_is_not_used(page: Page, do: Do) -> None:
    heard: list[str] = []
    page.on('console', lambda message: heard.append(message.text))
    shape = do("""
      env.workerUrl = '/old_worker.js';
      const model = await load(library, MINI);
      return (await model.run(batch(library, model, 1, 8))).last_hidden_state.shape;
    """)
    assert shape[:2] == [1, 8]
    assert page.workers == []
    assert len(heard) == 1 and '0.0.0' in heard[0]


def test_a_download_waits_for_a_worker_that_starts_late(do: Do) -> None:
    waiting, shape = do("""
      env.workers = 1;
      env.workerUrl = '/late_worker.js';
      const pause = () => new Promise(resolve => setTimeout(resolve, 200));
      let loaded = 0, before = 0;
      const loading = load(library, MINILM, { onProgress: event => { loaded = Math.max(loaded, event.loaded ?? 0); } });
      while (loaded === 0 || loaded !== before) {
        before = loaded;
        await pause();
      }
      const begin = setInterval(() => new BroadcastChannel('begin').postMessage(0), 50);
      const model = await loading;
      clearInterval(begin);
      return [before, (await model.run(batch(library, model, 1, 8))).last_hidden_state.shape];
    """)
    assert waiting < 15_000_000 < (folder() / 'onnx' / 'model.onnx').stat().st_size
    assert shape[:2] == [1, 8]


# Where workers come from


@pytest.fixture
def cdn_page(page: Page) -> Callable[[str], list[str]]:
    """Collects the addresses of the workers that a page starts."""
    started: list[str] = []
    page.on('worker', lambda worker: started.append(worker.url))
    return started


def run_once(page: Page, server: Server, library: str) -> None:
    case = read_case(CASE)
    # The cache has a worker of its own.
    page.evaluate("async library => { (library === 'global' ? edgeflow : await import(library)).env.cache = false; }", library)
    [outputs] = run_in_page(page, server.url(f'/models/{MODEL}'), [case.inputs], library)
    check_output(outputs['last_hidden_state'], case.outputs['last_hidden_state'], 'fp32')


def test_a_module_from_another_origin_starts_through_a_blob(page: Page, server: Server, other_origin: Server, cdn_page: list[str]) -> None:
    run_once(page, server, other_origin.url('/dist/edgeflow.js'))
    assert len(cdn_page) == 1
    assert cdn_page[0].startswith('blob:')


def test_a_script_from_another_origin_starts_through_a_blob(page: Page, server: Server, other_origin: Server, cdn_page: list[str]) -> None:
    page.add_script_tag(url=other_origin.url('/dist/edgeflow.iife.js'))
    run_once(page, server, 'global')
    assert len(cdn_page) == 1
    assert cdn_page[0].startswith('blob:')


def test_a_script_of_the_same_origin_is_its_own_worker(page: Page, server: Server, cdn_page: list[str]) -> None:
    page.add_script_tag(url='/dist/edgeflow.iife.js')
    run_once(page, server, 'global')
    assert cdn_page == [server.url('/dist/edgeflow.iife.js')]


@pytest.fixture
def guarded(browser: Browser, dist: Path, other_origin: Server) -> Iterator[tuple[Page, list[str]]]:
    """A page whose policy allows scripts of the other origin, but no workers from blobs; and what it printed."""
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}) as server:
        server.site.headers['Content-Security-Policy'] = (
            f"script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval' {other_origin.origin}; worker-src 'self'")
        context = browser.new_context()
        page = context.new_page()
        page.goto(server.url('/blank.html'))
        said: list[str] = []

        def hear(message: ConsoleMessage) -> None:
            if message.type == 'warning':
                said.append(message.text)

        page.on('console', hear)
        yield page, said
        context.close()


GUARDED = """async ([address, workerUrl]) => {
  const { loadModel, tensor, env } = await import(address);
  env.workerUrl = workerUrl;
  env.cache = false;
  const model = await loadModel(new URL('/models/bert-mini-sentence/onnx/model.onnx', location.href).href);
  const inputs = {};
  for (const { name } of model.inputs) inputs[name] = tensor([[1, 1, 1]], undefined, 'int64');
  return (await model.run(inputs)).last_hidden_state.shape;
}"""


def test_a_policy_without_blobs_leaves_models_on_the_page(guarded: tuple[Page, list[str]], other_origin: Server) -> None:
    page, said = guarded
    assert page.evaluate(GUARDED, [other_origin.url('/dist/edgeflow.js'), None])[:2] == [1, 3]
    assert page.workers == []
    assert [text for text in said if 'env.workerUrl' in text] != []


def test_a_policy_without_blobs_takes_a_given_script(guarded: tuple[Page, list[str]], other_origin: Server) -> None:
    page, said = guarded
    assert page.evaluate(GUARDED, [other_origin.url('/dist/edgeflow.js'), '/dist/edgeflow.js'])[:2] == [1, 3]
    assert len(page.workers) == 1
    assert said == []


def test_an_isolated_page_has_workers_too(browser: Browser, dist: Path) -> None:
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}, isolated=True) as isolated:
        context = browser.new_context()
        page = context.new_page()
        page.goto(isolated.url('/blank.html'))
        assert page.evaluate(GUARDED, [isolated.url('/dist/edgeflow.js'), None])[:2] == [1, 3]
        assert page.evaluate('crossOriginIsolated') and len(page.workers) == 1
        context.close()


def test_no_workers_at_all(page: Page, server: Server) -> None:
    page.evaluate("async () => { (await import('/dist/edgeflow.js')).env.workers = 0; }")
    run_once(page, server, '/dist/edgeflow.js')
    assert page.workers == []


@pytest.mark.parametrize('workers', ['-1', '1.5', "'two'"])
def test_a_number_of_workers_that_is_none(do: Do, workers: str) -> None:
    found = do(f'env.workers = {workers}; return failure(() => load(library, MINI));')
    assert (found['code'], 'env.workers' in found['message']) == ('invalid-argument', True)


# Cancelling


@pytest.mark.parametrize('workers', [1, 0])
def test_a_running_run_is_cancelled_at_the_next_step(do: Do, workers: int) -> None:
    folder()
    found = do("""
      env.workers = argument;
      const model = await load(library, MINILM);
      const inputs = batch(library, model, 24, 64);
      await model.run(batch(library, model, 1, 8));
      const whole = await time(() => model.run(inputs));
      const controller = new AbortController();
      const cancelled = time(() => failure(() => model.run(inputs, { signal: controller.signal })));
      const next = time(() => model.run(batch(library, model, 1, 8)));
      await new Promise(resolve => setTimeout(resolve, 60));
      const asked = performance.now();
      controller.abort();
      const stopped = await cancelled, after = performance.now() - asked;
      const small = await next;
      model.dispose();
      return { whole: whole.ms, after, error: stopped.value, small: small.value.last_hidden_state.shape };
    """, workers)
    assert found['error']['code'] == 'aborted'
    assert found['after'] < found['whole'] / 3, found
    assert found['small'][:2] == [1, 8]


def test_a_waiting_run_is_cancelled_at_once(do: Do) -> None:
    found = do("""
      env.workers = 1;
      const model = await load(library, MINI), controller = new AbortController(), order = [];
      const first = model.run(batch(library, model, 64, 64)).then(() => order.push('first'));
      const second = failure(() => model.run(batch(library, model, 1, 8), { signal: controller.signal })).then(error => { order.push('second'); return error; });
      controller.abort();
      const error = await second;
      await first;
      return { order, error };
    """)
    assert found['order'] == ['second', 'first']
    assert found['error']['code'] == 'aborted'


def test_a_deadline_ends_a_running_run(do: Do) -> None:
    folder()
    found = do("""
      env.workers = 1;
      const model = await load(library, MINILM), inputs = batch(library, model, 24, 64);
      const error = await failure(() => model.run(inputs, { deadline: performance.now() + 50 }));
      const after = await model.run(batch(library, model, 1, 8));
      return { error, shape: after.last_hidden_state.shape };
    """)
    assert found['error']['code'] == 'timeout'
    assert found['shape'][:2] == [1, 8]


def test_disposing_of_a_model_ends_what_it_was_doing(page: Page, do: Do) -> None:
    codes = do("""
      env.workers = 1;
      const model = await load(library, MINI);
      const runs = [1, 2].map(() => failure(() => model.run(batch(library, model, 64, 64))));
      await new Promise(resolve => setTimeout(resolve, 5));
      model.dispose();
      return (await Promise.all(runs)).map(error => error.code);
    """)
    assert codes == ['disposed', 'disposed']
    wait_for_workers(page, 0)


# What crosses the border


def test_errors_of_a_worker_are_those_of_the_page(do: Do) -> None:
    there, broken = do("""
      const model = await load(library, MINI);
      const run = await failure(() => model.run(batch(library, model, 1, 4, 999999)));
      const again = await model.run(batch(library, model, 1, 4));
      return [run, await failure(() => library.loadModel(new Uint8Array([1, 2, 3]))), again];
    """)[:2]
    assert there['code'] == 'run-failed' and there['own']
    assert there['details']['reason'] == 'an index is out of range'
    assert 'Gather' in there['message']
    assert there['message'] in there['stack'] and 'edgeflow.js:' in there['stack']
    assert broken['code'] == 'invalid-model'


def test_errors_without_workers_are_the_same(do: Do) -> None:
    here, there = do("""
      const kinds = [];
      const wrong = async () => {
        const model = await load(library, MINI);
        const error = await failure(() => model.run(batch(library, model, 1, 4, 999999)));
        model.dispose();
        return error;
      };
      const there = await wrong();
      const copy = await import('/dist/edgeflow.js?here');
      copy.env.workers = 0;
      const model = await load(copy, MINI);
      const here = await failure(() => model.run(batch(copy, model, 1, 4, 999999)));
      return [here, there];
    """)
    for field in ('code', 'name', 'message', 'details'):
        assert here[field] == there[field]


def test_inputs_are_copied_unless_they_are_given_up(do: Do) -> None:
    found = do("""
      const model = await load(library, MINI);
      const kept = batch(library, model, 2, 4), given = batch(library, model, 2, 4);
      const arrays = Object.values(given).map(t => t.data);
      const first = await model.run(kept), second = await model.run(given, { transfer: true });
      return {
        kept: Object.values(kept).map(t => t.data.length), given: arrays.map(a => a.length),
        disposed: Object.values(given).map(t => t.disposed), shape: second.last_hidden_state.shape,
        same: first.last_hidden_state.data.every((x, i) => x === second.last_hidden_state.data[i]),
      };
    """)
    assert found['kept'] == [8] * len(found['kept'])
    assert found['given'] == [0] * len(found['given']), 'their memory has moved'
    assert all(found['disposed'])
    assert found['same']


def test_a_part_of_a_buffer_is_copied_even_when_given_up(do: Do) -> None:
    found = do("""
      const model = await load(library, MINI);
      const whole = new BigInt64Array(32).fill(1n);
      const inputs = {};
      model.inputs.forEach(({ name }, i) => { inputs[name] = tensor(whole.subarray(8 * i, 8 * i + 8), [2, 4]); });
      const expected = await model.run(inputs);
      const got = await model.run(inputs, { transfer: true });
      const shared = tensor(new BigInt64Array(8).fill(1n), [2, 4]), twice = {};
      for (const { name } of model.inputs) twice[name] = shared;
      const third = await model.run(twice, { transfer: true });
      const same = result => result.last_hidden_state.data.every((x, i) => x === expected.last_hidden_state.data[i]);
      return [whole.length, same(got), same(third)];
    """)
    assert found == [32, True, True]


def test_external_data_files_go_to_the_worker(page: Page, do: Do) -> None:
    shape = do("""
      const model = await load(library, '/models/xlm-roberta-mini/onnx/model.onnx');
      return (await model.run(batch(library, model, 1, 4))).last_hidden_state.shape;
    """)
    assert shape[:2] == [1, 4]
    assert len(page.workers) == 1


def test_memory_and_placement_of_a_model_elsewhere(do: Do) -> None:
    found = do("""
      const model = await load(library, MINI), before = model.memory();
      await model.run(batch(library, model, 8, 32));
      const after = model.memory(), placement = model.placement();
      model.dispose();
      return { before, after, device: placement.device, disposed: model.memory().total };
    """)
    assert found['before']['weights'] > 0 and found['after']['weights'] == found['before']['weights']
    assert found['after']['arena'] > found['before']['arena'] and found['after']['plans'] > 0
    assert (found['device'], found['disposed']) == ('wasm', 0)
