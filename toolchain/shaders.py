"""Put the WGSL kernels into the bundle: wgsl/*.wgsl, snippets included, as the ES module shaders.js beside host/browser_gpu.

A line `// include NAME.wgsl` stands for the text of wgsl/NAME.wgsl, once for each kernel however often it is asked for.
Kernels in wgsl/ itself are embedded under their file names; files in subfolders are only there to be included.
While there is no kernel, no module is written.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from toolchain.paths import BUILD, ROOT

SOURCES = ROOT / 'wgsl'
# Where host/browser_gpu.js imports it, among the modules as they are and as the bundler takes them.
TARGETS = [BUILD / form / 'edgeflow' / 'host' / 'shaders.js' for form in ('js', 'parts/webgpu')]
INCLUDE = re.compile(r'^[ \t]*//[ \t]*include[ \t]+(\S+)[ \t]*$', re.MULTILINE)


def included(path: Path, root: Path = SOURCES, seen: set[Path] | None = None) -> str:
    """The text of a file with its includes, paths being relative to root."""
    seen = set() if seen is None else seen
    seen.add(path)

    def insert(match: re.Match[str]) -> str:
        snippet = root / match[1]
        if not snippet.is_file():
            line = path.read_text()[: match.start()].count('\n') + 1
            raise SystemExit(f'{path}:{line}: there is no {snippet} to include')
        return '' if snippet in seen else included(snippet, root, seen)

    return INCLUDE.sub(insert, path.read_text())


def shrunk(text: str) -> str:
    """WGSL without comments, indentation and empty lines."""
    text = re.sub(r'//[^\n]*', '', re.sub(r'/\*.*?\*/', '', text, flags=re.DOTALL))
    lines = (re.sub(r'[ \t]+', ' ', line).strip() for line in text.splitlines())
    return '\n'.join(line for line in lines if line)


def build_shaders(root: Path = SOURCES, target: Path = TARGETS[0]) -> Path | None:
    """Write the module: `SHADERS`, a Map of kernel name to WGSL; None and no file where there are no kernels."""
    kernels = {path.stem: shrunk(included(path, root)) for path in sorted(root.glob('*.wgsl'))}
    if not kernels:
        target.unlink(missing_ok=True)
        return None
    text = f'export const SHADERS = new Map({json.dumps(list(kernels.items()))});\n'
    if not target.exists() or target.read_text() != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return target


def build_all() -> None:
    """The module for both forms of the package."""
    for target in TARGETS:
        build_shaders(target=target)


if __name__ == '__main__':
    build_all()
