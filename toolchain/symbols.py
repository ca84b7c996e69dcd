"""The whole-program symbol table: modules, imports, functions with their signatures, classes with their fields.

One file because it is one table: its records, how a module fills them, and how a name is looked up in them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.parts import Parts
from toolchain.pytypes import ANY, Type, from_annotation, join, UNKNOWN

_ALIAS_HEADS = frozenset(
    """Union Optional Literal Callable Awaitable Annotated list dict tuple set frozenset Sequence Mapping Iterable Iterator
    AsyncIterator AsyncIterable Coroutine""".split()
)
_BUILTIN_TYPE_NAMES = frozenset("int float str bool bytes bytearray memoryview list dict tuple set frozenset object".split())


@dataclass
class Param:
    """One parameter of a signature."""

    name: str
    annotation: ast.expr | None
    default: ast.expr | None
    keyword_only: bool = False
    none_is_empty: bool = False  # its default is None, for which the body writes {}


@dataclass
class FunctionInfo:
    """A function or method: what a call needs to know."""

    name: str
    module: str
    node: ast.FunctionDef | ast.AsyncFunctionDef | None
    params: list[Param]
    owner: str = ""
    kind: str = "function"  # function method static class property setter
    is_async: bool = False
    is_generator: bool = False
    public: bool = False
    returns: Type = ANY

    @property
    def positional(self) -> list[Param]:
        return [param for param in self.params if not param.keyword_only]

    @property
    def keyword_only(self) -> list[Param]:
        return [param for param in self.params if param.keyword_only]


@dataclass
class FieldInfo:
    """One dataclass field."""

    name: str
    annotation: ast.expr
    default: ast.expr | None = None
    factory: ast.expr | None = None
    init: bool = True
    compare: bool = True
    keyword_only: bool = False
    module: str = ""


@dataclass
class ClassInfo:
    """A class: bases by qualified name, members by name."""

    name: str
    module: str
    node: ast.ClassDef
    base: str | None = None          # qualified name, or a builtin exception's name
    is_dataclass: bool = False
    eq: bool = True
    public: bool = False
    protocol: bool = False
    fields: list[FieldInfo] = field(default_factory=list)
    methods: dict[str, FunctionInfo] = field(default_factory=dict)
    properties: set[str] = field(default_factory=set)
    constants: dict[str, ast.expr] = field(default_factory=dict)
    attributes: dict[str, Type] = field(default_factory=dict)

    @property
    def qualified(self) -> str:
        return f"{self.module}:{self.name}"


@dataclass
class Module:
    """One source file."""

    name: str
    path: Path
    source_name: str
    source: str
    tree: ast.Module
    is_package: bool = False
    functions: dict[str, FunctionInfo] = field(default_factory=dict)
    classes: dict[str, ClassInfo] = field(default_factory=dict)
    constants: dict[str, Type] = field(default_factory=dict)
    aliases: dict[str, ast.expr] = field(default_factory=dict)
    imports: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    raw_names: set[str] = field(default_factory=set)
    type_variables: set[str] = field(default_factory=set)
    scalars: dict[str, ast.expr] = field(default_factory=dict)  # UPPER_CASE names of literals, bound once


@dataclass(frozen=True)
class Symbol:
    """What a name stands for: kind is function, class, constant, module, alias, raw or external."""

    kind: str
    module: str
    name: str
    info: object = None


def decorator_names(node: ast.AST) -> list[str]:
    """Decorators as dotted text, calls without their arguments."""
    return [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in node.decorator_list]


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function body, without those of functions and classes inside it."""
    stack = list(ast.iter_child_nodes(function))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            stack.extend(ast.iter_child_nodes(node))


