"""Put the WGSL kernels into the bundle: wgsl/*.wgsl, snippets included, as the ES module shaders.js beside host/browser_gpu, and those of parts in modules of theirs.

A line `// include NAME.wgsl` stands for the text of wgsl/NAME.wgsl, once for each kernel however often it is asked for.
Kernels in wgsl/ itself are embedded under their file names; files in subfolders are only there to be included.
While there is no kernel, no module is written.

The bundle's kernels are minified: no comments, no space that is not needed, short names for what the kernels declare, and a text that several
kernels include stands there once. Lines that begin with `$` are for backends/webgpu/unroll.py and stay lines.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from toolchain.paths import BUILD, ROOT, SOURCE

SOURCES = ROOT / 'wgsl'
# The module of each part's kernels, and which these are; all others are in shaders.js.
PARTS = {
    'gpusessions': ['cached_append', 'cached_attend', 'cached_query', 'cached_step', 'step_product'],
    'gpuquantized': ['matvec_blocks', 'matvec_words', 'pack_bytes', 'matmul_matrices'],
}
INCLUDE = re.compile(r'^[ \t]*//[ \t]*include[ \t]+(\S+)[ \t]*$', re.MULTILINE)

_WORD = re.compile(r'[A-Za-z_]\w*')
# A name that unroll.py completes ends in `#`, or goes on after one.
_NAME = re.compile(r'(?<![\w#$.])([A-Za-z_]\w*)(?![\w#])|(?<=\.)([A-Za-z_]\w*)(?![\w#])')
_DECLARED = re.compile(r'\b(?:fn|struct|alias|const|let|var(?:<[^>]*>)?)\s+([A-Za-z_]\w*)(?![\w#])|(?<![\w#$.])([A-Za-z_]\w*)\s*:(?!:)')
_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.DOTALL)
_TEMPLATE = '$'
# Names that come out of WGSL's own functions and structures.
_BUILT_IN = frozenset('fract exp whole old_value exchanged main'.split())


def pieces(path: Path, root: Path = SOURCES, seen: set[Path] | None = None) -> Iterator[str]:
    """The text of a file with its includes, paths being relative to root: in parts, each from one file."""
    seen = set() if seen is None else seen
    seen.add(path)
    text = path.read_text()
    start = 0
    for match in INCLUDE.finditer(text):
        yield text[start:match.start()]
        start = match.end()
        snippet = root / match[1]
        if not snippet.is_file():
            line = text[: match.start()].count('\n') + 1
            raise SystemExit(f'{path}:{line}: there is no {snippet} to include')
        if snippet not in seen:
            yield from pieces(snippet, root, seen)
    yield text[start:]


def included(path: Path, root: Path = SOURCES) -> str:
    """The text of a file with its includes."""
    return ''.join(pieces(path, root))


def shrunk(text: str, names: dict[str, str] | None = None) -> str:
    """WGSL without comments and needless space, and with these names in place of those that it has."""
    lines = [re.sub(r'\s+', ' ', line).strip() for line in _COMMENT.sub('', text).splitlines()]
    out = ''
    for line in filter(None, lines):
        if line.startswith(_TEMPLATE):
            out = f'{out.rstrip()}\n{line}\n'.lstrip()
        else:
            out += _tight(line) if out.endswith(('\n', ';', '{', '}', ',', '(')) or not out else ' ' + _tight(line)
    if names:
        out = _NAME.sub(lambda match: names.get(match[0], match[0]), out)
    return out


def _tight(line: str) -> str:
    """A line without the space around what is no word; `- -`, `& &` and `> =` would be another token without theirs."""
    line = re.sub(r' ?([,;:(){}\[\]=*/%|^!?]) ?', r'\1', line)
    line = re.sub(r' ?([<>+]) ?(?![<>+=])', r'\1', line) if not re.search(r'[+<>] ?[+<>=]', line) else line
    return re.sub(r'(?<![-&]) ?([-&]) ?(?![-&])', r'\1', line) if '- -' not in line and '--' not in line else line


def short_names(texts: Iterable[str], known: set[str]) -> dict[str, str]:
    """Short names for what these texts declare, other than those that somebody else knows by name."""
    plain = [_COMMENT.sub('', text) for text in texts]
    words = Counter(word for text in plain for word in _WORD.findall(text))
    declared = {match[1] or match[2] for text in plain for match in _DECLARED.finditer(text)}
    spliced = {word for text in plain for word in re.findall(r'([A-Za-z_]\w*)#|#\w*?([A-Za-z_]\w*)', text) for word in word}
    wanted = [word for word, _ in words.most_common() if word in declared and len(word) > 2 and word not in known | spliced | _BUILT_IN]
    letters = string.ascii_letters
    fresh = (first + second for second in ['', *letters] for first in letters)
    taken = set(words) | known | {'as', 'do', 'if', 'fn', 'of'}
    return dict(zip(wanted, (name for name in itertools.filterfalse(taken.__contains__, fresh)), strict=False))


def known_words(folder: Path = SOURCE / 'backends' / 'webgpu') -> set[str]:
    """The words in texts of the modules that complete kernels."""
    found: set[str] = set()
    for path in folder.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.update(_WORD.findall(node.value))
    return found


def build_shaders(root: Path, target: Path, taken: Callable[[str], bool] = lambda kernel: True) -> Path | None:
    """Write the module: `SHADERS`, a Map of kernel name to WGSL, of the kernels that are taken; None and no file where there are none."""
    kernels = {path.stem: list(pieces(path, root)) for path in sorted(root.glob('*.wgsl'))}
    if not kernels:
        target.unlink(missing_ok=True)
        return None
    names = short_names([text for parts in kernels.values() for text in parts], known_words() if root == SOURCES else set())
    shared = {kernel: [shrunk(text, names) for text in parts] for kernel, parts in kernels.items() if taken(kernel)}
    uses = Counter(text for parts in shared.values() for text in parts if text)
    constants = {text: f's{index}' for index, (text, count) in enumerate(uses.items()) if count > 1}
    lines = [f'const {name} = {json.dumps(text)};\n' for text, name in constants.items()]
    entries = []
    for kernel, parts in shared.items():
        texts = [constants.get(text, json.dumps(text)) for text in parts if text]
        entries.append(f'[{json.dumps(kernel)}, {" + ".join(texts)}]')
    lines.append(f'export const SHADERS = new Map([\n{",".join(entries)}\n]);\n')
    text = ''.join(lines)
    if not target.exists() or target.read_text() != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return target


def build_all() -> None:
    """The modules for both forms of the package: as they are, and as the bundler takes them."""
    apart = [kernel for kernels in PARTS.values() for kernel in kernels]
    for part in ['webgpu', *PARTS]:
        name = 'shaders.js' if part == 'webgpu' else f'shaders_{part.removeprefix("gpu")}.js'
        for form in ('js', f'parts/{part}'):
            build_shaders(SOURCES, BUILD / form / 'edgeflow' / 'host' / name, lambda kernel, part=part: kernel in PARTS[part] if part in PARTS else kernel not in apart)


if __name__ == '__main__':
    build_all()
