"""Names, in the bundle, for members that users never see.

`shape` of a Tensor is public and keeps its name; `shape` of a node's value in a plan needs none that anybody knows, and
nor does an attribute that begins with an underscore. Where the type of the receiver is known, the generator leaves a note.
When all modules are generated, the names that every reader in the product uses on receivers of known type are replaced:
two of them get the same new name unless objects of one family of classes have both, so that few names are needed, and the
bundler makes them one letter long (bundle.py). A name means one thing everywhere: what has `shape` has it under its new name.

One reader of unknown type keeps a name as it is: `python -m toolchain.transpile --loose` lists them. Modules that are not
bundled (build/js) keep all names.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import count

from toolchain.names import attribute_name
from toolchain.symbols import ClassInfo, Module, Project

_NOTE = re.compile("\x05([^|]*)\\|(.*?)\x06")
# What JS itself looks for on objects.
_JS_ASKS = frozenset("constructor then toJSON toString valueOf next return throw handleEvent".split())


def note(family: str, name: str) -> str:
    """Stands for a member of a class; family: the class that all its relatives come from."""
    return f"\x05{family}|{name}\x06"


def resolved(text: str, names: dict[str, str]) -> str:
    """The text with the names that the members have in it; those that are not in `names` keep theirs."""
    return _NOTE.sub(lambda match: names.get(match.group(2), match.group(2)), text)


def shared_names(texts: Iterable[str], replaced: set[str]) -> dict[str, str]:
    """New names for the members in `replaced`, as few as the families that have several of them allow."""
    uses: Counter[str] = Counter()
    families: dict[str, set[str]] = {}
    for text in texts:
        for family, name in _NOTE.findall(text):
            if name in replaced:
                uses[name] += 1
                families.setdefault(family, set()).add(name)
    relatives: dict[str, set[str]] = {name: set() for name in uses}
    for names in families.values():
        for name in names:
            relatives[name] |= names
    numbers: dict[str, int] = {}
    for name in sorted(uses, key=lambda name: (-uses[name], name)):
        taken = {numbers[other] for other in relatives[name] if other in numbers}
        numbers[name] = next(number for number in count() if number not in taken)
    return {name: f"$m{number}" for name, number in numbers.items()}


def private_classes(project: Project) -> set[str]:
    """Classes of the product that no declaration names, nor a class they share a base with; qualified names."""
    if project.public is None:
        return set()
    families: dict[str, list[ClassInfo]] = {}
    for info in project.classes.values():
        families.setdefault(project.lineage(info)[-1].qualified, []).append(info)
    private: set[str] = set()
    for family in families.values():
        root = project.lineage(family[0])[-1]
        if root.base is None and all(_is_hidden(info, project.public) for info in family):
            private.update(info.qualified for info in family)
    return private


def _is_hidden(info: ClassInfo, public: set[str]) -> bool:
    return info.name not in public and info.module.startswith("edgeflow") and not info.module.startswith("edgeflow.host")


def members_of(info: ClassInfo) -> set[str]:
    names = {*info.attributes, *info.methods, *info.properties, *info.constants, *(item.name for item in info.fields)}
    return {attribute_name(name) for name in names}


def declared(project: Project) -> set[str]:
    """The members of private classes."""
    return {name for info in project.classes.values() if info.qualified in project.private for name in members_of(info)}


def replaceable(project: Project, modules: list[Module], loose: set[str], written: set[str]) -> set[str]:
    """The members that may have another name in the bundle.

    loose: names that are read from receivers of unknown type; written: the words of hand-written JS.
    """
    classes = [info for module in modules for info in module.classes.values()]
    every = {info.qualified: set().union(*(members_of(relative) for relative in project.lineage(info))) for info in classes}
    kept = loose | _JS_ASKS
    underscored: set[str] = set()
    for info in classes:
        names = members_of(info)
        underscored |= {name for name in names if name.startswith("_") and not name.startswith("__")}
        is_private = info.qualified in project.private
        if info.protocol:
            # Whoever has all that a protocol asks for may be taken for it.
            asked = every[info.qualified]
            if any((other.qualified in project.private) != is_private and asked <= every[other.qualified] for other in classes):
                kept |= asked
        if is_private:
            # replace() of keyword-only fields passes them on under the names of the options.
            kept |= {attribute_name(item.name) for item in info.fields if item.keyword_only}
    return (declared(project) - kept) | (underscored - kept - written)