def is_type_checking(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


class Project:
    """All modules that are compiled together."""

    def __init__(self, alias: dict[str, str] | None = None) -> None:
        self.modules: dict[str, Module] = {}
        self.alias = alias or {}
        self.classes: dict[str, ClassInfo] = {}
        self.methods: dict[str, list[FunctionInfo]] = {}
        self.attributes: dict[str, Type] = {}
        self.plain_attributes: set[str] = set()
        self.subclassed: set[str] = set()
        self.instance_constants: set[str] = set()
        self.public: set[str] | None = None  # the words of the declarations that users see, where there are any
        self.parts: Parts = Parts({})  # which modules are fetched when they are needed
        self.private: set[str] = set()  # classes whose members only code with known types reads, see members.py

    def add(self, name: str, path: Path, source_name: str, source: str, tree: ast.Module) -> Module:
        module = Module(name, path, source_name, source, tree, path.name == "__init__.py")
        self.modules[name] = module
        return module

    def target(self, module_name: str) -> str:
        return self.alias.get(module_name, module_name)

    def link(self) -> None:
        """Fill the tables, once every module was added."""
        for module in self.modules.values():
            self._collect_imports(module)
        for module in self.modules.values():
            self._collect_classes(module)
        for module in self.modules.values():
            self._collect_rest(module)
        for info in self.classes.values():
            self._collect_members(info)
        for module in list(self.modules.values()) * 2:
            for node in module.tree.body:
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    name = node.targets[0].id
                    if name in module.constants and module.constants[name].kind == "unknown":
                        module.constants[name] = self._value_type(module, node.value)
        self._index_attributes()

    # -- reading ---------------------------------------------------------------------------------------------------

    def _collect_imports(self, module: Module) -> None:
        # TYPE_CHECKING imports count here (annotations need them); the generator drops those that no code uses.
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    local = alias.asname or alias.name.split(".")[0]
                    module.imports[local] = (alias.name if alias.asname else local, None)
            elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func).split(".")[-1] == "TypeVar":
                module.type_variables.update(target.id for target in node.targets if isinstance(target, ast.Name))
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    submodule = f"{node.module}.{alias.name}"
                    if self.target(submodule) in self.modules or submodule in self.alias:
                        module.imports[alias.asname or alias.name] = (submodule, None)
                    else:
                        module.imports[alias.asname or alias.name] = (node.module, alias.name)

    def _collect_classes(self, module: Module) -> None:
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef):
                info = ClassInfo(node.name, module.name, node)
                module.classes[node.name] = info
                self.classes[info.qualified] = info
            elif is_alias(node):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                module.aliases[target.id] = node.value

    def _collect_rest(self, module: Module) -> None:
        for node in module.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                module.functions[node.name] = self.signature(module, node, "", "function")
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                module.constants[node.target.id] = self.annotation(module, node.annotation)
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    for name in target.elts if isinstance(target, ast.Tuple) else [target]:
                        if isinstance(name, ast.Name):
                            module.constants.setdefault(name.id, literal_type(node.value))
                self._note_scalar(module, node)
            elif is_pragma(node):
                module.raw_names.update(raw_exports(node))

    def _note_scalar(self, module: Module, node: ast.Assign) -> None:
        target, value = node.targets[0], node.value
        literal = value.operand if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub) else value
        if not isinstance(target, ast.Name) or not target.id.isupper():
            return
        bound = [n for n in ast.walk(module.tree) if isinstance(n, ast.Name) and n.id == target.id and isinstance(n.ctx, ast.Store)]
        if len(bound) == 1 and isinstance(literal, ast.Constant) and isinstance(literal.value, (int, float, str)):
            module.scalars[target.id] = value

    def signature(self, module: Module, node: ast.AST, owner: str, kind: str) -> FunctionInfo:
        """What a call of this function needs to know."""
        args = node.args
        positional = args.posonlyargs + args.args
        defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
        params = [Param(a.arg, a.annotation, d) for a, d in zip(positional, defaults)]
        params += [Param(a.arg, a.annotation, d, True) for a, d in zip(args.kwonlyargs, args.kw_defaults)]
        for param in params:
            if isinstance(param.default, ast.Constant) and param.default.value is None:
                param.none_is_empty = _none_is_empty(node, param.name)
        if owner and kind in ("method", "class", "property", "setter"):
            params = params[1:]
        is_generator = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in own_nodes(node))
        returns = self.annotation(module, node.returns)
        is_async = isinstance(node, ast.AsyncFunctionDef)
        if is_async and not is_generator:
            returns = Type("awaitable", (returns,))
        return FunctionInfo(
            node.name, module.name, node, params, owner, kind, is_async, is_generator,
            "public" in [name.split(".")[-1] for name in decorator_names(node)], returns,
        )

    def _collect_members(self, info: ClassInfo) -> None:
        module = self.modules[info.module]
        for base in info.node.bases:
            text = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            if text.split(".")[-1] == "Protocol":
                info.protocol = True
            elif text.split(".")[-1] not in ("Generic", "ABC", "object"):
                symbol = self.resolve(info.module, text)
                info.base = f"{symbol.module}:{symbol.name}" if symbol and symbol.kind == "class" else text
        names = decorator_names(info.node)
        info.is_dataclass = any(name.split(".")[-1] == "dataclass" for name in names)
        info.public = any(name.split(".")[-1] == "public" for name in names)
        options = _dataclass_options(info.node)
        info.eq = options.get("eq", True)
        for node in info.node.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._collect_method(module, info, node)
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                is_class_var = "ClassVar" in ast.unparse(node.annotation)
                info.attributes[node.target.id] = self.annotation(module, node.annotation)
                if info.is_dataclass and not is_class_var:
                    info.fields.append(_field(node, options.get("kw_only", False), info.module))
                elif node.value is not None:
                    info.constants[node.target.id] = node.value
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        info.constants[target.id] = node.value
                        info.attributes.setdefault(target.id, literal_type(node.value))

    def _collect_method(self, module: Module, info: ClassInfo, node: ast.AST) -> None:
        names = decorator_names(node)
        kind = "method"
        if "staticmethod" in names:
            kind = "static"
        elif "classmethod" in names:
            kind = "class"
        elif "property" in names or "cached_property" in names:
            kind = "property"
        elif any(name.endswith(".setter") for name in names):
            kind = "setter"
        method = self.signature(module, node, info.qualified, kind)
        if kind in ("property", "setter"):
            info.properties.add(node.name)
            if kind == "property":
                info.attributes[node.name] = method.returns
            return
        if "overload" not in names:
            info.methods[node.name] = method
        if kind != "method" or not node.args.args:
            return
        self_name = node.args.args[0].arg
        params = {param.name: self.annotation(module, param.annotation) for param in method.params}
        for statement in own_nodes(node):
            target = value = None
            if isinstance(statement, ast.AnnAssign):
                target, kind_of = statement.target, self.annotation(module, statement.annotation)
            elif isinstance(statement, ast.Assign) and len(statement.targets) == 1:
                target, value = statement.targets[0], statement.value
                kind_of = params.get(value.id, UNKNOWN) if isinstance(value, ast.Name) else self._value_type(module, value)
            if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == self_name:
                if isinstance(statement, ast.AnnAssign):
                    info.attributes[target.attr] = kind_of
                elif node.name == "__init__" or target.attr not in info.attributes:
                    known = info.attributes.get(target.attr)
                    declared = known is not None and not known.kind == "unknown" and node.name == "__init__" and known == kind_of
                    if known is None or not declared:
                        info.attributes.setdefault(target.attr, kind_of)

    def _value_type(self, module: Module, value: ast.expr) -> Type:
        """The type of a value assigned to an attribute or constant, where it shows without inference."""
        if isinstance(value, (ast.ListComp, ast.DictComp, ast.SetComp)):
            return Type({"ListComp": "list", "DictComp": "dict", "SetComp": "set"}[type(value).__name__])
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            sides = self._value_type(module, value.left), self._value_type(module, value.right)
            return join(*sides) if sides[0].kind == sides[1].kind else UNKNOWN
        if isinstance(value, ast.Name):
            symbol = self.resolve(module.name, value.id)
            return symbol.info if symbol is not None and symbol.kind == "constant" else UNKNOWN
        if isinstance(value, ast.Call) and isinstance(value.func, (ast.Name, ast.Attribute)):
            symbol = self.resolve(module.name, ast.unparse(value.func))
            if symbol and symbol.kind == "class":
                return Type("class", name=f"{symbol.module}:{symbol.name}")
            if symbol and symbol.kind == "function":
                return symbol.info.returns
        return literal_type(value)

    def _index_attributes(self) -> None:
        for info in self.classes.values():
            if info.base in self.classes:
                self.subclassed.add(info.base)
            for name, method in info.methods.items():
                self.methods.setdefault(name, []).append(method)
            for name in list(info.attributes) + [f.name for f in info.fields]:
                self.plain_attributes.add(name)
            for name, kind in info.attributes.items():
                known = self.attributes.get(name, UNKNOWN)
                self.attributes[name] = kind if known.kind == "unknown" or known == kind else ANY
        for module in self.modules.values():
            for node in ast.walk(module.tree):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    base = self.resolve(module.name, ast.unparse(node.value)) if isinstance(node.value, ast.Name) else None
                    if base is None or base.kind != "class":
                        self.instance_constants.add(node.attr)

    # -- asking ----------------------------------------------------------------------------------------------------

    def annotation(self, module: Module, node: ast.expr | None) -> Type:
        return from_annotation(node, lambda name: self._named_type(module, name))

    def _named_type(self, module: Module, name: str) -> Type | None:
        symbol = self.resolve(module.name, name)
        if symbol is None:
            return None
        if symbol.kind == "class":
            if symbol.name == "Bytes":
                return Type("bytes")
            if symbol.name == "NumericArray":
                return Type("array")
            return Type("class", name=f"{symbol.module}:{symbol.name}")
        if symbol.kind == "alias":
            owner = self.modules[symbol.module]
            node = owner.aliases[symbol.name]
            if isinstance(node, ast.Name) and node.id == symbol.name:
                return None
            return self.annotation(owner, node)
        return None

    def is_type_variable(self, module_name: str, name: str) -> bool:
        """Whether a name is a TypeVar of a module."""
        module = self.modules.get(self.target(module_name))
        return module is not None and name in module.type_variables

    def resolve(self, module_name: str, dotted: str) -> Symbol | None:
        """What a (dotted) name means at the top of a module, following imports and re-exports."""
        module = self.modules.get(self.target(module_name))
        if module is None:
            return Symbol("external", module_name, dotted)
        head, _, rest = dotted.partition(".")
        symbol = self._resolve_simple(module, head)
        while rest and symbol is not None and symbol.kind == "module":
            head, _, rest = rest.partition(".")
            submodule = f"{symbol.module}.{head}"
            if submodule in self.modules or submodule in self.alias:
                symbol = Symbol("module", self.target(submodule), head)
            else:
                symbol = self.resolve(symbol.module, head)
        return None if rest else symbol

    def _resolve_simple(self, module: Module, name: str) -> Symbol | None:
        if name in module.classes:
            return Symbol("class", module.name, name, module.classes[name])
        if name in module.functions:
            return Symbol("function", module.name, name, module.functions[name])
        if name in module.aliases:
            return Symbol("alias", module.name, name)
        if name in module.constants:
            return Symbol("constant", module.name, name, module.constants[name])
        if name in module.raw_names:
            return Symbol("raw", module.name, name)
        if name in module.imports:
            source, imported = module.imports[name]
            if imported is None:
                return Symbol("module", self.target(source), name)
            if self.target(source) not in self.modules:
                return Symbol("external", source, imported)
            found = self.resolve(source, imported)
            return found
        return None

    def lineage(self, info: ClassInfo) -> list[ClassInfo]:
        """The class and its project bases, nearest first."""
        result = [info]
        while result[-1].base in self.classes:
            result.append(self.classes[result[-1].base])
        return result

    def find_method(self, qualified: str, name: str) -> FunctionInfo | None:
        info = self.classes.get(qualified)
        for ancestor in self.lineage(info) if info else []:
            if name in ancestor.methods:
                return ancestor.methods[name]
        return None

    def attribute_type(self, qualified: str, name: str) -> Type | None:
        info = self.classes.get(qualified)
        for ancestor in self.lineage(info) if info else []:
            if name in ancestor.attributes:
                return ancestor.attributes[name]
        return None

    def all_fields(self, info: ClassInfo) -> list[FieldInfo]:
        """Dataclass fields with the inherited ones first, as the constructor takes them."""
        fields: dict[str, FieldInfo] = {}
        for ancestor in reversed(self.lineage(info)):
            for item in ancestor.fields:
                fields[item.name] = item
        return list(fields.values())

    def constructor(self, info: ClassInfo) -> list[Param] | None:
        """The parameters of `Class(...)`, or None when only a base outside the project knows."""
        for ancestor in self.lineage(info):
            if "__init__" in ancestor.methods:
                return ancestor.methods["__init__"].params
            if ancestor.is_dataclass:
                return [
                    Param(f.name, f.annotation, f.default or f.factory, f.keyword_only)
                    for f in self.all_fields(ancestor) if f.init
                ]
        return [] if self.lineage(info)[-1].base is None else None

    def is_exception(self, info: ClassInfo) -> bool:
        root = self.lineage(info)[-1].base
        return root is not None and (root.endswith("Error") or root.endswith("Exception") or root == "StopIteration")


