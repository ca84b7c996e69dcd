"""Parts of edgeflow are fetched when they are needed, by pages and workers, in both forms; a missing one is told."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route

from toolchain.serve import Server

IMPORTS = {
    'edgeflow.js': "const { pipeline, env } = await import('/dist/edgeflow.js');",
    'edgeflow.iife.js': """await new Promise((resolve, reject) => document.head.append(Object.assign(document.createElement('script'),
      { src: '/dist/edgeflow.iife.js', onload: resolve, onerror: reject })));
      const { pipeline, env } = edgeflow;""",
}


def parts_of(server: Server, before: int) -> list[str]:
    paths = [record.path for record in server.site.log[before:]]
    return [path.removeprefix('/dist/edgeflow-').removesuffix('.js') for path in paths if path.startswith('/dist/edgeflow-') and path.endswith('.js')]


@pytest.mark.parametrize('form', list(IMPORTS))
def test_only_pages_that_generate_fetch_what_generates(page: Page, server: Server, form: str) -> None:
    before = len(server.site.log)
    page.evaluate(f"""async () => {{
      {IMPORTS[form]}
      const extractor = await pipeline('feature-extraction', '/models/bert-mini-sentence', {{ dtype: 'fp32' }});
      await extractor('some words');
    }}""")
    assert set(parts_of(server, before)) == {'text', 'helpers', 'engine'}
    # The worker's alone: the page is not to compile what it does not run.
    assert page.evaluate("performance.getEntriesByType('resource').filter(entry => /-(engine|helpers)/.test(entry.name)).length") == 0
    text = page.evaluate(f"""async () => {{
      {IMPORTS[form]}
      const generator = await pipeline('text-generation', '/models/smollm2-mini', {{ dtype: 'fp32' }});
      return (await generator('Once', {{ maxNewTokens: 3, doSample: true, topK: 5, seed: 1 }}))[0].generatedText;
    }}""")
    assert text.startswith('Once')
    # The page's own, and its worker's, which chooses the tokens (a cache may answer the second).
    assert set(parts_of(server, before)) == {'text', 'helpers', 'engine', 'generation', 'logits'}


@pytest.mark.parametrize(('device', 'part'), [('wasm', 'helpers'), ('webgpu', 'webgpu'), (['webnn', 'wasm'], 'devices')])
def test_what_a_model_surely_needs_is_fetched_beside_its_files(page: Page, server: Server, device: object, part: str) -> None:
    held: list[Route] = []
    page.route('**/model.onnx_data*', lambda route: held.append(route))
    before = len(server.site.log)
    page.evaluate("""async device => {
      const { loadModel } = await import('/dist/edgeflow.js');
      window.loaded = loadModel('/models/xlm-roberta-mini/onnx/model.onnx', { device }).then(model => model.device, error => error.message);
    }""", device)
    for _ in range(200):
        if held and part in parts_of(server, before):
            break
        page.wait_for_timeout(10)
    assert held and part in parts_of(server, before)
    for route in held:
        route.continue_()
    assert page.evaluate('loaded') == (device if isinstance(device, str) else device[0])


def test_a_part_that_is_missing_is_told_and_asked_for_again(page: Page, server: Server) -> None:
    answers = [404, 200]

    def answer(route: Route) -> None:
        if answers.pop(0) == 404:
            route.fulfill(status=404, body='')
        else:
            route.continue_()

    page.route('**/edgeflow-tasks.js*', answer, times=2)
    got = page.evaluate("""async () => {
      const { pipeline, memoryStats } = await import('/dist/edgeflow.js');
      const make = () => pipeline('fill-mask', '/models/modernbert-mlm-mini', { dtype: 'fp32' });
      const error = await make().then(() => 'none', error => error);
      const models = memoryStats().models.length;
      const made = await make().then(pipe => pipe.task, error => error.message);
      return { code: error.code, message: error.message, models, made };
    }""")
    assert got['code'] == 'file-missing'
    assert got['message'].startswith(server.url('/dist/edgeflow-tasks.js') + ", a file of edgeflow's dist/, cannot be used: ")
    assert got['models'] == 0
    assert got['made'] == 'fill-mask'


def test_a_page_without_workers_fetches_the_engine_itself_and_keeps_the_model_if_it_cannot(page: Page, server: Server) -> None:
    page.route('**/edgeflow-engine.js*', lambda route: route.fulfill(status=404, body=''), times=1)
    before = len(server.site.log)
    got = page.evaluate("""async () => {
      const { loadModel, env } = await import('/dist/edgeflow.js');
      env.workers = 0;
      const load = () => loadModel('/models/bert-mini-sentence/onnx/model.onnx');
      const error = await load().then(() => null, error => error);
      const model = await load();
      return { code: error?.code, message: error?.message, inputs: model.inputs.length };
    }""")
    assert got['code'] == 'file-missing'
    assert got['message'].startswith(server.url('/dist/edgeflow-engine.js') + ", a file of edgeflow's dist/, cannot be used: ")
    assert got['inputs'] == 3
    bodies = [record.sent for record in server.site.log[before:] if record.path.endswith('/model.onnx') and record.sent > 0]
    assert len(bodies) == 1


def test_a_part_of_another_release_is_refused(page: Page, server: Server) -> None:
    page.route('**/edgeflow-tasks.js*', lambda route: route.fulfill(
        body="export const build='older';export default () => ({});", content_type='text/javascript'))
    message = page.evaluate("""async () => {
      const { pipeline } = await import('/dist/edgeflow.js');
      return pipeline('fill-mask', '/models/modernbert-mlm-mini', { dtype: 'fp32' }).then(() => 'none', error => error.message);
    }""")
    assert message.endswith('it is of another build')
