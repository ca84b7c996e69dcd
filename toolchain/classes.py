"""Classes: ES classes, dataclass constructors, exceptions, and the methods that JS itself looks for."""

from __future__ import annotations

import ast

from toolchain.builtins import BUILTIN_EXCEPTIONS
from toolchain.expressions import ASSIGN, quote
from toolchain.lowering import is_empty_protocol
from toolchain.names import attribute_name, variable_name
from toolchain.symbols import ClassInfo, FieldInfo, FunctionInfo

# A method that uses `this` so often keeps it in a variable, which minifies to one letter.
ALIASED_FROM = 4

# How a field takes part: by (in the constructor, keyword-only), then whether it is not or is compared.
_FLAGS = {(True, False): "-.", (True, True): "+*", (False, False): "!~", (False, True): "!~"}

_SKIPPED_METHODS = frozenset(["__hash__", "__class_getitem__", "__del__", "__init_subclass__", "__slots__"])


class Classes:
    """Mixed into the generator."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        info = self.module.classes.get(node.name)
        if info is None or info.node is not node:
            self.error(node, "a class inside a function or class is not in the subset; write it at the top of the module")
            return
        if is_empty_protocol(info):
            return
        self.current_class = info
        if self.targetFragments:
            self.emit("\n")
        base = self.base_text(info)
        self.line(f"export class {variable_name(node.name)}{f' extends {base}' if base else ''} {{", node)
        self.indent()
        start = len(self.targetFragments)
        self.class_constants(info)
        if self.project.is_exception(info) and "name" not in self.all_attributes(info):
            self.line(f"get name() {{ return {quote(info.name)}; }}")
        if "__init__" not in info.methods:
            if info.is_dataclass and info.fields:
                self.record_constructor(info)
            elif info.is_dataclass and "__post_init__" in info.methods:
                self.record_constructor(info)
        if info.is_dataclass:
            if "__init__" in info.methods and self.project.all_fields(info):
                self.error(node, "a dataclass with an __init__ of its own; write a plain class, or __post_init__")
            self.record_fields(info)
        for statement in node.body:
            if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                if len(self.targetFragments) > start:
                    self.emit("\n")
                self.method(info, statement)
        self.protocol_methods(info)
        self.dedent()
        self.line("}")
        self.current_class = None

    def base_text(self, info: ClassInfo) -> str:
        if info.base is None:
            return ""
        if info.base in self.project.classes:
            base = self.project.classes[info.base]
            if is_empty_protocol(base):
                return ""
            node = next(b for b in info.node.bases if "Generic" not in ast.unparse(b) and "Protocol" not in ast.unparse(b))
            return self.js(node.value if isinstance(node, ast.Subscript) else node)
        if info.base == "TypeError":
            return "TypeError"
        if info.base in BUILTIN_EXCEPTIONS:
            return self.rt_name(info.base)
        self.error(info.node, f"the base class {info.base} is unknown; write a class of the project or a built-in exception")
        return ""

    def real_base(self, info: ClassInfo) -> ClassInfo | None:
        base = self.project.classes.get(info.base or "")
        return base if base is not None and not is_empty_protocol(base) else None

    def has_base(self, info: ClassInfo) -> bool:
        return self.real_base(info) is not None or info.base is not None and info.base not in self.project.classes

    def all_attributes(self, info: ClassInfo) -> set[str]:
        return {name for ancestor in self.project.lineage(info) for name in (*ancestor.attributes, *ancestor.properties)}

    def class_constants(self, info: ClassInfo) -> None:
        for name, value in info.constants.items():
            if name.startswith("__"):
                continue
            js_name = self.member_of(info, name)
            self.line(f"static {js_name} = {self.js(value, ASSIGN)};", value)
            if name in self.project.instance_constants:
                constant = f"{variable_name(info.name)}.{js_name}"
                # The fields of a dataclass are its first own properties, see $record() of the runtime.
                self.line(f"get {js_name}() {{ return {constant}; }}" if info.is_dataclass else f"{js_name} = {constant};", value)

    # -- dataclasses -----------------------------------------------------------------------------------------------

    def record_constructor(self, info: ClassInfo) -> None:
        """The constructor of a dataclass: inherited fields go on to the base, which knows their defaults."""
        base = self.real_base(info)
        fields = self.project.all_fields(info)
        own = [f for f in fields if f.module == info.module and f in info.fields]
        given = [f for f in fields if f.init]
        positional = [f for f in given if not f.keyword_only]
        keyword_only = [f for f in given if f.keyword_only]
        parts = [self.field_param(f, f in own) for f in positional]
        public = info.public and bool(keyword_only)
        if keyword_only:
            pattern = "{ " + ", ".join(self.field_param(f, f in own, True) for f in keyword_only) + " }"
            parts.append("$options = {}" if public else pattern + " = {}")
        self.line(f"constructor({', '.join(parts)}) {{", info.node)
        self.indent()
        if self.has_base(info):
            self.line(f"super({self.base_arguments(info, base, positional)});", info.node)
        if public:
            known = self.words([attribute_name(f.name) for f in keyword_only])
            self.line(f"{self.use('edgeflow.options', 'check_options')}({self.rt('optionNames')}($options), {known}, {quote(info.name)});")
            self.line(f"const {pattern} = $options ?? {{}};")
        this = "this"
        if len(own) >= ALIASED_FROM:
            this = "$self"
            self.line("const $self = this;", info.node)
        for item in own:
            if item.init:
                self.line(f"{this}.{self.member_of(info, item.name)} = {variable_name(item.name)};", item.annotation)
            else:  # without a default, null keeps its place in the order of the fields
                default = item.default or item.factory
                self.line(f"{this}.{self.member_of(info, item.name)} = {'null' if default is None else self.js(default, ASSIGN)};", item.annotation)
        if any("__post_init__" in ancestor.methods for ancestor in self.project.lineage(info)):
            subclassed = info.qualified in self.project.subclassed
            guard = f"if (new.target === {variable_name(info.name)}) " if subclassed else ""
            self.line(f"{guard}this.__post_init__();", info.node)
        self.dedent()
        self.line("}")

    def base_arguments(self, info: ClassInfo, base: ClassInfo | None, positional: list[FieldInfo]) -> str:
        if base is None:
            return ", ".join(variable_name(f.name) for f in positional)
        params = self.project.constructor(base) or []
        names = [variable_name(p.name) for p in params if not p.keyword_only]
        options = [attribute_name(p.name) for p in params if p.keyword_only]
        return ", ".join(names + ([f"{{ {', '.join(options)} }}"] if options else []))

    def field_param(self, item: FieldInfo, own: bool, option: bool = False) -> str:
        name = variable_name(item.name)
        if option and attribute_name(item.name) != name:
            name = f"{attribute_name(item.name)}: {name}"
        default = item.default or item.factory
        return f"{name} = {self.js(default, ASSIGN)}" if own and default is not None else name

    def record_fields(self, info: ClassInfo) -> None:
        """What the runtime's $record() reads, for equality, repr and replace()."""
        fields = self.project.all_fields(info)
        seen = self.is_test or self.project.public is None or info.name in self.project.public
        parts = [info.name if seen else ""]
        parts.append("".join(_FLAGS[item.init, item.keyword_only][item.compare and info.eq] for item in fields))
        if parts[0]:
            parts += [item.name for item in fields]
        elif info.eq and set(parts[1]) == {"."} and self.all_attributes(info) == {item.name for item in fields}:
            parts[1] = ""  # all of the object's own properties, and each in the usual way
        text = " ".join(parts).rstrip()
        text = text if info.eq else "-" + text
        self.line(f"static $record = {quote(text)};" if text else "static $record;")

    # -- methods ---------------------------------------------------------------------------------------------------

    def method(self, info: ClassInfo, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.name in _SKIPPED_METHODS:
            return
        method = info.methods.get(node.name)
        if method is None or method.node is not node:
            names = [ast.unparse(d) for d in node.decorator_list]
            kind = "setter" if any(n.endswith(".setter") for n in names) else "property"
            method = self.project.signature(self.module, node, info.qualified, kind)
        if node.name == "__init__":
            self.constructor(info, node, method)
            return
        word = {"static": "static ", "class": "static ", "property": "get ", "setter": "set "}.get(method.kind, "")
        prefix = word + ("async " if method.is_async else "") + ("*" if method.is_generator else "")
        skip = method.kind in ("method", "class", "property", "setter")
        self._function_text(
            node, method, f"{prefix}{self.member_of(info, node.name)}", "", f"{info.name}.{attribute_name(node.name)}", skip_first=skip
        )

    def constructor(self, info: ClassInfo, node: ast.FunctionDef, method: FunctionInfo) -> None:
        method.public = method.public or info.public
        if self.has_base(info) and not is_super_init(node.body[0] if node.body else None):
            self.error(node, "super().__init__(...) must be the first statement of __init__; write it there")
        self._function_text(node, method, "constructor", "", info.name, skip_first=True)

    def protocol_methods(self, info: ClassInfo) -> None:
        """What JS looks for on objects: iteration, text, disposal."""
        methods = info.methods
        if "__iter__" in methods:
            self.line(f"\n[Symbol.iterator]() {{ return {self.rt('iter')}(this.__iter__())[Symbol.iterator](); }}" if "__next__" not in methods
                      else "\n[Symbol.iterator]() { return this; }")
        if "__next__" in methods:
            stop = self.rt_name("StopIteration")
            self.line(
                f"\nnext() {{\n  try {{\n    return {{ value: this.__next__(), done: false }};\n  }} catch (error) {{\n"
                f"    if (error instanceof {stop}) return {{ value: undefined, done: true }};\n    throw error;\n  }}\n}}"
            )
        if "__aiter__" in methods:
            self.line("\n[Symbol.asyncIterator]() { return this; }" if "__anext__" in methods else "\n[Symbol.asyncIterator]() { return this.__aiter__()[Symbol.asyncIterator](); }")
        if "__anext__" in methods:
            stop = self.rt_name("StopAsyncIteration")
            self.line(
                f"\nasync next() {{\n  try {{\n    return {{ value: await this.__anext__(), done: false }};\n  }} catch (error) {{\n"
                f"    if (error instanceof {stop}) return {{ value: undefined, done: true }};\n    throw error;\n  }}\n}}"
            )
            if "aclose" in methods:
                self.line("\nasync return(value) {\n  await this.aclose();\n  return { value, done: true };\n}")
        if "__str__" in methods or "__repr__" in methods:
            if "__str__" in methods:
                self.line("\ntoString() { return this.__str__(); }")
        if "dispose" in methods and not methods["dispose"].is_async:
            self.line(f"\n[{self.rt('disposeKey')}]() {{ this.{self.member_of(info, 'dispose')}(); }}")
        elif "__exit__" in methods:
            self.line(f"\n[{self.rt('disposeKey')}]() {{ this.__exit__(null, null, null); }}")
        if "dispose" in methods and methods["dispose"].is_async:
            self.line(f"\nasync [{self.rt('asyncDisposeKey')}]() {{ await this.{self.member_of(info, 'dispose')}(); }}")
        elif "__aexit__" in methods:
            self.line(f"\nasync [{self.rt('asyncDisposeKey')}]() {{ await this.__aexit__(null, null, null); }}")


def is_super_init(node: ast.stmt | None) -> bool:
    """Whether a statement is super().__init__(...)."""
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == "__init__" and isinstance(node.value.func.value, ast.Call)
        and isinstance(node.value.func.value.func, ast.Name) and node.value.func.value.func.id == "super"
    )
