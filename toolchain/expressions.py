"""Expressions: each method returns JS text and its precedence. Native JS where types prove it, else a runtime helper.

One file because it is one table: a method for each kind of expression node.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable

from toolchain.inference import constant_int
from toolchain.literals import note
from toolchain.names import attribute_name
from toolchain.pytypes import NUMERIC, SIZED_BY_LENGTH, Type

# JS operator precedence, higher binds tighter.
PRIMARY, UNARY, POWER, TIMES, PLUS, SHIFT, RELATION, EQUALITY = 20, 15, 14, 13, 12, 11, 10, 9
BIT_AND, BIT_XOR, BIT_OR, AND, OR, COALESCE, TERNARY, ASSIGN = 8, 7, 6, 5, 4, 3, 2, 1

Js = tuple[str, int]
_ORDER = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">="}
_FLIPPED = {ast.In: ast.NotIn, ast.Is: ast.IsNot, ast.NotIn: ast.In, ast.IsNot: ast.Is, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq}
# Kinds of values that are never falsy in JS.
_OBJECTS = frozenset("class list tuple dict set bytes array function awaitable iter".split())
_INT32_LIMIT = 2**31


def quote(text: str) -> str:
    """A JS string literal in single quotes."""
    body = json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    body = "".join(f"\\u{ord(c):04x}" if c in "\u2028\u2029\ufeff\x7f" or 0xD800 <= ord(c) < 0xE000 else c for c in body)
    return f"'{body}'"


def options_object(items: list[tuple[str, str]]) -> str:
    """A JS object literal of option name and value."""
    return "{ " + ", ".join(name if name == value else f"{name}: {value}" for name, value in items) + " }" if items else "{}"


def words_of(nodes: list[ast.expr | None]) -> str | None:
    """String literals as one text, a space between them; None if some are no literals or have spaces themselves."""
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value]
    return " ".join(texts) if len(texts) == len(nodes) else None

# Elements that are asked for so often that they have a helper.
_PLACES = {"0": "first", "1": "second", "2": "third", "-1": "last"}


class Expressions:
    """Mixed into the generator."""

    def js(self, node: ast.expr, least: int = 0) -> str:
        """The JS of an expression, in parentheses if it binds less tightly than `least`."""
        method = getattr(self, "x_" + type(node).__name__, None)
        if method is None:
            self.error(node, f"{type(node).__name__} cannot be compiled; write it with simpler expressions")
            return "null"
        text, precedence = method(node)
        return f"({text})" if precedence < least else text

    # -- names and literals ----------------------------------------------------------------------------------------

    def x_Constant(self, node: ast.Constant) -> Js:
        value = node.value
        if value is None or isinstance(value, bool):
            return self.nameConsts[value], PRIMARY
        if isinstance(value, str):
            return note(quote(value)), PRIMARY
        if isinstance(value, bytes):
            return (f"new Uint8Array([{', '.join(str(b) for b in value)}])" if value else "new Uint8Array(0)"), PRIMARY
        if isinstance(value, int):
            if value == 2**63 - 1:  # ONNX's "to the end"; reads of int64 data round to the same number
                return "0x7fffffffffffffff", PRIMARY
            if abs(value) > 2**53:
                self.error(node, f"{value} is more than 2**53, where JS numbers are no longer exact; write it as two words")
            return str(value), PRIMARY
        if isinstance(value, float):
            if value != value or value in (float("inf"),):
                return "Infinity", PRIMARY
            return (str(int(value)) if value == int(value) and value < 1e15 else repr(value)), PRIMARY
        self.error(node, f"the constant {value!r} has no JS counterpart; leave it out")
        return "null", PRIMARY

    def x_Name(self, node: ast.Name) -> Js:
        scalar = self.scalar(node)
        if scalar is not None:
            return self.x_UnaryOp(scalar) if isinstance(scalar, ast.UnaryOp) else self.x_Constant(scalar)
        return self.name(node.id, node), PRIMARY

    def scalar(self, node: ast.Name) -> ast.expr | None:
        """The literal that a module-level name in UPPER_CASE stands for; it takes less room than the name and its declaration."""
        if not isinstance(node.ctx, ast.Load) or self.is_local(node.id) or self.is_test:
            return None
        symbol = self.project.resolve(self.module.name, node.id)
        owner = self.project.modules.get(symbol.module) if symbol is not None and symbol.kind == "constant" else None
        return owner.scalars.get(symbol.name) if owner is not None else None

    def x_NamedExpr(self, node: ast.NamedExpr) -> Js:
        return f"{self.name(node.target.id)} = {self.js(node.value, ASSIGN)}", ASSIGN

    def x_JoinedStr(self, node: ast.JoinedStr) -> Js:
        if len(node.values) == 1 and isinstance(node.values[0], ast.FormattedValue):
            text = self.formatted(node.values[0])
            if text.startswith(("$str(", "$repr(", "$format")):
                return text, PRIMARY
        parts = []
        for value in node.values:
            if isinstance(value, ast.Constant):
                body = quote(value.value)[1:-1].replace("\\'", "'")
                parts.append(body.replace("`", "\\`").replace("${", "\\${"))
            else:
                parts.append("${" + self.formatted(value) + "}")
        return "`" + "".join(parts) + "`", PRIMARY

    def formatted(self, node: ast.FormattedValue) -> str:
        value, spec = node.value, node.format_spec
        if node.conversion in (ord("r"), ord("a")):
            text = f"{self.rt('repr')}({self.js(value, ASSIGN)})"
            return text if spec is None else f"{self.rt('format')}({text}, {self.js(spec, ASSIGN)})"
        if spec is not None:
            fixed = self.fixed_format(value, spec)
            if fixed is not None:
                return fixed
            body = self.text_of(value) if node.conversion == ord("s") else self.js(value, ASSIGN)
            return f"{self.rt('format')}({body}, {self.js(spec, ASSIGN)})"
        return self.text_of(value)

    def fixed_format(self, value: ast.expr, spec: ast.expr) -> str | None:
        """A number with a precision that is known: no need for all that format() knows."""
        text = spec.values[0].value if isinstance(spec, ast.JoinedStr) and len(spec.values) == 1 and isinstance(spec.values[0], ast.Constant) else ""
        kind = self.type_of(value)
        zeros = re.fullmatch(r"0(\d+)([dx])", text)
        if zeros is not None and kind.kind == "int" and not kind.opt:
            return f"{self.rt('formatZeros')}({self.js(value, ASSIGN)}, {zeros[1]}{', 16' if zeros[2] == 'x' else ''})"
        match = re.fullmatch(r"\.(\d+)([fg])", text)
        if match is None or kind.kind not in ("int", "float") or kind.opt:
            return None
        return f"{self.rt('formatFixed' if match[2] == 'f' else 'formatGeneral')}({self.js(value, ASSIGN)}, {match[1]})"

    def text_of(self, node: ast.expr) -> str:
        """str(x) where JS may turn a number into text by itself."""
        kind = self.type_of(node)
        if kind.kind in ("str", "int") and not kind.opt:
            return self.js(node)
        return f"{self.rt('str')}({self.js(node, ASSIGN)})"

    def x_List(self, node: ast.List) -> Js:
        return "[" + ", ".join(self.items(node.elts)) + "]", PRIMARY

    x_Tuple = x_List

    def items(self, nodes: list[ast.expr]) -> list[str]:
        return [
            f"...{self.iterable(item.value)}" if isinstance(item, ast.Starred) else self.js(item, ASSIGN) for item in nodes
        ]

    def x_Set(self, node: ast.Set) -> Js:
        return f"new Set([{', '.join(self.items(node.elts))}])", PRIMARY

    def x_Dict(self, node: ast.Dict) -> Js:
        if not node.keys:
            return f"{self.rt('emptyDict')}()", PRIMARY
        keys = words_of(node.keys)
        if keys is not None:
            return f"{self.rt('dict')}({', '.join([note(quote(keys)), *self.items(node.values)])})", PRIMARY
        entries = []
        for key, value in zip(node.keys, node.values):
            entries.append(f"...{self.js(value, PRIMARY)}" if key is None else f"[{self.js(key, ASSIGN)}, {self.js(value, ASSIGN)}]")
        one_line = ", ".join(entries)
        if len(one_line) > 100:
            one_line = "\n  " + ",\n  ".join(entry.replace("\n", "\n  ") for entry in entries) + ",\n"
        return f"new Map([{one_line}])", PRIMARY

    # -- truth -----------------------------------------------------------------------------------------------------

    def test(self, node: ast.expr, least: int = 0) -> str:
        """A condition: JS text that is truthy exactly when Python's value is."""
        text, precedence = self.condition(node)
        return f"({text})" if precedence < least else text

    def condition(self, node: ast.expr) -> Js:
        if isinstance(node, ast.BoolOp):
            return self.junction(node, self.test)
        presence = self.presence(node)
        if presence is not None:
            value, present = presence
            return (value, UNARY) if present else (f"!{value}", UNARY)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self.x_UnaryOp(node)
        if isinstance(node, ast.IfExp):
            return self.choice(node, self.test)
        return self.truth(self.js(node, UNARY) if self.needs_truth(node) else None, node)

    def junction(self, node: ast.BoolOp, show: Callable[[ast.expr, int], str]) -> Js:
        """Operands that JS joins as Python does; each may rely on what those before it prove."""
        level, sign = (AND, " && ") if isinstance(node.op, ast.And) else (OR, " || ")
        parts: list[str] = []
        known: dict[str, Type] = {}
        for value in node.values:
            with self.assuming(known, []):
                parts.append(show(value, level))
                known |= self.facts(value, level == AND)
        return sign.join(parts), level

    def presence(self, node: ast.expr) -> tuple[str, bool] | None:
        """A comparison that JS's own truth of its left side answers, or of its negation: with None, of an object that cannot
        be falsy in JS; with 0, of a length; with the empty text, of a text."""
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.comparators[0], ast.Constant):
            return None
        left, op, other = node.left, node.ops[0], node.comparators[0].value
        kind = self.type_of(left)
        if other is None and isinstance(op, (ast.Is, ast.IsNot)) and kind.kind in _OBJECTS:
            return self.missing(left, UNARY), isinstance(op, ast.IsNot)
        sized = isinstance(left, ast.Call) and isinstance(left.func, ast.Name) and left.func.id == "len" and self.is_builtin("len")
        if sized and type(other) is int and other == 0 and isinstance(op, (ast.Eq, ast.NotEq, ast.Gt)):
            return self.js(left, UNARY), not isinstance(op, ast.Eq)
        if other == "" and isinstance(op, (ast.Eq, ast.NotEq)) and kind.kind == "str" and not kind.opt:
            return self.js(left, UNARY), isinstance(op, ast.NotEq)
        return None

    def needs_truth(self, node: ast.expr) -> bool:
        kind = self.type_of(node)
        return not (kind.kind in ("bool", "int", "none", "function") or kind.kind == "str" or kind.kind == "float" and kind.opt)

    def truth(self, text: str | None, node: ast.expr) -> Js:
        """Turn the JS of a value into a condition."""
        kind = self.type_of(node)
        if text is None:
            method = getattr(self, "x_" + type(node).__name__, None)
            return method(node) if method else (self.js(node), PRIMARY)
        inner = text if self.is_tight(node) else f"({text})"
        if kind.kind in SIZED_BY_LENGTH:
            return f"{inner}{'?' if kind.opt else ''}.length", PRIMARY
        if kind.kind in ("dict", "set"):
            return f"{inner}{'?' if kind.opt else ''}.size", PRIMARY
        if kind.kind == "float":
            return f"{text} !== 0", EQUALITY
        if kind.kind == "class" and not self.project.find_method(kind.name, "__len__") and not self.project.find_method(kind.name, "__bool__"):
            return text, UNARY
        return f"{self.rt('truthy')}({text})", PRIMARY

    def is_tight(self, node: ast.expr) -> bool:
        """Whether a member access may follow the JS of this node directly."""
        return isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Call, ast.List, ast.Tuple, ast.JoinedStr))

    def x_BoolOp(self, node: ast.BoolOp) -> Js:
        if all(self.type_of(value).kind == "bool" and not self.type_of(value).opt for value in node.values):
            return self.junction(node, self.js)
        is_and = isinstance(node.op, ast.And)
        values = list(node.values)
        known: dict[str, Type] = {}
        for value in values[:-1]:
            known |= self.facts(value, is_and)
        with self.assuming(known, []):
            result = (self.js(values[-1], AND if is_and else OR), AND if is_and else OR)
        for value in reversed(values[:-1]):
            if self.native_truth(value):
                level = AND if is_and else OR
                right = result[0] if result[1] >= level else f"({result[0]})"
                result = f"{self.js(value, level)} {'&&' if is_and else '||'} {right}", level
            else:
                right = result[0]
                name = self.js(value, ASSIGN) if self.is_simple(value) else self.temp()
                test = self.truth(name, value)[0] if self.is_simple(value) else self.truth(f"({name} = {self.js(value, ASSIGN)})", ast.copy_location(value, value))[0]
                result = (f"{test} ? {right} : {name}" if is_and else f"{test} ? {name} : {right}"), TERNARY
        return result

    def native_truth(self, node: ast.expr) -> bool:
        """Whether JS's own && and || choose as Python's and/or do."""
        kind = self.type_of(node)
        if kind.kind == "class":
            return not self.project.find_method(kind.name, "__len__") and not self.project.find_method(kind.name, "__bool__")
        return kind.kind in ("bool", "int", "str", "none", "function")

    def is_simple(self, node: ast.expr) -> bool:
        """Whether evaluating twice is harmless."""
        if isinstance(node, ast.Attribute):
            return self.is_simple(node.value) and not self.may_be_property(node)
        return isinstance(node, (ast.Name, ast.Constant))

    def may_be_property(self, node: ast.Attribute) -> bool:
        return any(node.attr in info.properties for info in self.project.classes.values())

    def x_UnaryOp(self, node: ast.UnaryOp) -> Js:
        if isinstance(node.op, ast.Not):
            operand = node.operand
            kind = self.type_of(operand)
            presence = self.presence(operand)
            if presence is not None:
                return f"{'!' if presence[1] else '!!'}{presence[0]}", UNARY
            if isinstance(operand, ast.Compare) and len(operand.ops) == 1 and type(operand.ops[0]) in _FLIPPED:
                flipped = _FLIPPED[type(operand.ops[0])]()
                return self.x_Compare(ast.copy_location(ast.Compare(operand.left, [flipped], operand.comparators), node))
            if not kind.opt and kind.kind in SIZED_BY_LENGTH and kind.kind != "str":
                return f"!{self.js(operand, UNARY + 1)}.length", UNARY
            if not kind.opt and kind.kind in ("dict", "set"):
                return f"!{self.js(operand, UNARY + 1)}.size", UNARY
            return f"!{self.test(operand, UNARY)}", UNARY
        if isinstance(node.op, ast.USub):
            inner = self.js(node.operand, UNARY)
            return ("-" + (f"({inner})" if inner.startswith("-") else inner)), UNARY
        if isinstance(node.op, ast.UAdd):
            return f"+{self.js(node.operand, UNARY + 1)}", UNARY
        return f"-{self.js(node.operand, PLUS)} - 1", PLUS

    def x_IfExp(self, node: ast.IfExp) -> Js:
        return self.choice(node, self.js)

    def choice(self, node: ast.IfExp, show: Callable[[ast.expr, int], str]) -> Js:
        test = self.test(node.test, COALESCE)
        with self.assuming(self.facts(node.test, True), [node.body]):
            body = show(node.body, ASSIGN)
        with self.assuming(self.facts(node.test, False), [node.orelse]):
            return f"{test} ? {body} : {show(node.orelse, ASSIGN)}", TERNARY

    # -- comparison ------------------------------------------------------------------------------------------------

    def x_Compare(self, node: ast.Compare) -> Js:
        presence = self.presence(node)
        if presence is not None:
            value, present = presence
            return f"{'!!' if present else '!'}{value}", UNARY
        left, parts = node.left, []
        previous: str | None = None
        for index, (op, right) in enumerate(zip(node.ops, node.comparators)):
            right_text = None
            if index < len(node.ops) - 1 and not self.is_simple(right):
                name = self.temp()
                right_text = f"({name} = {self.js(right, ASSIGN)})"
            parts.append(self.comparison(op, left, right, previous, right_text))
            previous = right_text and name
            left = right
        if len(parts) == 1:
            return parts[0]
        return " && ".join(text if level > AND else f"({text})" for text, level in parts), AND

    def comparison(self, op: ast.cmpop, left: ast.expr, right: ast.expr, left_text: str | None, right_text: str | None) -> Js:
        def show(node: ast.expr, text: str | None, level: int) -> str:
            return text if text is not None else self.js(node, level)

        a, b = self.type_of(left), self.type_of(right)
        if isinstance(op, (ast.Is, ast.IsNot)):
            sign = "==" if isinstance(op, ast.Is) else "!="
            if isinstance(right, ast.Constant) and right.value is None:
                text = self.missing(left) if left_text is None else left_text
                return f"{text} {sign} null", EQUALITY
            return f"{show(left, left_text, EQUALITY + 1)} {sign}= {show(right, right_text, EQUALITY + 1)}", EQUALITY
        if isinstance(op, (ast.In, ast.NotIn)):
            text, level = self.membership(left, right, left_text, right_text)
            return (text, level) if isinstance(op, ast.In) else (f"!{text if level >= UNARY else f'({text})'}", UNARY)
        if isinstance(op, (ast.Eq, ast.NotEq)):
            if self.same_by_identity(a, b):
                sign = "==" if isinstance(op, ast.Eq) else "!="
                sign += "" if self.is_ours(left, a, b) and self.is_ours(right, b, a) else "="
                return f"{show(left, left_text, EQUALITY + 1)} {sign} {show(right, right_text, EQUALITY + 1)}", EQUALITY
            text = f"{self.rt('eq')}({show(left, left_text, ASSIGN)}, {show(right, right_text, ASSIGN)})"
            return (text, PRIMARY) if isinstance(op, ast.Eq) else (f"!{text}", UNARY)
        sign = _ORDER[type(op)]
        if a.kind in NUMERIC or b.kind in NUMERIC or a.kind == b.kind == "str":
            return f"{show(left, left_text, SHIFT)} {sign} {show(right, right_text, SHIFT)}", RELATION
        return f"{self.rt('cmp')}({show(left, left_text, ASSIGN)}, {show(right, right_text, ASSIGN)}) {sign} 0", RELATION

    def is_ours(self, node: ast.expr, kind: Type, other: Type) -> bool:
        """Whether a value is sure to have the type of what it is compared with, so that == does what === does.

        A parameter may come from a caller that heeds no types.
        """
        same = kind.kind == other.kind == "str" or {kind.kind, other.kind} <= {"int", "float"}
        return same and not kind.opt and not (isinstance(node, ast.Name) and any(node.id in scope.params for scope in self.scope_stack))

    def same_by_identity(self, a: Type, b: Type) -> bool:
        """Whether JS === is Python's == for these types."""
        for one, other in ((a, b), (b, a)):
            if one.kind in ("str", "int", "float") and not one.opt and (other.kind != "bool" or one.kind == "str"):
                return True
        if a.kind == b.kind == "bool":
            return not (a.opt and b.opt)
        if a.kind == b.kind == "class" and a.name == b.name and not (a.opt and b.opt):
            info = self.project.classes.get(a.name)
            return info is not None and not any(c.is_dataclass and c.eq or "__eq__" in c.methods for c in self.project.lineage(info)) \
                and a.name not in self.project.subclassed
        return False

    def missing(self, node: ast.expr, least: int = EQUALITY + 1) -> str:
        """A value that is only compared with None: undefined will do as null."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get" and len(node.args) == 1:
            owner = self.type_of(node.func.value)
            if owner.kind == "dict" and not node.keywords:
                return f"{self.js(node.func.value, PRIMARY)}.get({self.js(node.args[0], ASSIGN)})"
        return self.js(node, least)

    def membership(self, left: ast.expr, right: ast.expr, left_text: str | None, right_text: str | None) -> Js:
        item = left_text if left_text is not None else self.js(left, ASSIGN)
        kind, of = self.type_of(right), self.type_of(left)
        if kind.kind in ("dict", "set"):
            return f"{self.member(right)}.has({item})", PRIMARY
        if kind.kind == "str":
            return f"{self.member(right)}.includes({item})", PRIMARY
        if kind.kind in ("list", "tuple"):
            if of.kind in ("str", "int", "float") and not of.opt or isinstance(right, (ast.Tuple, ast.List)) and all(
                self.type_of(element).kind in ("str", "int") for element in right.elts
            ) and of.kind != "bool":
                return f"{self.member(right)}.includes({item})", PRIMARY
        container = right_text if right_text is not None else self.js(right, ASSIGN)
        return f"{self.rt('contains')}({container}, {item})", PRIMARY

    def member(self, node: ast.expr) -> str:
        """JS text that a `.name` may follow."""
        text = self.js(node, PRIMARY)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) or text.startswith("new ") and not text.endswith(")"):
            return f"({text})"
        return text

    # -- arithmetic ------------------------------------------------------------------------------------------------

    def x_BinOp(self, node: ast.BinOp) -> Js:
        return self.binary(node, node.op, node.left, node.right)

    def binary(self, node: ast.AST, op: ast.operator, left: ast.expr, right: ast.expr) -> Js:
        folded = fold(node) if isinstance(node, ast.BinOp) else None
        if folded is not None:
            return str(folded), PRIMARY if folded >= 0 else UNARY
        a, b = self.type_of(left), self.type_of(right)
        numeric = a.kind in NUMERIC and b.kind in NUMERIC

        def infix(level: int) -> Js:
            sign = self.operators[type(op)][0]
            return f"{self.js(left, level)} {sign} {self.js(right, level + 1)}", level

        def helper(name: str) -> Js:
            return f"{self.rt(name)}({self.js(left, ASSIGN)}, {self.js(right, ASSIGN)})", PRIMARY

        if isinstance(op, ast.Add):
            if numeric or "str" in (a.kind, b.kind) or any(side.kind in ("int", "float") for side in (a, b)):
                return infix(PLUS)
            if a.kind in ("list", "tuple") and b.kind in ("list", "tuple"):
                return f"{self.member(left)}.concat({self.js(right, ASSIGN)})", PRIMARY
            return helper("add")
        if isinstance(op, ast.Sub):
            return infix(PLUS)
        if isinstance(op, ast.Mult):
            if numeric or "float" in (a.kind, b.kind):
                return infix(TIMES)
            if isinstance(left, ast.List) and len(left.elts) == 1 and b.kind == "int" and not isinstance(left.elts[0], ast.Starred):
                return f"{self.rt('filled')}({self.js(left.elts[0], ASSIGN)}, {self.js(right, ASSIGN)})", PRIMARY
            return helper("mul")
        if isinstance(op, ast.Div):
            return infix(TIMES)
        if isinstance(op, ast.Pow):
            return f"{self.js(left, PRIMARY)} ** {self.js(right, POWER)}", POWER
        if isinstance(op, ast.FloorDiv):
            return helper("floordiv")
        if isinstance(op, ast.Mod):
            if a.kind == "str":
                self.error(node, "%-formatting; write an f-string")
            return helper("mod")
        if isinstance(op, ast.BitAnd):
            if any(value is not None and 0 <= value < _INT32_LIMIT for value in (fold(left), fold(right))):
                return infix(BIT_AND)
            return helper("and")
        if isinstance(op, (ast.BitOr, ast.BitXor)):
            return helper("or" if isinstance(op, ast.BitOr) else "xor")
        if isinstance(op, ast.LShift):
            return helper("shl")
        if isinstance(op, ast.RShift):
            return helper("shr")
        self.error(node, "this operator is not in the subset; write a function call")
        return "null", PRIMARY

    # -- access ----------------------------------------------------------------------------------------------------

    def x_Attribute(self, node: ast.Attribute) -> Js:
        symbol = self.dotted_symbol(node)
        if symbol is not None and symbol.kind != "module":
            owner = self.dotted_symbol(node.value)
            if owner is not None and owner.kind == "module":
                return self.imported(symbol, node), PRIMARY
        if isinstance(node.value, ast.Name) and self.is_math(node.value):
            return self.math_value(node), PRIMARY
        if node.attr == "__name__":
            if isinstance(node.value, ast.Call) and getattr(node.value.func, "id", "") == "type":
                return f"{self.rt('typeName')}({self.js(node.value.args[0], ASSIGN)})", PRIMARY
            return f"{self.member(node.value)}.name", PRIMARY
        if node.attr == "__class__":
            return f"{self.member(node.value)}.constructor", PRIMARY
        if node.attr == "__cause__":
            return f"{self.member(node.value)}.cause ?? null", COALESCE
        if isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Name) and node.value.func.id == "super":
            return f"super.{self.own_member(node.attr)}", PRIMARY
        owner_type = self.type_of(node.value)
        if self.is_bound_method(node, owner_type):
            return self.bound_method(node, owner_type), PRIMARY
        return f"{self.member(node.value)}.{self.member_name(node.value, node.attr)}", PRIMARY

    def bound_method(self, node: ast.Attribute, owner: Type) -> str:
        """A method as a value remembers its object. No name goes into a string: bundlers rename private members."""
        name = self.member_name(node.value, node.attr)
        if self.is_simple(node.value):
            text = again = self.js(node.value, PRIMARY)
        else:
            again = self.temp()
            text = f"({again} = {self.js(node.value, ASSIGN)})"
        if owner.kind in ("class", "classobj"):
            return f"{text}.{name}.bind({again})"
        return f"{self.rt('bind')}({text}, {again}.{name})"

    def is_bound_method(self, node: ast.Attribute, owner: Type) -> bool:
        if owner.kind in ("class", "classobj"):
            if self.project.attribute_type(owner.name, node.attr) is not None:
                return False
            method = self.project.find_method(owner.name, node.attr)
            return method is not None and (owner.kind == "class" or method.kind == "class")
        return owner.kind in ("any", "unknown") and node.attr in self.project.methods and isinstance(node.ctx, ast.Load)

    def x_Subscript(self, node: ast.Subscript) -> Js:
        kind = self.type_of(node.value)
        if isinstance(node.slice, ast.Slice):
            return self.slice(node.value, node.slice, kind)
        key = "-1" if self.is_last(node) else self.js(node.slice, ASSIGN)
        if kind.kind == "class" and self.project.find_method(kind.name, "__getitem__"):
            return f"{self.member(node.value)}.__getitem__({key})", PRIMARY
        if kind.kind == "dict":
            return f"{self.rt('key')}({self.js(node.value, ASSIGN)}, {key})", PRIMARY
        index = constant_int(node.slice)
        if kind.kind == "tuple" and index is not None and not kind.opt and -len(kind.args) <= index < len(kind.args):
            return f"{self.member(node.value)}[{index % len(kind.args)}]", PRIMARY
        if kind.kind in ("list", "tuple", "str", "bytes", "array", "iterable"):
            if self.proven_index(node):
                return f"{self.member(node.value)}[{key}]", PRIMARY
            if key in _PLACES and kind.kind != "bytes":
                return f"{self.rt(_PLACES[key])}({self.js(node.value, ASSIGN)})", PRIMARY
            helper = "byte" if kind.kind == "bytes" else "item"
            return f"{self.rt(helper)}({self.js(node.value, ASSIGN)}, {key})", PRIMARY
        return f"{self.rt('at')}({self.js(node.value, ASSIGN)}, {key})", PRIMARY

    def is_last(self, node: ast.Subscript) -> bool:
        """xs[len(xs) - 1]"""
        index = node.slice
        return (
            isinstance(index, ast.BinOp) and isinstance(index.op, ast.Sub) and constant_int(index.right) == 1
            and isinstance(index.left, ast.Call) and ast.unparse(index.left) == f"len({ast.unparse(node.value)})"
            and self.is_simple(node.value) and self.type_of(node.value).kind in ("list", "tuple", "str")
        )

    def proven_index(self, node: ast.Subscript) -> bool:
        """Whether the index comes from `for i in range(len(x))` over this very x."""
        return isinstance(node.slice, ast.Name) and (node.slice.id, ast.unparse(node.value)) in self.scope.proven

    def slice(self, owner: ast.expr, part: ast.Slice, kind: Type) -> Js:
        bounds = [part.lower, part.upper]
        plain = all(bound is None or self.type_of(bound).kind in ("int", "bool") and not self.type_of(bound).opt for bound in bounds)
        if part.step is None and plain and kind.kind in ("list", "tuple", "str", "bytes"):
            method = "subarray" if kind.kind == "bytes" else "slice"
            texts = ["0" if part.lower is None and part.upper is not None else "" if part.lower is None else self.js(part.lower, ASSIGN)]
            if part.upper is not None:
                texts.append(self.js(part.upper, ASSIGN))
            return f"{self.member(owner)}.{method}({', '.join(text for text in texts if text)})", PRIMARY
        arguments = [self.js(owner, ASSIGN)] + [self.js(bound, ASSIGN) if bound else "null" for bound in (*bounds, part.step)]
        while arguments[-1] == "null":
            arguments.pop()
        return f"{self.rt('part' if part.step is None else 'slice')}({', '.join(arguments)})", PRIMARY


def fold(node: ast.expr) -> int | None:
    """The value of an arithmetic expression of integer literals."""
    value = constant_int(node)
    if value is not None:
        return value
    if isinstance(node, ast.BinOp):
        left, right = fold(node.left), fold(node.right)
        if left is None or right is None or abs(right) > 2**53:
            return None
        result = None
        if isinstance(node.op, ast.LShift) and 0 <= right < 54:
            result = left << right
        elif isinstance(node.op, ast.RShift) and right >= 0:
            result = left >> right
        elif isinstance(node.op, ast.BitOr):
            result = left | right
        elif isinstance(node.op, ast.BitAnd):
            result = left & right
        elif isinstance(node.op, ast.Pow) and 0 <= right < 54 and abs(left) <= 64:
            result = left**right
        elif isinstance(node.op, (ast.Add, ast.Sub)):
            result = left + right if isinstance(node.op, ast.Add) else left - right
        elif isinstance(node.op, ast.Mult):
            result = left * right
        return result if result is not None and abs(result) < 2**53 else None
    return None
