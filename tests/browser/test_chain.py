"""Browsers without one thing or another: each gives the right embeddings, or the documented error where nothing is left. And devices that fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import onnxruntime
import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from tokenizers import Tokenizer

from tests.conftest import PAGES
from toolchain.browser import launch_options
from toolchain.paths import DIST, MODELS
from toolchain.serve import ISOLATION_HEADERS, Server

FOLDER = MODELS / 'bert-mini-sentence'
TEXTS = ['A small dog runs over the hill.', 'It rains']
ARGUMENTS = {'model': '/models/bert-mini-sentence', 'given': [TEXTS], 'options': {'pooling': 'mean', 'normalize': True}}


def by_onnxruntime() -> np.ndarray:
    """The embeddings [2, width] of TEXTS."""
    tokenizer = Tokenizer.from_file(str(FOLDER / 'tokenizer.json'))
    session = onnxruntime.InferenceSession(FOLDER / 'onnx/model.onnx')
    rows = []
    for text in TEXTS:
        tokenizer.no_padding()
        ids = np.array([tokenizer.encode(text).ids])
        states = session.run(None, {'input_ids': ids, 'attention_mask': np.ones_like(ids), 'token_type_ids': np.zeros_like(ids)})[0]
        mean = states[0].mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


EXPECTED = by_onnxruntime()


def check(answer: dict) -> None:
    """A tensor with these embeddings."""
    np.testing.assert_allclose(np.array(answer['data']).reshape(answer['shape']), EXPECTED, atol=1e-4)


# A name that is no loopback address, so that the page is no secure context: there is no WebGPU, no WebNN, no OPFS, no lock.
PLAIN_HOST = 'edgeflow.test'
POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'none'"

NO_SUBGROUPS = """
  const features = Object.getOwnPropertyDescriptor(GPUAdapter.prototype, 'features').get;
  Object.defineProperty(GPUAdapter.prototype, 'features', { get() { return new Set([...features.call(this)].filter(name => !name.startsWith('subgroup'))); } });
"""
NO_RELAXED = """
  const validate = WebAssembly.validate;
  WebAssembly.validate = bytes => !(bytes.length === 37 && bytes[33] === 128) && validate(bytes);
"""
NO_WORKERS = 'delete globalThis.Worker; delete globalThis.SharedWorker;'
NO_STORAGE = """
  const refuse = () => { throw new DOMException('the user has blocked it', 'SecurityError'); };
  Object.defineProperty(globalThis, 'indexedDB', { get: refuse });
  if (globalThis.StorageManager) StorageManager.prototype.getDirectory = async () => refuse();
