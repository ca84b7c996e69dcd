"""Functions as expressions: lambda, await, yield, comprehensions, and what for..of iterates."""

from __future__ import annotations

import ast
from collections.abc import Callable

from toolchain.expressions import ASSIGN, PRIMARY, TERNARY, UNARY, Js, options_object
from toolchain.names import variable_name
from toolchain.pytypes import NUMERIC
from toolchain.scopes import COMPREHENSIONS


class Comprehensions:
    """Mixed into the generator."""

    def x_Lambda(self, node: ast.Lambda) -> Js:
        with self.function_scope(node):
            params = self.parameters(node.args)
            body = self.js(node.body, ASSIGN)
            temps = self.scope.take_temps()
        if temps:
            return f"({params}) => {{ let {', '.join(temps)}; return {body}; }}", ASSIGN
        return f"({params}) => {f'({body})' if body.startswith('{') else body}", ASSIGN

    def x_Await(self, node: ast.Await) -> Js:
        return f"await {self.js(node.value, UNARY)}", UNARY

    def x_Yield(self, node: ast.Yield) -> Js:
        return (f"yield {self.js(node.value, ASSIGN)}" if node.value else "yield null"), ASSIGN

    def x_YieldFrom(self, node: ast.YieldFrom) -> Js:
        return f"yield* {self.iterable(node.value)}", ASSIGN

    def x_Starred(self, node: ast.Starred) -> Js:
        return f"...{self.iterable(node.value)}", ASSIGN

    def x_ListComp(self, node: ast.ListComp) -> Js:
        return self.comprehension(node, node.elt, "list")

    def x_SetComp(self, node: ast.SetComp) -> Js:
        return f"new Set({self.comprehension(node, node.elt, 'set')[0]})", PRIMARY

    def x_DictComp(self, node: ast.DictComp) -> Js:
        pair = ast.copy_location(ast.Tuple([node.key, node.value], ast.Load()), node)
        return f"new Map({self.comprehension(node, pair, 'dict')[0]})", PRIMARY

    def x_GeneratorExp(self, node: ast.GeneratorExp) -> Js:
        with self.comprehension_scope(node.generators):
            body = self.comprehension_loops(node, lambda: f"yield {self.js(node.elt, ASSIGN)};")
        star = "async " if is_async_comprehension(node) else ""
        call = ".call(this)" if "this" in body else "()"
        return f"({star}function* () {{\n{indent(body)}\n}}){call}", PRIMARY

    def comprehension(self, node: ast.expr, element: ast.expr, purpose: str) -> Js:
        """A list of the elements, by map and filter where that keeps the order of evaluation."""
        first = node.generators[0]
        awaits = is_async_comprehension(node)
        walrus = any(isinstance(child, ast.NamedExpr) for child in ast.walk(node))
        if len(node.generators) > 1 or awaits or walrus:
            with self.comprehension_scope(node.generators):
                body = self.comprehension_loops(node, lambda: f"$out.push({self.js(element, ASSIGN)});")
            head = "await (async () => {" if awaits else "(() => {"
            return f"{head}\n  const $out = [];\n{indent(body)}\n  return $out;\n}})()", UNARY if awaits else PRIMARY
        source_type = self.type_of(first.iter)
        count = range_count(first.iter)
        if count is not None and not first.ifs and isinstance(first.target, ast.Name):
            length = self.js(count, ASSIGN)
            with self.comprehension_scope(node.generators):
                target = self.pattern(first.target)
                used = any(isinstance(child, ast.Name) and child.id == first.target.id for child in ast.walk(element))
                body = self.arrow_body(element)
            return f"{self.rt('listOf')}({length}, ({target if used else ''}) => {body})", PRIMARY
        fresh = source_type.kind in ("list", "tuple") or is_call_of(first.iter, "range") and self.is_builtin("range")
        source = self.js(first.iter, PRIMARY) if fresh else f"[...{self.loop_source(first.iter)}]"
        with self.comprehension_scope(node.generators):
            target = self.pattern(first.target)
            params = target if isinstance(first.target, ast.Name) else f"({target})"
            params = f"({target})"
            text = source
            for condition in first.ifs:
                text += f".filter({params} => {self.test(condition, TERNARY)})"
            same = isinstance(element, ast.Name) and isinstance(first.target, ast.Name) and element.id == first.target.id
            if not same:
                text += f".map({params} => {self.arrow_body(element)})"
            elif not first.ifs and source_type.kind in ("list", "tuple"):
                text += ".slice()"
        return text, PRIMARY

    def arrow_body(self, node: ast.expr) -> str:
        body = self.js(node, ASSIGN)
        return f"({body})" if body.startswith("{") else body

    def comprehension_loops(self, node: ast.expr, innermost: Callable[[], str]) -> str:
        """Nested for loops of a comprehension, in the scope of its variables."""
        lines, depth = [], 0
        for generator in node.generators:
            pad = "  " * depth
            if generator.is_async:
                lines.append(f"{pad}for await (const {self.pattern(generator.target)} of {self.js(generator.iter, ASSIGN)}) {{")
            else:
                counting = self.counting_loop(generator, set()) if isinstance(generator.target, ast.Name) else ""
                lines.append(pad + (counting or f"for (const {self.pattern(generator.target)} of {self.loop_source(generator.iter)}) {{"))
            depth += 1
            for condition in generator.ifs:
                negated = ast.copy_location(ast.UnaryOp(ast.Not(), condition), condition)
                lines.append("  " * depth + f"if ({self.test(negated)}) continue;")
        lines.append("  " * depth + innermost())
        for level in range(depth - 1, -1, -1):
            lines.append("  " * level + "}")
        return "\n".join(lines)

    def pattern(self, target: ast.expr) -> str:
        """A destructuring pattern of a loop target."""
        if isinstance(target, ast.Name):
            return variable_name(target.id)
        if isinstance(target, (ast.Tuple, ast.List)):
            parts = ["" if isinstance(item, ast.Name) and item.id == "_" else self.pattern(item) for item in target.elts]
            return "[" + ", ".join(parts).rstrip(", ") + "]" if any(parts) else "[]"
        if isinstance(target, ast.Starred):
            return f"...{self.pattern(target.value)}"
        return self.js(target)

    # -- iteration -------------------------------------------------------------------------------------------------

    def iterable(self, node: ast.expr) -> str:
        """JS text that for..of or spread takes, yielding what Python would."""
        kind = self.type_of(node)
        if isinstance(node, ast.Call) and not node.keywords and not node.args and isinstance(node.func, ast.Attribute):
            owner = self.type_of(node.func.value)
            if owner.kind == "dict" and node.func.attr in ("items", "keys", "values"):
                return f"{self.member(node.func.value)}.{'entries' if node.func.attr == 'items' else node.func.attr}()"
        text = self.js(node, PRIMARY)
        if kind.kind == "dict":
            return f"{text}.keys()"
        if kind.kind in ("list", "tuple", "set", "str", "bytes", "array", "iter") and not kind.opt:
            return text
        if isinstance(node, COMPREHENSIONS) or kind.kind in ("list", "tuple", "iter"):
            return text
        if kind.kind == "class" and self.project.find_method(kind.name, "__iter__"):
            return text
        return f"{self.rt('iter')}({text})"


def indent(text: str) -> str:
    return "\n".join("  " + line for line in text.split("\n"))


def is_call_of(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def is_async_comprehension(node: ast.expr) -> bool:
    return any(
        isinstance(child, ast.Await) or isinstance(child, ast.comprehension) and child.is_async for child in ast.walk(node)
    )


def range_count(node: ast.expr) -> ast.expr | None:
    """n of range(n)."""
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    return node.args[0] if is_range and len(node.args) == 1 else None
