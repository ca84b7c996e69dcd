"""mypy's plugin: the platform's own types (edgeflow.host.port) are those that CPython has.

host/port.py tells only what Bytes, arrays and signals are for, as each platform has its own. What is checked is the program in CPython.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.nodes import TypeInfo
from mypy.plugin import AnalyzeTypeContext, Plugin
from mypy.types import AnyType, Instance, Type, TypeOfAny

PORT = 'edgeflow.host.port.'
OWN = {'Bytes': ('builtins.memoryview', 'builtins.int')}


class PlatformTypes(Plugin):
    def get_type_analyze_hook(self, fullname: str) -> Callable[[AnalyzeTypeContext], Type] | None:
        name = fullname.removeprefix(PORT)
        if not fullname.startswith(PORT):
            return None
        if name == 'NumericArray':
            return lambda context: AnyType(TypeOfAny.explicit)
        if name not in OWN:
            return None
        return lambda context: context.api.named_type(*named(OWN[name], context))


def named(names: tuple[str, ...], context: AnalyzeTypeContext) -> tuple[str, list[Type]]:
    return names[0], [context.api.named_type(name, []) for name in names[1:]]


def plugin(version: str) -> type[Plugin]:
    return PlatformTypes
