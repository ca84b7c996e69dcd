"""An exception in the bundled and minified code leads to the lines of the .py files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from toolchain.paths import ROOT

# The shape does not fit, so _checked_shape in runtime/tensor.py raises, called by tensor().
PROVOKE = 'tensor([1, 2, 3], [2, 2])'
CHECK = "error => [error instanceof Error, error.name, error.code, error.stack]"


def original_frames(stack: str, bundle: Path) -> list[dict]:
    command = ['node', str(ROOT / 'tests' / 'browser' / 'map_stack.mjs'), f'{bundle}.map']
    return json.loads(subprocess.run(command, input=stack, capture_output=True, text=True, check=True).stdout)


def line_of(frame: dict) -> str:
    found = list((ROOT / 'src').glob('edgeflow/**/' + frame['source'].rsplit('/', 1)[-1]))
    assert len(found) >= 1, frame
    [path] = [path for path in found if frame['source'].endswith(path.relative_to(ROOT / 'src').as_posix())]
    return path.read_text().splitlines()[frame['line'] - 1]


@pytest.mark.parametrize('bundle', ['edgeflow.js', 'edgeflow.iife.js'])
def test_a_stack_in_chromium_maps_to_python_lines(page: Page, dist: Path, bundle: str) -> None:
    library = "import('/dist/edgeflow.js')"
    if bundle == 'edgeflow.iife.js':
        page.add_script_tag(url='/dist/edgeflow.iife.js')
        library = 'edgeflow'
    is_error, name, code, stack = page.evaluate(
        f'async () => {{ const library = await {library}; try {{ library.{PROVOKE}; }} catch (error) {{ return ({CHECK})(error); }} }}'
    )
    assert (is_error, name, code) == (True, 'EdgeflowError', 'invalid-argument')
    frames = original_frames(stack, dist / bundle)
    python = [frame for frame in frames if frame['source'] and frame['source'].endswith('runtime/tensor.py')]
    assert len(python) >= 2, (stack, frames)
    assert 'raise EdgeflowError(' in line_of(python[0])
    assert '_checked_shape(' in line_of(python[1])


def test_node_shows_python_lines_by_itself(dist: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = node('--enable-source-maps', '--input-type=module', '-e', f"import {{ tensor }} from '{dist.as_uri()}/edgeflow.js'; {PROVOKE}")
    assert done.returncode == 1
    assert 'EdgeflowError' in done.stderr
    lines = [line for line in done.stderr.splitlines() if 'runtime/tensor.py:' in line]
    assert lines, done.stderr


def test_the_maps_hold_the_python_text(dist: Path) -> None:
    record = json.loads((dist / 'edgeflow.js.map').read_text())
    texts = dict(zip(record['sources'], record['sourcesContent'], strict=True))
    [tensor] = [text for name, text in texts.items() if name.endswith('src/edgeflow/runtime/tensor.py')]
    assert tensor == (ROOT / 'src' / 'edgeflow' / 'runtime' / 'tensor.py').read_text()
