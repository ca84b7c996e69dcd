"""Calls: keyword arguments, constructors, built-in functions and the methods of built-in types."""

from __future__ import annotations

import ast
from collections.abc import Callable

from toolchain.expressions import ASSIGN, COALESCE, PRIMARY, Js, options_object
from toolchain.names import attribute_name
from toolchain.pytypes import Type, element_type
from toolchain.symbols import FunctionInfo, Param

# Methods with a native spelling for a proven receiver: kind -> method -> template ({o} receiver, {0} {1} arguments).
_NATIVE = {
    "list": {
        ("append", 1): "{o}.push({0})", ("reverse", 0): "{o}.reverse()", ("copy", 0): "{o}.slice()",
    },
    "dict": {
        ("clear", 0): "{o}.clear()", ("copy", 0): "new Map({o})",
    },
    "set": {
        ("add", 1): "{o}.add({0})", ("discard", 1): "{o}.delete({0})", ("clear", 0): "{o}.clear()",
        ("copy", 0): "new Set({o})",
    },
    "str": {
        ("lower", 0): "{o}.toLowerCase()", ("upper", 0): "{o}.toUpperCase()",
        ("find", 1): "{o}.indexOf({0})", ("find", 2): "{o}.indexOf({0}, {1})", ("rfind", 1): "{o}.lastIndexOf({0})",
    },
    "bytes": {("tobytes", 0): "{o}.slice()"},
}
# Methods with a helper for one type only.
_TYPED = {
    ("list", "index"): "listIndex", ("list", "remove"): "listRemove", ("dict", "update"): "dictUpdate", ("set", "update"): "setUpdate",
}
_UNARY_STR = {("startswith", 1): "{o}.startsWith({0})", ("endswith", 1): "{o}.endsWith({0})", ("split", 1): "{o}.split({0})"}

# Methods of built-in types that the runtime dispatches by name, with parameter names for keywords.
METHOD_HELPERS: dict[str, list[str]] = {
    "append": ["x"], "extend": ["x"], "insert": ["i", "x"], "pop": ["k", "default"], "index": ["x", "start", "stop"],
    "remove": ["x"], "sort": [], "reverse": [], "clear": [], "copy": [], "count": ["x"], "get": ["k", "default"],
    "items": [], "keys": [], "values": [], "setdefault": ["k", "default"], "update": ["x"], "popitem": [],
    "add": ["x"], "discard": ["x"], "union": ["x"], "intersection": ["x"], "difference": ["x"],
    "symmetric_difference": ["x"], "issubset": ["x"], "issuperset": ["x"], "isdisjoint": ["x"],
    "join": ["x"], "split": ["sep", "maxsplit"], "rsplit": ["sep", "maxsplit"], "strip": ["c"], "lstrip": ["c"],
    "rstrip": ["c"], "startswith": ["p", "start"], "endswith": ["p"], "lower": [], "upper": [], "casefold": [],
    "replace": ["a", "b", "count"], "find": ["x", "start", "stop"], "rfind": ["x", "start", "stop"], "rindex": ["x"],
    "isdigit": [], "isdecimal": [], "isnumeric": [], "isalpha": [], "isalnum": [], "isspace": [], "isupper": [],
    "islower": [], "isascii": [], "encode": ["encoding"], "decode": ["encoding", "errors"], "zfill": ["n"],
    "ljust": ["n", "c"], "rjust": ["n", "c"], "center": ["n", "c"], "partition": ["s"], "rpartition": ["s"],
    "splitlines": ["keepends"], "title": [], "capitalize": [], "removeprefix": ["p"], "removesuffix": ["p"],
    "tobytes": [], "hex": [], "bit_length": [], "is_integer": [], "to_bytes": ["n", "order"], "aclose": [], "close": [],
}
_MAY_BE_USER_ONLY = frozenset(["close", "aclose", "copy", "add", "get", "clear", "update", "remove", "pop", "index", "count"])


