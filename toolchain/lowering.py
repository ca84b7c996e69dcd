"""Rewrites of the syntax tree before JS is generated: what exists for type checkers and readers only is taken out."""

from __future__ import annotations

import ast

from toolchain.symbols import ClassInfo, is_alias, is_type_checking
from toolchain.tsdoc import spoken

# Which argument of these calls is a message, or begins one.
_MESSAGES = {"EdgeflowError": 1, "refused": 1, "check_count": 0, "check_time": 0}
_TYPING_IMPORTS = frozenset(["typing", "collections.abc", "__future__", "abc"])


def lower(tree: ast.Module) -> ast.Module:
    """The module without docstrings, TYPE_CHECKING blocks, type aliases, overloads and `__all__`; errors speak of options as JS spells them."""
    tree.body = _statements(tree.body, True)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and len(node.args) > _MESSAGES.get(node.func.id, len(node.args)):
            for part in ast.walk(node.args[_MESSAGES[node.func.id]]):
                if isinstance(part, ast.Constant) and isinstance(part.value, str) and " " in part.value:
                    part.value = spoken(part.value)
    return tree


def _statements(body: list[ast.stmt], top: bool) -> list[ast.stmt]:
    result = []
    for node in body:
        if _is_dropped(node, top):
            continue
        if isinstance(node, ast.If) and is_type_checking(node):
            result += _statements(node.orelse, top)
            continue
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, _statements(block, False))
        for handler in getattr(node, "handlers", []):
            handler.body = _statements(handler.body, False)
        result.append(node)
    return result


def _is_dropped(node: ast.stmt, top: bool) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.ImportFrom) and node.module in _TYPING_IMPORTS:
        return True
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return any(ast.unparse(decorator).split(".")[-1] == "overload" for decorator in node.decorator_list)
    if not top:
        return False
    if is_alias(node):
        return True
    if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
        return True
    return isinstance(node, ast.If) and ast.unparse(node.test).replace('"', "'") == "__name__ == '__main__'"


def is_stub(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a method has no body of its own: a docstring, `...`, `pass` or `raise NotImplementedError`."""
    for statement in node.body:
        if isinstance(statement, ast.Pass) or isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.Raise) and statement.exc is not None and "NotImplementedError" in ast.unparse(statement.exc):
            continue
        return False
    return True


def is_empty_protocol(info: ClassInfo) -> bool:
    """A Protocol that only describes: nothing of it is left at run time."""
    return info.protocol and all(method.node is None or is_stub(method.node) for method in info.methods.values())
