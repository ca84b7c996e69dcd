"""Bundle and minify the transpiled modules with esbuild: dist/edgeflow.js (ES module) and dist/edgeflow.iife.js (script tag).

What the JS of host/browser.py may rely on, and must keep to:

- A file of dist/ is named by `new URL('./edgeflow-relaxed.wasm', import.meta.url)`, the text written out in full, once for
  each file: Vite and webpack look for exactly that form. In the IIFE `import.meta.url` is the address of the script tag
  (of the page, for an inline script). A server may answer a missing file with a page of HTML and status 200 (Vite's
  does), so bytes are checked for '\\0asm' before they are believed.
- The chat templates' engine is a file of its own, edgeflow-jinja.js, which `import('./edgeflow-jinja.js')` fetches when a template is
  first used; that call stays as it is in both forms, and bundlers split there.
- So do the parts (parts.py): edgeflow-NAME.js is a function of what it needs of edgeflow.js, which is of the same build.
- Node's modules come from `process.getBuiltinModule('node:fs')`, not from `import('node:fs')`: webpack fails on the latter.
- Loading the module changes no global and no built-in prototype: package.json says `sideEffects: false`, and a test checks it.
- Properties whose names begin with one underscore or $ and a letter (members.py), and those that properties.py lists, are private to the
  bundle and renamed in it (esbuild --mangle-props), so such a name is never made at run time from a string. Both forms
  get the same names: a page of one form may start workers of the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from toolchain import parts, properties
from toolchain.paths import BUILD, BUNDLED_PACKAGES, DIST, NODE_MODULES, ROOT
from toolchain.stamp import when_changed

MODULES = BUILD / 'bundle'
ENTRY = MODULES / 'edgeflow' / 'index.js'
PARTS = BUILD / 'parts'
ALL = BUILD / 'all.js'
SCRIPT_URL = BUILD / 'script_url.js'
# jsDelivr gives the script at the package's own address too, where nothing lies beside it.
SCRIPT_URL_CODE = r"""
export const edgeflowScriptUrl = (globalThis.document?.currentScript?.src || globalThis.location?.href)
  ?.replace(/\/npm\/edgeflow(@[^/]*)?$/, '$&/dist/edgeflow.iife.js');
