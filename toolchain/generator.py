"""EsGenerator: one Python module in, one ES module out. Transcrypt's Generator, with its own visitors and no runtime.

Kept from Transcrypt: the visitor, the operator and constant tables, indentation. This file holds modules, imports,
functions and scopes; statements, classes, expressions and calls are mixed in from files of those names.
One file because a function's scope, its parameters and its body are emitted by methods that call one another.
"""

from __future__ import annotations

import ast
import importlib.util
import posixpath
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

from toolchain import members, parts
from toolchain.builtins import BUILTIN_EXCEPTIONS, BUILTINS, Builtins
from toolchain.calls import Calls
from toolchain.classes import ALIASED_FROM, Classes, is_super_init
from toolchain.comprehensions import Comprehensions
from toolchain.expressions import ASSIGN, Expressions, quote
from toolchain.handling import Handling
from toolchain.inference import Inference
from toolchain.lowering import is_empty_protocol
from toolchain.names import attribute_name, variable_name
from toolchain.narrowing import Narrowing
from toolchain.pytypes import ANY, Type, optional
from toolchain.scopes import Plan, plan, target_names
from toolchain.statements import Statements
from toolchain.symbols import ClassInfo, FunctionInfo, Module, Project, Symbol, own_nodes
from toolchain.tests_export import TestExport


def _transcrypt_generator() -> type:
    """Transcrypt's Generator; its modules live below the package, in a folder of import roots of its own."""
    package = importlib.util.find_spec("transcrypt")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("Transcrypt is not installed: run pip install -e .[dev]")
    root = str(Path(list(package.submodule_search_locations)[0]) / "modules")
    if root not in sys.path:
        sys.path.append(root)
    from org.transcrypt import compiler, utils

    for flag in "kwargs opov iconv tconv keycheck anno docat xglobs jscall jskeys jsmod fcall map".split():
        setattr(utils.commandArgs, flag, False)
    return compiler.Generator


Generator = _transcrypt_generator()
RUNTIME = "runtime/index.js"

# A function of a module whose body is at most so long, as Python text, becomes an arrow: some 10 bytes less each. V8 puts off
# the bodies of other functions until they are called but parses those of arrows in a module at once, so only short ones are.
ARROW_UP_TO = 160


class CompileError:
    """One thing the compiler refuses, with its place."""

    def __init__(self, file: str, line: int, message: str) -> None:
        self.file, self.line, self.message = file, line, message

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Scope:
    """One function (or comprehension) while it is compiled."""

    def __init__(self, env: dict[str, Type], local_names: set[str]) -> None:
        self.env = env
        self.locals = local_names
        self.plan = Plan()
        self.nonlocals: set[str] = set()
        self.self_name = ""
        self.self_text = "this"
        self.class_name = ""
        self.proven: set[tuple[str, str]] = set()
        self.nested: dict[str, FunctionInfo] = {}
        self.temps: list[str] = []
        self.handlers: list[str] = []
        self.loops: list[str] = []
        self.returns: Type = ANY
        self.is_function = True
        self.bound_names: set[str] = set()
        self.params: set[str] = set()
        self.narrow: dict[str, Type] = {}
        self.fetched: set[str] = set()

    def take_temps(self) -> list[str]:
        temps, self.temps = self.temps, []
        return temps


