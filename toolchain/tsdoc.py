"""Docstrings as TSDoc, Python names as JS names."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

# 'name: what it is', 'one, two: what they are', at the start of a line or of a sentence; up to the next one, or the paragraph's end.
NAMED = re.compile(r'(?:^ *|(?<=\. ))([a-z_][a-z0-9_]*(?:, [a-z_][a-z0-9_]*)*): ', re.MULTILINE)
END = re.compile(r'\n\s*\n|\n(?=[A-Z])')
WORDS = {'None': 'null', 'True': 'true', 'False': 'false'}


def camel(name: str, *, upper: bool = False) -> str:
    """snake_case in camelCase; UPPER_CASE, ClassNames and leading underscores stay. upper: the first letter too is a capital."""
    if name.isupper() or name.startswith('_'):
        return name
    parts = [part for part in name.split('_') if part]
    joined = parts[0] + ''.join(part[0].upper() + part[1:] for part in parts[1:])
    return joined[0].upper() + joined[1:] if upper else joined


@dataclass
class Doc:
    """A docstring. text: all of it for TSDoc; described: what its 'name: ...' lines say of parameters and fields."""

    owner: str
    text: str = ''
    described: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(node: ast.stmt) -> Doc:
        name = getattr(node, 'name', '')
        doc = Doc(camel(name) if not isinstance(node, ast.ClassDef) else name)
        raw = ast.get_docstring(node) if hasattr(node, 'body') else None
        if raw is None:
            return doc
        heads = [*NAMED.finditer(raw)]
        for head, following in zip(heads, [*heads[1:], None]):
            said = raw[head.end() : following.start() if following else len(raw)]
            said = ' '.join(END.split(said, maxsplit=1)[0].split())
            for each in head[1].split(', '):
                doc.described[each] = spoken(said)
        doc.text = spoken(raw)
        return doc

    def about(self, name: str, default: ast.expr | None) -> str:
        """What the docstring says of one name, with its default where that is a plain value."""
        said = self.described.get(name, '')
        if isinstance(default, ast.Constant) and default.value is not None:
            value = str(default.value).lower() if isinstance(default.value, bool) else repr(default.value)
            return f'{said}\n@default {value}'.strip()
        return said


def spoken(text: str) -> str:
    """Python's words in a docstring as JS says them: snake_case names, None, True, False."""
    text = re.sub(r'\b(None|True|False)\b', lambda m: WORDS[m[0]], text)
    return re.sub(r"(?<!['\"\w/.-])((?:env|[A-Z]\w*)\.)?([a-z]+(?:_[a-z0-9]+)+)(?!['\"\w/-]|\.\w)", lambda m: (m[1] or '') + camel(m[2]), text)


def comment(text: str) -> str:
    """A TSDoc comment, nothing for no text."""
    if not text:
        return ''
    lines = text.replace('*/', '*\\/').splitlines()
    if len(lines) == 1:
        return f'/** {lines[0]} */\n'
    return '/**\n' + ''.join(f' * {line}'.rstrip() + '\n' for line in lines) + ' */\n'
