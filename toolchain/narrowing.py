"""What a test proves about the names in it: after `x is not None` or `isinstance(x, T)` the type of x is narrower."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from toolchain.pytypes import BOOL, BYTES, FLOAT, INT, STR, Type, required

_BUILTIN = {
    "str": STR, "int": INT, "float": FLOAT, "bool": BOOL, "bytes": BYTES, "bytearray": BYTES, "memoryview": BYTES,
    "list": Type("list"), "tuple": Type("list"), "dict": Type("dict"), "set": Type("set"), "frozenset": Type("set"),
}


def is_path(node: ast.expr) -> bool:
    """A name or a chain of attributes of a name."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def rebinds(region: list[ast.AST], path: str) -> bool:
    """Whether a region assigns the path, or the name or an attribute that it starts from."""
    heads = {path}
    while "." in path:
        path = path.rpartition(".")[0]
        heads.add(path)
    return any(
        isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, (ast.Store, ast.Del)) and ast.unparse(node) in heads
        for statement in region for node in ast.walk(statement)
    )


class Narrowing:
    """Mixed into the generator."""

    def narrowed(self, path: str) -> Type | None:
        """What tests around the current place have proven about a path."""
        head = path.partition(".")[0]
        for scope in reversed(self.scope_stack):
            if path in scope.narrow:
                return scope.narrow[path]
            if scope.is_function or head in scope.locals:
                return None
        return None

    @contextmanager
    def assuming(self, facts: dict[str, Type], region: list[ast.AST]) -> Iterator[None]:
        """Within the region, the facts hold, save those about names that it assigns."""
        scope = self.scope
        before = scope.narrow
        kept = {path: kind for path, kind in facts.items() if not rebinds(region, path)}
        scope.narrow = {**before, **kept}
        yield
        scope.narrow = before

    def facts(self, test: ast.expr, holds: bool) -> dict[str, Type]:
        """What is known when a test holds, or does not."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            return self.facts(test.operand, not holds)
        if isinstance(test, ast.BoolOp):
            if isinstance(test.op, ast.And) is not holds:
                return {}
            result: dict[str, Type] = {}
            for value in test.values:
                result |= self.facts(value, holds)
            return result
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and is_path(test.left):
            is_none = isinstance(test.comparators[0], ast.Constant) and test.comparators[0].value is None
            if is_none and isinstance(test.ops[0], ast.Is if not holds else ast.IsNot):
                return self._present(test.left)
        if holds and isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and test.func.id == "isinstance" and is_path(test.args[0]):
            kind = self._tested_type(test.args[0], test.args[1])
            return {ast.unparse(test.args[0]): kind} if kind is not None else {}
        if holds and is_path(test):
            return self._present(test)
        return {}

    def _present(self, node: ast.expr) -> dict[str, Type]:
        # Names only: an attribute may become None again in a call between the test and its use.
        if not isinstance(node, ast.Name):
            return {}
        kind = self.type_of(node)
        return {ast.unparse(node): required(kind)} if kind.opt else {}

    def _tested_type(self, value: ast.expr, tested: ast.expr) -> Type | None:
        names = tested.elts if isinstance(tested, ast.Tuple) else [tested]
        kinds = {self._class_type(name) for name in names}
        kind = kinds.pop() if len(kinds) == 1 else None
        known = required(self.type_of(value))
        if kind is None or known.kind == kind.kind and kind.kind != "class":
            return known if kind is not None else None
        return kind

    def _class_type(self, node: ast.expr) -> Type | None:
        symbol = self.dotted_symbol(node)
        if symbol is not None and symbol.kind == "class":
            if symbol.name in ("Bytes", "NumericArray"):
                return BYTES if symbol.name == "Bytes" else Type("array")
            return Type("class", name=f"{symbol.module}:{symbol.name}")
        return _BUILTIN.get(node.id) if isinstance(node, ast.Name) and self.is_builtin(node.id) else None
