"""What type an expression has, as far as annotations, literals and calls tell."""

from __future__ import annotations

import ast

from toolchain.narrowing import is_path
from toolchain.pytypes import (
    ANY, BOOL, BYTES, FLOAT, INT, NONE, NUMERIC, STR, UNKNOWN, Type, element_type, iter_of, join, list_of, optional,
    required, tuple_of,
)
from toolchain.scopes import target_names
from toolchain.symbols import FunctionInfo, Symbol

_BINDING = (
    ast.AnnAssign, ast.Assign, ast.NamedExpr, ast.AugAssign, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.FunctionDef,
    ast.AsyncFunctionDef, ast.Try,
)
_FIXED_RESULTS = {
    "len": INT, "str": STR, "repr": STR, "chr": STR, "ord": INT, "int": INT, "float": FLOAT, "bool": BOOL,
    "isinstance": BOOL, "callable": BOOL, "any": BOOL, "all": BOOL, "bytes": BYTES, "bytearray": BYTES,
    "memoryview": BYTES, "range": iter_of(INT), "ascii": STR, "hex": STR, "bin": STR, "oct": STR,
}
_STR_METHODS = {
    **dict.fromkeys(
        """join strip lstrip rstrip lower upper replace removeprefix removesuffix zfill ljust rjust center title
        capitalize casefold decode hex format expandtabs""".split(), STR),
    **dict.fromkeys(
        "startswith endswith isdigit isalpha isalnum isspace isupper islower isnumeric isdecimal isidentifier isascii".split(), BOOL),
    **dict.fromkeys("find rfind index rindex count bit_length".split(), INT),
    **dict.fromkeys("split rsplit splitlines".split(), list_of(STR)),
    **dict.fromkeys("partition rpartition".split(), tuple_of(STR, STR, STR)),
    "encode": BYTES, "tobytes": BYTES, "to_bytes": BYTES, "is_integer": BOOL,
}
MATH_INTS = frozenset("floor ceil trunc gcd lcm comb isqrt factorial perm".split())
MATH_BOOLS = frozenset("isnan isinf isfinite isclose".split())


