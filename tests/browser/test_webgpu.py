"""WebGPU in Chromium on SwiftShader, through the built package's public API: every case of tests/models, a lost device, several models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.model_cases import ModelFile, check_output, decoder_files, encoder_files, read_case
from tests.browser.page_model import run_in_page
from toolchain.serve import Server


@pytest.fixture(scope='module')
def gpu_page(browser: Browser, server: Server) -> Iterator[Page]:
    """One page for all models, whose workers keep their devices and compiled kernels while it has models."""
    context = browser.new_context()
    page = context.new_page()
    uncaught: list[str] = []
    page.on('pageerror', lambda error: uncaught.append(f'{error.message}\n{error.stack}'))
    page.goto(server.url('/blank.html'))
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
