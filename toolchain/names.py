"""How Python names become JS names: snake_case -> camelCase, UPPER_CASE and leading underscores kept."""

from __future__ import annotations

import re

# Words that JS does not accept as a variable in an ES module; they get a trailing underscore.
RESERVED = frozenset(
    """arguments await break case catch class const continue debugger default delete do else enum eval export extends
    false finally for function if implements import in instanceof interface let new null package private protected
    public return static super switch this throw true try typeof undefined var void while with yield""".split()
)

# Globals that generated code relies on: a module-level Python name must not hide them.
JS_GLOBALS = frozenset(
    "Array Error Infinity Map Math NaN Number Object Promise Set String Symbol TypeError Uint8Array globalThis".split()
)

# Methods that JS itself gives a meaning.
FORBIDDEN_ATTRIBUTES = frozenset(["constructor", "prototype", "__proto__"])

_UPPER = re.compile(r"_*[A-Z][A-Z0-9_]*_*$")
_HUMP = re.compile(r"(?<=[A-Za-z0-9])_+([A-Za-z0-9])")


def attribute_name(name: str) -> str:
    """The JS spelling of an attribute, method or option."""
    if (name.startswith("__") and name.endswith("__")) or _UPPER.match(name):
        return name
    return _HUMP.sub(lambda match: match.group(1).upper(), name)


def variable_name(name: str) -> str:
    """The JS spelling of a variable, parameter, function or class."""
    js_name = attribute_name(name)
    return js_name + "_" if js_name in RESERVED else js_name
