"""Downloads and the cache in Chromium: random fault schedules, a killed browser, tabs, no room, no network."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from playwright.sync_api import Browser, BrowserContext, Page

from tests.engine import minilm
from tests.store.faults import FaultServer, ServedFile, fault_server
from tests.store.test_fault_schedules import CODES, cases, served
from toolchain.browser import launch_options
from toolchain.paths import MODELS
from toolchain.serve import Server

VISITS = 'async ([modules, ...args]) => (await import("/store_scenarios.js")).visits(modules, ...args)'
TAKEN = 'async ([modules, ...args]) => (await import("/store_scenarios.js")).taken(modules, ...args)'
# Nor has every other body a reader that fills memory it is given.
WITHOUT_FILES = """
delete StorageManager.prototype.getDirectory;
const original = ReadableStream.prototype.getReader;
let count = 0;
ReadableStream.prototype.getReader = function (options) {
  if (options && count++ % 2) throw new TypeError('there is none');
  return original.call(this, options);
};"""
FETCH = 'async ([dist, url, options]) => (await import("/store_scenarios.js")).fetchAll(dist, url, options)'


@pytest.fixture(scope='module')
def faults() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize('way', ['page', 'worker'])
def test_random_fault_schedules(page: Page, server: Server, faults: FaultServer, say: Callable[[str], None], way: str) -> None:
    """way: what fetches. The page does where files cannot be written in place."""
    outcomes: Counter[str] = Counter()
    page.add_init_script('' if way == 'worker' else WITHOUT_FILES)
    page.goto(server.url('/blank.html'))
    # The worker fetches nothing whose chunks are too small for files.
    schedules = cases() if way == 'page' else cases().map(lambda case: {**case, 'small': 0})

    @settings(max_examples=max(50, settings().max_examples // 4))
    @given(schedules)
    def check(case: dict) -> None:
        file = served(case)
        # Pages of other origins see fewer headers unless the server exposes them.
        file.exposed = case['size'] % 2 == 0
        digest = digest_of(file.data) if case['digest'] else ''
        for code, got in page.evaluate(VISITS, [server.url('/js/'), faults.add(file), case, digest]):
            outcomes[code or 'right bytes'] += 1
            if code:
                assert code in CODES
                continue
            short = any(kind == 'short' for kind, _ in case['schedule'])
            allowed = {digest_of(data) for data in file.versions} if not digest else {digest}
            if short and not digest:
                allowed |= {digest_of(data[:length]) for data in file.versions for length in range(len(data))} if len(file.data) < 6000 else allowed
                if len(file.data) >= 6000:
                    continue
            assert got in allowed, 'wrong bytes'

    check()
    fetchers = page.evaluate('window.fetchers')
    assert fetchers > 0 if way == 'worker' else fetchers == 0
    say(f'fault schedules in Chromium, fetched by the {way}: ' + ', '.join(f'{count} {name}' for name, count in outcomes.most_common()))
    assert outcomes['right bytes'] >= 20


def test_what_lies_in_files_is_read_there_by_who_can(page: Page, server: Server, faults: FaultServer) -> None:
    data = random.Random(8).randbytes(205_000)
    for readers in [[True], [False], [True, True]]:
        url = faults.add(ServedFile(data, rate=4_000_000))
        found = page.evaluate(TAKEN, [server.url('/js/'), url, 10_000, readers])
        assert [got for got, _, _ in found] == [digest_of(data)] * len(readers)
        for _, given, told in found:
            # Once one cannot read, the bytes come along.
            assert (given, told) == (0, 21) if readers == [True] else given == 21 and told < 8 if readers == [False] else given + told >= 21
        again = page.evaluate(TAKEN, [server.url('/js/'), url, 10_000, readers[:1]])
        assert again[0][0] == digest_of(data)


def test_a_lost_worker_is_done_without(page: Page, server: Server, faults: FaultServer) -> None:
    data = random.Random(9).randbytes(3_000_000)
    file = ServedFile(data, rate=3_000_000)
    args = [server.url('/dist/edgeflow.js'), faults.add(file), {'chunkSize': 600_000, 'connections': 1, 'retryDelay': 1, 'stallTimeout': 600_000}]
    page.evaluate(f'args => {{ window.done = ({FETCH})(args); }}', args)
    page.wait_for_function('window.running?.progress().chunksDone >= 2', timeout=30_000, polling=10)
    page.evaluate("window.fetcher.dispatchEvent(new ErrorEvent('error', { cancelable: true }))")
    file.rate = None
    assert page.evaluate('window.done')[0] == digest_of(data)
    assert page.evaluate('window.fetchers') == 1 and len(file.requests) == 2 and file.sent < 1.5 * len(data)


def kill_browser(profile: str) -> None:
    """SIGKILL for every process of the browser that runs on this profile."""
    for entry in Path('/proc').iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / 'cmdline').read_bytes()
            except OSError:
                continue
            if profile.encode() in command:
                try:
                    os.kill(int(entry.name), signal.SIGKILL)
                except ProcessLookupError:
                    continue


def open_profile(browser: Browser, profile: str, server: Server) -> tuple[BrowserContext, Page]:
    with_driver = browser.browser_type
    program = launch_options_of(with_driver)
    context = with_driver.launch_persistent_context(profile, **program)
    page = context.pages[0] if context.pages else context.new_page()
    page.goto(server.url('/blank.html'))
    return context, page


def launch_options_of(chromium: object) -> dict:
    class Driver:
        pass

    driver = Driver()
    driver.chromium = chromium
    return launch_options(driver, webgpu=False, webnn=False)


def test_a_killed_browser_goes_on_where_it_was(browser: Browser, server: Server, faults: FaultServer, pytestconfig: pytest.Config, say: Callable[[str], None]) -> None:
    nightly = pytestconfig.getoption('hypothesis_profile') == 'nightly'
    size, moments = (200_000_000, 10) if nightly else (40_000_000, 2)
    chunk = size // 40
    chance = random.Random()
    data = random.Random(3).randbytes(size)
    lost: list[int] = []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for _ in range(moments):
            file = ServedFile(data, rate=size / 20)
            url = faults.add(file)
            context, page = open_profile(browser, profile, server)
            page.evaluate(f'args => {{ ({FETCH})(args).catch(() => {{}}); }}', [server.url('/dist/edgeflow.js'), url, {'chunkSize': chunk}])
            at = chance.uniform(0.1, 0.8)
            page.wait_for_function('at => window.running?.progress().loaded >= at', arg=at * size, timeout=60_000, polling=20)
            before, loaded = page.evaluate('(({ chunksDone, loaded }) => [chunksDone, loaded])(window.running.progress())')
            kill_browser(profile)
            file.rate = None
            time.sleep(0.3)
            context, page = open_profile(browser, profile, server)
            got, reused, chunks = page.evaluate(FETCH, [server.url('/dist/edgeflow.js'), url, {'chunkSize': chunk}])
            assert got == digest_of(data)
            lost.append(loaded // chunk - reused // chunk)
            assert reused // chunk >= before, 'what was said to be stored is there'
            # Three that are being written, and one of each of four connections.
            assert lost[-1] <= 7, 'refetches only what was in flight'
            context.close()
    say(f'killed browser: {moments} times, {size // 10**6} MB each, chunks fetched again: {lost}')


def test_two_tabs_download_once(browser: Browser, server: Server, faults: FaultServer) -> None:
    data = random.Random(4).randbytes(2_000_000)
    file = ServedFile(data, rate=4_000_000)
    url = faults.add(file)
    context = browser.new_context()
    pages = [context.new_page() for _ in range(2)]
    for page in pages:
        page.goto(server.url('/blank.html'))
        page.evaluate(f'args => {{ window.done = ({FETCH})(args); }}', [server.url('/dist/edgeflow.js'), url, {'chunkSize': 100_000, 'connections': 1}])
    assert [page.evaluate('window.done')[0] for page in pages] == [digest_of(data)] * 2
    assert len(file.requests) == 1
    context.close()


LOAD = """async ([module, model, options]) => {
  const { env, loadModel, tensor } = await import(module);
  Object.assign(env, options);
  const model_ = await loadModel(model, { dtype: 'fp32' });
  const feeds = {};
  for (const { name } of model_.inputs) feeds[name] = tensor(name === 'input_ids' ? [[0, 5, 6, 2]] : [[1, 1, 1, 1]], null, 'int64');
  const found = Object.values(await model_.run(feeds))[0];
  const rows = Array.from(found.data).slice(0, 8);
  model_.dispose();
  return rows;
}"""


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def visit(context: BrowserContext, server: Server) -> Page:
    page = context.new_page()
    page.goto(server.url('/blank.html'))
    return page


@pytest.mark.parametrize('model', ['bert-mini-sentence', 'xlm-roberta-mini', 'all-MiniLM-L6-v2'])
def test_a_cached_model_loads_with_the_network_off(visitor: BrowserContext, server: Server, dist: Path, model: str) -> None:
    """The model's server is gone; that of the page is another. Of all-MiniLM-L6-v2 pieces are read last."""
    with Server({'/model': minilm.folder() if model == 'all-MiniLM-L6-v2' else MODELS / model}) as hub:
        page = visit(visitor, server)
        address = hub.url('/model/')
        script = f'async ([module, model]) => (await import(module)).isCached(model, {{ dtype: "fp32" }})'
        assert page.evaluate(script, [server.url('/dist/edgeflow.js'), address]) is False
        first = page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), address, {}])
        page.wait_for_function(
            'async ([module, model]) => (await import(module)).isCached(model, { dtype: "fp32" })', arg=[server.url('/dist/edgeflow.js'), address])
        count = len(hub.site.log)
        page.close()
        page = visit(visitor, server)
        assert page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), address, {}]) == first
        assert len(hub.site.log) == count
    assert page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), address, {}]) == first