"""
NO_WEBASSEMBLY = 'delete globalThis.WebAssembly;'
# Even the adapter does not answer for itself.
BROKEN_ADAPTER = "GPU.prototype.requestAdapter = async () => { throw new DOMException('the GPU process has crashed', 'OperationError'); };"


@dataclass(frozen=True)
class Combination:
    """A browser that lacks something.

    flags, webgpu, webnn: of the browser. headers: of the pages. script: runs in the page before all else. host: the name that the page is opened under.
    lacks: JS that is true where the thing is really gone. gpu: whether a device list with WebGPU at its head stays there. code: of the error, where
    nothing is left.
    """

    lacks: str
    flags: tuple[str, ...] = ()
    webgpu: bool = True
    webnn: bool = True
    headers: dict[str, str] = field(default_factory=dict)
    script: str = ''
    host: str = ''
    gpu: bool = False
    code: str = ''


SSE = ('--js-flags=--no-enable-sse4-1',)
SIMD = 'WebAssembly.validate(new Uint8Array([0,97,115,109,1,0,0,0,1,5,1,96,0,1,123,3,2,1,0,10,10,1,8,0,65,0,253,15,253,98,11]))'
ADAPTER = 'await navigator.gpu.requestAdapter()'
COMBINATIONS: dict[str, Combination] = {
    'everything': Combination("navigator.gpu && navigator.ml", gpu=True),
    'no WebGPU': Combination('!navigator.gpu', host=PLAIN_HOST),
    'no adapter': Combination(f'navigator.gpu && !({ADAPTER})', webgpu=False),
    'an adapter that fails': Combination(f'await {ADAPTER[6:]}.then(() => false, () => true)', script=NO_WORKERS + BROKEN_ADAPTER),
    'WebGPU without f16': Combination(f'!({ADAPTER}).features.has("shader-f16")', gpu=True, script=NO_WORKERS),
    'WebGPU without subgroups': Combination(f'!({ADAPTER}).features.has("subgroups")', script=NO_WORKERS + NO_SUBGROUPS, gpu=True),
    'no WebNN': Combination('!navigator.ml', webnn=False, gpu=True),
    'no WebAssembly SIMD': Combination(f'!{SIMD}', flags=SSE, code='platform'),
    'no relaxed SIMD': Combination(f'{SIMD}', script=NO_RELAXED, gpu=True),
    'no workers': Combination('!globalThis.Worker', script=NO_WORKERS, gpu=True),
    'a strict policy': Combination('await new Promise(done => { try { const made = new Worker("/blank.html"); made.onerror = () => done(true); } catch { done(true); } })',
                                   headers={'Content-Security-Policy': POLICY}, gpu=True),
    'a policy without WebAssembly': Combination('await WebAssembly.compile(new Uint8Array([0,97,115,109,1,0,0,0])).then(() => false, () => true)',
                                                headers={'Content-Security-Policy': POLICY.replace(" 'wasm-unsafe-eval'", '')}, code='platform'),
    'cross-origin isolation': Combination('crossOriginIsolated', headers=dict(ISOLATION_HEADERS), gpu=True),
    'no storage': Combination('(() => { try { return !indexedDB; } catch { return true; } })()', script=NO_STORAGE, gpu=True),
    'no adapter, no WebNN, no workers, no storage, no relaxed SIMD': Combination(
        f'!({ADAPTER}) && !navigator.ml && !globalThis.Worker', webgpu=False, webnn=False, script=NO_WORKERS + NO_STORAGE + NO_RELAXED),
    'no secure context, a strict policy': Combination('!isSecureContext', host=PLAIN_HOST, headers={'Content-Security-Policy': POLICY}),
    'nothing': Combination('!globalThis.WebAssembly', script=NO_WEBASSEMBLY + NO_WORKERS, webgpu=False, webnn=False, code='platform'),
}

RUN = """async ({ model, given, options, device, settings, more }) => {
  const { env, pipeline } = await import('/dist/edgeflow.js');
  const events = [];
  env.onFallback = ({ device, next, error }) => events.push([device, next, error.code]);
  Object.assign(env, settings);
  try {
    const pipe = await pipeline('feature-extraction', location.origin + model, { device, ...more });
    const embed = async () => { const { data, shape } = await pipe(...given, options); return { data: [...data], shape }; };
    const answer = await embed(), again = await embed();
    const found = { answer, again, device: pipe.model.device, placed: pipe.model.placement().device, events };
    pipe.dispose();
    return found;
  } catch (error) {
    return { code: error.code, message: error.message, events };
  }
}"""


class Browsers:
    """Browsers by how they are started, each started once."""

    def __init__(self, browser: Browser) -> None:
        self._first = browser
        self._started: dict[str, Browser] = {}

    def get(self, what: Combination) -> Browser:
        flags = [*what.flags, f'--host-resolver-rules=MAP {PLAIN_HOST} 127.0.0.1']
        key = repr([flags, what.webgpu, what.webnn])
        if key not in self._started:
            launcher = self._first.browser_type

            class Paths:
                chromium = launcher

            self._started[key] = launcher.launch(**launch_options(Paths, webgpu=what.webgpu, webnn=what.webnn, extra=flags))
        return self._started[key]

    def close(self) -> None:
        for browser in self._started.values():
            browser.close()


@pytest.fixture(scope='module')
def browsers(browser: Browser) -> Iterator[Browsers]:
    made = Browsers(browser)
    yield made
    made.close()


@pytest.fixture
def opened(browsers: Browsers, server: Server) -> Iterator[Callable[[Combination], tuple[Page, Server]]]:
    """A page in a browser that lacks something; what nobody caught in it fails the test."""
    contexts: list[BrowserContext] = []
    servers: list[Server] = []
    uncaught: list[str] = []

    def open_page(what: Combination) -> tuple[Page, Server]:
        site = Server({'/': PAGES, '/dist': DIST, '/models': MODELS})
        site.site.headers.update(what.headers)
        servers.append(site)
        site.__enter__()
        context = browsers.get(what).new_context()
        contexts.append(context)
        page = context.new_page()
        page.on('pageerror', lambda error: uncaught.append(f'{error.message}\n{error.stack}'))
        if what.script:
            page.add_init_script(what.script)
        page.goto(site.url('/blank.html').replace('127.0.0.1', what.host or '127.0.0.1'))
        return page, site

    yield open_page
    for context in contexts:
        context.close()
    for site in servers:
        site.close()
    assert uncaught == []


def fetched(site: Server) -> set[str]:
    """The parts that have to do with devices."""
    names = {record.path.removeprefix('/dist/edgeflow-').removesuffix('.js') for record in site.site.log}
    return names & {'devices', 'webgpu', 'webnn'}


@pytest.mark.parametrize('name', COMBINATIONS)
def test_the_right_embeddings_or_the_documented_error(opened: Callable[[Combination], tuple[Page, Server]], name: str) -> None:
    what = COMBINATIONS[name]
    page, site = opened(what)
    assert page.evaluate(f'async () => Boolean({what.lacks})'), 'it is not what it is called'
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    listed = page.evaluate(RUN, {**ARGUMENTS, 'device': ['webgpu', 'wasm']}) if what.code == '' or what.webgpu else seen
    if what.code:
        assert [seen['code'], listed['code']] == [what.code, what.code], seen
        return
    # A GPU that is a program, or none at all, is left alone, and nothing is fetched for it.
    check(seen['answer'])
    check(seen['again'])
    assert [seen['device'], seen['placed'], seen['events']] == ['wasm', 'wasm', []]
    # Who lists it gets it, or what comes next.
    check(listed['answer'])
    check(listed['again'])
    assert listed['device'] == ('webgpu' if what.gpu else 'wasm')
    assert listed['placed'] == listed['device']
    assert [event[:2] for event in listed['events']] == ([] if what.gpu else [['webgpu', 'wasm']])


def test_there_are_twelve() -> None:
    assert len(COMBINATIONS) >= 12


def test_auto_fetches_nothing_where_wasm_is_all(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, site = opened(COMBINATIONS['everything'])
    page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    assert fetched(site) == set()



# Devices that fail. The page's own, as there are no workers, so that they can be made to.
FAILURES: dict[str, tuple[str, str]] = {
    'no device for the adapter': ("GPUAdapter.prototype.requestDevice = async () => { throw new DOMException('it is gone', 'OperationError'); };", 'platform'),
    'a buffer that is refused': ("""
      const make = GPUDevice.prototype.createBuffer;
      GPUDevice.prototype.createBuffer = function (how) { return make.call(this, { ...how, size: how.size > 64 ? 1e15 : how.size }); };""", 'internal'),
    'kernels that do not compile': (
        "GPUDevice.prototype.createComputePipelineAsync = async () => { throw new DOMException('the compiler has crashed', 'OperationError'); };", 'internal'),
    'lost in the middle': ("""
      const submit = GPUQueue.prototype.submit, request = GPUAdapter.prototype.requestDevice;
      let device;
      GPUAdapter.prototype.requestDevice = async function (...how) { return device = await request.apply(this, how); };
      GPUQueue.prototype.submit = function (commands) { submit.call(this, commands); device.destroy(); };""", 'device-lost'),
    'wrong numbers': ("""
      const mapped = GPUBuffer.prototype.getMappedRange;
      GPUBuffer.prototype.getMappedRange = function () { const found = new Float32Array(mapped.call(this)); return found.map(x => (x === 0 ? 0 : -x)).buffer; };""", 'wrong-results'),
}


# A graph that the browser refuses to build, and a context that is lost as it works.
NN_FAILURES: dict[str, tuple[str, str]] = {
    'no context': ("ML.prototype.createContext = async () => { throw new DOMException('not today', 'NotSupportedError'); };", 'platform'),
    'a graph that is not built': ("MLGraphBuilder.prototype.build = async () => { throw new DOMException('the compiler has crashed', 'OperationError'); };", 'internal'),
    'a context that is lost': ("const go = MLContext.prototype.dispatch; MLContext.prototype.dispatch = function (...how) { go.apply(this, how); this.destroy(); };", 'device-lost'),
}


@pytest.mark.parametrize('name', NN_FAILURES)
def test_webnn_that_fails_hands_its_task_over(opened: Callable[[Combination], tuple[Page, Server]], name: str) -> None:
    script, code = NN_FAILURES[name]
    page, _ = opened(Combination('true', script=NO_WORKERS + script))
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': ['webnn', 'wasm']})
    check(seen['answer'])
    check(seen['again'])
    assert [seen['device'], seen['placed'], seen['events']] == ['wasm', 'wasm', [['webnn', 'wasm', code]]]
    alone = page.evaluate(RUN, {**ARGUMENTS, 'device': 'webnn'})
    assert [alone['code'], alone['events']] == [code, []]


@pytest.mark.parametrize('name', FAILURES)
def test_a_device_that_fails_hands_its_task_over(opened: Callable[[Combination], tuple[Page, Server]], name: str) -> None:
    script, code = FAILURES[name]
    page, _ = opened(Combination('true', script=NO_WORKERS + script))
    more = {'selfCheck': name == 'wrong numbers'}
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': ['webgpu', 'wasm'], 'more': more})
    check(seen['answer'])
    check(seen['again'])
    assert [seen['device'], seen['placed'], seen['events']] == ['wasm', 'wasm', [['webgpu', 'wasm', code]]]
    # A device that is named is all that was asked for.
    alone = page.evaluate(RUN, {**ARGUMENTS, 'device': 'webgpu', 'more': more})
    assert [alone['code'], alone['events']] == [code, []]


def test_a_check_that_a_device_passes_changes_nothing(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, _ = opened(COMBINATIONS['everything'])
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': ['webgpu', 'wasm'], 'more': {'selfCheck': True}})
    check(seen['answer'])
    assert [seen['device'], seen['events']] == ['webgpu', []]


# SwiftShader that says it is a GPU.
DISGUISE = """
  Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => ({ vendor: 'nobody', architecture: 'none', device: '', description: '', isFallbackAdapter: false }) });
