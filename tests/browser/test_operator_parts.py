"""A page fetches the parts and the binary that a model's operators need, and nothing else; from its own or another origin."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import onnx
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.model_cases import MODELS, check_output, read_case
from tests.browser.page_model import run_in_page
from tests.browser.test_workers import PAGES
from tests.engine.node_models import by_onnxruntime, node_model
from toolchain.serve import Server

SAMPLE = """async ([library, model]) => {
  const { loadModel, tensor } = await import(library);
  const loaded = await loadModel(Uint8Array.from(atob(model), c => c.charCodeAt(0)));
  const x = tensor(Float32Array.from({ length: 16 }, (_, i) => i), [1, 1, 4, 4]);
  const grid = tensor(Float32Array.from([-0.5, 0.25, 0, 0, 0.9, -0.9, 2, 2]), [1, 2, 2, 2]);
  const { y0 } = await loaded.run({ x0: x, x1: grid });
  loaded.dispose();
  return [...y0.data];
}"""


def fetched(server: Server, before: int = 0) -> set[str]:
    """The names of the files of the package that pages asked for since."""
    return {record.path.split('/')[-1] for record in server.site.log[before:] if record.path.startswith('/dist/')}


def sampled() -> tuple[bytes, np.ndarray]:
    """A model of one rare operator, and what it gives for the inputs of SAMPLE."""
    x = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)
    grid = np.array([-0.5, 0.25, 0, 0, 0.9, -0.9, 2, 2], np.float32).reshape(1, 2, 2, 2)
    model = node_model('GridSample', [x, grid], ['float32'], [], opset=20)
    return model, by_onnxruntime(model, {'x0': x, 'x1': grid})['y0']


def test_a_text_model_needs_no_part(page: Page, server: Server) -> None:
    before = len(server.site.log)
    case = read_case('bert-mini-sentence/cases/model.0.npz')
    [outputs] = run_in_page(page, server.url('/models/bert-mini-sentence/onnx/model.onnx'), [case.inputs])
    check_output(outputs['last_hidden_state'], case.outputs['last_hidden_state'], 'fp32')
    assert fetched(server, before) & {'edgeflow-vision.js', 'edgeflow-ops.js', 'edgeflow-more-relaxed.wasm'} == set()


def test_an_image_model_needs_one_and_a_second_binary(page: Page, server: Server) -> None:
    before = len(server.site.log)
    case = read_case('resnet-mini/cases/model.0.npz')
    [outputs] = run_in_page(page, server.url('/models/resnet-mini/onnx/model.onnx'), [case.inputs])
    for name, expected in case.outputs.items():
        check_output(outputs[name], expected, 'fp32')
    files = fetched(server, before)
    assert {'edgeflow-vision.js', 'edgeflow-more-relaxed.wasm'} <= files
    assert 'edgeflow-ops.js' not in files


def test_a_rare_operator_needs_another_part_and_the_binary(page: Page, server: Server) -> None:
    before = len(server.site.log)
    model, expected = sampled()
    got = page.evaluate(SAMPLE, ['/dist/edgeflow.js', base64.b64encode(model).decode()])
    np.testing.assert_allclose(np.array(got), expected.reshape(-1), rtol=1e-5, atol=1e-6)
    assert {'edgeflow-ops.js', 'edgeflow-more-relaxed.wasm'} <= fetched(server, before)


GPU_PARTS = {f'edgeflow-gpu{name}.js' for name in ('sequences', 'vision', 'rare', 'quantized', 'sessions', 'extras')}


@pytest.mark.parametrize(('name', 'parts'), [('bert-mini-sentence', set()), ('resnet-mini', {'edgeflow-gpuvision.js'})])
def test_on_the_gpu_a_model_fetches_what_its_operators_need(page: Page, server: Server, name: str, parts: set[str]) -> None:
    before = len(server.site.log)
    case = read_case(f'{name}/cases/model.0.npz')
    [outputs] = run_in_page(page, server.url(f'/models/{name}/onnx/model.onnx'), [case.inputs], device='webgpu')
    for output, expected in case.outputs.items():
        check_output(outputs[output], expected, 'fp32')
    assert fetched(server, before) & GPU_PARTS == parts


def test_a_decoder_fetches_what_sessions_need_while_it_loads(page: Page, server: Server) -> None:
    before = len(server.site.log)
    page.evaluate("""async url => {
      const { loadModel } = await import('/dist/edgeflow.js');
      globalThis.kept = await loadModel(url, { device: 'webgpu' });
    }""", server.url('/models/smollm2-mini/onnx/model.onnx'))
    for _ in range(100):
        if 'edgeflow-gpusessions.js' in fetched(server, before):
            break
        page.wait_for_timeout(50)
    assert {'edgeflow-gpusessions.js', 'edgeflow-gpusequences.js'} <= fetched(server, before)


def test_the_first_bytes_of_a_model_tell_which_part_to_fetch(page: Page, server: Server) -> None:
    # Its weights are not to be had, so that it never comes to looking at its graph: only the head can have told.
    before = len(server.site.log)
    model = onnx.load(MODELS / 'resnet-mini/onnx/model.onnx')
    onnx.external_data_helper.convert_model_to_external_data(model, location='nowhere.bin', size_threshold=64)
    for tensor in onnx.external_data_helper._get_all_tensors(model):
        if onnx.external_data_helper.uses_external_data(tensor):
            tensor.ClearField('raw_data')
    page.route('**/headed/model.onnx', lambda route: route.fulfill(body=model.SerializeToString(), content_type='application/octet-stream'))
    code = page.evaluate("""async url => {
      const { loadModel } = await import('/dist/edgeflow.js');
      return loadModel(url, { device: 'webgpu' }).then(() => 'no error', error => error.code);
    }""", server.url('/headed/model.onnx'))
    assert code in ('http', 'file-missing')
    for _ in range(100):
        if fetched(server, before) & GPU_PARTS:
            break
        page.wait_for_timeout(50)
    assert fetched(server, before) & GPU_PARTS == {'edgeflow-gpuvision.js'}


def test_the_second_binary_works_in_shared_memory_too(browser: Browser, dist: Path) -> None:
    model, expected = sampled()
    with Server({'/': PAGES, '/dist': dist}, isolated=True) as server:
        page = browser.new_context().new_page()
        page.goto(server.url('/blank.html'))
        assert page.evaluate('self.crossOriginIsolated')
        got = page.evaluate(SAMPLE, ['/dist/edgeflow.js', base64.b64encode(model).decode()])
        page.context.close()
    np.testing.assert_allclose(np.array(got), expected.reshape(-1), rtol=1e-5, atol=1e-6)


def test_workers_that_run_a_blob_find_them(page: Page, other_origin: Server) -> None:
    before = len(other_origin.site.log)
    model, expected = sampled()
    got = page.evaluate(SAMPLE, [other_origin.url('/dist/edgeflow.js'), base64.b64encode(model).decode()])
    np.testing.assert_allclose(np.array(got), expected.reshape(-1), rtol=1e-5, atol=1e-6)
    assert {'edgeflow-ops.js', 'edgeflow-more-relaxed.wasm'} <= fetched(other_origin, before)
