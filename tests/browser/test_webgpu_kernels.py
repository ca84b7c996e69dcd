"""The kernels that GPUs get which are no program on the CPU, compiled and run in Chromium: its compiler refuses what wgpu's takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.model_cases import ModelFile, check_output, every_file, read_case
from tests.browser.page_model import run_in_page
from tests.browser.watched import watched_page
from toolchain.serve import Server

# SwiftShader, by another name.
DISGUISE = """async () => {
  const { env } = await import('/dist/edgeflow.js');
  env.workers = 0;
  Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => ({ vendor: 'acme', architecture: '', device: '', description: '', isFallbackAdapter: false }) });
}"""


@pytest.fixture(scope='module')
def hardware(browser: Browser, server: Server) -> Iterator[Page]:
    with watched_page(browser, server) as page:
        page.evaluate(DISGUISE)
        yield page


@pytest.mark.parametrize('file', every_file(), ids=lambda file: file.path)
def test_outputs_are_those_of_onnxruntime(hardware: Page, server: Server, file: ModelFile) -> None:
    case = read_case(file.cases[0])
    [outputs] = run_in_page(hardware, server.url(f'/models/{file.path}'), [case.inputs], device='webgpu')
    for name, expected in case.outputs.items():
        check_output(outputs[name], expected, file.variant)


@pytest.mark.parametrize('dtype', ['fp32', 'q4', 'q4f16'])
@pytest.mark.parametrize('options', [{}, {'topK': 50, 'topP': 0.9, 'seed': 3, 'doSample': True, 'repetitionPenalty': 1.2}], ids=['greedy', 'drawn'])
def test_texts_are_those_of_wasm(hardware: Page, server: Server, dtype: str, options: dict[str, object]) -> None:
    texts = hardware.evaluate("""async ([url, dtype, options]) => {
      const { pipeline } = await import('/dist/edgeflow.js'), texts = [];
      for (const device of ['webgpu', 'wasm']) {
        const generator = await pipeline('text-generation', url, { device, dtype });
        texts.push(await generator.run('the king and the queen of', { maxNewTokens: 12, ...options }));
        generator.dispose();
      }
      return texts;
    }""", [server.url('/models/smollm2-mini/'), dtype, options])
    assert texts[0] == texts[1]
