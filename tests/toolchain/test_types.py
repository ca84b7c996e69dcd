"""Annotations are believed by the transpiler, so they have to be true: mypy reads all of src/edgeflow."""

from __future__ import annotations

import subprocess
import sys

from toolchain.paths import BUILD, ROOT


def test_annotations_are_true() -> None:
    run = subprocess.run([sys.executable, '-m', 'mypy', '--cache-dir', str(BUILD / 'mypy')], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
