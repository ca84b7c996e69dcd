"""JS in pragmas is written by hand, and the transpiler drops imports that no Python uses: TypeScript's checker looks for names that nothing gives."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from toolchain.paths import BUILD, ROOT

# What the script tag's file declares.
GIVEN = 'declare const edgeflowClassic: string;\n'


def test_every_name_is_given(dist: Path, tmp_path: Path) -> None:
    (tmp_path / 'given.d.ts').write_text(GIVEN)
    modules = BUILD / 'bundle/edgeflow'
    assert (modules / 'host/browser_files.js').exists()
    options = {'allowJs': True, 'checkJs': True, 'noEmit': True, 'target': 'es2022', 'module': 'esnext', 'moduleResolution': 'bundler',
               'lib': ['es2023', 'esnext', 'dom', 'dom.iterable', 'webworker'], 'strict': False, 'skipLibCheck': True, 'types': []}
    project = tmp_path / 'tsconfig.json'
    project.write_text(json.dumps({'compilerOptions': options, 'include': [f'{modules}/**/*.js', str(tmp_path / 'given.d.ts')]}))
    run = subprocess.run(['node', str(ROOT / 'node_modules/typescript/bin/tsc'), '-p', str(project)], cwd=ROOT, capture_output=True, text=True)
    # Types are mypy's; here it is names: TS2304, and TS2552 where it has a guess.
    assert 'error TS' in run.stdout, 'the checker has nothing to say of anything: ' + run.stdout + run.stderr
    assert re.findall(r'^.*error TS(?:2304|2552):.*$', run.stdout, re.MULTILINE) == []
