"""The built-in functions, math, and the few functions of typing and dataclasses that run."""

from __future__ import annotations

import ast
from collections.abc import Callable

from toolchain.calls import METHOD_HELPERS
from toolchain.expressions import ASSIGN, PRIMARY, UNARY, Js, options_object, quote
from toolchain.names import attribute_name
from toolchain.pytypes import SIZED_BY_LENGTH

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
# A call of a small function takes less room than typeof and instanceof, and V8 inlines it.
_TYPE_TESTS = {
    "str": "isStr", "bool": "isBool", "float": "isNumber", "list": "isList", "tuple": "isList", "dict": "isDict", "set": "isSet",
    "frozenset": "isSet", "bytes": "isBytes", "bytearray": "isBytes", "memoryview": "isBytes", "Bytes": "isBytes",
    "Exception": "isError", "BaseException": "isError", "NumericArray": "isView", "Callable": "isFunction", "int": "isInt",
}

_MATH_NATIVE = frozenset(
    "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh hypot exp expm1 log1p log2 log10 cbrt".split()
)
_MATH_HELPERS = frozenset("sqrt log pow prod fsum gcd lcm isqrt copysign fmod isclose isinf erf comb factorial degrees radians floor ceil ldexp frexp modf".split())


class Builtins:
    """Mixed into the generator."""

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
        if kind.kind == "class" and not kind.opt and self.project.find_method(kind.name, "__len__"):
            return f"{self.member(node.args[0])}.__len__()", PRIMARY
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
        if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name) and argument.func.id == "range" and self.is_builtin("range"):
            return self.js(argument), PRIMARY
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
            return (f"new Map([{', '.join(pairs)}])" if pairs else f"{self.rt('emptyDict')}()"), PRIMARY
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
            return f"{self.rt('math_' + name)}({', '.join(self.items(node.args))})", PRIMARY
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
        return f"{self.rt('math_abs')}({self.js(node.args[0], ASSIGN)})", PRIMARY

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
        return f"{self.rt('isFunction')}({self.js(node.args[0], ASSIGN)})", PRIMARY

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
        text = self.js(value, ASSIGN)
        if not self.is_simple(value):
            name = self.temp()
            tests = [self.type_test(t, f"({name} = {text})" if i == 0 else name) for i, t in enumerate(names)]
        else:
            tests = [self.type_test(t, text) for t in names]
        unique = list(dict.fromkeys(tests)) if self.is_simple(value) else tests
        return (unique[0], 9) if len(unique) == 1 else (" || ".join(unique), 4)

    def type_test(self, node: ast.expr, text: str) -> str:
        name = ast.unparse(node)
        symbol = self.dotted_symbol(node)
        if symbol is None or symbol.kind != "class" or symbol.name in ("Bytes", "NumericArray"):
            if name in _TYPE_TESTS:
                return f"{self.rt(_TYPE_TESTS[name])}({text})"
            if name == "TypeError":
                return f"{text} instanceof TypeError"
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
            changes = options_object([(self.member_name(node.args[0], k.arg), self.js(k.value, ASSIGN)) for k in node.keywords if k.arg])
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
        if name == "floor":
            return f"{self.rt('math_floor')}({arguments[0]})", PRIMARY
        if name in ("ceil", "trunc"):
            return f"Math.{name}({', '.join(arguments)})", PRIMARY
        if name == "isnan":
            return f"Number.isNaN({arguments[0]})", PRIMARY
        if name == "isfinite":
            return f"Number.isFinite({arguments[0]})", PRIMARY
        if name == "fabs":
            return f"{self.rt('math_abs')}({arguments[0]})", PRIMARY
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


def flatten_union(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return flatten_union(node.left) + flatten_union(node.right)
    return [node]
