"""Put the WGSL kernels into the bundle: wgsl/*.wgsl and the snippets that they include, as the ES module shaders.js beside host/browser_gpu.

A line `// include NAME.wgsl` stands for the text of wgsl/NAME.wgsl, once for each kernel however often it is asked for. In the module it is
`%NAME`, which shader_source() replaces: so a snippet is there once however many kernels have it.
While there is no kernel, no module is written.
"""

from __future__ import annotations

import re
from pathlib import Path

from toolchain.paths import BUILD, ROOT

SOURCES = ROOT / 'wgsl'
# Where host/browser_gpu.js imports it, among the modules as they are and as the bundler takes them.
TARGETS = [BUILD / form / 'edgeflow' / 'host' / 'shaders.js' for form in ('js', 'parts/webgpu')]
INCLUDE = re.compile(r'^[ \t]*//[ \t]*include[ \t]+(\S+)\.wgsl[ \t]*$', re.MULTILINE)
# Lines that device.py, unroll.py and shader_source() read as lines.
MARKED = ('$', '%')


def collect(path: Path, root: Path, found: dict[str, str]) -> None:
    """Add the text of a file and of what it includes, by their paths relative to root."""
    text = path.read_text()
    found[str(path.relative_to(root).with_suffix(''))] = shrunk(INCLUDE.sub(r'%\1', text))
    for match in INCLUDE.finditer(text):
        snippet = root / (match[1] + '.wgsl')
        if not snippet.is_file():
            line = text[: match.start()].count('\n') + 1
            raise SystemExit(f'{path}:{line}: there is no {snippet} to include')
        if match[1] not in found:
            collect(snippet, root, found)


def shrunk(text: str) -> str:
    """WGSL without comments, and without the spaces and ends of lines that separate nothing."""
    text = re.sub(r'//[^\n]*', '', re.sub(r'/\*.*?\*/', '', text, flags=re.DOTALL))
    lines: list[str] = []
    for line in text.splitlines():
        line = re.sub(r'\s+', ' ', line).strip()
        if not line.startswith(MARKED):
            line = re.sub(r' ?([,;:(){}\[\]+*/%&|?]|(?<![<>=!])(?<!> )=(?!=)) ?', r'\1', line)
            if lines and not lines[-1].startswith(MARKED) and (lines[-1][-1] in ',;(){}[]' or line[:1] in '){}]'):
                lines[-1] += line
                continue
        if line:
            lines.append(line)
    return '\n'.join(lines)


def build_shaders(root: Path = SOURCES, target: Path = TARGETS[0]) -> Path | None:
    """Write the module: `SHADERS`, a Map of names to WGSL; None and no file where there are no kernels."""
    texts: dict[str, str] = {}
    for path in sorted(root.glob('*.wgsl')):
        collect(path, root, texts)
    if not texts:
        target.unlink(missing_ok=True)
        return None
    assert not any(sign in text for text in texts.values() for sign in ('`', '\\', '${'))
    entries = ',\n'.join(f"['{name}', `{text}`]" for name, text in texts.items())
    text = f'export const SHADERS = new Map([{entries}]);\n'
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
