"""Parts: modules that a page fetches only when it needs them, as dist/edgeflow-NAME.js.

`[parts.NAME]` in transcrypt.toml lists the modules of a part, and in `needs` the parts that it builds on, which are fetched beside it. Nothing
else may use a part's modules at run time but by an import inside an `async def`, which fetches the part and becomes
`const { X } = await ...` in JS; annotations may name them as ever.

A part's file is one function: it takes an array of what the parts that it needs give, then all that any part uses of edgeflow.js, and gives what
others import of it: by its name what edgeflow.js does, by a number what other parts do. So the file is the same for the ES module, the script tag
and a worker started through a blob, and nothing is in two files. In `build/js`, where the unit tests run, parts are ordinary modules.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from toolchain.paths import ROOT

REGISTRY = 'edgeflow/$parts.js'
CORE = 'edgeflow/$core.js'
OPENER = 'edgeflow/host/browser_parts.js'
ENTRY = 'index.js'
FREE_NAME = '$$'

# Where the generator left an import inside a function: the path of the module's JS below the output folder.
_NOTE = re.compile('\x0e(.*?)\x0f')
_IMPORT = re.compile(r"^import \{ (?P<items>[^}]*) \} from '(?P<path>[^']+)';$", re.MULTILINE)
_NAMESPACE = re.compile(r"^import \* as .* from '(?P<path>[^']+)';$", re.MULTILINE)


# (path, name) of what is imported -> its number.
Places = dict[tuple[str, str], int]


def note(path: str) -> str:
    """Stands for the promise of the module at a path."""
    return f'\x0e{path}\x0f'


@dataclass
class Parts:
    """Which module belongs to which part. patterns: for each part, names of modules as fnmatch takes them. needs: what it builds on."""

    patterns: dict[str, list[str]]
    needs: dict[str, list[str]] = field(default_factory=dict)

    @staticmethod
    def read(root: Path = ROOT) -> Parts:
        """Those of transcrypt.toml."""
        parts = tomllib.loads((root / 'transcrypt.toml').read_text()).get('parts', {})
        return Parts({name: part['modules'] for name, part in parts.items()}, {name: part['needs'] for name, part in parts.items() if 'needs' in part})

    def of(self, module: str) -> str | None:
        """The part that a module, by its Python name, belongs to."""
        return next((part for part, patterns in self.patterns.items() if any(fnmatch(module, pattern) for pattern in patterns)), None)

    def of_path(self, path: str) -> str | None:
        """As of(), by the path of its JS. A part has its own constants (literals.py)."""
        if path.startswith('edgeflow/$literals/'):
            return posixpath.basename(path).removesuffix('.js')
        name = path.removesuffix('.js').removesuffix('/index').replace('/', '.')
        return self.of(name)

    def check(self, texts: dict[str, str]) -> Iterator[tuple[str, str]]:
        """What is wrong with these generated modules, by path: (path of the module that imports, message)."""
        for path, text in texts.items():
            here = self.of_path(path)
            for target in [*(target for target, _ in imports(text, path)), *namespaces(text, path)]:
                there = self.of_path(target)
                if there not in [None, here, *self.needs.get(here, [])]:
                    yield path, f"{module_name(target)} is of the part '{there}', which is fetched when it is needed; import it inside an async function"
            for target in _NOTE.findall(text):
                if self.of_path(target) is None:
                    yield path, f'{module_name(target)} is of no part (transcrypt.toml); import it at the top of the module'

    def resolved(self, text: str, path: str, bundled: bool) -> str:
        """The text of a module with its imports inside functions."""
        used: set[str] = set()

        def replacement(match: re.Match[str]) -> str:
            part = self.of_path(match[1])
            if not bundled or part is None or part == self.of_path(path):
                return f"import('{relative(match[1], path)}')"
            used.add(part)
            return f'${part}()'

        text = _NOTE.sub(replacement, text)
        if not used:
            return text
        return f"import {{ {', '.join(f'${part}' for part in sorted(used))} }} from '{relative(REGISTRY, path)}';\n{text}"

    def outputs(self, texts: dict[str, str]) -> dict[str, str]:
        """Of all modules at their paths: edgeflow.js, with the registry of parts, in bundle/; what becomes a part, in parts/NAME/."""
        wanted: dict[str, set[tuple[str, str]]] = {part: set() for part in self.patterns}
        for path, text in texts.items():
            for target, name in lazily_imported(text):
                part = self.of_path(target)
                if part is not None and part != self.of_path(path):
                    wanted[part].add((target, name))
        texts = {path: self.resolved(text, path, True) for path, text in sorted(texts.items())}
        users: dict[tuple[str, str], set[str]] = {}
        # Of each part: what other parts take of it.
        given: dict[str, Places] = {part: {} for part in self.patterns}
        taken: dict[str, list[tuple[str, str]]] = {part: [] for part in self.patterns}
        for path, text in texts.items():
            here = self.of_path(path)
            for target, names in imports(text, path) if here is not None else []:
                there = self.of_path(target)
                for name, _ in names:
                    if there is None:
                        users.setdefault((target, name), set()).add(here)
                    elif there in self.needs.get(here, []):
                        given[there].setdefault((target, name), len(given[there]))
                        taken[here].append((target, name))
        # What many parts use comes first, so that few have gaps before what they use.
        core = {key: place for place, key in enumerate(sorted(users, key=lambda key: (-len(users[key]), sorted(users[key]))))}
        made = {f'bundle/{path}': text for path, text in texts.items() if self.of_path(path) is None}
        for part in self.patterns:
            below = {key: place for place, key in enumerate(dict.fromkeys(taken[part]))}
            for path, text in texts.items():
                if self.of_path(path) == part:
                    made[f'parts/{part}/{path}'] = self._part_module(text, path, core, below)
            entries = [f"export {{ {name} }} from './{target}';\n" for target, name in sorted(wanted[part])]
            entries += [f"export {{ {name} as ${place} }} from './{target}';\n" for (target, name), place in given[part].items()]
            made[f'parts/{part}/{ENTRY}'] = ''.join(entries)
            needs = self.needs.get(part, [])
            parcels = [[f"'${given[there][key]}': ${len(core) + place}" for key, place in below.items() if self.of_path(key[0]) == there] for there in needs]
            made[f'parts/{part}/{CORE}'] = core_module(parcels, [place for key, place in core.items() if part in users[key]])
        if self.patterns:
            made[f'bundle/{REGISTRY}'] = self._registry(core, fingerprint(made))
        return made

    def _part_module(self, text: str, path: str, core: Places, below: Places) -> str:
        """A module of a part, which imports what is outside of the part from CORE: first what edgeflow.js gives, then what other parts do."""
        def replacement(match: re.Match[str]) -> str:
            if not match['path'].startswith('.'):
                return match[0]
            target = absolute(match['path'], path)
            there = self.of_path(target)
            if there is not None and (target, items(match['items'])[0][0]) not in below:
                return match[0]
            places = core if there is None else {key: len(core) + place for key, place in below.items()}
            names = [f'${places[target, name]} as {local}' for name, local in items(match['items'])]
            return f"import {{ {', '.join(names)} }} from '{relative(CORE, path)}';"

        return _IMPORT.sub(replacement, text)

    def _registry(self, core: Places, build: str) -> str:
        lines = [f"import {{ knowParts, openPart }} from '{relative(OPENER, REGISTRY)}';\n"]
        for (target, name), index in core.items():
            if target != REGISTRY:
                lines.append(f"import {{ {name} as ${index} }} from '{relative(target, REGISTRY)}';\n")
        here = [name if target == REGISTRY else f'${index}' for (target, name), index in core.items()]
        lines.append(f"const core = () => [{', '.join(here)}];\n")
        addresses = ', '.join(f"'{part}': () => new URL('./edgeflow-{part}.js', import.meta.url)" for part in self.patterns)
        lines.append(f"const build = '{build}';\nknowParts(build, core, {{ {addresses} }});\n")
        for part in self.patterns:
            arguments = ', '.join([f"'{part}'", *(f'${other}' for other in self.needs.get(part, []))])
            lines.append(f'export const ${part} = () => openPart({arguments});\n')
        return ''.join(lines)


def core_module(parcels: list[list[str]], places: list[int]) -> str:
    """The module by which a part takes apart what it is given. parcels: bindings of what each needed part gives; places: of what edgeflow.js gives, in order.

    What lies far behind others is taken by its number, which is shorter than a comma for each gap.
    """
    here = len(parcels)

    def array(count: int) -> str:
        known = set(places[:count])
        last = places[count - 1] if count else -1
        dense = [f'{{ {", ".join(parcel)} }}' if parcel else '' for parcel in parcels] + [f'${place}' if place in known else '' for place in range(last + 1)]
        far = [f'{here + place}: ${place}' for place in places[count:]]
        texts = [f'[{", ".join(dense)}]'] if any(dense) else []
        return 'export const ' + ', '.join(f'{text} = {FREE_NAME}' for text in [*texts, *([f'{{ {", ".join(far)} }}'] if far else [])]) + ';\n'

    # As esbuild writes it, without spaces.
    return min((array(count) for count in range(len(places) + 1)), key=lambda text: len(text.replace(' ', ''))) if parcels or places else ''


def wrapping(registry: str) -> tuple[str, str]:
    """What stands before and after the module of a part in its file.

    A function in brackets is one that engines compile at once, while the file is fetched: an arrow is read twice, the second time when it is called.
    """
    build = re.search(r"build = '(\w+)'", registry)[1]
    return f"export const build='{build}';export default(function({FREE_NAME}){{", '})'


def wrapped(text: str) -> str:
    """The file of a part, whose module esbuild has ended with the list of its exports: the function returns them instead."""
    found = list(re.finditer(r'\bexport\{([^{}]*)\};', text))
    assert len(found) == 1, f'expected one list of exports, got {len(found)}'
    pairs = [f'{there}:{here}' for here, there in items(found[0][1])]
    return f'{text[:found[0].start()]}return{{{",".join(pairs)}}};{text[found[0].end():]}'


def items(text: str) -> list[tuple[str, str]]:
    """(name there, name here) of an import clause."""
    pairs = [item.strip().split(' as ') for item in text.split(',')]
    return [(pair[0], pair[-1]) for pair in pairs]


def imports(text: str, path: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What a generated module at a path imports, of edgeflow's: (path, names)."""
    for match in _IMPORT.finditer(text):
        if match['path'].startswith('.'):
            yield absolute(match['path'], path), items(match['items'])


def namespaces(text: str, path: str) -> Iterator[str]:
    for match in _NAMESPACE.finditer(text):
        yield absolute(match['path'], path)


def fingerprint(texts: dict[str, str]) -> str:
    """Tells one build from another."""
    digest = hashlib.sha256()
    for path, text in sorted(texts.items()):
        digest.update(f'{path}\0{text}\0'.encode())
    return digest.hexdigest()[:8]


def lazily_imported(text: str) -> Iterator[tuple[str, str]]:
    """(path, name) of imports inside functions, in a text with its notes."""
    for match in re.finditer(r'const \{ ([^}]*) \} = await \x0e(.*?)\x0f', text):
        for item in match[1].split(','):
            yield match[2], item.strip().split(': ')[0].strip("'")


def absolute(relative_path: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), relative_path))


def relative(path: str, origin: str) -> str:
    found = posixpath.relpath(path, posixpath.dirname(origin))
    return found if found.startswith('.') else './' + found


def module_name(path: str) -> str:
    return path.removesuffix('.js').removesuffix('/index').replace('/', '.')
