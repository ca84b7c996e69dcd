"""Every case of every model of tests/models, in Chromium, through the built package's public API."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.model_cases import ModelFile, check_output, decoder_files, encoder_files, read_case, vision_audio_files
from tests.browser.page_model import run_in_page
from toolchain.serve import Server


def test_the_manifest_has_all_encoder_families() -> None:
    folders = {file.path.split('/')[0] for file in encoder_files()}
    assert {'bert-mini-sentence', 'distilbert-sst2-mini', 'xlm-roberta-mini', 'deberta-v2-nli-mini', 'modernbert-mlm-mini'} <= folders


@pytest.mark.parametrize('file', encoder_files() + decoder_files() + vision_audio_files(), ids=lambda file: file.path)
def test_outputs_are_those_of_onnxruntime(page: Page, server: Server, file: ModelFile) -> None:
    cases = [read_case(path) for path in file.cases]
    answers = run_in_page(page, server.url(f'/models/{file.path}'), [case.inputs for case in cases])
    assert len(answers) == len(cases) > 0
    for case, outputs in zip(cases, answers, strict=True):
        assert outputs.keys() == case.outputs.keys()
        for name, expected in case.outputs.items():
            check_output(outputs[name], expected, file.variant)
