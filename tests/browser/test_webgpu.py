"""WebGPU in Chromium on SwiftShader, through the built package's public API: every case of tests/models, a lost device, several models."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.model_cases import MODELS, ModelFile, check_output, decoder_files, encoder_files, read_case
from tests.browser.page_model import run_in_page
from toolchain.serve import Server


@pytest.fixture(scope='module')
def gpu_page(browser: Browser, server: Server) -> Iterator[Page]:
    """One page for all models, with one worker, which keeps its device and compiled kernels as long as it has a model."""
    context = browser.new_context()
    page = context.new_page()
    uncaught: list[str] = []
    page.on('pageerror', lambda error: uncaught.append(f'{error.message}\n{error.stack}'))
    page.goto(server.url('/blank.html'))
    page.evaluate("""async url => {
      const { env, loadModel } = await import('/dist/edgeflow.js');
      env.workers = 1;
      globalThis.kept = await loadModel(url, { device: 'webgpu' });
    }""", server.url('/models/gpt2-mini/onnx/decoder_model_merged.onnx'))
    yield page
    context.close()
    assert uncaught == []


@pytest.mark.parametrize('file', encoder_files() + decoder_files(), ids=lambda file: file.path)
def test_outputs_are_those_of_onnxruntime(gpu_page: Page, server: Server, file: ModelFile) -> None:
    cases = [read_case(path) for path in file.cases]
    answers = run_in_page(gpu_page, server.url(f'/models/{file.path}'), [case.inputs for case in cases], device='webgpu')
    assert len(answers) == len(cases) > 0
    for case, outputs in zip(cases, answers, strict=True):
        assert outputs.keys() == case.outputs.keys()
        for name, expected in case.outputs.items():
            check_output(outputs[name], expected, file.variant)


def test_a_session_in_a_worker_goes_ahead(gpu_page: Page, server: Server) -> None:
    # Greedy tokens; then one that was not chosen, when the step after the chosen one was already on its way.
    file = json.loads((MODELS / 'smollm2-mini/cases/generate.json').read_text())['prompts'][0]
    # As many as do not depend on how onnxruntime rounds activations.
    wanted = file['files']['onnx/model_q4.onnx']['new_ids'][:12]
    answer = gpu_page.evaluate("""async ([url, prompt, count]) => {
      const { loadModel } = await import('/dist/edgeflow.js');
      const model = await loadModel(url, { device: 'webgpu' });
      const generate = async (session, next, count) => {
        const ids = [next.tokenId];
        while (ids.length < count) ids.push((await session.feed([ids.at(-1)])).tokenId);
        return ids;
      };
      const session = await model.openSession();
      const ids = await generate(session, await session.prompt(prompt), count);
      const other = (ids.at(-1) + 1) % 500;
      const turned = await generate(session, await session.feed([other]), 4);
      const again = await model.openSession();
      const straight = await generate(again, await again.prompt([...prompt, ...ids.slice(0, -1), other]), 4);
      model.dispose();
      return { ids, turned, straight };
    }""", [server.url('/models/smollm2-mini/onnx/model_q4.onnx'), file['input_ids'], len(wanted)])
    assert answer['ids'] == wanted
    assert answer['turned'] == answer['straight']


# In a page without workers the device is the page's own, so that it can be taken here.
LOSE = """async ([url, inputs]) => {
  const devices = [], request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    devices.push(device);
    return device;
  };
  const { env, loadModel, memoryStats, tensor } = await import('/dist/edgeflow.js');
  env.workers = 0;
  const model = await loadModel(url, { device: 'webgpu' });
  const run = async () => {
    const given = Object.fromEntries(Object.entries(inputs).map(([name, rows]) => [name, tensor(rows, [1, rows.length], 'int64')]));
    const outputs = await model.run(given);
    return [...Object.values(outputs)[0].data];
  };
  const first = await run();
  const bytes = memoryStats().gpu.size;
  devices[0].destroy();
  await devices[0].lost;
  const second = await run();
  // Lost in the middle: before the answer can have come.
  const failing = run().then(() => 'no error', error => error.code);
  await Promise.resolve();
  devices[1].destroy();
  const code = await failing;
  const third = await run();
  model.dispose();
  return { same: [second, third].every(values => values.every((x, i) => x === first[i])), count: first.length, devices: devices.length, code, bytes,
           left: memoryStats().gpu.size };
}"""


def test_a_lost_device_is_opened_again(page: Page, server: Server) -> None:
    rows = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}
    seen = page.evaluate(LOSE, [server.url('/models/bert-mini-sentence/onnx/model.onnx'), rows])
    assert seen['code'] == 'device-lost'
    assert seen['same'] and seen['count'] > 0 and seen['devices'] == 3
    assert seen['bytes'] > 0 and seen['left'] == 0


# A worker whose device can be destroyed from the page.
WORKER = """
  const request = GPUAdapter.prototype.requestDevice, channel = new BroadcastChannel('lose');
  GPUAdapter.prototype.requestDevice = async function (...args) {
    const device = await request.apply(this, args);
    channel.onmessage = () => { device.destroy(); device.lost.then(() => channel.postMessage('lost')); };
    return device;
  };
  import '%s';
