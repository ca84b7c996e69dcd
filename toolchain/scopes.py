"""Where each local variable of a function is declared in JS: Python scopes by function, JS by block."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Plan:
    """Declarations of one function: at its top, before a statement, or by the statement itself."""

    hoisted: list[str] = field(default_factory=list)
    before: dict[int, list[str]] = field(default_factory=dict)
    at: dict[int, dict[str, bool]] = field(default_factory=dict)  # name -> is it bound once


@dataclass
class _Use:
    path: tuple[tuple[int, int], ...]
    in_loop: bool
    binds: bool
    part: str


def target_names(target: ast.expr) -> Iterator[str]:
    """Names that an assignment target binds."""
    if isinstance(target, ast.Name):
        yield target.id
    elif isinstance(target, (ast.Tuple, ast.List)):
        for item in target.elts:
            yield from target_names(item)
    elif isinstance(target, ast.Starred):
        yield from target_names(target.value)


def child_blocks(node: ast.stmt) -> Iterator[tuple[str, list[ast.stmt]]]:
    """The statement lists inside a statement, with the name of the field they come from."""
    for name in ("body", "handlers", "orelse", "finalbody"):
        value = getattr(node, name, None)
        if name == "handlers" and value:
            for handler in value:
                yield "handler", handler.body
        elif isinstance(value, list) and value:
            yield name, value


class _Scan:
    """Collects every use of every name in one function body."""

    def __init__(self) -> None:
        self.uses: dict[str, list[_Use]] = {}
        self.statements: dict[tuple[int, int], ast.stmt] = {}
        self.handler_names: set[str] = set()
        self.not_local: set[str] = set()
        self.catch_only: dict[str, int] = {}

    def block(self, statements: list[ast.stmt], path: tuple[tuple[int, int], ...], in_loop: bool) -> None:
        for index, statement in enumerate(statements):
            here = path + ((id(statements), index),)
            self.statements[here[-1]] = statement
            self.statement(statement, here, in_loop)

    def statement(self, node: ast.stmt, path: tuple[tuple[int, int], ...], in_loop: bool) -> None:
        if isinstance(node, (ast.Nonlocal, ast.Global)):
            self.not_local.update(node.names)
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            self.add(node.name, path, in_loop, True, "def")
            self.inner(node, path, in_loop)
            return
        blocks = {id(block) for _, block in child_blocks(node)}
        for name, value in ast.iter_fields(node):
            if name == "handlers":
                for handler in value:
                    self.handler(handler, path, in_loop)
            elif isinstance(value, list) and id(value) in blocks:
                continue
            else:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        self.expression(child, path, in_loop, name)
        for name, block in child_blocks(node):
            if name != "handler":
                loop = in_loop or isinstance(node, (ast.For, ast.AsyncFor, ast.While)) and name == "body"
                self.block(block, path, loop)

    def handler(self, node: ast.ExceptHandler, path: tuple[tuple[int, int], ...], in_loop: bool) -> None:
        if node.type is not None:
            self.expression(node.type, path, in_loop, "type")
        if node.name:
            self.catch_only[node.name] = self.catch_only.get(node.name, 0) + 1
        self.block(node.body, path, in_loop)

    def expression(self, node: ast.AST, path: tuple[tuple[int, int], ...], in_loop: bool, part: str) -> None:
        if isinstance(node, ast.Name):
            self.add(node.id, path, in_loop, isinstance(node.ctx, (ast.Store, ast.Del)), part)
        elif isinstance(node, FUNCTIONS) or isinstance(node, COMPREHENSIONS):
            self.inner(node, path, in_loop)
        else:
            for child in ast.iter_child_nodes(node):
                self.expression(child, path, in_loop, part)

    def inner(self, node: ast.AST, path: tuple[tuple[int, int], ...], in_loop: bool) -> None:
        """Names used inside a nested function or comprehension; nonlocal and walrus bind outside."""
        outside: set[str] = set()
        own: set[str] = set()
        comprehension = isinstance(node, COMPREHENSIONS)
        names: list[ast.Name] = []
        if isinstance(node, FUNCTIONS):
            own = {a.arg for a in node.args.posonlyargs + node.args.args + node.args.kwonlyargs}
        for child in ast.walk(node):
            if isinstance(child, ast.Name):
                names.append(child)
            elif isinstance(child, ast.Nonlocal):
                outside.update(child.names)
            elif comprehension and isinstance(child, ast.NamedExpr):
                outside.add(child.target.id)
            elif comprehension and isinstance(child, ast.comprehension):
                own.update(target_names(child.target))
        for name in names:
            if name.id not in own:
                stores = isinstance(name.ctx, ast.Store)
                if not stores or name.id in outside:
                    self.add(name.id, path, in_loop, stores, "inner" if comprehension or stores else "deferred")

    def add(self, name: str, path: tuple[tuple[int, int], ...], in_loop: bool, binds: bool, part: str) -> None:
        self.uses.setdefault(name, []).append(_Use(path, in_loop, binds, part))


def plan(body: list[ast.stmt], params: set[str]) -> Plan:
    """Decide for each variable bound in a function body where it is declared."""
    scan = _Scan()
    scan.block(body, (), False)
    result = Plan()
    for name, uses in scan.uses.items():
        if not any(use.binds for use in uses) or name in params or name in scan.not_local:
            continue
        places = _in_block(name, uses, 0, scan)
        if places is None:
            _place(name, uses, scan, result)
        else:
            for statement, constant in places:
                result.at.setdefault(id(statement), {})[name] = constant
    return result


_Places = list[tuple[ast.stmt, bool]]


def _in_block(name: str, uses: list[_Use], depth: int, scan: _Scan) -> _Places | None:
    """The statements that can declare a name so that each of its uses sees one; the uses share a block at `depth`."""
    prompt = [use for use in uses if use.part != "deferred"]
    if not prompt:
        return None
    first = min(use.path[depth] for use in prompt)
    at_first = [use for use in prompt if use.path[depth] == first]
    if _binds_simply(scan.statements[first], name, at_first, depth):
        return [(scan.statements[first], _once(uses))]
    places: _Places = []
    for step in {use.path[depth]: None for use in uses}:
        found = _in_statement(name, [use for use in uses if use.path[depth] == step], depth, scan)
        if found is None:
            return None
        places += found
    return places


def _in_statement(name: str, uses: list[_Use], depth: int, scan: _Scan) -> _Places | None:
    """The same for uses that all lie within one statement."""
    statement = scan.statements[uses[0].path[depth]]
    if isinstance(statement, (ast.For, ast.AsyncFor)) and _inside_loop(statement, name, uses, depth):
        return [(statement, _once(uses))]
    if isinstance(statement, (ast.With, ast.AsyncWith)) and _inside_with(statement, name, uses):
        return [(statement, _once(uses))]
    if any(len(use.path) == depth + 1 for use in uses):
        return None
    places: _Places = []
    for block in {use.path[depth + 1][0]: None for use in uses}:
        found = _in_block(name, [use for use in uses if use.path[depth + 1][0] == block], depth + 1, scan)
        if found is None:
            return None
        places += found
    return places


def _once(uses: list[_Use]) -> bool:
    return sum(use.binds for use in uses) == 1


def _place(name: str, uses: list[_Use], scan: _Scan, result: Plan) -> None:
    """Declare before the first use in the block that holds all uses; at the top of the function if that is in a loop."""
    paths = [use.path for use in uses]
    depth = 0
    shortest = min(len(path) for path in paths)
    while depth < shortest - 1 and all(path[depth] == paths[0][depth] for path in paths):
        depth += 1
    while depth > 0 and not all(path[depth][0] == paths[0][depth][0] for path in paths):
        depth -= 1
    prompt = [use for use in uses if use.part != "deferred"] or uses
    statement = scan.statements[min(use.path[depth] for use in prompt)]
    in_loop = any(isinstance(scan.statements[step], (ast.For, ast.AsyncFor, ast.While)) for step in paths[0][:depth])
    at_first = [use for use in prompt if scan.statements[use.path[depth]] is statement]
    if _binds_simply(statement, name, at_first, depth):
        result.at.setdefault(id(statement), {})[name] = _once(uses)
    elif in_loop:
        result.hoisted.append(name)
    else:
        result.before.setdefault(id(statement), []).append(name)


def _binds_simply(statement: ast.stmt, name: str, uses: list[_Use], depth: int) -> bool:
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement.name == name
    if isinstance(statement, ast.AnnAssign):
        return statement.value is not None and isinstance(statement.target, ast.Name) and statement.target.id == name \
            and all(use.part in ("target", "annotation") for use in uses)
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        plain = isinstance(target, ast.Name) or isinstance(target, (ast.Tuple, ast.List)) and all(
            isinstance(item.value if isinstance(item, ast.Starred) else item, (ast.Name, ast.Tuple)) for item in target.elts
        )
        return plain and name in target_names(target) and all(use.part == "targets" for use in uses)
    return False


def _inside_loop(statement: ast.stmt, name: str, uses: list[_Use], depth: int) -> bool:
    body = id(statement.body)
    return name in target_names(statement.target) and all(
        use.part == "target" if len(use.path) == depth + 1 else use.path[depth + 1][0] == body for use in uses
    )


def _inside_with(statement: ast.stmt, name: str, uses: list[_Use]) -> bool:
    return any(item.optional_vars is not None and name in target_names(item.optional_vars) for item in statement.items)