"""


def test_auto_estimates_what_a_small_model_costs(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, site = opened(Combination('true', script=DISGUISE))
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    check(seen['answer'])
    assert seen['device'] == 'wasm', 'a GPU would take longer to answer than the model takes to run'
    assert fetched(site) == {'devices'}
    excluded = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto', 'settings': {'devices': ['webgpu']}})
    check(excluded['answer'])
    assert excluded['device'] == 'webgpu'
    neither = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto', 'settings': {'devices': []}})
    assert neither['code'] == 'platform'


def test_the_fastest_is_found_once(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, site = opened(Combination('true', script=DISGUISE))
    first = page.evaluate(RUN, {**ARGUMENTS, 'device': 'fastest'})
    check(first['answer'])
    check(first['again'])
    assert first['events'] == []
    assert fetched(site) == {'devices', 'webgpu', 'webnn'}, 'they were tried out'
    page.reload()
    site.site.log.clear()
    again = page.evaluate(RUN, {**ARGUMENTS, 'device': 'fastest'})
    check(again['answer'])
    assert again['device'] == first['device'] and fetched(site) <= {'devices', again['device']}, 'the last visit knows'


# Whatever was the fastest, it is WebNN now.
PREFER_WEBNN = """async () => {
  const opening = indexedDB.open('edgeflow-devices'), done = request => new Promise(resolve => { request.onsuccess = () => resolve(request.result); });
  const entries = (await done(opening)).transaction('entries', 'readwrite').objectStore('entries');
  const keys = await done(entries.getAllKeys());
  for (const key of keys) await done(entries.put(new TextEncoder().encode('[["webnn","wasm"],["webnn","wasm"]]'), key));
  return keys.length;
}"""
DEVICE = "async address => (await (await import('/dist/edgeflow.js')).loadModel(location.origin + address)).device"


def test_auto_takes_what_a_trial_has_found(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, site = opened(COMBINATIONS['everything'])
    check(page.evaluate(RUN, {**ARGUMENTS, 'device': 'fastest'})['answer'])
    assert page.evaluate(PREFER_WEBNN) == 1
    page.reload()
    site.site.log.clear()
    assert page.evaluate(DEVICE, '/models/bert-ner-mini/onnx/model.onnx') == 'wasm' and fetched(site) == set(), 'nothing is known of this one'
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    check(seen['answer'])
    assert [seen['device'], seen['placed'], seen['events'], fetched(site)] == ['webnn', 'webnn', [], {'devices', 'webnn'}]
    without = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto', 'settings': {'devices': ['wasm']}})
    check(without['answer'])
    assert without['device'] == 'wasm'


def test_auto_goes_on_where_the_remembered_device_fails_and_forgets_it(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, site = opened(Combination('true', script=NO_WORKERS))
    check(page.evaluate(RUN, {**ARGUMENTS, 'device': 'fastest'})['answer'])
    page.evaluate(PREFER_WEBNN)
    page.add_init_script(NN_FAILURES['a graph that is not built'][0])
    page.reload()
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    check(seen['answer'])
    assert [seen['device'], seen['events']] == ['wasm', [['webnn', 'wasm', 'internal']]]
    page.reload()
    site.site.log.clear()
    seen = page.evaluate(RUN, {**ARGUMENTS, 'device': 'auto'})
    check(seen['answer'])
    assert [seen['device'], seen['events'], fetched(site)] == ['wasm', [], set()]


LANES = """async devices => {
  const { env, loadModel, onTask, tensor } = await import('/dist/edgeflow.js');
  env.devices = ['webgpu'];
  env.workers = 3;
  const lanes = [], rows = { input_ids: [2, 5, 3], attention_mask: [1, 1, 1], token_type_ids: [0, 0, 0] };
  onTask(event => { if (event.kind === 'started') lanes.push(event.lane.split(' ')[1]); });
  for (const device of devices) {
    const model = await loadModel(location.origin + '/models/bert-mini-sentence/onnx/model.onnx', { device });
    await model.run(Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, tensor(row, [1, 3], 'int64')])));
  }
  return lanes;
}"""


def test_who_names_the_gpu_joins_what_auto_has_put_there(opened: Callable[[Combination], tuple[Page, Server]]) -> None:
    page, _ = opened(Combination('true', script=DISGUISE))
    assert page.evaluate(LANES, ['wasm', 'auto', 'webgpu']) == ['1', '2', '2']


WRITE = """async ({ model, device, options, lose }) => {
  const { env, pipeline } = await import('/dist/edgeflow.js');
  const events = [], devices = [], request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...how) { devices.push(await request.apply(this, how)); return devices.at(-1); };
  env.onFallback = ({ device, next, error }) => events.push([device, next, error.code]);
  env.workers = 0;
  const generator = await pipeline('text-generation', location.origin + model, { device });
  const ids = [];
  for await (const { tokenId } of generator.stream('The quick brown', options)) {
    ids.push(tokenId);
    if (ids.length === lose) devices[0].destroy();
  }
  const found = { ids, events, device: generator.model.device };
  generator.dispose();
  return found;
}"""


@pytest.mark.parametrize('options', [{'maxNewTokens': 12}, {'maxNewTokens': 12, 'doSample': True, 'seed': 7, 'temperature': 1.5, 'repetitionPenalty': 1.2}],
                         ids=['greedy', 'drawn'])
def test_a_text_goes_on_where_its_device_was_lost(opened: Callable[[Combination], tuple[Page, Server]], options: dict) -> None:
    page, _ = opened(COMBINATIONS['everything'])
    whole = page.evaluate(WRITE, {'model': '/models/smollm2-mini', 'device': 'wasm', 'options': options, 'lose': -1})
    torn = page.evaluate(WRITE, {'model': '/models/smollm2-mini', 'device': ['webgpu', 'wasm'], 'options': options, 'lose': 5})
    assert torn['ids'] == whole['ids'] and len(whole['ids']) == 12
    assert [torn['device'], torn['events']] == ['wasm', [['webgpu', 'wasm', 'device-lost']]]
