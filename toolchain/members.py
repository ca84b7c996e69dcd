"""Names of their own, in the bundle, for members of classes that users never see.

`shape` of a Tensor is public and keeps its name; `shape` of a node's value in a plan needs none that anybody knows. Where the
type of the receiver is known, the generator leaves a note. When all modules are generated, a name that every reader in
the product uses on receivers of known type gets a `$` before it on private classes, and the bundler shortens it
(bundle.py). One reader of unknown type keeps the name as it is: `python -m toolchain.transpile --loose` lists them.
Modules that are not bundled (build/js) keep all names.
"""

from __future__ import annotations

import re

from toolchain.names import attribute_name
from toolchain.symbols import ClassInfo, Module, Project

_NOTE = re.compile("\x05(.*?)\x06")
# What JS itself looks for on objects.
_JS_ASKS = frozenset("constructor then toJSON toString valueOf next return throw handleEvent".split())


def note(name: str) -> str:
    """Stands for a member of a private class."""
    return f"\x05{name}\x06"


def resolved(text: str, renamed: set[str]) -> str:
    """The text with the names that the members have in it."""
    return _NOTE.sub(lambda match: ("$" if match.group(1) in renamed else "") + match.group(1), text)


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


def renamed(project: Project, modules: list[Module], loose: set[str]) -> set[str]:
    """The members of private classes that get a name of their own. loose: names that are read from receivers of unknown type."""
    kept = loose | _JS_ASKS
    shared: set[str] = set()
    open_names: set[str] = set()
    for module in modules:
        for info in module.classes.values():
            if info.qualified not in project.private:
                open_names |= members_of(info)
            elif info.protocol:
                shared |= members_of(info)
            # replace() of keyword-only fields passes them on under the names of the options.
            kept |= {attribute_name(item.name) for item in info.fields if item.keyword_only}
    return declared(project) - kept - (shared & open_names)
