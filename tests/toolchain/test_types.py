"""Annotations are believed by the transpiler, so they have to be true: mypy reads all of src/edgeflow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from toolchain.paths import BUILD, ROOT


def test_annotations_are_true() -> None:
    run = subprocess.run([sys.executable, '-m', 'mypy', '--cache-dir', str(BUILD / 'mypy')], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_what_the_readme_shows_in_python_has_types_and_is_python(tmp_path: Path) -> None:
    [program] = re.findall(r'```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.DOTALL)
    (tmp_path / 'shown.py').write_text(program)
    command = [sys.executable, '-m', 'mypy', '--cache-dir', str(BUILD / 'mypy'), '--check-untyped-defs', str(tmp_path / 'shown.py')]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
