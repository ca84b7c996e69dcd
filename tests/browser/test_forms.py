"""The package as pages take it in: ES module, script tag, and both from another origin or a blob."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.model_cases import check_output, read_case
from tests.browser.page_model import run_in_page
from toolchain.paths import MODELS, ROOT
from toolchain.serve import Server

PAGES = ROOT / 'tests' / 'browser' / 'pages'

MODEL = 'bert-mini-sentence/onnx/model.onnx'
CASE = 'bert-mini-sentence/cases/model.0.npz'
PUBLIC = ['EdgeflowError', 'env', 'loadModel', 'pipeline', 'tensor']

Run = Callable[[str], None]


@pytest.fixture
def run(page: Page, server: Server) -> Run:
    """Run one case with the library given by address, or 'global', and compare."""

    def once(library: str) -> None:
        case = read_case(CASE)
        [outputs] = run_in_page(page, server.url(f'/models/{MODEL}'), [case.inputs], library)
        check_output(outputs['last_hidden_state'], case.outputs['last_hidden_state'], 'fp32')

    return once


def wasm_requests(server: Server) -> list[str]:
    return [record.path for record in server.site.log if record.path.endswith('.wasm')]


def test_es_module(page: Page, server: Server, run: Run) -> None:
    names = page.evaluate("async () => Object.keys(await import('/dist/edgeflow.js'))")
    assert set(PUBLIC) <= set(names)
    before = len(wasm_requests(server))
    run('/dist/edgeflow.js')
    assert wasm_requests(server)[before:] == ['/dist/edgeflow-relaxed.wasm'], 'a page downloads one of the two'


def test_script_tag(page: Page, run: Run) -> None:
    before = page.evaluate('Object.getOwnPropertyNames(globalThis)')
    page.add_script_tag(url='/dist/edgeflow.iife.js')
    after = page.evaluate('Object.getOwnPropertyNames(globalThis)')
    assert set(after) - set(before) == {'edgeflow'}
    assert set(PUBLIC) <= set(page.evaluate('Object.keys(edgeflow)'))
    run('global')


@pytest.mark.parametrize('address', ['/npm/edgeflow', '/npm/edgeflow@0.1'])
def test_script_tag_with_the_short_address_of_a_cdn(page: Page, dist: Path, run: Run, address: str) -> None:
    """jsDelivr answers it with the script itself, without a redirect."""
    with Server({f'{address}/dist': dist}) as cdn:
        script = (dist / 'edgeflow.iife.js').read_text()
        page.route(cdn.url(address), lambda route: route.fulfill(body=script, content_type='text/javascript'))
        page.add_script_tag(url=cdn.url(address))
        run('global')
        assert f'{address}/dist/edgeflow-engine.js' in [record.path for record in cdn.site.log]


def test_es_module_from_another_origin(page: Page, other_origin: Server, run: Run) -> None:
    run(other_origin.url('/dist/edgeflow.js'))
    assert wasm_requests(other_origin)[-1] == '/dist/edgeflow-relaxed.wasm'


def test_script_tag_from_another_origin(page: Page, other_origin: Server, run: Run) -> None:
    before = len(wasm_requests(other_origin))
    page.add_script_tag(url=other_origin.url('/dist/edgeflow.iife.js'))
    run('global')
    assert wasm_requests(other_origin)[before:] == ['/dist/edgeflow-relaxed.wasm']


BLOB = """async () => {
  const text = await (await fetch('/dist/edgeflow.js')).text();
  return URL.createObjectURL(new Blob([text], { type: 'text/javascript' }));
}"""


def test_a_blob_needs_the_location_of_the_wasm_files(page: Page, server: Server, run: Run) -> None:
    blob = page.evaluate(BLOB)
    model = server.url(f'/models/{MODEL}')
    code = page.evaluate('async ([blob, model]) => (await import(blob)).loadModel(model).then(() => null, error => error.code)', [blob, model])
    assert code == 'platform'
    page.evaluate("async ([blob, folder]) => { (await import(blob)).env.wasmLocation = folder; }", [blob, server.url('/dist/')])
    run(blob)


def test_loading_changes_no_global_and_no_prototype(page: Page) -> None:
    """package.json says sideEffects: false."""
    changed = page.evaluate("""async () => {
      const snapshot = () => {
        const seen = new Map([['globalThis', Object.getOwnPropertyNames(globalThis)]]);
        for (const name of Object.getOwnPropertyNames(globalThis)) {
          const value = Object.getOwnPropertyDescriptor(globalThis, name).value;
          if (typeof value !== 'function' || !value.prototype) continue;
          seen.set(name, Reflect.ownKeys(value).map(String));
          seen.set(name + '.prototype', Reflect.ownKeys(value.prototype).map(String));
        }
        return seen;
      };
      const before = snapshot();
      await import('/dist/edgeflow.js');
      const after = snapshot();
      return [...after].filter(([name, keys]) => keys.join() !== (before.get(name) ?? []).join()).map(([name]) => name);
    }""")
    assert changed == []


def test_an_isolated_page(browser: Browser, dist: Path) -> None:
    """Cross-origin isolation asks for headers on every file; the package loads under them."""
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}, isolated=True) as isolated:
        context = browser.new_context()
        page = context.new_page()
        page.goto(isolated.url('/blank.html'))
        assert page.evaluate('crossOriginIsolated')
        case = read_case(CASE)
        [outputs] = run_in_page(page, isolated.url(f'/models/{MODEL}'), [case.inputs])
        check_output(outputs['last_hidden_state'], case.outputs['last_hidden_state'], 'fp32')
        context.close()
