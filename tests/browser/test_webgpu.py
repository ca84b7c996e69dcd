"""WebGPU in Chromium on SwiftShader, through the built package's public API: every case of tests/models, a lost device, several models."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.device_cases import MODEL, PRELUDE, ROWS, Opening, check_device_lost_in_worker, check_lost_device
from tests.browser.model_cases import MODELS, ModelFile, check_output, decoder_files, encoder_files, read_case
from tests.browser.page_model import run_in_page
from tests.browser.watched import watched_page
from toolchain.serve import Server


@pytest.fixture(scope='module')
def gpu_page(browser: Browser, server: Server) -> Iterator[Page]:
    """One page for all models, with one worker, which keeps its device and compiled kernels as long as it has a model."""
    with watched_page(browser, server) as page:
        page.evaluate("""async url => {
          const { env, loadModel } = await import('/dist/edgeflow.js');
          env.workers = 1;
          globalThis.kept = await loadModel(url, { device: 'webgpu' });
        }""", server.url('/models/gpt2-mini/onnx/decoder_model_merged.onnx'))
        yield page


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


def test_tokens_drawn_on_the_gpu_are_those_that_are_drawn_on_wasm(page: Page, server: Server) -> None:
    answer = page.evaluate("""async url => {
      const { env, pipeline } = await import('/dist/edgeflow.js'), kernels = new Set(), texts = {};
      env.workers = 0;
      const create = GPUDevice.prototype.createShaderModule;
      GPUDevice.prototype.createShaderModule = function (descriptor) {
        kernels.add(descriptor.label.split(' ')[0]);
        return create.call(this, descriptor);
      };
      for (const device of ['webgpu', 'wasm']) {
        const generator = await pipeline('text-generation', url, { device, dtype: 'fp32' });
        texts[device] = [];
        for (const options of [{ topK: 50, topP: 0.9 }, { temperature: 1.3 }, { topP: 0.8, minP: 0.02 }, { topK: 20, numReturnSequences: 2, repetitionPenalty: 1.2 },
          { topK: 30, repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2 }]) {
          const ids = [];
          for await (const event of generator.stream('Once upon a time', { maxNewTokens: 24, seed: 11, eosTokenId: [], ...options })) ids.push([event.row, event.tokenId]);
          texts[device].push(ids);
        }
        generator.dispose();
      }
      return { kernels: [...kernels], texts };
    }""", server.url('/models/smollm2-mini'))
    assert {'draw', 'penalize'} <= set(answer['kernels'])
    assert [len(ids) for ids in answer['texts']['webgpu']] == [24, 24, 24, 48, 24]
    assert answer['texts']['webgpu'] == answer['texts']['wasm']


WEBGPU = Opening('webgpu', 'GPUAdapter', 'requestDevice')
MIDDLE = """
  const failing = run().then(() => 'no error', error => error.code);
  await Promise.resolve();
  opened[1].destroy();
  const code = await failing;
"""


def test_a_lost_device_is_opened_again(page: Page, server: Server) -> None:
    check_lost_device(page, server, WEBGPU, MIDDLE)


def test_a_device_lost_in_a_worker_is_opened_again(page: Page, server: Server) -> None:
    check_device_lost_in_worker(page, server, WEBGPU)


def test_without_an_adapter_the_device_is_refused(page: Page, server: Server) -> None:
    code = page.evaluate("""async url => {
      const { env, loadModel } = await import('/dist/edgeflow.js');
      env.workers = 0;
      GPU.prototype.requestAdapter = async () => null;
      return loadModel(url, { device: 'webgpu' }).then(() => 'no error', error => error.code);
    }""", server.url(MODEL))
    assert code == 'platform'


TOGETHER = """async ([url, inputs]) => {
  %s
  env.workers = 0;
  const models = await Promise.all([0, 1, 2].map(() => loadModel(url, { device: 'webgpu' })));
  const first = await values(models[0]);
  const all = await Promise.all([...models, ...models].map(values));
  const times = await models[0].profile(given());
  for (const model of models) model.dispose();
  return { same: same(all, first), count: first.length,
           times: times.map(({ device, kernel, node, ms }) => [device, kernel, node, ms]) };
}""" % PRELUDE


def test_models_run_together_and_are_timed(page: Page, server: Server) -> None:
    seen = page.evaluate(TOGETHER, [server.url(MODEL), ROWS])
    assert seen['same'] and seen['count'] > 0
    assert {device for device, *_ in seen['times']} == {'webgpu'}
    assert sum('edgeflow:MatMul' in node for _, _, node, _ in seen['times']) >= 12
    assert all(0 <= ms < 10000 for *_, ms in seen['times'])
