"""The types that the compiler reasons with: what an annotation says, as far as it decides which JS to emit."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Type:
    """kind is one of: any unknown none bool int float str bytes array list tuple dict set iter awaitable class classobj
    function. `args` holds element types; a variadic tuple is a list. `opt` means None is possible too.
    """

    kind: str
    args: tuple["Type", ...] = ()
    name: str = ""
    opt: bool = False

    def arg(self, index: int) -> "Type":
        return self.args[index] if index < len(self.args) else ANY


ANY = Type("any")
UNKNOWN = Type("unknown")
NONE = Type("none")
BOOL = Type("bool")
INT = Type("int")
FLOAT = Type("float")
STR = Type("str")
BYTES = Type("bytes")
NUMERIC = ("int", "float", "bool")
SIZED_BY_LENGTH = ("str", "list", "tuple", "bytes", "array")

_SCALARS = {
    "int": INT, "float": FLOAT, "str": STR, "bool": BOOL, "None": NONE,
    "bytes": BYTES, "bytearray": BYTES, "memoryview": BYTES, "Bytes": BYTES,
    "NumericArray": Type("array"),
}
_GENERIC = {
    "list": "list", "List": "list", "MutableSequence": "list",
    "dict": "dict", "Dict": "dict", "Mapping": "dict", "MutableMapping": "dict", "OrderedDict": "dict",
    "set": "set", "frozenset": "set", "Set": "set", "AbstractSet": "set",
    "Iterable": "iterable", "Collection": "iterable", "Sequence": "iterable",
    "Iterator": "iter", "Generator": "iter", "AsyncIterator": "asynciter", "AsyncGenerator": "asynciter",
    "AsyncIterable": "asynciter", "Awaitable": "awaitable", "Coroutine": "coroutine",
}


def list_of(item: Type) -> Type:
    return Type("list", (item,))


def tuple_of(*items: Type) -> Type:
    return Type("tuple", items)


def iter_of(item: Type) -> Type:
    return Type("iter", (item,))


def optional(inner: Type) -> Type:
    return inner if inner.kind in ("any", "none", "unknown") else replace(inner, opt=True)


def required(inner: Type) -> Type:
    return replace(inner, opt=False) if inner.opt else inner


def join(a: Type, b: Type) -> Type:
    """The smallest type of ours that holds both."""
    if a == b or b.kind == "unknown":
        return a
    if a.kind == "unknown":
        return b
    if a.kind == "none":
        return optional(b)
    if b.kind == "none":
        return optional(a)
    opt = a.opt or b.opt
    left, right = required(a), required(b)
    if left == right:
        return optional(left)
    if left.kind in NUMERIC and right.kind in NUMERIC:
        if "bool" in (left.kind, right.kind):
            return ANY
        return replace(FLOAT, opt=opt)
    if left.kind == right.kind and left.kind in ("list", "dict", "set", "iter") or left.kind == right.kind == "tuple" and len(left.args) == len(right.args):
        size = max(len(left.args), len(right.args))
        empty_left, empty_right = not left.args, not right.args
        args = tuple(
            right.arg(i) if empty_left else left.arg(i) if empty_right else join(left.arg(i), right.arg(i))
            for i in range(size)
        )
        return Type(left.kind, args, opt=opt)
    if {left.kind, right.kind} == {"list", "tuple"}:
        return Type("list", (join(element_type(left), element_type(right)),), opt=opt)
    return ANY


def element_type(container: Type) -> Type:
    """What iterating over a container yields."""
    if container.kind in ("list", "set", "iter", "iterable", "dict", "asynciter"):
        return container.arg(0)
    if container.kind == "tuple":
        result = UNKNOWN
        for item in container.args:
            result = join(result, item)
        return ANY if result.kind == "unknown" else result
    if container.kind == "str":
        return STR
    if container.kind == "bytes":
        return INT
    if container.kind == "array":
        return FLOAT
    return ANY


def from_annotation(node: ast.expr | None, lookup: Callable[[str], Type | None]) -> Type:
    """Read an annotation. `lookup` knows the project's own classes and type aliases by local name."""
    if node is None:
        return ANY
    if isinstance(node, ast.Constant):
        if node.value is None:
            return NONE
        if isinstance(node.value, str):
            try:
                return from_annotation(ast.parse(node.value, mode="eval").body, lookup)
            except SyntaxError:
                return ANY
        return ANY
    if isinstance(node, ast.Name):
        found = lookup(node.id)
        if found is not None:
            return found
        if node.id in _SCALARS:
            return _SCALARS[node.id]
        if node.id == "tuple":
            return Type("list", ())
        return Type(_GENERIC[node.id]) if node.id in _GENERIC else ANY
    if isinstance(node, ast.Attribute):
        found = lookup(ast.unparse(node))
        return found if found is not None else from_annotation(ast.Name(node.attr), lambda _name: None)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return join(from_annotation(node.left, lookup), from_annotation(node.right, lookup))
    if isinstance(node, ast.Subscript):
        return _subscripted(node, lookup)
    return ANY


def _subscripted(node: ast.Subscript, lookup: Callable[[str], Type | None]) -> Type:
    head = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
    items = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
    if head == "Optional":
        return optional(from_annotation(items[0], lookup))
    if head == "Union":
        result = UNKNOWN
        for item in items:
            result = join(result, from_annotation(item, lookup))
        return result
    if head == "Literal":
        values = [item.value for item in items if isinstance(item, ast.Constant)]
        result = UNKNOWN
        for value in values:
            result = join(result, {str: STR, bool: BOOL, int: INT}.get(type(value), NONE))
        return result
    if head in ("Final", "ClassVar", "Annotated", "Required", "NotRequired"):
        return from_annotation(items[0], lookup)
    if head == "Callable":
        return Type("function", (from_annotation(items[-1], lookup),))
    if head in ("tuple", "Tuple"):
        if len(items) == 2 and isinstance(items[1], ast.Constant) and items[1].value is Ellipsis:
            return list_of(from_annotation(items[0], lookup))
        return tuple_of(*(from_annotation(item, lookup) for item in items))
    if head == "Coroutine":
        return Type("awaitable", (from_annotation(items[-1], lookup),))
    if head in _GENERIC:
        return Type(_GENERIC[head], tuple(from_annotation(item, lookup) for item in items))
    return from_annotation(node.value, lookup)
