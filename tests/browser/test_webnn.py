"""WebNN's cpu in Chromium, through the built package's public API: every case of tests/models, lost contexts, several models, bad data."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.device_cases import MODEL, PRELUDE, ROWS, Opening, check_device_lost_in_worker, check_lost_device
from tests.browser.model_cases import ModelFile, check_output, every_file, read_case
from tests.browser.page_model import packed, unpacked
from tests.browser.watched import watched_page
from toolchain.serve import Server

# Files of which less than this share of the nodes runs in WebNN, with what keeps them: weights in codes that WASM multiplies as they are.
IN_CODES = ['quantized', 'q4', 'bnb4', 'q4f16', 'q4f16_rope', 'rounded', 'O2', 'O3', 'q4gather']
LEAST = 0.7


@pytest.fixture(scope='module')
def nn_page(browser: Browser, server: Server) -> Iterator[Page]:
    """One page for all models, with one worker."""
    with watched_page(browser, server) as page:
        page.evaluate("async () => { (await import('/dist/edgeflow.js')).env.workers = 1; }")
        yield page


RUN = """async ({ url, cases }) => {
  const edgeflow = await import('/dist/edgeflow.js'), { runModel } = await import('/run_model.js');
  const placements = [];
  const loadModel = async (...args) => {
    const model = await edgeflow.loadModel(...args), run = model.run.bind(model);
    model.run = async inputs => {
      const outputs = await run(inputs);
      placements.push(model.placement());
      return outputs;
    };
    return model;
  };
  const results = await runModel({ ...edgeflow, loadModel }, url, cases, { device: 'webnn-cpu' });
  return { results, placements };
}"""


@pytest.mark.parametrize('file', every_file(), ids=lambda file: file.path)
def test_outputs_are_those_of_onnxruntime(nn_page: Page, server: Server, file: ModelFile, say: Callable[[str], None]) -> None:
    cases = [read_case(path) for path in file.cases]
    given = [{name: packed(array) for name, array in case.inputs.items()} for case in cases]
    answer = nn_page.evaluate(RUN, {'url': server.url(f'/models/{file.path}'), 'cases': given})
    assert len(answer['results']) == len(cases) > 0
    for case, outputs in zip(cases, answer['results'], strict=True):
        assert outputs.keys() == case.outputs.keys()
        for name, expected in case.outputs.items():
            check_output(unpacked(**outputs[name]), expected, file.variant)
    for placement in answer['placements']:
        assert placement['device'] == 'webnn-cpu'
        assert placement['fallback'].keys() == placement['reasons'].keys()
    last = answer['placements'][-1]
    inside, beside = sum(last['nodes'].values()), sum(last['fallback'].values())
    say(f'WebNN cpu: {inside} of {inside + beside} nodes ({100 * inside // (inside + beside)} %) of {file.path}')
    if file.variant not in IN_CODES:
        assert inside / (inside + beside) > LEAST, last['fallback']


WEBNN = Opening('webnn', 'ML', 'createContext')
MIDDLE = """
  const read = MLContext.prototype.readTensor;
  MLContext.prototype.readTensor = function (...args) {
    MLContext.prototype.readTensor = read;
    const answer = read.apply(this, args);
    this.destroy();
    return answer;
  };
  const code = await run().then(() => 'no error', error => error.code);
