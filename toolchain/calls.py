"""Calls: keyword arguments, constructors, built-in functions and the methods of built-in types."""

from __future__ import annotations

import ast
from collections.abc import Callable

from toolchain.expressions import ASSIGN, COALESCE, PRIMARY, UNARY, Js, options_object, quote
from toolchain.names import attribute_name, variable_name
from toolchain.pytypes import NUMERIC, SIZED_BY_LENGTH, Type, element_type
from toolchain.symbols import FunctionInfo, Param

BUILTIN_EXCEPTIONS = frozenset(
    """BaseException Exception ArithmeticError AssertionError AttributeError EOFError IndexError KeyError LookupError
    NotImplementedError OSError IOError OverflowError RuntimeError StopIteration StopAsyncIteration TimeoutError
    UnicodeDecodeError UnicodeError ValueError ZeroDivisionError ConnectionError FileNotFoundError MemoryError
    RecursionError InterruptedError BufferError""".split()
)

# Built-in functions that are one runtime helper with the arguments as they stand.
_PLAIN_HELPERS = frozenset("ord chr repr iter next divmod zip enumerate reversed sum hex bin oct print map filter".split())
BUILTINS = BUILTIN_EXCEPTIONS | _PLAIN_HELPERS | frozenset(
    """len str int float bool list tuple dict set frozenset bytes bytearray memoryview range sorted min max abs round
    any all isinstance callable type super pow format TypeError object slice issubclass anext aiter""".split()
)

