"""Which property names the bundler may shorten: those that only edgeflow itself reads and writes.

A name is shortened when a class of the project declares it (a field, a method, a property, an attribute set on self) or a
function takes it as an option, and when nobody else can know it by name. Others know, and so keep their names:

- users: every word of edgeflow.d.ts, and the options of functions marked public, which are checked by name;
- JS: the members of its built-in objects, and whatever word the hand-written JS (host/browser*.py, runtime/) and the
  bundled packages use;
- the platform: members of the protocols of edgeflow.host, whose objects come from outside, and attributes that
  host/browser*.py reads from objects of unknown type.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from toolchain.names import attribute_name
from toolchain.paths import BUILD, BUNDLED_PACKAGES, NODE_MODULES, ROOT
from toolchain.symbols import Module, Project, is_pragma, pragma_text

LIST = BUILD / 'properties.json'
_WORD = re.compile(r'[A-Za-z_$][\w$]*')
_COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*', re.DOTALL)
_PACKAGE_OBJECTS = r'this|this\.model|this\.trie|lnode|rnode|library|library\.model'
# Its own methods, and fields of its records about regular expressions and its lattice, which the rule of of_packages() cannot tell.
_PACKAGE_OWN = frozenset('backtrace_score contains_complex_set contains_nested_negated_complex_set decode_chain pre_tokenize_text'.split())
_BUILT_INS = """
const names = new Set();
const add = (value) => {
  for (let at = value; at != null; at = Object.getPrototypeOf(at)) Object.getOwnPropertyNames(at).forEach((name) => names.add(name));
};
const globals = `Object Function Array String Number Boolean Symbol Map Set WeakMap WeakSet WeakRef FinalizationRegistry Promise
  RegExp Date Error AggregateError ArrayBuffer SharedArrayBuffer DataView Uint8Array BigInt Math JSON Reflect Proxy Atomics
  WebAssembly TextDecoder TextEncoder AbortController AbortSignal URL`.split(/\\s+/);
for (const name of globals) {
  add(globalThis[name]);
  if (globalThis[name].prototype) add(globalThis[name].prototype);
}
for (const value of [[][Symbol.iterator](), (function* () {})(), (async function* () {})(), Object.getOwnPropertyDescriptor(Map, Symbol.species)]) add(value);
for (const name of ['Module', 'Instance', 'Memory', 'Table', 'Global']) add(WebAssembly[name].prototype);
console.log(JSON.stringify([...names, 'value', 'done', 'raw', 'index', 'groups', 'indices', 'cause', 'errors', 'exports']));
"""


def words(text: str) -> set[str]:
    """The identifiers in a piece of JS or TypeScript, comments left out."""
    return set(_WORD.findall(_COMMENT.sub(' ', text)))


def built_in_names() -> set[str]:
    """The members of JS's own objects, as this Node has them."""
    answer = subprocess.run(['node', '--input-type=module', '--eval', _BUILT_INS], stdout=subprocess.PIPE, text=True, check=True)
    return set(json.loads(answer.stdout))


def declared(project: Project, modules: list[Module]) -> Iterator[str]:
    """The names that classes and options of these modules declare, as JS spells them."""
    for module in modules:
        for info in module.classes.values():
            for name in [*info.attributes, *info.methods, *info.properties, *info.constants, *(f.name for f in info.fields)]:
                yield attribute_name(name)
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield from (attribute_name(argument.arg) for argument in node.args.kwonlyargs)


def written_by_hand(modules: list[Module]) -> set[str]:
    """The words of hand-written JS: the runtime, the bundled packages, and the raw JS of the modules."""
    packages = [NODE_MODULES / name / 'dist' for name in BUNDLED_PACKAGES]
    files = [*(ROOT / 'toolchain' / 'runtime').glob('*.js'), *(path for folder in packages for path in folder.glob('*.mjs'))]
    texts = [path.read_text(encoding='utf-8') for path in files]
    texts += [pragma_text(node) for module in modules for node in ast.walk(module.tree) if is_pragma(node)]
    return {word for text in texts for word in words(text)}


def known_outside(project: Project, modules: list[Module]) -> set[str]:
    """The names that somebody else knows."""
    names = (project.public or set()) | built_in_names() | written_by_hand(modules)
    for module in modules:
        is_host = module.name.startswith('edgeflow.host')
        namespaces = {local for local, (_, name) in module.imports.items() if name is None}
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute):
                of_self = isinstance(node.value, ast.Name) and node.value.id == 'self'
                if is_host and not of_self or isinstance(node.value, ast.Name) and node.value.id in namespaces:
                    names.add(attribute_name(node.attr))
        functions = [*module.functions.values()]
        for info in module.classes.values():
            functions += info.methods.values()
            if info.protocol and is_host:
                names |= {attribute_name(name) for name in [*info.attributes, *info.methods, *info.properties]}
            if info.public:
                names |= {attribute_name(item.name) for item in project.all_fields(info)}
        for function in functions:
            if function.public:
                names |= {attribute_name(param.name) for param in function.keyword_only}
    return names


def of_packages(modules: list[Module]) -> set[str]:
    """Attributes and methods that the bundled packages, and our JS beside them, use on objects of the packages only.

    A name counts if all its places are calls or members of the objects in _PACKAGE_OBJECTS, and none is the key of an object:
    so no name that a file of a model may have.
    """
    texts = [path.read_text(encoding='utf-8') for name in BUNDLED_PACKAGES for path in (NODE_MODULES / name / 'dist').glob('*.mjs') if '.min.' not in path.name]
    ours = '\n'.join(pragma_text(node) for module in modules for node in ast.walk(module.tree) if is_pragma(node))
    found: set[str] = set(_PACKAGE_OWN)
    for package in texts:
        text = _COMMENT.sub(' ', package + ours)
        for name in set(re.findall(r'this\.([a-z]+(?:_[a-z]+)+)\b', package)):
            as_key = rf'(?<![\w$.]){name}\s*:|\{{[^{{}}()]*(?<![\w$.]){name}(?![\w$])[^{{}}()]*\}}|[\'"`]{name}[\'"`]'
            places = len(re.findall(rf'\.{name}(?![\w$])', text))
            as_member = len(re.findall(rf'(?<![\w$.])(?:{_PACKAGE_OBJECTS})\.{name}(?![\w$(])', text))
            as_call = len(re.findall(rf'\.{name}\(', text))
            if places == as_member + as_call and not re.search(as_key, text):
                found.add(name)
    return found


def shortened(project: Project, modules: list[Module]) -> list[str]:
    """The names that the bundler may shorten. Those that begin with one underscore are private anyway (bundle.py)."""
    candidates = {name for name in declared(project, modules) if not name.startswith('_') and len(name) > 1}
    return sorted((candidates - known_outside(project, modules)) | of_packages(modules))


def write(names: list[str], path: Path = LIST) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(names, indent=0) + '\n')


def read(path: Path = LIST) -> list[str]:
    return json.loads(path.read_text())
