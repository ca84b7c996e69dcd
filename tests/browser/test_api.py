"""The public API of the built package in Chromium and in Node: loading, running, and every wrong way to call it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from toolchain.paths import DIST, MODELS, ROOT
from toolchain.serve import Server


@pytest.fixture(scope='module', params=['chromium', 'node'])
def found(request: pytest.FixtureRequest, browser: object, server: Server, node: Callable) -> dict:
    """What the scenario 'loading' gives."""
    if request.param == 'node':
        script = f'import {{ loading }} from {json.dumps((ROOT / "tests/browser/pages/api_scenarios.js").as_uri())};' \
            'console.log(JSON.stringify(await loading(...process.argv.slice(1))));'
        done = node('--input-type=module', '-e', script, (DIST / 'edgeflow.js').as_uri(), f'{MODELS}/')
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)
    page: Page = browser.new_page()
    page.goto(server.url('/blank.html'))
    script = 'async args => (await import("/api_scenarios.js")).loading(...args)'
    result = page.evaluate(script, [server.url('/dist/edgeflow.js'), server.url('/models/')])
    page.close()
    return result


def test_a_model_loads_and_runs(found: dict) -> None:
    assert found['inputs'][0] == ['input_ids', 'int64']
    assert found['shape'][:2] == [1, 4] and found['dtype'] == 'float32' and found['float32']
    assert len(found['numbers'][0]) == 4
    assert found['plain'] and found['same']
    assert found['repository'] == found['hub'] == 3


def test_progress_is_told(found: dict) -> None:
    assert found['statuses'] == ['initiate', 'download', 'progress', 'done', 'ready']
    assert found['files'] == ['model.onnx', 'model.onnx_data', '']
    folder = MODELS / 'xlm-roberta-mini' / 'onnx'
    size = sum((folder / name).stat().st_size for name in ['model.onnx', 'model.onnx_data'])
    assert found['total'] == [size, size]


def test_every_wrong_call_has_its_code(found: dict) -> None:
    failures = found['failures']
    assert {name: failure and failure['code'] for name, failure in failures.items()} == {
        'option': 'unknown-option', 'snake': 'unknown-option', 'device': 'invalid-argument', 'dtype': 'invalid-argument',
        'source': 'invalid-argument', 'bytes': 'invalid-model', 'buffer': 'invalid-model', 'missing': 'file-missing',
        'external': 'file-missing', 'lacking': 'invalid-input', 'unknown': 'invalid-input', 'array': 'invalid-input',
        'list': 'invalid-argument', 'float': 'invalid-input', 'rank': 'invalid-input', 'range': 'run-failed',
        'ragged': 'invalid-argument', 'shape': 'invalid-argument', 'aborted': 'aborted', 'tensor': 'disposed', 'model': 'disposed',
    }
    for name, failure in failures.items():
        assert failure['isError'] and failure['details'], name
    assert "Did you mean 'device'?" in failures['option']['message']
    assert "Did you mean 'onProgress'?" in failures['snake']['message']
    assert "did you mean 'fp16'" in failures['dtype']['message'] or "did you mean 'fp32'" in failures['dtype']['message']


def test_errors_are_one_family(found: dict) -> None:
    assert found['family'] == [True, 'EdgeflowError']


def test_the_version_is_the_package_s(found: dict) -> None:
    pyproject = re.search(r'^version = "(.+)"$', (ROOT / 'pyproject.toml').read_text(), re.MULTILINE)
    assert pyproject is not None
    assert found['version'] == pyproject.group(1) == json.loads((ROOT / 'package.json').read_text())['version']