def test_a_file_that_is_no_model_is_not_kept(visitor: BrowserContext, server: Server, faults: FaultServer) -> None:
    """A server cuts the file short and says nothing; later it has the whole."""
    whole = (MODELS / 'bert-mini-sentence/onnx/model.onnx').read_bytes()
    file = ServedFile(whole[:len(whole) // 2], validators='none')
    url = faults.add(file, '/cut.onnx')
    script = """async ([module, url]) => {
      const { cache, loadModel } = await import(module);
      const failure = await loadModel(url).then(model => model.dispose(), error => error.code);
      return [failure ?? null, (await cache.list()).length];
    }"""
    page = visit(visitor, server)
    for options in ['', 'env.workers = 0;']:
        page.evaluate(f'async module => {{ const {{ env }} = await import(module); {options} }}', server.url('/dist/edgeflow.js'))
        assert page.evaluate(script, [server.url('/dist/edgeflow.js'), url]) == ['invalid-model', 0]
    file.data = whole
    assert page.evaluate(script, [server.url('/dist/edgeflow.js'), url])[0] is None


def test_preload_is_found_and_the_cache_tells(visitor: BrowserContext, server: Server) -> None:
    with Server({'/models': MODELS}) as hub:
        page = visit(visitor, server)
        found = page.evaluate("""async ([module, model]) => {
          const { cache, isCached, modelFiles, preload } = await import(module);
          const options = { dtype: 'fp32' }, before = await modelFiles(model, options);
          await Promise.all([preload(model, { ...options, priority: 'low' }), preload(model, { ...options, priority: 'high' })]);
          const files = await cache.list(), after = await modelFiles(model, options);
          const weights = before.find(file => file.name.endsWith('_data'));
          return {
            before, after: after.map(file => file.cached), cached: await isCached(model, options), size: await cache.size(),
            listed: files.map(file => [file.url.split('/').at(-1), file.complete, file.size === file.stored]),
            has: await cache.has(weights.url), deleted: await cache.delete(weights.url), gone: await isCached(model, options),
            again: await cache.delete(weights.url), room: (await cache.room()).allowed > 0, persist: typeof await cache.persist(),
            cleared: (await cache.clear(), await cache.list()).length,
          };
        }""", [server.url('/dist/edgeflow.js'), hub.url('/models/xlm-roberta-mini/')])
        folder = MODELS / 'xlm-roberta-mini'
        sizes = {file['name']: file['size'] for file in found['before']}
        assert sizes == {name: (folder / name).stat().st_size for name in sizes}
        assert {'config.json', 'tokenizer.json', 'onnx/model.onnx', 'onnx/model.onnx_data'} <= set(sizes)
        # config.json tells which files there are, so it has been fetched by then.
        assert not any(file['cached'] for file in found['before'] if file['name'] != 'config.json') and all(found['after'])
        assert found['size'] == sum(sizes.values())
        assert sorted(found['listed']) == sorted([name.split('/')[-1], True, True] for name in sizes)
        assert (found['cached'], found['has'], found['deleted'], found['gone'], found['again']) == (True, True, True, False, False)
        assert found['room'] and found['persist'] == 'boolean' and found['cleared'] == 0


def test_no_room_is_said_and_the_model_runs_all_the_same(visitor: BrowserContext, server: Server, faults: FaultServer) -> None:
    page = visit(visitor, server)
    session = visitor.new_cdp_session(page)
    session.send('Storage.overrideQuotaForOrigin', {'origin': server.origin, 'quotaSize': 10_000})
    warnings: list[str] = []
    page.on('console', lambda message: warnings.append(message.text))
    data = random.Random(5).randbytes(3_000_000)
    outcome = page.evaluate(f'args => ({FETCH})(args).then(() => null, error => [error.code, error.message])',
                            [server.url('/dist/edgeflow.js'), faults.add(ServedFile(data)), {'chunkSize': 1_000_000}])
    assert outcome[0] == 'quota-exceeded', outcome
    with Server({'/models': MODELS}) as hub:
        rows = page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), hub.url('/models/xlm-roberta-mini/'), {}])
        assert rows == page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), hub.url('/models/xlm-roberta-mini/'), {'cache': False}])
    page.wait_for_timeout(100)
    assert any('is not kept for later' in text for text in warnings), warnings


def test_a_token_never_leaves_the_hub(visitor: BrowserContext, server: Server, faults: FaultServer) -> None:
    data = random.Random(6).randbytes(300_000)
    with fault_server() as elsewhere:
        url = elsewhere.add(ServedFile(data))
        faults.redirects['/hub/gated.bin'] = url
        faults.seen.clear()
        page = visit(visitor, server)
        got = page.evaluate(f"""async ([dist, url, options, host]) => {{
          const {{ env }} = await import(dist);
          env.remoteHost = host;
          env.accessToken = 'hf_secret';
          return ({FETCH})([dist, url, options]);
        }}""", [server.url('/dist/edgeflow.js'), faults.origin + '/hub/gated.bin', {}, faults.origin + '/'])
        assert got[0] == digest_of(data)
        assert any(headers.get('Authorization') == 'Bearer hf_secret' for _, headers in faults.seen)
        assert elsewhere.seen and not any('Authorization' in headers for _, headers in elsewhere.seen)
