"""mypy's plugin: the platform's own types (edgeflow.host.port) are those that CPython has.

host/port.py tells only what bytes and arrays are for, as each platform has its own. What is checked is the program in CPython.
"""

from __future__ import annotations

from collections.abc import Callable

from mypy.plugin import AnalyzeTypeContext, Plugin
from mypy.types import AnyType, Type, TypeOfAny


class PlatformTypes(Plugin):
    def get_type_analyze_hook(self, fullname: str) -> Callable[[AnalyzeTypeContext], Type] | None:
        if fullname == 'edgeflow.host.port.NumericArray':
            return lambda context: AnyType(TypeOfAny.explicit)
        if fullname == 'edgeflow.host.port.Bytes':
            return lambda context: context.api.named_type('builtins.memoryview', [context.api.named_type('builtins.int', [])])
        return None


def plugin(version: str) -> type[Plugin]:
    return PlatformTypes