class Calls:
    """Mixed into the generator."""

    def x_Call(self, node: ast.Call) -> Js:
        text, precedence = self.call(node)
        return self.mark(node) + text, precedence

    def call(self, node: ast.Call) -> Js:
        function = node.func
        symbol = self.dotted_symbol(function)
        self.type_lambdas(node, symbol)
        if symbol is not None and symbol.kind == "external" and symbol.module in ("typing", "dataclasses"):
            return self.library_call(symbol.name, node)
        if symbol is not None and symbol.kind in ("class", "function", "raw", "constant", "external"):
            callee = self.js(function, PRIMARY)
            if symbol.kind == "class":
                arguments = self.arguments(node, self.project.constructor(symbol.info), f"{symbol.name}()")
                return f"new {callee}({arguments})", PRIMARY
            if symbol.kind == "function":
                return f"{callee}({self.arguments(node, symbol.info.params, symbol.info.name + '()')})", PRIMARY
            kind = symbol.info if symbol.kind == "constant" else None
            if symbol.kind == "external" and node.keywords:
                options = [(attribute_name(k.arg), self.js(k.value, ASSIGN)) for k in node.keywords if k.arg]
                return f"{callee}({', '.join([*self.items(node.args), options_object(options)])})", PRIMARY
            if kind is not None and kind.kind == "class":
                return f"{callee}.__call__({self.arguments(node, None, callee)})", PRIMARY
            return f"{callee}({self.arguments(node, None, callee)})", PRIMARY
        if isinstance(function, ast.Name):
            if self.is_builtin(function.id):
                return self.builtin_call(function.id, node)
            nested = self.nested_function(function.id)
            if function.id == self.class_name_in_scope():
                info = self.current_class
                created = "this" if info.qualified in self.project.subclassed else info.name
                return f"new {created}({self.arguments(node, self.project.constructor(info), info.name + '()')})", PRIMARY
            kind = self.type_of(function)
            if kind.kind == "class" and self.project.find_method(kind.name, "__call__"):
                return f"{self.js(function)}.__call__({self.arguments(node, self.project.find_method(kind.name, '__call__').params, function.id)})", PRIMARY
            return f"{self.js(function)}({self.arguments(node, nested.params if nested else None, function.id + '()')})", PRIMARY
        if isinstance(function, ast.Attribute):
            return self.method_call(function, node)
        return f"{self.js(function, PRIMARY)}({self.arguments(node, None, 'this call')})", PRIMARY

    # -- arguments -------------------------------------------------------------------------------------------------

    def arguments(self, node: ast.Call, params: list[Param] | None, where: str) -> str:
        """The JS arguments of a call, keywords put in place by the signature."""
        written = node.args
        if not node.keywords and params is not None and written and len(written) == len(params) and params[-1].none_is_empty \
                and isinstance(written[-1], ast.Dict) and not written[-1].keys:
            written = written[:-1]
        positional = [*self.items(written)]
        if not node.keywords:
            if params is not None and not any(isinstance(a, ast.Starred) for a in node.args):
                self.check_count(node, params, len(positional), where)
            return ", ".join(positional)
        if params is None:
            self.error(node, f"{where} has no known signature for its keyword arguments; write positional arguments")
            return ", ".join(positional)
        places = [param.name for param in params if not param.keyword_only]
        keyword_only = {param.name for param in params if param.keyword_only}
        by_place: dict[int, str] = {}
        options: list[tuple[str, str]] = []
        for keyword in node.keywords:
            if keyword.arg is None:
                self.error(node, "**mapping in a call is not in the subset; write the keyword arguments out")
                continue
            value = self.js(keyword.value, ASSIGN)
            if keyword.arg in keyword_only:
                options.append((attribute_name(keyword.arg), value))
            elif keyword.arg in places:
                by_place[places.index(keyword.arg)] = value
            else:
                known = ", ".join(p.name for p in params) or "none"
                self.error(node, f"{where} has no parameter {keyword.arg!r} (it has: {known}); write one of these")
        last = max(by_place, default=-1)
        for index in range(len(positional), last + 1):
            positional.append(by_place.get(index, "undefined"))
        if options:
            while len(positional) < len(places):
                positional.append("undefined")
            positional.append(options_object(options))
        given = {keyword.arg for keyword in node.keywords}
        missing = [
            p.name for i, p in enumerate(params)
            if p.default is None and p.name not in given and (p.keyword_only or i >= len(node.args))
        ]
        if missing and not any(isinstance(a, ast.Starred) for a in node.args):
            self.error(node, f"{where} is missing the argument {missing[0]!r}; write it")
        return ", ".join(positional)

    def check_count(self, node: ast.Call, params: list[Param], count: int, where: str) -> None:
        places = [param for param in params if not param.keyword_only]
        needed = [param for param in places if param.default is None]
        if count > len(places):
            self.error(node, f"{where} takes {len(places)} positional arguments but gets {count}; write the keyword-only ones by name")
        elif count < len(needed):
            self.error(node, f"{where} is missing the argument {needed[count].name!r}; write it")

    # -- methods ---------------------------------------------------------------------------------------------------

    def method_call(self, function: ast.Attribute, node: ast.Call) -> Js:
        name, owner = function.attr, function.value
        if isinstance(owner, ast.Call) and isinstance(owner.func, ast.Name) and owner.func.id == "super":
            base = self.current_class.base if self.current_class else None
            method = self.project.find_method(base, name) if base in self.project.classes else None
            if name == "__init__":
                parent = self.real_base(self.current_class)
                return f"super({self.arguments(node, self.project.constructor(parent) if parent else None, 'super().__init__()')})", PRIMARY
            return f"super.{self.own_member(name)}({self.arguments(node, method.params if method else None, name + '()')})", PRIMARY
        if isinstance(owner, ast.Name) and self.is_math(owner):
            return self.math_call(name, node)
        if isinstance(owner, ast.Name) and owner.id == "object" and name == "__setattr__":
            return f"{self.member(node.args[0])}.{self.member_name(node.args[0], node.args[1].value)} = {self.js(node.args[2], ASSIGN)}", ASSIGN
        if isinstance(owner, ast.Name) and self.is_builtin(owner.id):
            return self.static_builtin(owner.id, name, node)
        kind = self.type_of(owner)
        callee = self.member_name(owner, name)
        if kind.kind in ("class", "classobj") and kind.name in self.project.classes:
            method = self.project.find_method(kind.name, name)
            attribute = self.project.attribute_type(kind.name, name)
            if method is None and attribute is None and name in METHOD_HELPERS and self.outside_base(kind.name):
                return self.builtin_method(function, node, kind)
            params = method.params if method else self.shared_signature(name, node)
            return f"{self.member(owner)}.{callee}({self.arguments(node, params, name + '()')})", PRIMARY
        if name in METHOD_HELPERS and (kind.kind not in ("any", "unknown", "function", "awaitable") or not self.only_user_method(name)):
            return self.builtin_method(function, node, kind)
        params = self.shared_signature(name, node)
        return f"{self.member(owner)}.{callee}({self.arguments(node, params, name + '()')})", PRIMARY

    def outside_base(self, qualified: str) -> bool:
        return False

    def only_user_method(self, name: str) -> bool:
        """Names of built-in methods that on an unproven receiver can only be a class of the project."""
        return name in ("close", "aclose") and name in self.project.methods

    def shared_signature(self, name: str, node: ast.Call) -> list[Param] | None:
        """The signature that all methods of a name agree on, as far as this call uses it."""
        found: list[FunctionInfo] = self.project.methods.get(name, [])
        if not found or not node.keywords:
            return None
        places = {tuple((p.name, p.keyword_only) for p in method.params) for method in found}
        if len(places) > 1:
            used = {keyword.arg for keyword in node.keywords}
            prefixes = {
                tuple((index, p.name, p.keyword_only) for index, p in enumerate(method.params) if p.name in used)
                for method in found if used <= {p.name for p in method.params}
            }
            if len(prefixes) != 1:
                self.error(node, f"methods named {name!r} disagree on these keyword arguments; annotate the receiver or write positional arguments")
                return None
            return next(m.params for m in found if used <= {p.name for p in m.params})
        return found[0].params

    def builtin_method(self, function: ast.Attribute, node: ast.Call, kind: Type) -> Js:
        name, owner = function.attr, function.value
        if any(isinstance(a, ast.Starred) for a in node.args) and name not in ("union",):
            self.error(node, f"{name}(*...) is not in the subset; write a loop")
        if name == "sort":
            return self.sort_call(owner, node)
        arguments = self.builtin_arguments(name, node)
        text = self.native_method(name, owner, kind, node, arguments)
        if text is not None:
            return text, PRIMARY
        if name == "join" and len(arguments) == 1 and (kind.kind == "str" or "join" not in self.project.methods):
            item = element_type(self.type_of(node.args[0]))
            source = self.iterable(node.args[0])
            if self.type_of(node.args[0]).kind not in ("list", "tuple"):
                source = f"[...{source}]"
            return f"{source}.join({self.js(owner, ASSIGN)})", PRIMARY
        if name in ("items", "keys", "values") and kind.kind == "dict":
            return (f"[...{self.member(owner)}]" if name == "items" else f"[...{self.member(owner)}.{name}()]"), PRIMARY
        if name == "get" and kind.kind == "dict" and len(arguments) == 1:
            return f"{self.rt('get')}({self.js(owner, ASSIGN)}, {arguments[0]})", PRIMARY
        if name == "get" and kind.kind == "dict" and len(arguments) == 2 and not kind.opt:
            value = kind.arg(1)
            if value.kind not in ("any", "none", "unknown") and not value.opt and self.js(node.args[1], COALESCE + 3) == arguments[1]:
                return f"{self.member(owner)}.get({arguments[0]}) ?? {arguments[1]}", COALESCE
        helper = self.rt("m_" + attribute_name(name) if kind.opt else _TYPED.get((kind.kind, name), "m_" + attribute_name(name)))
        if name == "split" and len(arguments) == 2 and kind.kind == "str" and not kind.opt and self.type_of(node.args[0]).kind == "str":
            helper = self.rt("splitAt")
        return f"{helper}({', '.join([self.js(owner, ASSIGN), *arguments])})", PRIMARY

    def builtin_arguments(self, name: str, node: ast.Call) -> list[str]:
        arguments = [self.js(argument, ASSIGN) for argument in node.args]
        places = METHOD_HELPERS[name]
        for keyword in node.keywords:
            if keyword.arg in places:
                index = places.index(keyword.arg)
                arguments += ["undefined"] * (index + 1 - len(arguments))
                arguments[index] = self.js(keyword.value, ASSIGN)
            else:
                params = self.shared_signature(name, node)
                if params is not None:
                    return [self.arguments(node, params, name + "()")]
                self.error(node, f"{name}() of the built-in types takes no keyword {keyword.arg!r}; leave it out")
        return arguments

    def native_method(self, name: str, owner: ast.expr, kind: Type, node: ast.Call, arguments: list[str]) -> str | None:
        key = (name, len(arguments))
        template = _NATIVE.get(kind.kind, {}).get(key)
        if template is None and kind.kind == "str" and key in _UNARY_STR:
            first = self.type_of(node.args[0])
            if first.kind == "str" and not first.opt and not (name == "split" and not isinstance(node.args[0], ast.Constant)):
                template = _UNARY_STR[key]
            elif isinstance(node.args[0], ast.Tuple) and self.is_simple(owner) and all(self.type_of(e).kind == "str" for e in node.args[0].elts):
                template = "{0}.some(($affix) => {o}." + ("startsWith" if name == "startswith" else "endsWith") + "($affix))"
        if template is None:
            return None
        return template.replace("{o}", self.member(owner)).format(*arguments) if "{0}" in template else template.replace("{o}", self.member(owner))

    def sort_call(self, owner: ast.expr, node: ast.Call) -> Js:
        key, reverse = self.key_and_reverse(node)
        arguments = [self.js(owner, ASSIGN)] + ([key or "null"] if key or reverse else []) + ([reverse] if reverse else [])
        return f"{self.rt('m_sort')}({', '.join(arguments)})", PRIMARY

    def key_and_reverse(self, node: ast.Call) -> tuple[str, str]:
        key = reverse = ""
        for keyword in node.keywords:
            if keyword.arg == "key":
                key = self.function_value(keyword.value)
            elif keyword.arg == "reverse":
                reverse = self.js(keyword.value, ASSIGN)
        return ("" if key == "null" else key), ("" if reverse == "false" else reverse)

    def function_value(self, node: ast.expr) -> str:
        """A function given as a value; a built-in one becomes its helper."""
        if isinstance(node, ast.Name) and self.is_builtin(node.id):
            argument = ast.copy_location(ast.Call(node, [ast.copy_location(ast.Name("x", ast.Load()), node)], []), node)
            with self.function_scope(ast.parse("lambda x: x", mode="eval").body):
                return f"(x) => {self.js(argument, ASSIGN)}"
        return self.js(node, ASSIGN)
