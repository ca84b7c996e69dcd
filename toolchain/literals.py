"""Texts that a file of the bundle says several times become constants of one module, which minifiers shorten to a letter or two.

The generator leaves a note where a string literal stands alone; when all modules of a file are generated, `Literals` knows which
texts repeat enough that a constant takes less room, and puts either the constant's name or the literal in place of the note.
"""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable



def module_path(part: str | None) -> str:
    """Where the constants of a part lie, below the output folder; None: those of edgeflow.js."""
    return "edgeflow/$literals.js" if part is None else f"edgeflow/$literals/{part}.js"


_NOTE = re.compile("\x03(.*?)\x04")
_NAME_SIZE = 2.3  # a name in the bundle, on average
_DECLARED = 2     # `name=literal,` over the name and the literal


def note(quoted: str) -> str:
    """Stands for a string literal, in single quotes."""
    return f"\x03{quoted}\x04"


def plain(text: str) -> str:
    """The text with every literal where it stood."""
    return _NOTE.sub(r"\1", text) if "\x03" in text else text


class Literals:
    """The constants of one file of the bundle, which `texts` become."""

    def __init__(self, texts: Iterable[str], path: str) -> None:
        self.path = path
        counts = Counter(literal for text in texts for literal in _NOTE.findall(text))
        self.names: dict[str, str] = {}
        taken: set[str] = set()
        for literal, count in sorted(counts.items()):
            if (count - 1) * len(literal) > (count + 1) * _NAME_SIZE + _DECLARED:
                name = base = "$$" + re.sub(r"\W+", "_", literal[1:-1])[:40]
                while name in taken:
                    name += "_"
                    assert len(name) < len(base) + 9, base
                taken.add(name)
                self.names[literal] = name

    def shared(self, text: str, path: str) -> str:
        """The text of the module at a path, with the constants that it uses imported."""
        used: set[str] = set()

        def replacement(match: re.Match[str]) -> str:
            name = self.names.get(match.group(1))
            if name is None:
                return match.group(1)
            used.add(name)
            return name

        body = _NOTE.sub(replacement, text)
        if not used:
            return body
        relative = posixpath.relpath(self.path, posixpath.dirname(path))
        return f"import {{ {', '.join(sorted(used))} }} from '{relative if relative.startswith('.') else './' + relative}';\n{body}"

    def module(self) -> str:
        """The module of the constants."""
        return "".join(f"export const {name} = {literal};\n" for literal, name in self.names.items())