class Inference:
    """Mixed into the generator, which gives `scope` (the environment of names), `project` and `module`."""

    def type_of(self, node: ast.expr | None) -> Type:
        """The type of an expression; `any` where nothing proves more."""
        if node is None:
            return ANY
        known = self.types.get(id(node))
        if known is not None:
            return known[1]
        method = getattr(self, "type_" + type(node).__name__, None)
        kind = method(node) if method else ANY
        self.types[id(node)] = (node, kind)  # the node too: its id must not be given to another
        return kind

    def infer_locals(self, function: ast.AST) -> None:
        """Fill the scope's environment from all bindings of a function, two passes for names used before."""
        env = self.scope.env
        declared = dict(env)
        bindings = sorted(
            (n for n in self.nodes_of(function) if isinstance(n, _BINDING)), key=lambda n: (n.lineno, n.col_offset)
        )
        for last in (False, False, True):
            self.types.clear()
            fresh: dict[str, Type] = {}
            for node in bindings:
                self._bind_statement(node, fresh, declared)
            for name, kind in fresh.items():
                if name not in declared:
                    env[name] = ANY if last and kind.kind == "unknown" else kind
        for name in self.scope.nonlocals:
            env.pop(name, None)
        self.types.clear()

    def _bind_statement(self, node: ast.AST, fresh: dict[str, Type], declared: dict[str, Type]) -> None:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            declared[node.target.id] = self.scope.env[node.target.id] = self.project.annotation(self.module, node.annotation)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._bind(target, self.type_of(node.value), fresh)
        elif isinstance(node, ast.NamedExpr):
            self._bind(node.target, self.type_of(node.value), fresh)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            self._bind(node.target, self._binary(node.op, self.type_of(ast.Name(node.target.id, ast.Load())), self.type_of(node.value)), fresh)
        elif isinstance(node, (ast.For, ast.AsyncFor)):
            self._bind(node.target, element_type(self.type_of(node.iter)), fresh)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None:
                    self._bind(item.optional_vars, self._entered(item.context_expr, isinstance(node, ast.AsyncWith)), fresh)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            fresh[node.name] = Type("function", (self.nested_signature(node).returns,))
        elif isinstance(node, ast.Try):
            for handler in node.handlers:
                if handler.name:
                    fresh[handler.name] = join(fresh.get(handler.name, UNKNOWN), self._caught(handler.type))

    def _caught(self, node: ast.expr | None) -> Type:
        symbol = self.project.resolve(self.module.name, ast.unparse(node)) if node is not None else None
        return Type("class", name=f"{symbol.module}:{symbol.name}") if symbol and symbol.kind == "class" else ANY

    def _entered(self, context: ast.expr, is_async: bool) -> Type:
        manager = self.type_of(context)
        method = self.project.find_method(manager.name, "__aenter__" if is_async else "__enter__") if manager.kind == "class" else None
        if method is None:
            return ANY
        return required(method.returns.arg(0) if method.returns.kind == "awaitable" else method.returns) if method.returns.kind != "any" else manager

    def _bind(self, target: ast.expr, kind: Type, fresh: dict[str, Type]) -> None:
        if isinstance(target, ast.Name):
            fresh[target.id] = join(fresh.get(target.id, UNKNOWN), kind)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for index, item in enumerate(target.elts):
                if isinstance(item, ast.Starred):
                    self._bind(item.value, list_of(element_type(kind)), fresh)
                else:
                    self._bind(item, kind.arg(index) if kind.kind == "tuple" else element_type(kind), fresh)

    # -- one method for each kind of expression --------------------------------------------------------------------

    def type_Constant(self, node: ast.Constant) -> Type:
        for kind, result in ((bool, BOOL), (int, INT), (float, FLOAT), (str, STR), (bytes, BYTES)):
            if isinstance(node.value, kind):
                return result
        return NONE if node.value is None else ANY

    def type_JoinedStr(self, node: ast.JoinedStr) -> Type:
        return STR

    def type_Name(self, node: ast.Name) -> Type:
        proven = self.narrowed(node.id)
        if proven is not None:
            return proven
        for scope in reversed(self.scope_stack):
            if node.id in scope.env:
                return scope.env[node.id]
            if node.id in scope.locals:
                return UNKNOWN
        symbol = self.project.resolve(self.module.name, node.id)
        return self.symbol_type(symbol)

    def symbol_type(self, symbol: object) -> Type:
        if symbol is None:
            return ANY
        if symbol.kind == "class":
            return Type("classobj", name=f"{symbol.module}:{symbol.name}")
        if symbol.kind == "constant":
            return ANY if symbol.info.kind in ("unknown", "none") else symbol.info
        if symbol.kind == "function":
            return Type("function", (symbol.info.returns,))
        return ANY

    def type_NamedExpr(self, node: ast.NamedExpr) -> Type:
        return self.type_of(node.value)

    def type_Attribute(self, node: ast.Attribute) -> Type:
        proven = self.narrowed(ast.unparse(node)) if is_path(node) else None
        if proven is not None:
            return proven
        symbol = self.dotted_symbol(node)
        if symbol is not None and symbol.kind in ("constant", "class", "function"):
            return self.symbol_type(symbol)
        if isinstance(node.value, ast.Name) and node.value.id == "math" and self.is_math(node.value):
            return FLOAT
        owner = self.type_of(node.value)
        if owner.kind in ("class", "classobj"):
            found = self.project.attribute_type(owner.name, node.attr)
            if found is None and self.project.find_method(owner.name, node.attr):
                return Type("function")
        else:
            found = self.project.attributes.get(node.attr)
            if node.attr in self.project.methods:
                found = None
        return found if found is not None and found.kind not in ("unknown", "none") else ANY

    def type_Subscript(self, node: ast.Subscript) -> Type:
        owner = self.type_of(node.value)
        if isinstance(node.slice, ast.Slice):
            return list_of(element_type(owner)) if owner.kind in ("list", "tuple") else required(owner) if owner.kind in ("str", "bytes", "iterable", "array") else ANY
        if owner.kind == "dict":
            return owner.arg(1)
        if owner.kind == "tuple":
            index = constant_int(node.slice)
            return owner.args[index] if index is not None and -len(owner.args) <= index < len(owner.args) else element_type(owner)
        if owner.kind == "class":
            method = self.project.find_method(owner.name, "__getitem__")
            return method.returns if method else ANY
        return element_type(owner)

    def type_List(self, node: ast.List) -> Type:
        return self._collection("list", node.elts)

    def type_Set(self, node: ast.Set) -> Type:
        return self._collection("set", node.elts)

    def _collection(self, kind: str, items: list[ast.expr]) -> Type:
        item_type = UNKNOWN
        for item in items:
            item_type = join(item_type, element_type(self.type_of(item.value)) if isinstance(item, ast.Starred) else self.type_of(item))
        return Type(kind) if item_type.kind == "unknown" else Type(kind, (ANY if item_type.kind == "none" else item_type,))

    def type_Tuple(self, node: ast.Tuple) -> Type:
        if any(isinstance(item, ast.Starred) for item in node.elts):
            return self._collection("list", node.elts)
        return Type("tuple", tuple(self.type_of(item) for item in node.elts))

    def type_Dict(self, node: ast.Dict) -> Type:
        key = value = UNKNOWN
        for key_node, value_node in zip(node.keys, node.values):
            if key_node is None:
                spread = self.type_of(value_node)
                key, value = join(key, spread.arg(0)), join(value, spread.arg(1))
            else:
                key, value = join(key, self.type_of(key_node)), join(value, self.type_of(value_node))
        return Type("dict") if key.kind == "unknown" else Type("dict", (key, value))

    def type_BinOp(self, node: ast.BinOp) -> Type:
        return self._binary(node.op, self.type_of(node.left), self.type_of(node.right))

    def _binary(self, op: ast.operator, left: Type, right: Type) -> Type:
        if left.kind == "unknown" or right.kind == "unknown":
            return UNKNOWN if left.kind == right.kind else left if right.kind == "unknown" else right
        numeric = left.kind in NUMERIC and right.kind in NUMERIC
        if isinstance(op, ast.Div):
            return FLOAT
        if isinstance(op, (ast.LShift, ast.RShift, ast.BitAnd, ast.BitOr, ast.BitXor)):
            return BOOL if left.kind == right.kind == "bool" and not isinstance(op, (ast.LShift, ast.RShift)) else INT
        if isinstance(op, (ast.Sub, ast.Pow, ast.FloorDiv, ast.Mod)):
            return FLOAT if "float" in (left.kind, right.kind) else INT if numeric else FLOAT
        if isinstance(op, ast.Add):
            if numeric:
                return FLOAT if "float" in (left.kind, right.kind) else INT
            if left.kind == "str" or right.kind == "str":
                return STR
            if left.kind in ("list", "tuple") or right.kind in ("list", "tuple"):
                return list_of(join(element_type(left), element_type(right)))
            if left.kind in NUMERIC or right.kind in NUMERIC:
                return FLOAT
            return ANY
        if isinstance(op, ast.Mult):
            if numeric:
                return FLOAT if "float" in (left.kind, right.kind) else INT
            for side in (left, right):
                if side.kind == "str":
                    return STR
                if side.kind in ("list", "tuple"):
                    return list_of(element_type(side))
                if side.kind == "float":
                    return FLOAT
        return ANY

    def type_BoolOp(self, node: ast.BoolOp) -> Type:
        result = UNKNOWN
        known: dict[str, Type] = {}
        for index, value in enumerate(node.values):
            with self.assuming(known, []):
                kind = self.type_of(value)
            known |= self.facts(value, isinstance(node.op, ast.And))
            if isinstance(node.op, ast.Or) and index < len(node.values) - 1:
                kind = UNKNOWN if kind.kind == "none" else required(kind)
            result = join(result, kind)
        return result

    def type_UnaryOp(self, node: ast.UnaryOp) -> Type:
        return BOOL if isinstance(node.op, ast.Not) else INT if isinstance(node.op, ast.Invert) else self.type_of(node.operand)

    def type_Compare(self, node: ast.Compare) -> Type:
        return BOOL

    def type_IfExp(self, node: ast.IfExp) -> Type:
        with self.assuming(self.facts(node.test, True), [node.body]):
            kind = self.type_of(node.body)
        with self.assuming(self.facts(node.test, False), [node.orelse]):
            return join(kind, self.type_of(node.orelse))

    def type_Lambda(self, node: ast.Lambda) -> Type:
        return Type("function")

    def type_Await(self, node: ast.Await) -> Type:
        kind = self.type_of(node.value)
        return kind.arg(0) if kind.kind == "awaitable" else ANY

    def type_ListComp(self, node: ast.ListComp) -> Type:
        return self._comprehended("list", node, node.elt)

    def type_GeneratorExp(self, node: ast.GeneratorExp) -> Type:
        return self._comprehended("iter", node, node.elt)

    def type_SetComp(self, node: ast.SetComp) -> Type:
        return self._comprehended("set", node, node.elt)

    def type_DictComp(self, node: ast.DictComp) -> Type:
        return self._comprehended("dict", node, node.key, node.value)

    def _comprehended(self, kind: str, node: ast.expr, *items: ast.expr) -> Type:
        with self.comprehension_scope(node.generators):
            return Type(kind, tuple(self.type_of(item) for item in items))

    def bind_comprehension(self, generator: ast.comprehension) -> None:
        """Give a comprehension's variables their types in the innermost scope."""
        fresh: dict[str, Type] = {}
        self._bind(generator.target, element_type(self.type_of(generator.iter)), fresh)
        for name in target_names(generator.target):
            kind = fresh.get(name, ANY)
            self.scope.env[name] = kind

    def type_Call(self, node: ast.Call) -> Type:
        function = node.func
        symbol = self.dotted_symbol(function)
        if symbol is not None:
            if symbol.kind == "class":
                return Type("class", name=f"{symbol.module}:{symbol.name}")
            if symbol.kind == "function":
                return self._generic_result(symbol.info, node)
            if symbol.kind == "external" and symbol.module == "typing" and symbol.name == "cast":
                return self.project.annotation(self.module, node.args[0])
        if isinstance(function, ast.Name):
            if self.is_builtin(function.id):
                return self._builtin_result(function.id, node)
            kind = self.type_of(function)
            return kind.arg(0) if kind.kind == "function" else Type("class", name=kind.name) if kind.kind == "classobj" else ANY
        if isinstance(function, ast.Attribute):
            return self._method_result(function, node)
        return ANY

    def _generic_result(self, function: FunctionInfo, node: ast.Call) -> Type:
        """What a call gives; where that is a type variable, the argument of that type tells."""
        kind, returns = function.returns, function.node.returns if function.node is not None else None
        if not isinstance(returns, ast.Name) or not self.project.is_type_variable(function.module, returns.id):
            return kind
        for param, argument in zip(function.params, node.args):
            text = ast.unparse(param.annotation) if param.annotation is not None else ""
            found = self.type_of(argument) if returns.id in text else ANY
            if found.kind == "function" and text.startswith("Callable[") and text.endswith((f", {returns.id}]", f", Awaitable[{returns.id}]]")):
                found = found.arg(0).arg(0) if found.arg(0).kind == "awaitable" else found.arg(0)
            elif text != returns.id:
                continue
            if found.kind not in ("any", "unknown", "none"):
                return Type("awaitable", (found,)) if function.is_async else found
        return kind

    def type_lambdas(self, node: ast.Call, symbol: Symbol | None) -> None:
        """Give the parameters of lambdas the types that their receiver says: Callable[[X], Y], or the items that `key` sees."""
        method = self._called_method(node)
        if symbol is not None and symbol.kind in ("function", "class") or method is not None:
            if method is not None:
                params, owner = method.params, self.project.modules.get(method.module)
            else:
                params = symbol.info.params if symbol.kind == "function" else self.project.constructor(symbol.info) or []
                owner = self.project.modules.get(symbol.module)
            places = dict(zip((id(argument) for argument in node.args), params))
            places |= {id(k.value): p for k in node.keywords for p in params if p.name == k.arg}
            for argument in [*node.args, *(k.value for k in node.keywords)]:
                annotation = places[id(argument)].annotation if id(argument) in places else None
                if isinstance(argument, ast.Lambda) and isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Callable":
                    takes = annotation.slice.elts[0]
                    if isinstance(takes, ast.List) and owner is not None:
                        self.lambda_types[id(argument)] = [self.project.annotation(owner, item) for item in takes.elts]
        elif isinstance(node.func, ast.Name) and node.func.id in ("sorted", "min", "max") and self.is_builtin(node.func.id) and node.args:
            for keyword in node.keywords:
                if keyword.arg == "key" and isinstance(keyword.value, ast.Lambda) and len(node.args) == 1:
                    self.lambda_types[id(keyword.value)] = [element_type(self.type_of(node.args[0]))]
        elif isinstance(node.func, ast.Attribute) and node.func.attr == "sort":
            for keyword in node.keywords:
                if keyword.arg == "key" and isinstance(keyword.value, ast.Lambda):
                    self.lambda_types[id(keyword.value)] = [element_type(self.type_of(node.func.value))]

    def _called_method(self, node: ast.Call) -> FunctionInfo | None:
        """The method of a class of ours that is called with lambdas."""
        if not isinstance(node.func, ast.Attribute) or not any(isinstance(argument, ast.Lambda) for argument in node.args):
            return None
        receiver = self.type_of(node.func.value)
        return self.project.find_method(receiver.name, node.func.attr) if receiver.kind == "class" else None

    def _method_result(self, function: ast.Attribute, node: ast.Call) -> Type:
        name = function.attr
        if isinstance(function.value, ast.Name) and self.is_math(function.value):
            return INT if name in MATH_INTS else BOOL if name in MATH_BOOLS else FLOAT
        owner = self.type_of(function.value)
        if owner.kind in ("class", "classobj"):
            method = self.project.find_method(owner.name, name)
            if method:
                return self._generic_result(method, node)
            attribute = self.project.attribute_type(owner.name, name)
            return attribute.arg(0) if attribute is not None and attribute.kind == "function" else ANY
        if owner.kind == "dict":
            return self._dict_result(owner, name, node)
        if owner.kind in ("list", "tuple"):
            item = element_type(owner)
            return {"pop": item, "copy": required(owner), "index": INT, "count": INT}.get(name, NONE)
        if owner.kind == "set":
            return {"pop": owner.arg(0), **dict.fromkeys("issubset issuperset isdisjoint".split(), BOOL),
                    **dict.fromkeys("copy union intersection difference symmetric_difference".split(), required(owner))}.get(name, NONE)
        if name in self.project.methods:
            results = {method.returns for method in self.project.methods[name]}
            if owner.kind != "str" and (name not in _STR_METHODS or owner.kind == "any"):
                return results.pop() if len(results) == 1 and name not in _STR_METHODS else ANY
        if owner.kind == "bytes" and name in ("tobytes", "cast", "copy"):
            return BYTES
        if name in ("index", "count", "find", "hex", "format") and owner.kind == "any":
            return INT if name in ("index", "count", "find") else ANY
        return _STR_METHODS.get(name, ANY)

    def _dict_result(self, owner: Type, name: str, node: ast.Call) -> Type:
        key, value = owner.arg(0), owner.arg(1)
        if name in ("get", "pop"):
            if len(node.args) > 1:
                return join(value, self.type_of(node.args[1])) if value.kind != "any" else ANY
            return value if name == "pop" else optional(value)
        return {
            "items": iter_of(tuple_of(key, value)), "keys": iter_of(key), "values": iter_of(value), "setdefault": value,
            "copy": required(owner), "popitem": tuple_of(key, value),
        }.get(name, NONE)

    def _builtin_result(self, name: str, node: ast.Call) -> Type:
        if name in _FIXED_RESULTS:
            return _FIXED_RESULTS[name]
        kinds = [self.type_of(argument) for argument in node.args]
        first = kinds[0] if kinds else ANY
        if name in ("list", "sorted", "tuple"):
            return Type("list", (element_type(first),)) if kinds else Type("list")
        if name in ("set", "frozenset"):
            return Type("set", (element_type(first),)) if kinds else Type("set")
        if name == "dict":
            pair = element_type(first)
            return required(first) if first.kind == "dict" else Type("dict", pair.args) if pair.kind == "tuple" else Type("dict")
        if name == "reversed":
            return iter_of(element_type(first))
        if name == "iter":
            return iter_of(element_type(first))
        if name == "enumerate":
            return iter_of(tuple_of(INT, element_type(first)))
        if name == "zip":
            return iter_of(tuple_of(*(element_type(kind) for kind in kinds)))
        if name == "next":
            return element_type(first) if len(kinds) < 2 else join(element_type(first), kinds[1]) if element_type(first).kind != "any" else ANY
        if name == "divmod":
            return tuple_of(INT, INT)
        if name == "round":
            return INT if len(kinds) < 2 else FLOAT
        if name in ("abs", "pow"):
            return first if first.kind in NUMERIC else FLOAT
        if name == "sum":
            item = element_type(first)
            return item if item.kind in ("int", "float") else INT if item.kind == "bool" else ANY
        if name in ("min", "max"):
            result = UNKNOWN
            for kind in kinds if len(kinds) > 1 else [element_type(first)]:
                result = join(result, kind)
            return ANY if result.kind == "unknown" else result
        if name == "filter" and len(kinds) > 1:
            return iter_of(element_type(kinds[1]))
        if name == "map":
            return iter_of(ANY)
        if name == "cast" and len(node.args) == 2:
            return self.project.annotation(self.module, node.args[0])
        if name == "replace":
            return first
        return ANY


def constant_int(node: ast.expr) -> int | None:
    """The value of an integer literal, with its sign."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = constant_int(node.operand)
        return -inner if inner is not None else None
    return None
