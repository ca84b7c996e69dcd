"""The package as npm packs it, and an empty project that has it installed. No registry is asked: edgeflow has no dependencies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from toolchain.paths import ROOT


@pytest.fixture(scope='session')
def tarball(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `npm publish` would send."""
    folder = tmp_path_factory.mktemp('pack')
    command = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', str(folder)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return folder / json.loads(answer.stdout)[0]['filename']


@pytest.fixture(scope='session')
def project(tarball: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty project after `npm install edgeflow`."""
    folder = tmp_path_factory.mktemp('project')
    (folder / 'package.json').write_text('{ "name": "app", "private": true, "type": "module" }\n')
    command = ['npm', 'install', '--offline', '--no-audit', '--no-fund', '--silent', str(tarball)]
    subprocess.run(command, cwd=folder, check=True)
    return folder