"""
# Methods that only the compiler and its runtime call.
SPECIAL = 'str repr len bool eq contains getitem setitem delitem iter next aiter anext enter exit aenter aexit call post_init'.split()
SHORT_NAMES = BUILD / 'short_names.json'
# Its names of token types, of parts of a parsed template and of methods of its interpreter, which it never makes from a string.
JINJA_PRIVATE = r'^(value|type|_*builtins|__bool__|operator|body|args|property|assignee|iterable|loopvar|argument|defaultBlock|variables|operand|callerArgs|callee|bindMacroArguments|computed|condition|alternate|applyFilter|(true|false)Expr|evaluate\w*|\w+Variable|(Open|Close)[A-Z]\w+|[A-Z]\w+Operator|(Numeric|String)Literal|Identifier|Comma|Colon|Equals|Pipe)$'

# The one place where a name that is shortened is JS's own, and what stands there instead.
JINJA_CHANGE = ('keywordArguments.keys().next().value', '[...keywordArguments.keys()][0]')
JINJA_SOURCES = NODE_MODULES / '@huggingface' / 'jinja' / 'src'

JINJA = 'edgeflow-jinja.js'
JINJA_ENTRY = ROOT / 'toolchain' / 'jinja.js'
MINIFY = ROOT / 'toolchain' / 'minify.mjs'
MINIFIERS = ['esbuild', 'oxc-minify', 'terser']

PLAIN = [
    '--bundle', '--minify', '--target=es2022', '--platform=neutral', '--main-fields=module,main', '--sourcemap=linked',
    '--legal-comments=none', '--charset=utf8', '--log-level=warning', '--log-limit=20',
]
COMMON = [
    *PLAIN, f'--mangle-cache={SHORT_NAMES}', '--external:./edgeflow-*.js',
]  # fmt: skip
FORMS = {
    'edgeflow.js': ['--format=esm', '--define:edgeflowClassic=false'],
    'edgeflow.iife.js': [
        '--format=iife', '--global-name=edgeflow', f'--inject:{SCRIPT_URL}', '--define:import.meta.url=edgeflowScriptUrl',
        '--define:edgeflowClassic=true',
    ],
}  # fmt: skip


def esbuild(arguments: list[str]) -> None:
    """Run esbuild; its complaint ends the build."""
    program = NODE_MODULES / '.bin' / ('esbuild.cmd' if os.name == 'nt' else 'esbuild')
    if subprocess.run([str(program), *arguments], cwd=ROOT).returncode:
        raise SystemExit('esbuild failed')


def minify(files: list[Path]) -> None:
    """Once more, with what esbuild does not do (minify.mjs); a complaint ends the build."""
    if subprocess.run(['node', str(MINIFY), *map(str, files)], cwd=ROOT).returncode:
        raise SystemExit('minifying failed; a missing package comes with npm ci')


def bundle_inputs() -> list[Path]:
    packages = [NODE_MODULES / name / 'package.json' for name in [*BUNDLED_PACKAGES, *MINIFIERS]]
    modules = [path for folder in (MODULES / 'edgeflow', MODULES / 'runtime', PARTS) for path in folder.glob('**/*.js')]
    return [*modules, *packages, properties.LIST, MINIFY, *(ROOT / 'toolchain' / name for name in ('bundle.py', 'parts.py'))]


def bundle() -> None:
    """Write both forms, their source maps, and the licences of what is bundled; quick when nothing changed."""
    DIST.mkdir(exist_ok=True)
    SCRIPT_URL.write_text(SCRIPT_URL_CODE)
    sources = [JINJA_ENTRY, *(NODE_MODULES / name / 'package.json' for name in ['@huggingface/jinja', *MINIFIERS]), MINIFY, ROOT / 'toolchain' / 'bundle.py']
    when_changed('bundle-jinja', sources, [DIST / JINJA], _bundle_jinja)
    outputs = [DIST / f'{name}{suffix}' for name in [*FORMS, *part_files()] for suffix in ('', '.map')]
    when_changed('bundle', bundle_inputs(), outputs, _bundle_forms)
    _write_licences()


def _bundle_jinja() -> None:
    copies = BUILD / 'jinja'
    copies.mkdir(parents=True, exist_ok=True)
    for path in JINJA_SOURCES.glob('*.ts'):
        text = path.read_text(encoding='utf-8')
        if path.name == 'runtime.ts':
            if text.count(JINJA_CHANGE[0]) != 1 or '.next()' in text.replace(*JINJA_CHANGE):
                raise SystemExit(f'{path}: expected .next() once, as {JINJA_CHANGE[0]}; see JINJA_PRIVATE')
            text = text.replace(*JINJA_CHANGE)
        (copies / path.name).write_text(text, encoding='utf-8')
    esbuild([str(JINJA_ENTRY), f'--outfile={DIST / JINJA}', *PLAIN, f'--mangle-props={JINJA_PRIVATE}', '--format=esm'])
    minify([DIST / JINJA])


def part_files() -> dict[str, Path]:
    """The files of the parts, and the module that each is made of."""
    return {f'edgeflow-{folder.name}.js': folder / parts.ENTRY for folder in sorted(PARTS.glob('*')) if (folder / parts.ENTRY).is_file()}


def _bundle_forms() -> None:
    names = '|'.join(['_[a-zA-Z].*', f"__({'|'.join(SPECIAL)})__", r'\$[a-zA-Z].*', *properties.read()])
    private = f'--mangle-props=^({names})$'
    SHORT_NAMES.unlink(missing_ok=True)
    # Both forms and all parts need the same short names, none of which is a name of another: so one run sees everything first.
    entries = [ENTRY, *part_files().values()]
    ALL.write_text(''.join(f"export * as all{index} from './{path.relative_to(BUILD).as_posix()}';\n" for index, path in enumerate(entries)))
    esbuild([str(ALL), f'--outfile={BUILD / "all.min.js"}', *COMMON, private, *FORMS['edgeflow.js']])
    for name, flags in FORMS.items():
        esbuild([str(ENTRY), f'--outfile={DIST / name}', *COMMON, private, *flags])
    for name, entry in part_files().items():
        head, tail = parts.wrapping((MODULES / parts.REGISTRY).read_text())
        esbuild([str(entry), f'--outfile={DIST / name}', *COMMON, private, *FORMS['edgeflow.js'], f'--banner:js={head}', f'--footer:js={tail}'])
        (DIST / name).write_text(parts.wrapped((DIST / name).read_text()))
    minify([DIST / name for name in [*FORMS, *part_files()]])


def _write_licences() -> None:
    parts = []
    for name, files in BUNDLED_PACKAGES.items():
        record = json.loads((NODE_MODULES / name / 'package.json').read_text())
        text = (NODE_MODULES / name / 'LICENSE').read_text()
        parts.append(f'{name} {record["version"]} ({record["license"]}), bundled in {files}\n\n{text}')
    (DIST / 'THIRD_PARTY_LICENSES.txt').write_text('\n\n'.join(parts))


def copy_assets() -> None:
    """The .wasm files and the template engine beside the unbundled host module, where `import.meta.url` looks for them in tests."""
    for path in [*DIST.glob('*.wasm'), DIST / JINJA]:
        target = BUILD / 'js' / 'edgeflow' / 'host' / path.name
        if target.parent.is_dir() and (not target.exists() or target.read_bytes() != path.read_bytes()):
            shutil.copyfile(path, target)


if __name__ == '__main__':
    bundle()
