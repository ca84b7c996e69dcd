"""env.httpCache in a real browser against a real server, and what a model tells of itself as plain JS objects."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from toolchain.paths import MODELS
from toolchain.serve import Server
from tests.conftest import PAGES

MODEL = '/models/bert-mini-sentence/onnx/model.onnx'

LOAD = """async ([module, model, mode]) => {
  const { env, loadModel } = await import(module);
  env.httpCache = mode;
  (await loadModel(model)).dispose();
}"""

REPORT = """async ([module, model, workers]) => {
  const { env, loadModel } = await import(module);
  env.workers = workers;
  const loaded = await loadModel(model);
  const shapes = Object.fromEntries(loaded.inputs.map(input => [input.name, [1, 4]]));
  return { plan: await loaded.describePlan(shapes), placement: loaded.placement() };
}"""


def test_the_http_cache_takes_part_as_env_says(browser: Browser, dist: Path) -> None:
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}) as server:
        server.site.headers['Cache-Control'] = 'max-age=600'
        page = browser.new_page()
        page.goto(server.url('/blank.html'))

        def requests_for(mode: str) -> int:
            server.site.log.clear()
            page.evaluate(LOAD, [server.url('/dist/edgeflow.js'), server.url(MODEL), mode])
            return sum(record.path == MODEL for record in server.site.log)

        assert [requests_for(mode) for mode in ('default', 'default', 'no-store', 'reload', 'force-cache')] == [1, 0, 1, 1, 0]
        page.close()


def test_an_unknown_cache_mode_is_named(browser: Browser, server: Server) -> None:
    page = browser.new_page()
    page.goto(server.url('/blank.html'))
    said = page.evaluate(
        f'async args => ({LOAD})(args).then(() => null, error => [error.code, error.message])',
        [server.url('/dist/edgeflow.js'), server.url(MODEL), 'nostore'])
    page.close()
    assert said[0] == 'invalid-argument'
    assert 'env.http_cache' in said[1] and 'no-store' in said[1] and 'nostore' in said[1]


@pytest.mark.parametrize('workers', [0, 1])
def test_a_model_describes_itself_in_plain_objects(browser: Browser, server: Server, workers: int) -> None:
    page = browser.new_page()
    page.goto(server.url('/blank.html'))
    told = page.evaluate(REPORT, [server.url('/dist/edgeflow.js'), server.url(MODEL), workers])
    page.close()
    assert told['placement']['device'] == 'wasm'
    assert told['placement']['nodes']['edgeflow:Sdpa'] == 2
    assert 'gemm_f32' in told['plan']
