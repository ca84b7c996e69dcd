"""The gate: what is not in the Python subset is refused, with file, line and what to write instead.

The rules and their reasons are in docs/python-subset.md; `[bans]` in transcrypt.toml holds the names that are banned.
Semantics that stay JS's own: int/int by zero gives Infinity or NaN, floats print without a trailing .0, a tuple equals
a list, ints are exact to 2**53.
"""

from __future__ import annotations

import ast

from toolchain.generator import CompileError
from toolchain.scopes import child_blocks
from toolchain.names import FORBIDDEN_ATTRIBUTES, JS_GLOBALS, attribute_name, variable_name
from toolchain.symbols import Module, Project, is_type_checking

STDLIB = frozenset(["dataclasses", "typing", "collections.abc", "math", "__future__"])
OPERATOR_METHODS = frozenset(
    f"__{name}__" for name in """add sub mul truediv floordiv mod pow and or xor lshift rshift neg pos abs invert lt le gt
    ge ne radd rsub rmul iadd isub imul matmul getattr setattr delattr getattribute new del""".split()
)


class Gate(ast.NodeVisitor):
    """Collects the errors of one module."""

    def __init__(self, project: Project, module: Module, bans: dict[str, str]) -> None:
        self.project, self.module, self.bans = project, module, bans
        self.is_test = module.name.startswith("tests.")
        self.errors: list[CompileError] = []
        self.depth: list[ast.AST] = []
        self.spelling: dict[str, str] = {}

    def reject(self, node: ast.AST, message: str) -> None:
        self.errors.append(CompileError(self.module.source_name, getattr(node, "lineno", 1), message))

    def check(self) -> list[CompileError]:
        for statement in self.module.tree.body:
            if not is_type_checking(statement):
                self.visit(statement)
        for name in (*self.module.functions, *self.module.classes, *self.module.constants):
            if variable_name(name) in JS_GLOBALS:
                self.reject(self.module.tree.body[0], f"{name} hides a JS global that compiled code uses; write another name")
        return self.errors

    def remember(self, node: ast.AST, name: str) -> None:
        js_name = attribute_name(name)
        known = self.spelling.setdefault(js_name, name)
        if known != name:
            self.reject(node, f"{known} and {name} are both {js_name} in JS; write another name for one")

    # -- imports ---------------------------------------------------------------------------------------------------

    def visit_Import(self, node: ast.Import) -> None:
        if self.depth:
            self.reject(node, "import inside a function or class; write it at the top of the module")
        for alias in node.names:
            self.check_import(node, alias.name)
            if "." in alias.name and not alias.asname and alias.name != "collections.abc":
                self.reject(node, f"import {alias.name} without a name; write `from {alias.name.rpartition('.')[0]} import {alias.name.rpartition('.')[2]}`")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if self.depth:
            self.check_fetch(node)
        if node.level:
            self.reject(node, "relative import; write the absolute module name")
            return
        if any(alias.name == "*" for alias in node.names):
            self.reject(node, "star import; write the names")
        self.check_import(node, node.module or "")

    def check_fetch(self, node: ast.ImportFrom) -> None:
        """An import that fetches a part: its names live as long as the block that it stands in."""
        function = self.depth[-1]
        if not isinstance(function, ast.AsyncFunctionDef):
            self.reject(node, "import inside a function that is not async, or in a class; only an async function can wait for a part (transcrypt.toml), others write it at the top")
            return
        block = next(body for parent in ast.walk(function) for _, body in child_blocks(parent) if node in body)
        inside = {id(child) for statement in block[block.index(node):] for child in ast.walk(statement)}
        names = {alias.asname or alias.name for alias in node.names}
        for child in ast.walk(function):
            if isinstance(child, ast.Name) and child.id in names and id(child) not in inside:
                self.reject(child, f"{child.id} is used outside of the block that imports it; write the import before, in the block of all its uses")

    def check_import(self, node: ast.AST, name: str) -> None:
        root = name.split(".")[0]
        if root == "edgeflow" or name in STDLIB:
            target = self.project.target(name)
            if root == "edgeflow" and target not in self.project.modules and not any(m.startswith(target + ".") for m in self.project.modules):
                self.reject(node, f"there is no module {name} to import in JS; write an existing one")
            return
        if self.is_test and root == "pytest" or self.module.name.startswith("edgeflow.host.browser") and name.startswith("org.transcrypt"):
            return
        reason = self.bans.get(root) or self.bans.get(name)
        self.reject(node, f"import of {name}; {reason or 'only dataclasses, typing, collections.abc and math of the standard library are in the subset: take it from edgeflow.host.platform'}")

    # -- definitions -----------------------------------------------------------------------------------------------

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if self.depth:
            self.reject(node, "class inside a function or class; write it at the top of the module")
        bases = [ast.unparse(base) for base in node.bases]
        real = [b for b in bases if b.split("[")[0].split(".")[-1] not in ("Protocol", "Generic")]
        if len(real) > 1:
            self.reject(node, f"multiple inheritance ({', '.join(real)}); write one base and a field for the other")
        if any(b.split(".")[-1] in ("Enum", "IntEnum", "StrEnum", "NamedTuple", "TypedDict") for b in real):
            self.reject(node, f"{real[0]}; write Literal strings, a table of constants or a frozen dataclass")
        if node.keywords:
            self.reject(node, "metaclass or class keyword; write a plain class")
        names: dict[str, str] = {}
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if statement.name in OPERATOR_METHODS:
                    self.reject(statement, f"{statement.name} (operator overloading); write a named method")
                js_name = attribute_name(statement.name)
                if names.setdefault(js_name, statement.name) != statement.name:
                    self.reject(statement, f"{names[js_name]} and {statement.name} are both {js_name} in JS; write another name for one")
                if js_name in FORBIDDEN_ATTRIBUTES:
                    self.reject(statement, f"the method name {statement.name} belongs to JS; write another name")
        self.inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        args = node.args
        exit_method = node.name in ("__exit__", "__aexit__")
        if args.vararg is not None and not exit_method:
            self.reject(node, f"*{args.vararg.arg} in a definition; write one list parameter")
        if args.kwarg is not None:
            self.reject(node, f"**{args.kwarg.arg} in a definition; write the keyword-only parameters out")
        if args.posonlyargs:
            self.reject(node, "positional-only parameters; leave the / out")
        for default in [*args.defaults, *args.kw_defaults]:
            if isinstance(default, (ast.List, ast.Dict, ast.Set, ast.Call, ast.ListComp, ast.DictComp)):
                self.reject(default, "a default that is made anew for each call in JS but once in Python; write None and make it in the body")
        for decorator in node.decorator_list:
            self.check_decorator(decorator)
        spelled: dict[str, str] = {}
        for name in self.local_names(node):
            js_name = variable_name(name)
            if spelled.setdefault(js_name, name) != name:
                self.reject(node, f"{spelled[js_name]} and {name} are both {js_name} in JS; write another name for one")
        self.inside(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def local_names(self, node: ast.AST) -> list[str]:
        names = {a.arg for a in node.args.args + node.args.kwonlyargs}
        names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        return sorted(names)

    def check_decorator(self, decorator: ast.expr) -> None:
        name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
        known = {"public", "dataclass", "property", "staticmethod", "classmethod", "overload", "final", "override", "runtime_checkable"}
        if name.split(".")[-1] in known or name.endswith(".setter") or self.is_test and name.startswith("pytest.mark."):
            return
        self.reject(decorator, f"the decorator @{name}; write the call in the function's body")

    def inside(self, node: ast.AST) -> None:
        self.depth.append(node)
        for child in ast.iter_child_nodes(node):
            self.visit(child)
        self.depth.pop()

    # -- statements and expressions --------------------------------------------------------------------------------

    def visit_If(self, node: ast.If) -> None:
        if not is_type_checking(node):
            self.generic_visit(node)

    def visit_Match(self, node: ast.AST) -> None:
        self.reject(node, "match; write if/elif")

    def visit_Global(self, node: ast.Global) -> None:
        self.reject(node, "global; keep the state in a module-level record")

    def visit_Try(self, node: ast.Try) -> None:
        for handler in node.handlers:
            if handler.type is None:
                self.reject(handler, "bare except; write except Exception")
        self.generic_visit(node)

    def visit_TryStar(self, node: ast.AST) -> None:
        self.reject(node, "except*; write except")

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                self.reject(node, "del of a name or attribute; assign None")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if isinstance(node.op, ast.MatMult):
            self.reject(node, "the @ operator; write a function call")
        if isinstance(node.op, ast.Mod) and isinstance(node.left, (ast.JoinedStr, ast.Constant)) and not (
            isinstance(node.left, ast.Constant) and not isinstance(node.left.value, (str, bytes))
        ):
            self.reject(node, "%-formatting; write an f-string")
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Name) and function.id in self.bans and self.project.resolve(self.module.name, function.id) is None:
            self.reject(node, f"{function.id}(); {self.bans[function.id]}")
        if isinstance(function, ast.Attribute) and function.attr == "format":
            self.reject(node, "str.format; write an f-string")
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "object" \
                and function.attr == "__setattr__" and not (len(node.args) == 3 and isinstance(node.args[1], ast.Constant)):
            self.reject(node, "object.__setattr__ with a computed name; write the name as a string")
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        for key in node.keys:
            if isinstance(key, (ast.Tuple, ast.List)):
                self.reject(key, "a tuple as a dict key; write a string key or nested dicts")
        self.generic_visit(node)

    def visit_Set(self, node: ast.Set) -> None:
        for item in node.elts:
            if isinstance(item, (ast.Tuple, ast.List)):
                self.reject(item, "a tuple in a set; write strings or ints")
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if attribute_name(node.attr) in FORBIDDEN_ATTRIBUTES:
            self.reject(node, f"the attribute {node.attr} belongs to JS; write another name")
        if node.attr in ("__dict__", "__qualname__", "__mro__", "__bases__", "__subclasses__"):
            self.reject(node, f"{node.attr}; keep what you need in a field")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, complex):
            self.reject(node, "complex numbers; write two floats")


