"""What npm packs is a sound package: the right files, exports that every resolver understands."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

from toolchain.parts import Parts
from toolchain.paths import NODE_MODULES, ROOT

FILES = {
    'LICENSE', 'README.md', 'package.json', 'dist/README.md', 'dist/THIRD_PARTY_LICENSES.txt', 'dist/edgeflow.d.ts',
    'dist/edgeflow.js', 'dist/edgeflow.js.map', 'dist/edgeflow.iife.js', 'dist/edgeflow.iife.js.map',
    'dist/edgeflow-simd.wasm', 'dist/edgeflow-relaxed.wasm', 'dist/edgeflow-more-simd.wasm', 'dist/edgeflow-more-relaxed.wasm',
    'dist/edgeflow-jinja.js', 'dist/edgeflow-jinja.js.map',
    *(f'dist/edgeflow-{part}.js{suffix}' for part in Parts.read().patterns for suffix in ('', '.map')),
}  # fmt: skip


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_files(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        assert {name.removeprefix('package/') for name in archive.getnames()} == FILES


def test_no_dependencies() -> None:
    record = json.loads((ROOT / 'package.json').read_text())
    assert 'dependencies' not in record
    assert 'peerDependencies' not in record


def test_versions_agree() -> None:
    version = json.loads((ROOT / 'package.json').read_text())['version']
    assert f'\nversion = "{version}"\n' in (ROOT / 'pyproject.toml').read_text()
    assert f"VERSION: str = '{version}'\n" in (ROOT / 'src' / 'edgeflow' / 'version.py').read_text()
    assert json.loads((ROOT / 'package-lock.json').read_text())['version'] == version
    assert f'/npm/edgeflow@{version}/' in (ROOT / 'README.md').read_text()


def test_types_come_first() -> None:
    """TypeScript takes the first condition that fits."""
    assert list(json.loads((ROOT / 'package.json').read_text())['exports']['.'])[0] == 'types'


def test_the_lock_file_names_no_registry() -> None:
    for path in (ROOT / 'package-lock.json', ROOT / 'bench' / 'package-lock.json'):
        assert re.findall(r'https?://[^"]*\.tgz', path.read_text()) == []


def test_bundlers_leave_imports_of_parts_alone() -> None:
    """webpack would look for them among the modules of the application, and Vite warn of them."""
    for name in ('edgeflow.js', 'edgeflow.iife.js'):
        calls = re.findall(r'\bimport\((.{80})', (ROOT / 'dist' / name).read_text())
        computed = [call for call in calls if not call.startswith('`./edgeflow-jinja.js`)')]
        assert len(computed) == 1 and len(calls) == 2
        for comment in ('/*webpackIgnore:true*/', '/*turbopackIgnore:true*/', '/*@vite-ignore*/'):
            assert comment in computed[0]


def test_publint() -> None:
    done = run(str(NODE_MODULES / '.bin' / 'publint'), 'run', '--strict', '--pack', 'npm')
    assert done.returncode == 0, done.stdout + done.stderr


def test_are_the_types_wrong(tarball: Path) -> None:
    done = run(str(NODE_MODULES / '.bin' / 'attw'), str(tarball), '--profile', 'esm-only', '--no-emoji', '--no-color')
    assert done.returncode == 0, done.stdout + done.stderr