class EsGenerator(Inference, Narrowing, Expressions, Comprehensions, Calls, Builtins, Statements, Handling, Classes, TestExport, Generator):
    """Generates the ES module of one Python module."""

    def __init__(self, project: Project, module: Module, js_path: str, is_test: bool = False) -> None:
        stand_in = SimpleNamespace(
            program=SimpleNamespace(envir=SimpleNamespace(transpiler_name="transcrypt"), symbols=[], importStack=[[None, 0]]),
            sourcePath=module.source_name, parseTree=ast.Module([], []), name=module.name, __name__=module.name,
        )
        self.project = project
        self.js_path = js_path
        self.lineNrString = ""
        self.is_test = is_test
        self.errors: list[CompileError] = []
        self.types: dict[int, tuple[ast.expr, Type]] = {}
        self.scope_stack: list[Scope] = []
        self.current_class: ClassInfo | None = None
        self.runtime_names: dict[str, str] = {}
        self.imports: dict[str, dict[str, str]] = {}
        self.namespaces: dict[str, str] = {}
        self.raw_imports: list[str] = []
        self.temp_count = 0
        self.signatures: dict[int, FunctionInfo] = {}
        self.bodies: dict[int, list[ast.AST]] = {}
        self.loose_members: dict[str, ast.expr] = {}
        self.lambda_types: dict[int, list[Type]] = {}
        super().__init__(stand_in)
        self.module = module
        self.targetFragments = []

    # -- services for the mixed-in parts ---------------------------------------------------------------------------

    @property
    def scope(self) -> Scope:
        return self.scope_stack[-1]

    def function_scope_of(self) -> Scope:
        return next(scope for scope in reversed(self.scope_stack) if scope.is_function)

    def error(self, node: ast.AST, message: str) -> None:
        error = CompileError(self.module.source_name, getattr(node, "lineno", 1), message)
        if str(error) not in {str(known) for known in self.errors}:
            self.errors.append(error)

    def rt(self, name: str) -> str:
        """The local name of a runtime helper."""
        self.runtime_names[f"${name}"] = f"${name}"
        return f"${name}"

    def rt_name(self, name: str) -> str:
        """The local name of a class that the runtime exports, e.g. an exception."""
        name = {"IOError": "OSError", "BaseException": "Exception"}.get(name, name)
        self.runtime_names[name] = name
        return name

    def temp(self) -> str:
        self.temp_count += 1
        name = f"${self.temp_count}"
        self.function_scope_of().temps.append(name)
        return name

    def mark(self, node: ast.AST) -> str:
        """An invisible note of where in the Python source the following JS comes from."""
        return f"\x01{node.lineno},{node.col_offset}\x02" if hasattr(node, "lineno") else ""

    def tabs(self, indentLevel: int | None = None) -> str:
        return "  " * (self.indentLevel if indentLevel is None else indentLevel)

    def emit(self, fragment: str, *formatter: object) -> None:
        """Append text as it stands (Transcrypt's own visitors, which pass formatters, are all overridden)."""
        self.targetFragments.append(fragment.format(*formatter) if formatter else fragment)

    def line(self, text: str, node: ast.AST | None = None) -> None:
        """Emit one line (or several) at the current indentation."""
        pad = self.tabs()
        body = text.replace("\n", "\n" + pad).replace(f"\n{pad}\n", "\n\n")
        if text.startswith("\n"):
            self.emit("\n")
            body = body[1 + len(pad):]
        self.emit(f"{pad}{self.mark(node) if node is not None else ''}{body}\n")

    def visit(self, node: ast.AST) -> None:
        method = getattr(self, "visit_" + type(node).__name__, None)
        if method is None or getattr(Generator, method.__name__, None) is method.__func__:
            self.error(node, f"{type(node).__name__} is not in the subset; write it with simpler statements")
        else:
            if isinstance(node, ast.stmt):
                self.declare_before(node)
            method(node)

    # -- members ---------------------------------------------------------------------------------------------------

    def member_name(self, owner: ast.expr, attribute: str) -> str:
        """The JS of an attribute or method of a value."""
        kind = self.type_of(owner)
        if kind.kind in ("class", "classobj"):
            info = self.project.classes.get(kind.name)
            return attribute_name(attribute) if info is None else self.member_of(info, attribute)
        if kind.kind in ("any", "unknown", "function", "awaitable") and not (isinstance(owner, ast.Name) and self.is_math(owner)):
            self.loose_members.setdefault(attribute_name(attribute), owner)
        return attribute_name(attribute)

    def member_of(self, info: ClassInfo, attribute: str) -> str:
        """The JS of an attribute or method of a class: a note where the bundle may have another name for it."""
        name = attribute_name(attribute)
        hidden = not attribute.startswith("__") if attribute.startswith("_") else info.qualified in self.project.private
        return members.note(self.project.lineage(info)[-1].qualified, name) if hidden and self.project.public is not None else name

    def words(self, texts: list[str]) -> str:
        """The JS of a list of words."""
        return f"{self.rt('words')}({quote(' '.join(texts))})" if len(texts) > 3 else "[" + ", ".join(quote(text) for text in texts) + "]"

    def own_member(self, attribute: str) -> str:
        """The same for the class that is compiled."""
        return self.member_of(self.current_class, attribute) if self.current_class else attribute_name(attribute)

    # -- names -----------------------------------------------------------------------------------------------------

    def name(self, identifier: str, node: ast.AST | None = None) -> str:
        """The JS of a name in the current scope."""
        for scope in reversed(self.scope_stack):
            if identifier == scope.self_name or identifier == scope.class_name:
                return scope.self_text
            if identifier in scope.locals:
                return variable_name(identifier)
        if identifier in self.module.imports:
            return self.imported_name(identifier, node)
        symbol = self.project.resolve(self.module.name, identifier)
        if symbol is not None:
            if symbol.kind == "class" and is_empty_protocol(symbol.info) and node is not None:
                self.error(node, f"{identifier} is a Protocol, which JS does not keep; do not use it as a value")
            return variable_name(identifier)
        if identifier == "TypeError":
            return "TypeError"
        if identifier in BUILTIN_EXCEPTIONS:
            return "Error" if identifier in ("BaseException",) else self.rt_name(identifier)
        if identifier == "__name__":
            return quote(self.module.name)
        if identifier in BUILTINS:
            return self.builtin_value(identifier, node)
        if node is not None:
            self.error(node, f"the name {identifier!r} is not defined here; define or import it")
        return variable_name(identifier)

    def builtin_value(self, name: str, node: ast.AST | None) -> str:
        call = ast.parse(f"lambda x: {name}(x)", mode="eval").body
        return f"({self.js(call)})"

    def imported_name(self, identifier: str, node: ast.AST | None) -> str:
        source, original = self.module.imports[identifier]
        local = variable_name(identifier)
        if any(identifier in scope.fetched for scope in self.scope_stack):
            return local
        if original is None:
            self.namespaces[local] = self.project.target(source)
            return local
        symbol = self.project.resolve(self.module.name, identifier)
        if symbol is None:
            if node is not None:
                self.error(node, f"{source} has no {original!r}; import a name that it defines")
            return local
        if symbol.kind == "module":
            self.namespaces[local] = symbol.module
            return local
        if symbol.kind == "class" and is_empty_protocol(symbol.info) and node is not None:
            self.error(node, f"{identifier} is a Protocol, which JS does not keep; do not use it as a value")
        self.imports.setdefault(self.project.target(symbol.module), {})[local] = variable_name(symbol.name)
        return local

    def imported(self, symbol: Symbol, node: ast.Attribute) -> str:
        """`module.name` through a namespace import."""
        return f"{self.js(node.value)}.{variable_name(symbol.name)}"

    def use(self, module: str, name: str) -> str:
        """Import a function of the project that the compiler itself calls."""
        if self.module.name != module:
            self.imports.setdefault(module, {})[variable_name(name)] = variable_name(name)
        return variable_name(name)

    def is_local(self, identifier: str) -> bool:
        return any(identifier in scope.locals or identifier == scope.self_name for scope in self.scope_stack)

    def is_builtin(self, identifier: str) -> bool:
        return identifier in BUILTINS and not self.is_local(identifier) and self.project.resolve(self.module.name, identifier) is None

    def is_math(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and self.module.imports.get(node.id) == ("math", None) and not self.is_local(node.id)

    def dotted_symbol(self, node: ast.expr) -> Symbol | None:
        """The project symbol that a name or `module.name` stands for, unless a local variable hides it."""
        head = node
        while isinstance(head, ast.Attribute):
            head = head.value
        if not isinstance(head, ast.Name) or self.is_local(head.id):
            return None
        if self.module.imports.get(head.id, ("", ""))[0] == "math":
            return None
        if isinstance(node, ast.Attribute):
            owner = self.dotted_symbol(node.value)
            if owner is None or owner.kind != "module":
                return None
        return self.project.resolve(self.module.name, ast.unparse(node))

    def nested_function(self, identifier: str) -> FunctionInfo | None:
        for scope in reversed(self.scope_stack):
            if identifier in scope.locals:
                return scope.nested.get(identifier)
        return None

    def nested_signature(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> FunctionInfo:
        known = self.signatures.get(id(node))
        if known is None:
            known = self.signatures[id(node)] = self.project.signature(self.module, node, "", "function")
        return known

    def nodes_of(self, function: ast.AST) -> list[ast.AST]:
        """All nodes of a function's own body, collected once."""
        known = self.bodies.get(id(function))
        if known is None:
            known = self.bodies[id(function)] = list(own_nodes(function))
        return known

    def class_name_in_scope(self) -> str:
        return next((scope.class_name for scope in reversed(self.scope_stack) if scope.class_name), "")

    def dropped_protocol(self, info: ClassInfo) -> bool:
        return is_empty_protocol(info)

    # -- modules ---------------------------------------------------------------------------------------------------

    def generate(self) -> str:
        """The text of the ES module, with position notes for the source map."""
        tree = self.module.tree
        module_scope = Scope({}, set())
        module_scope.plan = plan(tree.body, set())
        self.scope_stack.append(module_scope)
        for statement in tree.body:
            self.visit(statement)
        if self.is_test:
            self.export_tests()
        temps = module_scope.take_temps()
        self.scope_stack.pop()
        body = "".join(self.targetFragments)
        head = "".join(f"{text}\n" for text in self.raw_imports) + self.import_lines()
        if temps:
            head += f"let {', '.join(temps)};\n"
        return head + ("\n" if head else "") + body + self.reexport_lines()

    def visit_Module(self, node: ast.Module) -> None:
        for statement in node.body:
            self.visit(statement)

    def js_module_path(self, module_name: str) -> str:
        """The path, below the output folder, of a module's JS."""
        target = self.project.modules.get(module_name)
        path = module_name.replace(".", "/")
        if module_name == "pytest":
            return "testrunner/pytest.js"
        return f"{path}/index.js" if target is not None and target.is_package else f"{path}.js"

    def relative(self, path: str) -> str:
        relative = posixpath.relpath(path, posixpath.dirname(self.js_path))
        return relative if relative.startswith(".") else "./" + relative

    def import_lines(self) -> str:
        lines = []
        if self.runtime_names:
            lines.append(f"import {{ {', '.join(sorted(self.runtime_names))} }} from '{self.relative(RUNTIME)}';")
        for module, names in sorted(self.imports.items()):
            items = ", ".join(original if original == local else f"{original} as {local}" for local, original in sorted(names.items()))
            lines.append(f"import {{ {items} }} from '{self.relative(self.js_module_path(module))}';")
        for local, module in sorted(self.namespaces.items()):
            lines.append(f"import * as {local} from '{self.relative(self.js_module_path(module))}';")
        return "".join(line + "\n" for line in lines)

    def reexport_lines(self) -> str:
        """What a package's `__init__` imports, it exports."""
        if not self.module.is_package:
            return ""
        by_module: dict[str, list[str]] = {}
        for local in self.module.imports:
            symbol = self.project.resolve(self.module.name, local)
            if symbol is None or symbol.kind not in ("function", "class", "constant", "raw"):
                continue
            if symbol.module == self.module.name or symbol.kind == "class" and is_empty_protocol(symbol.info):
                continue
            if self.project.parts.of(symbol.module) is not None:
                continue  # a type for annotations; its values come with the part
            if symbol.kind == "function" and symbol.module == "edgeflow.options" and symbol.name == "public":
                continue
            original, name = variable_name(symbol.name), variable_name(local)
            by_module.setdefault(symbol.module, []).append(original if original == name else f"{original} as {name}")
        return "".join(
            f"export {{ {', '.join(sorted(names))} }} from '{self.relative(self.js_module_path(module))}';\n"
            for module, names in sorted(by_module.items())
        )

    def visit_Import(self, node: ast.Import) -> None:
        if self.function_scope_of() is not self.scope_stack[0]:
            self.error(node, "an import inside a function is not in the subset; write it at the top of the module")

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """At the top of a module: import_lines(). Inside an async function: the module's part is fetched here (parts.py)."""
        scope = self.function_scope_of()
        if scope is self.scope_stack[0]:
            return
        names = []
        for alias in node.names:
            local = alias.asname or alias.name
            scope.fetched.add(local)
            symbol = self.project.resolve(self.module.name, local)
            if symbol is None or symbol.kind == "module":
                self.error(node, f"{node.module} has no {alias.name!r} to import here; import a function, class or constant of it")
                continue
            there, here = variable_name(symbol.name), variable_name(local)
            # Quoted, as the bundler shortens the names of members that are not; this is none, though it may read like one.
            names.append(f"'{there}': {here}")
        if names:
            self.line(f"const {{ {', '.join(names)} }} = await {parts.note(self.js_module_path(symbol.module))};", node)

    # -- functions -------------------------------------------------------------------------------------------------

    @contextmanager
    def function_scope(self, node: ast.AST, info: FunctionInfo | None = None) -> Iterator[Scope]:
        """Enter a function: its parameters and locals get their types, its declarations their places."""
        args = node.args
        everything = args.posonlyargs + args.args + args.kwonlyargs
        names = {a.arg for a in everything}
        scope = Scope({}, set(names))
        scope.params = names
        defaults = dict(zip([a.arg for a in (args.posonlyargs + args.args)[::-1]], args.defaults[::-1]))
        defaults |= {a.arg: d for a, d in zip(args.kwonlyargs, args.kw_defaults) if d is not None}
        for argument in everything:
            kind = self.project.annotation(self.module, argument.annotation)
            default = defaults.get(argument.arg)
            if isinstance(default, ast.Constant) and default.value is None:
                kind = optional(kind)
            scope.env[argument.arg] = kind
        for argument, kind in zip(args.args, self.lambda_types.get(id(node), [])):
            scope.env[argument.arg] = kind
        if info is not None:
            scope.returns = info.returns
            if info.kind in ("method", "property", "setter") and args.args:
                scope.self_name = args.args[0].arg
                scope.env[scope.self_name] = Type("class", name=info.owner)
            elif info.kind == "class" and args.args:
                scope.class_name = args.args[0].arg
                scope.env[scope.class_name] = Type("classobj", name=info.owner)
        self.scope_stack.append(scope)
        if not isinstance(node, ast.Lambda):
            scope.plan = plan(node.body, names)
            self._declare_locals(node, scope)
            self.infer_locals(node)
        yield scope
        self.scope_stack.pop()

    def _declare_locals(self, node: ast.AST, scope: Scope) -> None:
        nodes = self.nodes_of(node)
        inner: set[int] = set()
        for child in nodes:
            if isinstance(child, ast.Nonlocal):
                scope.nonlocals.update(child.names)
            elif isinstance(child, ast.comprehension):
                inner.update(id(name) for name in ast.walk(child.target))
        for child in nodes:
            if id(child) in inner:
                continue
            if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
                scope.locals.add(child.id)
                scope.bound_names.add(child.id)
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                scope.locals.add(child.name)
                scope.nested[child.name] = self.nested_signature(child)
            elif isinstance(child, ast.ExceptHandler) and child.name:
                scope.locals.add(child.name)
        scope.locals -= scope.nonlocals

    @contextmanager
    def comprehension_scope(self, generators: list[ast.comprehension]) -> Iterator[Scope]:
        outer = self.scope
        scope = Scope({}, set())
        scope.is_function = False
        scope.proven = outer.proven
        self.scope_stack.append(scope)
        for generator in generators:
            scope.locals.update(target_names(generator.target))
            self.bind_comprehension(generator)
        yield scope
        self.scope_stack.pop()

    def parameters(self, args: ast.arguments, skip_first: bool = False, public: bool = False) -> str:
        """The JS parameter list; keyword-only parameters come in one options object."""
        positional = args.posonlyargs + args.args
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
        parts = []
        for argument, default in list(zip(positional, defaults))[1 if skip_first else 0:]:
            name = variable_name(argument.arg)
            parts.append(name if default is None else f"{name} = {self.js(default, ASSIGN)}")
        if args.kwonlyargs:
            parts.append("$options = {}" if public else self.options_pattern(args) + " = {}")
        return ", ".join(parts)

    def options_pattern(self, args: ast.arguments) -> str:
        items = []
        for argument, default in zip(args.kwonlyargs, args.kw_defaults):
            option, name = attribute_name(argument.arg), variable_name(argument.arg)
            item = option if option == name else f"{option}: {name}"
            # An option that is left out is undefined: None too, everywhere.
            text = "null" if default is None else self.js(default, ASSIGN)
            items.append(item if text == "null" else f"{item} = {text}")
        return "{ "+ ", ".join(items) + " }"

    def check_options(self, args: ast.arguments, where: str) -> None:
        """At the entry of a public function: no unknown option, then the options themselves."""
        if not args.kwonlyargs:
            return
        known = self.words([attribute_name(a.arg) for a in args.kwonlyargs])
        self.line(f"{self.use('edgeflow.options', 'check_options')}({self.rt('optionNames')}($options), {known}, {quote(where)});")
        self.line(f"let {self.options_pattern(args)} = $options ?? {{}};")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        top = self.function_scope_of() is self.scope_stack[0]
        info = self.module.functions.get(node.name) if top else self.nested_signature(node)
        if info is None or info.node is not node:
            info = self.nested_signature(node)
        name = variable_name(node.name)
        star = "*" if info.is_generator else ""
        prefix = "async " if info.is_async else ""
        public = info.public and bool(node.args.kwonlyargs)
        if top:
            if self.targetFragments:
                self.emit("\n")
            if info.is_generator or sum(len(ast.unparse(statement)) for statement in node.body) > ARROW_UP_TO:
                self._function_text(node, info, f"export {prefix}function{star} {name}", "", attribute_name(node.name))
            else:
                self._function_text(node, info, f"export const {name} = {prefix}", ";", attribute_name(node.name), arrow=True)
            return
        declaration = self.declaration(node, [node.name])
        if info.is_generator:
            self._function_text(node, info, f"{declaration}{name} = {prefix}function*", ".bind(this);" if self.inside_method() else ";", name)
        else:
            self._function_text(node, info, f"{declaration}{name} = {prefix}", ";", name, arrow=True)

    visit_AsyncFunctionDef = visit_FunctionDef

    def inside_method(self) -> bool:
        return any(scope.self_name or scope.class_name for scope in self.scope_stack)

    def _function_text(
        self, node: ast.AST, info: FunctionInfo, head: str, tail: str, where: str, arrow: bool = False, skip_first: bool = False,
    ) -> None:
        public = info.public and bool(node.args.kwonlyargs)
        with self.function_scope(node, info) as scope:
            params = self.parameters(node.args, skip_first, public)
            self.line(f"{head}({params}) {'=> ' if arrow else ''}{{", node)
            self.indent()
            if public:
                self.check_options(node.args, where)
            start = len(self.targetFragments)
            statements = node.body
            if is_super_init(statements[0] if statements else None):  # JS has no `this` before it
                self.visit(statements[0])
                statements = statements[1:]
            declares = bool(statements) and isinstance(statements[0], (ast.Assign, ast.AnnAssign)) and id(statements[0]) in scope.plan.at
            if uses_of(scope.self_name or scope.class_name, statements) >= ALIASED_FROM - declares:
                scope.self_text = "$self"
                self.line("const $self = this;", node)
            self.body(statements)
            if self.needs_final_return(node, info):
                self.line("return null;")
            declared = [variable_name(name) for name in scope.plan.hoisted] + scope.take_temps()
            if declared:
                self.targetFragments.insert(start, f"{self.tabs()}let {', '.join(declared)};\n")
            self.dedent()
            self.line(f"}}{tail}")

    def needs_final_return(self, node: ast.AST, info: FunctionInfo) -> bool:
        """Whether falling off the end must give null rather than undefined."""
        if info.is_generator or not any(isinstance(n, ast.Return) and n.value is not None for n in self.nodes_of(node)):
            return False
        return not ends(node.body)

    def body(self, statements: list[ast.stmt]) -> None:
        """Statements in a row; one that leaves unless a test holds proves the test for those after it."""
        for index, statement in enumerate(statements):
            self.visit(statement)
            facts = self.proven_after(statement)
            if facts:
                rest = statements[index + 1:]
                with self.assuming(facts, rest):
                    self.body(rest)
                return

    def proven_after(self, statement: ast.stmt) -> dict[str, Type]:
        if isinstance(statement, ast.Assert):
            return self.facts(statement.test, True)
        if isinstance(statement, ast.If) and not statement.orelse and ends(statement.body):
            return self.facts(statement.test, False)
        return {}


def uses_of(name: str, statements: list[ast.stmt]) -> int:
    """How often a name is read in some statements and the functions inside them."""
    return sum(isinstance(node, ast.Name) and node.id == name for statement in statements for node in ast.walk(statement))


def ends(body: list[ast.stmt]) -> bool:
    """Whether control never reaches the end of a block."""
    last = body[-1] if body else None
    if isinstance(last, (ast.Return, ast.Raise, ast.Continue, ast.Break)):
        return True
    if isinstance(last, ast.If):
        return bool(last.orelse) and ends(last.body) and ends(last.orelse)
    if isinstance(last, ast.Try):
        if last.finalbody and ends(last.finalbody):
            return True
        return ends(last.orelse or last.body) and all(ends(handler.body) for handler in last.handlers)
    if isinstance(last, (ast.With, ast.AsyncWith)):
        return False
    if isinstance(last, ast.While):
        forever = isinstance(last.test, ast.Constant) and bool(last.test.value)
        return forever and not any(isinstance(n, ast.Break) for n in ast.walk(last))
    return False