def check_attributes(project: Project) -> list[CompileError]:
    """Members whose names meet after renaming, over the whole project."""
    spelled: dict[str, tuple[str, str]] = {}
    errors = []
    for info in project.classes.values():
        module = project.modules[info.module]
        for name in (*info.attributes, *info.methods, *(f.name for f in info.fields)):
            js_name = attribute_name(name)
            known = spelled.setdefault(js_name, (name, module.source_name))
            if known[0] != name:
                errors.append(CompileError(
                    module.source_name, info.node.lineno,
                    f"the member {name} and {known[0]} of {known[1]} are both {js_name} in JS; write another name for one",
                ))
    return errors


def check(project: Project, modules: list[Module], bans: dict[str, str]) -> list[CompileError]:
    """All errors of all modules."""
    errors = [error for module in modules for error in Gate(project, module, bans).check()]
    return errors + check_attributes(project) + check_cycles(project, modules)


def check_cycles(project: Project, modules: list[Module]) -> list[CompileError]:
    """Import cycles: ES modules would run in an order that Python does not have."""
    graph: dict[str, list[tuple[str, int]]] = {}
    for module in modules:
        edges = []
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    submodule = project.target(f"{node.module}.{alias.name}")
                    edges.append((submodule if submodule in project.modules else project.target(node.module), node.lineno))
            elif isinstance(node, ast.Import):
                edges += [(project.target(alias.name), node.lineno) for alias in node.names]
        graph[module.name] = edges
    state: dict[str, int] = {}
    errors: list[CompileError] = []

    def walk(name: str, path: list[str]) -> None:
        state[name] = 1
        for target, line in graph.get(name, []):
            if state.get(target) == 1:
                cycle = " -> ".join([*path[path.index(target):], target])
                errors.append(CompileError(project.modules[name].source_name, line, f"import cycle {cycle}; move what both need into a third module"))
            elif target in graph and target not in state:
                walk(target, [*path, target])
        state[name] = 2

    for name in graph:
        if name not in state:
            walk(name, [name])
    return errors