"""
LOSE_IN_WORKER = """async ([url, source, inputs]) => {
  const { env, loadModel, tensor } = await import('/dist/edgeflow.js');
  env.workerUrl = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const model = await loadModel(url, { device: 'webgpu' });
  const run = async () => {
    const given = Object.fromEntries(Object.entries(inputs).map(([name, rows]) => [name, tensor(rows, [1, rows.length], 'int64')]));
    return [...Object.values(await model.run(given))[0].data];
  };
  const channel = new BroadcastChannel('lose'), first = await run(), placement = model.placement();
  const lost = new Promise(resolve => { channel.onmessage = resolve; });
  channel.postMessage('now');
  await lost;
  const second = await run();
  model.dispose();
  return { same: second.every((x, i) => x === first[i]), count: first.length, placement };
}"""


def test_a_device_lost_in_a_worker_is_opened_again(page: Page, server: Server) -> None:
    rows = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}
    source = WORKER % server.url('/dist/edgeflow.js')
    seen = page.evaluate(LOSE_IN_WORKER, [server.url('/models/bert-mini-sentence/onnx/model.onnx'), source, rows])
    assert seen['same'] and seen['count'] > 0
    assert seen['placement']['device'] == 'webgpu' and seen['placement']['nodes']['edgeflow:MatMul'] > 0


def test_without_an_adapter_the_device_is_refused(page: Page, server: Server) -> None:
    code = page.evaluate("""async url => {
      const { env, loadModel } = await import('/dist/edgeflow.js');
      env.workers = 0;
      GPU.prototype.requestAdapter = async () => null;
      return loadModel(url, { device: 'webgpu' }).then(() => 'no error', error => error.code);
    }""", server.url('/models/bert-mini-sentence/onnx/model.onnx'))
    assert code == 'platform'


TOGETHER = """async ([url, inputs]) => {
  const { env, loadModel, tensor } = await import('/dist/edgeflow.js');
  env.workers = 0;
  const given = () => Object.fromEntries(Object.entries(inputs).map(([name, rows]) => [name, tensor(rows, [1, rows.length], 'int64')]));
  const models = await Promise.all([0, 1, 2].map(() => loadModel(url, { device: 'webgpu' })));
  const run = async model => [...Object.values(await model.run(given()))[0].data];
  const first = await run(models[0]);
  const all = await Promise.all([...models, ...models].map(run));
  const times = await models[0].profile(given());
  for (const model of models) model.dispose();
  return { same: all.every(values => values.every((x, i) => x === first[i])), count: first.length,
           times: times.map(({ device, kernel, node, ms }) => [device, kernel, node, ms]) };
}"""


def test_models_run_together_and_are_timed(page: Page, server: Server) -> None:
    rows = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}
    seen = page.evaluate(TOGETHER, [server.url('/models/bert-mini-sentence/onnx/model.onnx'), rows])
    assert seen['same'] and seen['count'] > 0
    assert {device for device, *_ in seen['times']} == {'webgpu'}
    assert sum('edgeflow:MatMul' in node for _, _, node, _ in seen['times']) >= 12
    assert all(0 <= ms < 10000 for *_, ms in seen['times'])