_JS_CLASS = {"TypeError": "TypeError"}
_TYPE_TESTS = {
    "str": "typeof {} === 'string'", "bool": "typeof {} === 'boolean'", "float": "typeof {} === 'number'",
    "list": "Array.isArray({})", "tuple": "Array.isArray({})", "dict": "{} instanceof Map", "set": "{} instanceof Set",
    "frozenset": "{} instanceof Set", "bytes": "{} instanceof Uint8Array", "bytearray": "{} instanceof Uint8Array",
    "memoryview": "{} instanceof Uint8Array", "Bytes": "{} instanceof Uint8Array",
    "Exception": "{} instanceof Error", "BaseException": "{} instanceof Error", "TypeError": "{} instanceof TypeError",
    "NumericArray": "ArrayBuffer.isView({})", "Callable": "typeof {} === 'function'",
}

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
        positional = [*self.items(node.args)]
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
            return f"super.{attribute_name(name)}({self.arguments(node, method.params if method else None, name + '()')})", PRIMARY
        if isinstance(owner, ast.Name) and self.is_math(owner):
            return self.math_call(name, node)
        if isinstance(owner, ast.Name) and owner.id == "object" and name == "__setattr__":
            return f"{self.member(node.args[0])}.{attribute_name(node.args[1].value)} = {self.js(node.args[2], ASSIGN)}", ASSIGN
        if isinstance(owner, ast.Name) and self.is_builtin(owner.id):
            return self.static_builtin(owner.id, name, node)
        kind = self.type_of(owner)
        callee = attribute_name(name)
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
            return f"{self.member(owner)}.get({arguments[0]}) ?? null", COALESCE
        if name == "get" and kind.kind == "dict" and len(arguments) == 2 and not kind.opt:
            value = kind.arg(1)
            if value.kind not in ("any", "none", "unknown") and not value.opt and self.js(node.args[1], COALESCE + 3) == arguments[1]:
                return f"{self.member(owner)}.get({arguments[0]}) ?? {arguments[1]}", COALESCE
        helper = self.rt("m_" + attribute_name(name))
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

    # -- the built-in functions ------------------------------------------------------------------------------------

    def builtin_call(self, name: str, node: ast.Call) -> Js:
        special: Callable[[ast.Call], Js] | None = getattr(self, "b_" + name, None)
        if special is not None:
            return special(node)
        if name in BUILTIN_EXCEPTIONS:
            return f"new {self.rt_name(name)}({', '.join(self.items(node.args))})", PRIMARY
        if name in _JS_CLASS:
            arguments = [self.text_of(node.args[0])] if node.args else []
            return f"new {_JS_CLASS[name]}({', '.join(arguments)})", PRIMARY
        arguments = self.items(node.args)
        if name in ("map", "filter"):
            arguments[0] = self.function_value(node.args[0])
        for keyword in node.keywords:
            if (name, keyword.arg) in (("enumerate", "start"), ("sum", "start")):
                arguments.append(self.js(keyword.value, ASSIGN))
            elif (name, keyword.arg) != ("zip", "strict") and name != "print":
                self.error(node, f"{name}() takes no keyword {keyword.arg!r} in the subset; leave it out")
            elif name == "zip" and isinstance(keyword.value, ast.Constant) and keyword.value.value:
                return f"{self.rt('zipStrict')}({', '.join(arguments)})", PRIMARY
        if name in _PLAIN_HELPERS:
            return f"{self.rt(name)}({', '.join(arguments)})", PRIMARY
        self.error(node, f"{name}() is not in the subset; write it another way")
        return "null", PRIMARY

    def b_len(self, node: ast.Call) -> Js:
        kind = self.type_of(node.args[0])
        if kind.kind in SIZED_BY_LENGTH or kind.kind == "iterable":
            return f"{self.member(node.args[0])}.length", PRIMARY
        if kind.kind in ("dict", "set"):
            return f"{self.member(node.args[0])}.size", PRIMARY
        return f"{self.rt('len')}({self.js(node.args[0], ASSIGN)})", PRIMARY

    def b_str(self, node: ast.Call) -> Js:
        if not node.args:
            return "''", PRIMARY
        if len(node.args) > 1:
            return f"{self.rt('m_decode')}({', '.join(self.items(node.args))})", PRIMARY
        kind = self.type_of(node.args[0])
        if kind.kind == "int" and not kind.opt:
            return f"String({self.js(node.args[0], ASSIGN)})", PRIMARY
        text = self.text_of(node.args[0])
        return text, PRIMARY if text.startswith("$") or self.is_tight(node.args[0]) else ASSIGN

    def b_int(self, node: ast.Call) -> Js:
        if not node.args:
            return "0", PRIMARY
        kind = self.type_of(node.args[0])
        if kind.kind == "int" and len(node.args) == 1 and not kind.opt:
            return f"Math.trunc({self.js(node.args[0], ASSIGN)})", PRIMARY
        arguments = self.items(node.args) + [self.js(k.value, ASSIGN) for k in node.keywords]
        return f"{self.rt('int')}({', '.join(arguments)})", PRIMARY

    def b_float(self, node: ast.Call) -> Js:
        if node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value in ("inf", "-inf", "nan", "infinity"):
            value = float(node.args[0].value)
            text = "NaN" if value != value else "Infinity" if value == float("inf") else "-Infinity" if value == float("-inf") else repr(value)
            return text, UNARY if text.startswith("-") else PRIMARY
        if node.args and self.type_of(node.args[0]).kind in ("int", "float") and not self.type_of(node.args[0]).opt:
            return self.js(node.args[0], PRIMARY), PRIMARY
        return f"{self.rt('float')}({', '.join(self.items(node.args)) or '0'})", PRIMARY

    def b_bool(self, node: ast.Call) -> Js:
        if not node.args:
            return "false", PRIMARY
        text, level = self.condition(node.args[0])
        if level in (9, 10) or text.startswith("!") or "truthy(" in text:
            return text, level
        return f"!!{text if level >= UNARY else f'({text})'}", UNARY

    def b_list(self, node: ast.Call) -> Js:
        if not node.args:
            return "[]", PRIMARY
        argument = node.args[0]
        if isinstance(argument, ast.GeneratorExp):
            return self.comprehension(argument, argument.elt, "list")
        if isinstance(argument, ast.Call) and getattr(argument.func, "id", "") in ("sorted", "list"):
            return self.js(argument, PRIMARY), PRIMARY
        return f"[...{self.iterable(argument)}]", PRIMARY

    def b_tuple(self, node: ast.Call) -> Js:
        return self.b_list(node)

    def b_set(self, node: ast.Call) -> Js:
        if not node.args:
            return "new Set()", PRIMARY
        if isinstance(node.args[0], ast.GeneratorExp):
            return f"new Set({self.comprehension(node.args[0], node.args[0].elt, 'set')[0]})", PRIMARY
        return f"new Set({self.iterable(node.args[0])})", PRIMARY

    b_frozenset = b_set

    def b_dict(self, node: ast.Call) -> Js:
        pairs = [f"[{quote(k.arg)}, {self.js(k.value, ASSIGN)}]" for k in node.keywords if k.arg]
        if not node.args:
            return (f"new Map([{', '.join(pairs)}])" if pairs else "new Map()"), PRIMARY
        argument = node.args[0]
        if isinstance(argument, ast.GeneratorExp):
            source = self.comprehension(argument, argument.elt, "dict")[0]
        elif self.type_of(argument).kind in ("dict", "iter", "list"):
            source = self.js(argument, ASSIGN)
        else:
            source = f"{self.rt('pairs')}({self.js(argument, ASSIGN)})"
        return (f"new Map([...{source}, {', '.join(pairs)}])" if pairs else f"new Map({source})"), PRIMARY

    def b_bytes(self, node: ast.Call) -> Js:
        if not node.args:
            return "new Uint8Array(0)", PRIMARY
        if self.type_of(node.args[0]).kind == "int":
            return f"new Uint8Array({self.js(node.args[0], ASSIGN)})", PRIMARY
        return f"{self.rt('bytes')}({', '.join(self.items(node.args))})", PRIMARY

    b_bytearray = b_bytes

    def b_memoryview(self, node: ast.Call) -> Js:
        return self.js(node.args[0], PRIMARY), PRIMARY

    def b_range(self, node: ast.Call) -> Js:
        return f"{self.rt('range')}({', '.join(self.items(node.args))})", PRIMARY

    def b_sorted(self, node: ast.Call) -> Js:
        key, reverse = self.key_and_reverse(node)
        arguments = [self.list_of(node.args[0])] + ([key or "null"] if key or reverse else []) + ([reverse] if reverse else [])
        return f"{self.rt('sorted')}({', '.join(arguments)})", PRIMARY

    def list_of(self, node: ast.expr) -> str:
        """Anything that the runtime may iterate: generator expressions become lists first."""
        if isinstance(node, ast.GeneratorExp):
            return self.comprehension(node, node.elt, "list")[0]
        return self.iterable(node)

    def _extreme(self, name: str, node: ast.Call) -> Js:
        key = default = ""
        for keyword in node.keywords:
            if keyword.arg == "key":
                key = self.function_value(keyword.value)
            elif keyword.arg == "default":
                default = self.js(keyword.value, ASSIGN)
        several = len(node.args) > 1
        if several and not key and all(self.type_of(a).kind in ("int", "float") and not self.type_of(a).opt for a in node.args):
            return f"Math.{name}({', '.join(self.items(node.args))})", PRIMARY
        source = "[" + ", ".join(self.items(node.args)) + "]" if several else self.list_of(node.args[0])
        arguments = [source] + ([key or "null"] if key or default else []) + ([default] if default else [])
        return f"{self.rt(name)}({', '.join(arguments)})", PRIMARY

    def b_min(self, node: ast.Call) -> Js:
        return self._extreme("min", node)

    def b_max(self, node: ast.Call) -> Js:
        return self._extreme("max", node)

    def b_sum(self, node: ast.Call) -> Js:
        start = [self.js(a, ASSIGN) for a in node.args[1:]] + [self.js(k.value, ASSIGN) for k in node.keywords]
        return f"{self.rt('sum')}({', '.join([self.list_of(node.args[0]), *start])})", PRIMARY

    def b_abs(self, node: ast.Call) -> Js:
        return f"Math.abs({self.js(node.args[0], ASSIGN)})", PRIMARY

    def b_pow(self, node: ast.Call) -> Js:
        return f"{self.js(node.args[0], PRIMARY)} ** {self.js(node.args[1], 14)}", 14

    def b_round(self, node: ast.Call) -> Js:
        arguments = self.items(node.args) + [self.js(k.value, ASSIGN) for k in node.keywords]
        return f"{self.rt('round')}({', '.join(arguments)})", PRIMARY

    def b_format(self, node: ast.Call) -> Js:
        return f"{self.rt('format')}({', '.join(self.items(node.args))})", PRIMARY

    def b_type(self, node: ast.Call) -> Js:
        return f"{self.member(node.args[0])}.constructor", PRIMARY

    def b_callable(self, node: ast.Call) -> Js:
        return f"typeof {self.js(node.args[0], UNARY)} === 'function'", 9

    def b_anext(self, node: ast.Call) -> Js:
        return f"{self.rt('anext')}({', '.join(self.items(node.args))})", PRIMARY

    def b_iter(self, node: ast.Call) -> Js:
        return f"{self.iterable(node.args[0])}[Symbol.iterator]()", PRIMARY

    def b_aiter(self, node: ast.Call) -> Js:
        return f"{self.member(node.args[0])}[Symbol.asyncIterator]()", PRIMARY

    def b_super(self, node: ast.Call) -> Js:
        return "super", PRIMARY

    def _quantified(self, node: ast.Call, method: str, negate: bool) -> Js:
        argument = node.args[0]
        if isinstance(argument, ast.GeneratorExp) and len(argument.generators) == 1 and not any(
            isinstance(n, (ast.Await, ast.NamedExpr)) for n in ast.walk(argument)
        ) and not argument.generators[0].is_async:
            generator = argument.generators[0]
            kind = self.type_of(generator.iter)
            native = kind.kind in ("list", "tuple") and not kind.opt
            source = self.js(generator.iter, PRIMARY) if native else self.iterable(generator.iter)
            with self.comprehension_scope(argument.generators):
                target = self.pattern(generator.target)
                conditions = [self.test(c, 5) for c in generator.ifs]
                last = self.test(argument.elt, 5 if method == "some" else UNARY)
                if method == "every" and conditions:
                    body = f"!({' && '.join(conditions)}) || {self.test(argument.elt, 4)}"
                else:
                    body = " && ".join([*conditions, last]) if conditions else self.test(argument.elt)
            if native:
                return f"{source}.{method}(({target}) => {body})", PRIMARY
            return f"{self.rt('any' if method == 'some' else 'all')}({source}, ({target}) => {body})", PRIMARY
        return f"{self.rt('any' if method == 'some' else 'all')}({self.iterable(argument)})", PRIMARY

    def b_any(self, node: ast.Call) -> Js:
        return self._quantified(node, "some", False)

    def b_all(self, node: ast.Call) -> Js:
        return self._quantified(node, "every", True)

    def b_isinstance(self, node: ast.Call) -> Js:
        value, types = node.args
        names = list(types.elts) if isinstance(types, ast.Tuple) else flatten_union(types)
        text = self.js(value, 11)
        if not self.is_simple(value):
            name = self.temp()
            tests = [self.type_test(t, f"({name} = {text})" if i == 0 else name) for i, t in enumerate(names)]
        else:
            tests = [self.type_test(t, text) for t in names]
        unique = list(dict.fromkeys(tests)) if self.is_simple(value) else tests
        return (unique[0], 9) if len(unique) == 1 else (" || ".join(unique), 4)

    def type_test(self, node: ast.expr, text: str) -> str:
        name = ast.unparse(node)
        if name == "int":
            return f"{self.rt('isInt')}({text})"
        symbol = self.dotted_symbol(node)
        if symbol is None or symbol.kind != "class" or symbol.name in ("Bytes", "NumericArray"):
            if name in _TYPE_TESTS:
                return _TYPE_TESTS[name].format(text)
            if name in BUILTIN_EXCEPTIONS:
                return f"{text} instanceof {self.rt_name(name)}"
        if symbol is not None and symbol.kind == "class" and self.dropped_protocol(symbol.info):
            self.error(node, f"isinstance with the Protocol {name} has no JS counterpart; test a field instead")
        return f"{text} instanceof {self.js(node)}"

    def b_issubclass(self, node: ast.Call) -> Js:
        self.error(node, "issubclass is not in the subset; keep a field that tells")
        return "false", PRIMARY

    def static_builtin(self, owner: str, name: str, node: ast.Call) -> Js:
        arguments = self.items(node.args) + [
            self.js(k.value, ASSIGN) for k in node.keywords if k.arg not in ("signed", "byteorder")
        ]
        signed = any(k.arg == "signed" and getattr(k.value, "value", False) for k in node.keywords)
        if (owner, name) == ("int", "from_bytes"):
            return f"{self.rt('fromBytes')}({', '.join(arguments)}{', true' if signed else ''})", PRIMARY
        if (owner, name) == ("dict", "fromkeys"):
            value = arguments[1] if len(arguments) > 1 else "null"
            return f"new Map([...{self.iterable(node.args[0])}].map((k) => [k, {value}]))", PRIMARY
        if (owner, name) in (("bytes", "fromhex"), ("bytearray", "fromhex")):
            return f"{self.rt('fromHex')}({', '.join(arguments)})", PRIMARY
        if owner == "str" and name in METHOD_HELPERS:
            call = ast.copy_location(ast.Call(ast.Attribute(node.args[0], name, ast.Load()), node.args[1:], []), node)
            return self.method_call(call.func, call)
        if (owner, name) == ("super", "__init__"):
            return f"super({', '.join(arguments)})", PRIMARY
        self.error(node, f"{owner}.{name}() is not in the subset; write it another way")
        return "null", PRIMARY

    # -- typing, dataclasses, math ---------------------------------------------------------------------------------

    def library_call(self, name: str, node: ast.Call) -> Js:
        if name == "cast":
            return self.js(node.args[1], PRIMARY), PRIMARY
        if name == "replace":
            changes = options_object([(attribute_name(k.arg), self.js(k.value, ASSIGN)) for k in node.keywords if k.arg])
            return f"{self.rt('replace')}({self.js(node.args[0], ASSIGN)}, {changes})", PRIMARY
        if name == "assert_never":
            return f"{self.rt('assertNever')}({self.js(node.args[0], ASSIGN)})", PRIMARY
        self.error(node, f"{name}() is not in the subset; write it another way")
        return "null", PRIMARY

    def math_value(self, node: ast.Attribute) -> str:
        constants = {"pi": "Math.PI", "e": "Math.E", "inf": "Infinity", "nan": "NaN", "tau": "(2 * Math.PI)"}
        if node.attr in constants:
            return constants[node.attr]
        if node.attr in _MATH_NATIVE:
            return f"Math.{node.attr}"
        return self.rt("math_" + node.attr)

    def math_call(self, name: str, node: ast.Call) -> Js:
        arguments = self.items(node.args)
        if name in _MATH_NATIVE:
            return f"Math.{name}({', '.join(arguments)})", PRIMARY
        if name in ("floor", "ceil", "trunc"):
            return f"Math.{name}({', '.join(arguments)})", PRIMARY
        if name == "isnan":
            return f"Number.isNaN({arguments[0]})", PRIMARY
        if name == "isfinite":
            return f"Number.isFinite({arguments[0]})", PRIMARY
        if name == "fabs":
            return f"Math.abs({arguments[0]})", PRIMARY
        if name == "prod" and isinstance(node.args[0], ast.GeneratorExp):
            arguments = [self.list_of(node.args[0])]
        elif name in ("prod", "fsum"):
            arguments = [self.iterable(node.args[0])]
        arguments += [self.js(k.value, ASSIGN) for k in node.keywords if name != "isclose"]
        if name == "isclose":
            given = {k.arg: self.js(k.value, ASSIGN) for k in node.keywords}
            arguments += [given.get("rel_tol", "1e-9"), given.get("abs_tol", "0")]
        if name not in _MATH_HELPERS:
            self.error(node, f"math.{name} is not in the subset; write it another way")
        return f"{self.rt('math_' + name)}({', '.join(arguments)})", PRIMARY


_MATH_NATIVE = frozenset(
    "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh hypot exp expm1 log1p log2 log10 cbrt".split()
)
_MATH_HELPERS = frozenset("sqrt log pow prod fsum gcd lcm isqrt copysign fmod isclose isinf erf comb factorial degrees radians floor ceil ldexp frexp modf".split())


def flatten_union(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return flatten_union(node.left) + flatten_union(node.right)
    return [node]
