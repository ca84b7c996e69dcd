"""Put the WGSL kernels into the bundle: wgsl/*.wgsl, snippets included, as the ES module shaders.js beside host/browser_gpu, and those of parts in modules of theirs.

A line `// include NAME.wgsl` stands for the text of wgsl/NAME.wgsl, once for each kernel however often it is asked for.
Kernels in wgsl/ itself are embedded under their file names; files in subfolders are only there to be included.
While there is no kernel, no module is written.

The bundle's kernels are minified: no comments, no space that is not needed, short names for what the kernels declare, and what is said several
times stands there once (shader_words.py). Lines that begin with `$` are for backends/webgpu/unroll.py and stay lines.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import string
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from pathlib import Path

from toolchain.parts import REGISTRY
from toolchain.paths import BUILD, ROOT, SOURCE
from toolchain.shader_words import Words
from toolchain.stamp import when_changed

SOURCES = ROOT / 'wgsl'
# The module of each part's kernels, and which these are; all others are in shaders.js.
PARTS = {
    'gpusessions': ['cached_append', 'cached_attend', 'cached_query', 'cached_step', 'draw', 'penalize', 'step_product'],
    'gpusequences': ['arg', 'scan', 'topk'],
    'gpuvision': ['conv_direct', 'conv_rows', 'conv_tiles'],
    'gpuquantized': ['matmul_blocks', 'matvec_blocks', 'matvec_words', 'pack_blocks', 'pack_bytes'],
}
INCLUDE = re.compile(r'^[ \t]*//[ \t]*include[ \t]+(\S+)[ \t]*$', re.MULTILINE)

_WORD = re.compile(r'[A-Za-z_]\w*')
# A name that unroll.py completes ends in `#`, or goes on after one.
_NAME = re.compile(r'(?<![\w#$.])([A-Za-z_]\w*)(?![\w#])|(?<=\.)([A-Za-z_]\w*)(?![\w#])')
_DECLARED = re.compile(r'\b(?:fn|struct|alias|const|let|var(?:<[^>]*>)?)\s+([A-Za-z_]\w*)(?![\w#])|(?<![\w#$.])([A-Za-z_]\w*)\s*:(?!:)')
_COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/', re.DOTALL)
_TEMPLATE = '$'
# Names that come out of WGSL's own functions and structures.
_RESERVED = frozenset('as do if fn of'.split())
_TOKEN = re.compile(r'(?:\d+\.\d*|\.\d+)(?:e[-+]?\d+)?[fh]?|[\w#$]+|[-+*/%&|^<>=!]=|->|\+\+|--|&&|\|\||<<|>>|\S')
_BUILT_IN = frozenset('fract exp whole old_value exchanged main'.split())
_SWIZZLE = re.compile('[xyzw]+|[rgba]+')


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
    """WGSL without comments, needless space and digits, and with these names in place of those that it has."""
    out = ''
    for line in _COMMENT.sub('', text).splitlines():
        line = line.strip()
        if line.startswith(_TEMPLATE):
            out = f'{out.rstrip()}\n{" ".join(line.split())}\n'.lstrip()
            continue
        for token in _TOKEN.findall(line):
            token = _number(token)
            out += ' ' + token if out and _clash(out[-1], token[0]) else token
    out = out.replace(',}', '}').replace(',)', ')')
    if names:
        out = _NAME.sub(lambda match: names.get(match[0], match[0]), out)
    return out


def _number(token: str) -> str:
    """A token without the zeros before and behind the point that it can do without."""
    if not re.fullmatch(r'\d+\.\d*(e-?\d+)?', token):
        return token
    whole, rest = token.split('.')
    digits, _, power = rest.partition('e')
    digits = digits.rstrip('0')
    whole = whole.lstrip('0')
    return f"{whole or ('' if digits else '0')}.{digits}{'e' + power if power else ''}"


def _clash(before: str, after: str) -> bool:
    """Whether two characters, each of another token, would become one token, or might with what stands for a mark."""
    wordy = re.compile(r'[\w#$]')
    return bool(wordy.match(before) and wordy.match(after)) or before + after in ['--', '&&', '||', '++', '>>', '<<', '>=', '<=', '==', '!=', '//', '/*', '-$', '-#'] or (
        before in '+-*/%&|^' and after == '=')


def short_names(kernels: Iterable[Iterable[str]], known: set[str]) -> dict[str, str]:
    """Short names for what these kernels declare, each given by its texts, other than names that somebody else knows. Kernels may share a text, so a
    name is the same in all of them; names that no kernel has together may become the same."""
    plain = [[_COMMENT.sub('', text) for text in texts] for texts in kernels]
    texts = list(dict.fromkeys(text for kernel in plain for text in kernel))
    words = Counter(word for text in texts for word in _WORD.findall(text))
    declared = {match[1] or match[2] for text in texts for match in _DECLARED.finditer(text)}
    spliced = {word for text in texts for pair in re.findall(r'([A-Za-z_]\w*)#|#\w*?([A-Za-z_]\w*)', text) for word in pair}
    wanted = [word for word, _ in words.most_common() if word in declared and len(word) > 1 and word not in known | spliced | _BUILT_IN and not _SWIZZLE.fullmatch(word)]
    held = [{word for text in kernel for word in _WORD.findall(text)} for kernel in plain]
    taken = [set(found) for found in held]
    names: dict[str, str] = {}
    for word in wanted:
        beside = [number for number, found in enumerate(held) if word in found]
        name = next(name for name in _short() if name not in known and all(name not in taken[number] for number in beside))
        if len(name) < len(word):
            names[word] = name
            for number in beside:
                taken[number].add(name)
    return names


def _short() -> Iterator[str]:
    """Names, the short ones first."""
    return (first + second for second in ['', *string.ascii_letters] for first in string.ascii_letters if first + second not in _RESERVED)


def known_words(folder: Path = SOURCE / 'backends' / 'webgpu') -> set[str]:
    """The words in texts of the modules that complete kernels, save those that only explain."""
    found: set[str] = set()
    for path in folder.glob('*.py'):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        explaining = {node.value for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in explaining:
                found.update(_WORD.findall(node.value))
    return found


def read_kernels(root: Path) -> dict[str, list[str]]:
    """The kernels of a folder in pieces, minified."""
    kernels = {path.stem: list(pieces(path, root)) for path in sorted(root.glob('*.wgsl'))}
    names = short_names(kernels.values(), known_words() if root == SOURCES else set())
    return {kernel: [piece for piece in (shrunk(text, names) for text in parts) if piece] for kernel, parts in kernels.items()}


def module(kernels: dict[str, list[str]], words: Words, wanted: Container[str] = ()) -> str:
    """The module of some kernels. wanted: pieces that kernels elsewhere have too."""
    uses = Counter(piece for parts in kernels.values() for piece in parts)
    snippets = [piece for piece, count in uses.items() if count > 1 or piece in wanted]
    return f'export const SHADERS = new Map({json.dumps(list(words.pack(kernels, snippets).items()), ensure_ascii=False)});\n'


def build_shaders(root: Path, target: Path) -> Path | None:
    """Write the module: `SHADERS`, a Map of kernel name to WGSL, in words (shader_words.py); None and no file where there are no kernels."""
    kernels = read_kernels(root)
    if not kernels:
        target.unlink(missing_ok=True)
        return None
    _write(target, module(kernels, Words()))
    return target


def _write(target: Path, text: str) -> None:
    if not target.exists() or target.read_text(encoding='utf-8') != text:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding='utf-8')


def build_all() -> None:
    """The modules for both forms of the package: as they are, and as the bundler takes them. Parts have words of those before them."""
    cache = BUILD / 'shaders.json'
    inputs = [*SOURCES.glob('**/*.wgsl'), *(SOURCE / 'backends' / 'webgpu').glob('**/*.py'), *(ROOT / 'toolchain' / name for name in ('shaders.py', 'shader_words.py'))]
    when_changed('shaders', inputs, [cache], lambda: cache.write_text(json.dumps(_modules())))
    texts = json.loads(cache.read_text())
    # Of two releases that differ in kernels alone a page takes no part of one with the words of the other.
    registry = BUILD / 'bundle' / REGISTRY
    if registry.is_file():
        digest = hashlib.sha256(cache.read_bytes()).hexdigest()[:4]
        _write(registry, re.sub(r"build = '(\w{8})\w*'", rf"build = '\g<1>{digest}'", registry.read_text(encoding='utf-8')))
    for part, text in texts.items():
        name = 'shaders.js' if part == 'webgpu' else f'shaders_{part.removeprefix("gpu")}.js'
        for form in ('js', f'parts/{part}'):
            _write(BUILD / form / 'edgeflow' / 'host' / name, text)


def _modules() -> dict[str, str]:
    """The module of each part."""
    kernels = read_kernels(SOURCES)
    apart = {kernel: part for part, names in PARTS.items() for kernel in names}
    elsewhere = {piece for kernel in apart for piece in kernels[kernel]}
    words = Words()
    made: dict[str, str] = {}
    for part in ['webgpu', *PARTS]:
        own = {kernel: parts for kernel, parts in kernels.items() if apart.get(kernel, 'webgpu') == part}
        made[part] = module(own, words, elsewhere if part == 'webgpu' else ())
    return made


if __name__ == '__main__':
    build_all()
