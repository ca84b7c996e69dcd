"""Reading the sources for their declarations: what a module defines, imports and annotates. For toolchain/dts.py."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.tsdoc import camel


class Untypable(SystemExit):
    """An annotation or an export that cannot be described in TypeScript; the message has file, line and what to write."""


@dataclass
class Module:
    """A parsed source file: its definitions, and where its imported names come from."""

    name: str
    path: Path
    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)

    @staticmethod
    def read(name: str, source: Path) -> Module:
        folder = source.parent / Path(*name.split('.'))
        path = folder / '__init__.py' if folder.is_dir() else folder.with_suffix('.py')
        module = Module(name, path)
        for statement in statements(ast.parse(path.read_text(), str(path))):
            match statement:
                case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                    module.defined.setdefault(statement.name, []).append(statement)
                case ast.Assign(targets=[ast.Name(id=target)]) | ast.AnnAssign(target=ast.Name(id=target)):
                    module.defined[target] = [statement]
                case ast.ImportFrom(module=str(origin)):
                    for alias in statement.names:
                        module.imported[alias.asname or alias.name] = (origin, alias.name)
        return module


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    for statement in tree.body:
        yield from statement.body if isinstance(statement, ast.If) else [statement]


def argument_name(annotation: ast.expr, index: int) -> str:
    return camel(annotation.id[0].lower() + annotation.id[1:]) if isinstance(annotation, ast.Name) and annotation.id[0].isupper() else f'value{index or ""}'


def literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str) else 'null' if value is None else str(value)


def is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def without_none(node: ast.expr | None) -> ast.expr | None:
    return node.left if isinstance(node, ast.BinOp) and is_none(node.right) else node


def decorated(node: ast.stmt, name: str) -> bool:
    decorators = getattr(node, 'decorator_list', [])
    return any(is_name(d.func if isinstance(d, ast.Call) else d, name) for d in decorators)


def frozen(node: ast.ClassDef) -> bool:
    return any(k.arg == 'frozen' for d in node.decorator_list if isinstance(d, ast.Call) for k in d.keywords)


def setter(node: ast.stmt, name: str) -> bool:
    return any(isinstance(d, ast.Attribute) and d.attr == 'setter' and is_name(d.value, name) for d in getattr(node, 'decorator_list', []))


def indent(text: str) -> str:
    return textwrap.indent(text, '  ')


def task_classes(module: Module) -> dict[str, list[str]]:
    """The table of tasks: class of its pipeline -> names and aliases of the task."""
    tables = {name: found[0].value for name, found in module.defined.items() if isinstance(getattr(found[0], 'value', None), ast.Dict)}
    classes: dict[str, list[str]] = {}
    for key, entry in zip(tables['TASKS'].keys, tables['TASKS'].values, strict=True):
        [builder] = [module.defined[argument.id][0] for argument in entry.args if isinstance(argument, ast.Name) and argument.id.startswith('_')]
        [made] = [node.body.func.id for node in ast.walk(builder) if isinstance(node, ast.Lambda)]
        names = classes.setdefault(made, [])
        names.append(key.value)
        names += [a.value for a, t in zip(tables['ALIASES'].keys, tables['ALIASES'].values, strict=True) if t.value == key.value]
    return classes