def _none_is_empty(function: ast.AST, name: str) -> bool:
    """Whether a function uses a parameter only in `name if name is not None else {}`."""
    uses = sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(function))
    text = f"{name} if {name} is not None else {{}}"
    return uses == 2 and any(isinstance(node, ast.IfExp) and ast.unparse(node) == text for node in ast.walk(function))


def is_alias(node: ast.stmt) -> bool:
    """Whether a module-level statement names a type rather than a value."""
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation).split(".")[-1] == "TypeAlias"
    if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
        return False
    return _is_type_expression(node.value)


def _is_type_expression(value: ast.expr) -> bool:
    if isinstance(value, ast.Name):
        return value.id in _BUILTIN_TYPE_NAMES
    if isinstance(value, ast.Subscript):
        return ast.unparse(value.value).split(".")[-1] in _ALIAS_HEADS
    if isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
        return any(
            isinstance(side, ast.Constant) and side.value is None or isinstance(side, ast.Subscript) or _is_type_expression(side)
            for side in (value.left, value.right)
        )
    if isinstance(value, ast.Call):
        return ast.unparse(value.func).split(".")[-1] in ("TypeVar", "NewType", "ParamSpec")
    return False


def literal_type(value: ast.expr) -> Type:
    """The type of a literal; unknown for anything else."""
    if isinstance(value, ast.Constant):
        return {str: Type("str"), bool: Type("bool"), int: Type("int"), float: Type("float"), bytes: Type("bytes"),
                type(None): Type("none")}.get(type(value.value), UNKNOWN)
    if isinstance(value, ast.List):
        return _container("list", [value.elts])
    if isinstance(value, ast.Tuple):
        return Type("tuple", tuple(_known(literal_type(item)) for item in value.elts))
    if isinstance(value, ast.Set):
        return _container("set", [value.elts])
    if isinstance(value, ast.Dict):
        return _container("dict", [value.keys, value.values])
    if isinstance(value, ast.JoinedStr):
        return Type("str")
    if isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.USub):
        return literal_type(value.operand)
    return UNKNOWN


