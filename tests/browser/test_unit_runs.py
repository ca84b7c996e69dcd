"""The unit tests run three times: in CPython, and transpiled in Node and in Chromium. All pass, and the counts are equal."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from toolchain.build import build_tests
from toolchain.paths import BUILD, ROOT

RUN = """async names => {
  const { runTests } = await import('/js/testrunner/runner.js');
  const modules = {};
  for (const name of names) modules[name] = await import(`/js/tests/${name}.js`);
  const { passed, failed, failures } = await runTests(modules);
  return { passed, failed, failures: failures.map(f => `${f.module}::${f.test}[${f.case}]\\n${f.stack}`) };
}"""


@pytest.fixture(scope='module')
def unit_modules(dist: Path) -> list[str]:
    build_tests()
    written = {path.stem for path in (ROOT / 'tests' / 'unit').glob('test_*.py')}
    assert {path.stem for path in (BUILD / 'js' / 'tests').glob('*.js')} == written
    return sorted(written)


def in_cpython() -> int:
    done = subprocess.run([sys.executable, '-m', 'pytest', 'tests/unit', '-p', 'no:cacheprovider'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return int(re.search(r'(\d+) passed', done.stdout)[1])


def in_node(node: Callable[..., subprocess.CompletedProcess[str]]) -> int:
    done = node('--enable-source-maps', str(ROOT / 'toolchain' / 'testrunner' / 'node.js'))
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.search(r'(\d+) passed, 0 failed', done.stdout)[1])


def in_chromium(page: Page, modules: list[str]) -> int:
    result = page.evaluate(RUN, modules)
    assert result['failed'] == 0, '\n'.join(result['failures'])
    return result['passed']


def test_equal_counts(
    unit_modules: list[str], page: Page, node: Callable[..., subprocess.CompletedProcess[str]], say: Callable[[str], None]
) -> None:
    counts = {'cpython': in_cpython(), 'node': in_node(node), 'chromium': in_chromium(page, unit_modules)}
    say('unit tests: ' + ', '.join(f'{name} {count}' for name, count in counts.items()))
    assert len(set(counts.values())) == 1, counts
    assert counts['cpython'] > 0
