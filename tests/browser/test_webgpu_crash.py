"""The GPU process of Chromium really crashes, by chrome://gpucrash in another tab: models are restored by their next use."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser

from toolchain.browser import launch_options
from toolchain.serve import Server

ROWS = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}


@pytest.fixture
def own_browser(browser: Browser) -> Iterator[Browser]:
    """Its GPU process is not that of other tests."""
    own = browser.browser_type.launch(**launch_options(SimpleNamespace(chromium=browser.browser_type)))
    yield own
    own.close()


LOAD = """async ([url, rows, workers]) => {
  const { env, loadModel, tensor } = await import('/dist/edgeflow.js');
  env.workers = workers;
  window.model = await loadModel(url, { device: 'webgpu' });
  const given = Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, tensor(row, [1, row.length], 'int64')]));
  window.run = async () => [...(await model.run(given))[model.outputs[0].name].data];
  window.ask = () => run().then(data => ({ data }), error => ({ code: error.code }));
  return run();
}"""
# One run after the other, twice, so that one is always under way, until one fails.
KEEP_RUNNING = """() => {
  const loop = async () => {
    for (const end = performance.now() + 20000; performance.now() < end;) {
      const { code } = await ask();
      if (code) return code;
    }
    return 'no error';
  };
  window.ended = Promise.race([loop(), loop()]);
}"""


def crash(browser: Browser) -> None:
    browser.new_browser_cdp_session().send('Target.createTarget', {'url': 'chrome://gpucrash'})


@pytest.mark.parametrize('workers', [0, 1])
def test_a_model_is_restored_when_the_gpu_process_has_crashed(own_browser: Browser, server: Server, workers: int) -> None:
    page = own_browser.new_page()
    page.goto(server.url('/blank.html'))
    first = page.evaluate(LOAD, [server.url('/models/bert-mini-sentence/onnx/model.onnx'), ROWS, workers])
    assert len(first) > 0
    page.evaluate(KEEP_RUNNING)
    crash(own_browser)
    assert page.evaluate('() => ended') == 'device-lost'
    assert page.evaluate('() => run()') == first
    assert page.evaluate('() => model.placement()')['device'] == 'webgpu'
    page.evaluate('() => model.dispose()')