def _known(kind: Type) -> Type:
    return ANY if kind.kind in ("unknown", "none") else kind


def _container(kind: str, columns: list[list[ast.expr | None]]) -> Type:
    if not columns[0]:
        return Type(kind)
    result = []
    for column in columns:
        joined = UNKNOWN
        for item in column:
            item_type = literal_type(item) if item is not None else ANY
            joined = join(joined, ANY if item_type.kind == "unknown" else item_type)
        result.append(_known(joined))
    return Type(kind, tuple(result))


def is_pragma(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name) and node.value.func.id == "__pragma__"
    )


def pragma_text(node: ast.Expr) -> str:
    """The raw JS of a __pragma__('js', '...') statement."""
    args = node.value.args
    if len(args) > 1 and isinstance(args[1], ast.Constant) and isinstance(args[1].value, str):
        return args[1].value
    return ""


def raw_exports(node: ast.Expr) -> list[str]:
    """Names that raw JS gives to Python, from its `// exports: a, b` lines."""
    names: list[str] = []
    for line in pragma_text(node).splitlines():
        text = line.strip()
        if text.startswith("// exports:"):
            names += [name.strip() for name in text.removeprefix("// exports:").split(",") if name.strip()]
    return names


def _dataclass_options(node: ast.ClassDef) -> dict[str, bool]:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call):
            return {k.arg: k.value.value for k in decorator.keywords if k.arg and isinstance(k.value, ast.Constant)}
    return {}


def _field(node: ast.AnnAssign, keyword_only: bool, module: str) -> FieldInfo:
    result = FieldInfo(node.target.id, node.annotation, keyword_only=keyword_only, module=module)
    value = node.value
    if isinstance(value, ast.Call) and ast.unparse(value.func) in ("field", "dataclasses.field"):
        for keyword in value.keywords:
            constant = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
            if keyword.arg == "default":
                result.default = keyword.value
            elif keyword.arg == "default_factory":
                result.factory = factory_value(keyword.value)
            elif keyword.arg in ("init", "compare", "kw_only"):
                setattr(result, "keyword_only" if keyword.arg == "kw_only" else keyword.arg, constant)
    else:
        result.default = value
    return result


def factory_value(factory: ast.expr) -> ast.expr:
    """The expression that a default_factory evaluates for each new record."""
    if isinstance(factory, ast.Lambda):
        return factory.body
    return ast.copy_location(ast.Call(factory, [], []), factory)
