"""The declarations, checked by TypeScript from the user's side."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from toolchain.paths import NODE_MODULES, ROOT

CASES = ROOT / 'tests' / 'package' / 'types.ts'
TSC = [str(NODE_MODULES / '.bin' / 'tsc'), '--noEmit', '--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes']


def check(project: Path, *options: str) -> str:
    shutil.copyfile(CASES, project / 'types.ts')
    command = [*TSC, *options, 'types.ts']
    return subprocess.run(command, cwd=project, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    'options',
    [
        ('--module', 'nodenext', '--target', 'es2022', '--lib', 'es2022,dom'),
        ('--module', 'preserve', '--moduleResolution', 'bundler', '--target', 'esnext', '--lib', 'esnext,dom'),
    ],
    ids=['nodenext es2022', 'bundler esnext'],
)
def test_accepted_and_refused(project: Path, options: tuple[str, ...]) -> None:
    assert check(project, *options) == ''


def test_a_case_that_must_fail_would_be_noticed(project: Path) -> None:
    """The test above can fail: without its @ts-expect-error lines, tsc complains once for each of them."""
    text = CASES.read_text()
    marks = text.count('// @ts-expect-error')
    (project / 'unmarked.ts').write_text(text.replace('// @ts-expect-error', '//'))
    command = [*TSC, '--module', 'nodenext', '--target', 'es2022', 'unmarked.ts']
    complaints = subprocess.run(command, cwd=project, capture_output=True, text=True).stdout
    lines = {line.split(')')[0] for line in complaints.splitlines() if line.startswith('unmarked.ts(')}
    assert len({line.split(',')[0] for line in lines}) == marks > 10