"""


def test_a_lost_context_is_opened_again(page: Page, server: Server) -> None:
    check_lost_device(page, server, WEBNN, MIDDLE)


def test_a_context_lost_in_a_worker_is_opened_again(page: Page, server: Server) -> None:
    assert check_device_lost_in_worker(page, server, WEBNN)['fallback'] == {}


WITHOUT = """async ([url, take]) => {
  const { env, loadModel } = await import('/dist/edgeflow.js');
  env.workers = 0;
  if (take === 'api') Object.defineProperty(navigator, 'ml', { value: undefined });
  else ML.prototype.createContext = async () => { throw new DOMException('none', 'NotSupportedError'); };
  return loadModel(url, { device: 'webnn-npu' }).then(() => 'no error', error => error.code);
}"""


@pytest.mark.parametrize('take', ['api', 'context'])
def test_without_a_context_the_device_is_refused(page: Page, server: Server, take: str) -> None:
    assert page.evaluate(WITHOUT, [server.url(MODEL), take]) == 'platform'


TOGETHER = """async ([url, inputs]) => {
  %s
  env.workers = 0;
  const models = await Promise.all([0, 1, 2].map(() => loadModel(url, { device: 'webnn' })));
  const first = await values(models[0]);
  const all = await Promise.all([...models, ...models].map(values));
  const bad = await models[0].run(given({ input_ids: [2, 5, 1000000, 3] })).then(() => null, error => [error.code, error.message]);
  const after = await values(models[0]);
  const times = await models[0].profile(given());
  const plan = await models[0].describePlan(Object.fromEntries(Object.keys(inputs).map(name => [name, [1, 4]])));
  const wasm = await loadModel(url, { device: 'wasm' }), onWasm = await values(wasm);
  for (const model of [...models, wasm]) model.dispose();
  return { same: same([...all, after], first), count: first.length, bad, plan,
           apart: Math.max(...first.map((x, i) => Math.abs(x - onWasm[i]))), times: times.map(({ device, kernel, ms }) => [device, kernel, ms]) };
}""" % PRELUDE


def test_models_run_together_and_bad_data_fails_as_on_wasm(page: Page, server: Server) -> None:
    seen = page.evaluate(TOGETHER, [server.url(MODEL), ROWS])
    assert seen['same'] and seen['count'] > 0 and seen['apart'] < 1e-5
    assert seen['bad'][0] == 'run-failed' and 'Gather' in seen['bad'][1] and 'an index is out of range' in seen['bad'][1]
    assert [(device, kernel) for device, kernel, _ in seen['times']] == [('webnn', 'graph')]
    assert 'graph of 27 nodes' in seen['plan']


BURST = """async ([url, workers]) => {
  const { env, loadModel, tensor } = await import('/dist/edgeflow.js');
  env.workers = workers;
  const model = await loadModel(url, { device: 'webnn' });
  const run = async seed => {
    const ids = Array.from({ length: 4 + seed % 3 }, (_, i) => 3 + (7 * seed + 5 * i) % 80), rows = { input_ids: ids, attention_mask: ids.map(() => 1), token_type_ids: ids.map(() => 0) };
    const results = await model.run(Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, tensor(row, [1, row.length], 'int64')])));
    return [...Object.values(results)[0].data];
  };
  const seeds = Array.from({ length: 24 }, (_, i) => i), single = [];
  for (const seed of seeds) single.push(await run(seed));
  const together = await Promise.all(seeds.map(run));
  const graphs = [...Object.values(model.placement().nodes), 0].reduce((a, b) => a + b), beside = Object.values(model.placement().fallback).length;
  model.dispose();
  return { single, together, graphs, beside };
}"""


@pytest.mark.parametrize('file', ['model', 'model_q4'])
@pytest.mark.parametrize('workers', [0, 1])
def test_several_runs_of_a_model_are_under_way(page: Page, server: Server, file: str, workers: int) -> None:
    """Of the second file products run on WASM, between graphs."""
    seen = page.evaluate(BURST, [server.url(f'/models/bert-mini-sentence/onnx/{file}.onnx'), workers])
    assert seen['together'] == seen['single'] and len(seen['single'][0]) > 0
    assert seen['single'][0] != seen['single'][3], 'they differ, so that a mix-up shows'
    assert seen['graphs'] > 0 and (seen['beside'] > 0) == (file == 'model_q4')


SESSION = """async url => {
  const { env, loadModel } = await import('/dist/edgeflow.js');
  env.workers = 1;
  const tokens = async device => {
    const model = await loadModel(url, { device }), session = await model.openSession();
    const ids = [(await session.prompt([3, 8, 5, 12])).tokenId];
    while (ids.length < 6) ids.push((await session.feed([ids.at(-1)])).tokenId);
    session.dispose();
    model.dispose();
    return ids;
  };
  return [await tokens('webnn'), await tokens('wasm')];
}"""


def test_sessions_of_a_decoder_run_on_wasm(page: Page, server: Server) -> None:
    on_webnn, on_wasm = page.evaluate(SESSION, server.url('/models/smollm2-mini/onnx/model.onnx'))
    assert on_webnn == on_wasm and len(on_webnn) == 6
