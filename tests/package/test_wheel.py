"""What `pip wheel .` makes works where there is no clone: kernels, shaders and types are inside."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from toolchain.paths import DIST, MODELS, ROOT

PROGRAM = f"""
import asyncio, edgeflow
from edgeflow.host.cpython_gpu import shader_source

async def main():
    extractor = await edgeflow.pipeline('feature-extraction', {str(MODELS / 'bert-mini-sentence')!r})
    print(edgeflow.__file__)
    print((await extractor.run(['A cat sleeps.', 'The kitten naps.'], pooling='mean')).shape, 'fn main' in shader_source('softmax'))

asyncio.run(main())
"""


@pytest.fixture(scope='module')
def wheel(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('wheel')
    # In a folder of its own, because pip leaves a build/ beside what it builds.
    for name in ['setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'src', 'wgsl', 'dist']:
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, '-m', 'pip', 'wheel', '.', '--no-deps', '--no-build-isolation', '--no-index', '-q', '-w', str(folder / 'made')]
    subprocess.run(command, cwd=folder, check=True)
    [made] = (folder / 'made').glob('*.whl')
    return made


def test_it_runs_a_model_without_a_clone(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path)
    assert {f'edgeflow/kernels/{path.name}' for path in DIST.glob('*.wasm')} < names
    assert 'edgeflow/py.typed' in names
    done = subprocess.run([sys.executable, '-c', PROGRAM], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'edgeflow' / '__init__.py'}\n[2, 48] True\n"
