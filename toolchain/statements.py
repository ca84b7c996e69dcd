"""Statements."""

from __future__ import annotations

import ast
import textwrap

from toolchain.expressions import ASSIGN, PRIMARY, SHIFT
from toolchain.inference import constant_int
from toolchain.names import attribute_name, variable_name
from toolchain.pytypes import NUMERIC
from toolchain.scopes import target_names
from toolchain.symbols import is_pragma, pragma_text

_MUTATORS = frozenset("append pop remove clear insert extend sort".split())


class Statements:
    """Mixed into the generator."""

    def visit_Pass(self, node: ast.Pass) -> None:
        pass

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        pass

    def visit_Expr(self, node: ast.Expr) -> None:
        if is_pragma(node):
            self.pragma(node)
            return
        if isinstance(node.value, ast.Constant):
            return
        text = self.js(node.value)
        bare = text.split("\x02")[-1] if text.startswith("\x01") else text
        self.line(f"({text});" if bare.startswith(("{", "function")) else f"{text};", node)

    def pragma(self, node: ast.Expr) -> None:
        """Raw JS, as it stands; import lines go to the top of the module."""
        if not self.module.name.startswith("edgeflow.host.browser") and not self.module.name.startswith("snippet"):
            self.error(node, "__pragma__ is for host/browser*.py only; ask edgeflow.host.platform for what you need")
        first = node.value.args[1].lineno
        for index, text in enumerate(textwrap.dedent("\n" + pragma_text(node)).split("\n")[1:]):
            if text.startswith("import ") and self.scope is self.scope_stack[0]:
                self.raw_imports.append(text)
            elif text.strip():
                self.emit(f"{self.tabs()}\x01{first + index},0\x02{text}\n")

    # -- binding ---------------------------------------------------------------------------------------------------

    def declare_before(self, node: ast.stmt) -> None:
        names = self.scope.plan.before.pop(id(node), [])
        if names:
            export = "export " if self.scope is self.scope_stack[0] else ""
            self.line(f"{export}let {', '.join(variable_name(name) for name in names)};", node)

    def declaration(self, node: ast.stmt, names: list[str]) -> str:
        """`const `, `let ` or nothing, for a statement that binds these names."""
        self.declare_before(node)
        here = self.scope.plan.at.get(id(node), {})
        if not names or not all(name in here for name in names):
            missing = [name for name in names if name in here]
            if missing:
                self.line(f"let {', '.join(variable_name(name) for name in missing)};", node)
            return ""
        export = "export " if self.scope is self.scope_stack[0] else ""
        return export + ("const " if all(here[name] for name in names) else "let ")

    def visit_Assign(self, node: ast.Assign) -> None:
        if len(node.targets) == 1:
            self.assign(node, node.targets[0], node.value)
            return
        self.declare_before(node)
        if self.is_simple(node.value) or isinstance(node.value, ast.Constant):
            value = self.js(node.value, ASSIGN)
        else:
            value = self.temp()
            self.line(f"{value} = {self.js(node.value, ASSIGN)};", node)
        for target in node.targets:
            self.store(node, target, value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.assign(node, node.target, node.value)
        elif isinstance(node.target, ast.Name):
            self.declare_before(node)

    def assign(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            self.unpack(node, target, value)
            return
        if isinstance(target, ast.Name):
            prefix = self.declaration(node, [target.id])
            if not prefix and self.steps(target, value):  # x = x + y, the shorter way
                self.visit_AugAssign(ast.copy_location(ast.AugAssign(target, value.op, value.right), node))
                return
            text = self.js(value, ASSIGN)
            if self.scope is self.scope_stack[0] and text.split("\x02")[-1].startswith(("new ", "$")):
                text = "/* @__PURE__ */ " + text
            self.line(f"{prefix}{self.name(target.id)} = {text};", node)
            return
        self.declare_before(node)
        self.store(node, target, self.js(value, ASSIGN))

    def steps(self, target: ast.Name, value: ast.expr) -> bool:
        """Whether a value is the variable itself and a number more, less, or times."""
        return (
            isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Sub, ast.Mult)) and isinstance(value.left, ast.Name)
            and value.left.id == target.id and self.type_of(value.left).kind in NUMERIC and self.type_of(value.right).kind in NUMERIC
        )

    def store(self, node: ast.stmt, target: ast.expr, value: str) -> None:
        """Assign JS text to any target."""
        if isinstance(target, ast.Name):
            self.line(f"{self.declaration(node, [target.id])}{self.name(target.id)} = {value};", node)
        elif isinstance(target, ast.Attribute):
            self.line(f"{self.member(target.value)}.{self.member_name(target.value, target.attr)} = {value};", node)
        elif isinstance(target, ast.Subscript):
            self.line(f"{self.stored(target, value)};", node)
        else:
            names = list(target_names(target))
            self.line(f"{self.declaration(node, names)}{self.assign_pattern(target)} = {value};", node)

    def stored(self, target: ast.Subscript, value: str) -> str:
        kind = self.type_of(target.value)
        if isinstance(target.slice, ast.Slice):
            part = target.slice
            if part.step is not None:
                self.error(target, "assignment to a slice with a step is not in the subset; write a loop")
            bounds = [self.js(bound, ASSIGN) if bound else "null" for bound in (part.lower, part.upper)]
            return f"{self.rt('setSlice')}({self.js(target.value, ASSIGN)}, {bounds[0]}, {bounds[1]}, {value})"
        key = self.js(target.slice, ASSIGN)
        if kind.kind == "dict":
            return f"{self.member(target.value)}.set({key}, {value})"
        if kind.kind in ("list", "bytes", "array"):
            if self.proven_index(target):
                return f"{self.member(target.value)}[{key}] = {value}"
            return f"{self.rt('putItem')}({self.js(target.value, ASSIGN)}, {key}, {value})"
        return f"{self.rt('put')}({self.js(target.value, ASSIGN)}, {key}, {value})"

    def unpack(self, node: ast.stmt, target: ast.expr, value: ast.expr) -> None:
        names = list(target_names(target))
        stars = [index for index, item in enumerate(target.elts) if isinstance(item, ast.Starred)]
        kind = self.type_of(value)
        exact = isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts) and not any(
            isinstance(item, ast.Starred) for item in value.elts
        )
        text = self.js(value, ASSIGN)
        if stars:
            text = f"{self.rt('unpackStar')}({text}, {stars[0]}, {len(target.elts) - stars[0] - 1})"
        elif not exact and not (kind.kind == "tuple" and len(kind.args) == len(target.elts) and not kind.opt):
            text = f"{self.rt('unpack')}({text}, {len(target.elts)})"
        prefix = self.declaration(node, names)
        complex_targets = [t for t in ast.walk(target) if isinstance(t, ast.Subscript) and isinstance(t.ctx, ast.Store)]
        if not complex_targets:
            self.line(f"{prefix}{self.assign_pattern(target)} = {text};", node)
            return
        temps = [self.temp() for _ in target.elts]
        self.line(f"[{', '.join(('...' if i in stars else '') + temp for i, temp in enumerate(temps))}] = {text};", node)
        for item, temp in zip(target.elts, temps):
            self.store(node, item.value if isinstance(item, ast.Starred) else item, temp)

    def assign_pattern(self, target: ast.expr, nested: bool = False) -> str:
        if isinstance(target, (ast.Tuple, ast.List)):
            stars = [isinstance(item, ast.Starred) for item in target.elts]
            if nested and any(stars[:-1]):
                self.error(target, "a starred name before others inside a nested target; unpack in two steps")
            parts = [
                ("..." if star and nested else "") + self.assign_pattern(item.value if star else item, True)
                for item, star in zip(target.elts, stars)
            ]
            return "[" + ", ".join(parts) + "]"
        if isinstance(target, ast.Name):
            return self.name(target.id)
        return self.js(target, PRIMARY)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.declare_before(node)
        target, op = node.target, node.op
        load = ast.copy_location(
            ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name)
            else ast.Attribute(target.value, target.attr, ast.Load()) if isinstance(target, ast.Attribute)
            else ast.Subscript(target.value, target.slice, ast.Load()), target,
        )
        a, b = self.type_of(load), self.type_of(node.value)
        native = {ast.Add: "+=", ast.Sub: "-=", ast.Mult: "*=", ast.Div: "/="}.get(type(op))
        if native and not isinstance(target, ast.Subscript):
            numeric = a.kind in NUMERIC and b.kind in NUMERIC or isinstance(op, (ast.Sub, ast.Div))
            if numeric or isinstance(op, ast.Add) and "str" in (a.kind, b.kind) or isinstance(op, ast.Add) and (
                a.kind in ("int", "float") or b.kind in ("int", "float")
            ):
                step = constant_int(node.value)
                if step == 1 and native in ("+=", "-="):
                    self.line(f"{self.js(load, PRIMARY)}{native[0] * 2};", node)
                else:
                    self.line(f"{self.js(load, PRIMARY)} {native} {self.js(node.value, ASSIGN)};", node)
                return
        if isinstance(op, ast.Add) and a.kind == "list" and not isinstance(target, ast.Subscript):
            self.line(f"{self.rt('m_extend')}({self.js(load, ASSIGN)}, {self.js(node.value, ASSIGN)});", node)
            return
        if isinstance(target, ast.Subscript) and not isinstance(target.slice, ast.Slice):
            target = self.stable_subscript(node, target)
            load = ast.copy_location(ast.Subscript(target.value, target.slice, ast.Load()), node.target)
            self.types[id(load)] = (load, a)
        if isinstance(op, ast.Add) and not (a.kind in NUMERIC or a.kind == "str" or b.kind in NUMERIC or b.kind == "str"):
            value = f"{self.rt('iadd')}({self.js(load, ASSIGN)}, {self.js(node.value, ASSIGN)})"
        else:
            value = self.binary(node, op, load, node.value)[0]
        self.store(node, target, value)

    def stable_subscript(self, node: ast.stmt, target: ast.Subscript) -> ast.Subscript:
        """The same element, with its container and key evaluated once."""
        parts = []
        for part in (target.value, target.slice):
            if self.is_simple(part) or constant_int(part) is not None:
                parts.append(part)
                continue
            name = self.temp()
            self.line(f"{name} = {self.js(part, ASSIGN)};", node)
            stand_in = ast.copy_location(ast.Name(name, ast.Load()), part)
            self.scope.locals.add(name)
            self.scope.env[name] = self.type_of(part)
            parts.append(stand_in)
        return ast.copy_location(ast.Subscript(parts[0], parts[1], ast.Store()), target)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Subscript):
                self.error(node, "del of a name or attribute is not in the subset; assign None")
            elif isinstance(target.slice, ast.Slice):
                self.line(f"{self.stored(target, '[]')};", node)
            else:
                self.line(f"{self.rt('del')}({self.js(target.value, ASSIGN)}, {self.js(target.slice, ASSIGN)});", node)

    # -- control ---------------------------------------------------------------------------------------------------

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None or isinstance(node.value, ast.Constant) and node.value.value is None:
            returns = self.function_scope_of().returns
            nothing = returns.kind == "none" or returns.kind == "awaitable" and returns.arg(0).kind == "none"
            self.line("return;" if node.value is None and nothing else "return null;", node)
        else:
            self.line(f"return {self.js(node.value, ASSIGN)};", node)

    def visit_If(self, node: ast.If) -> None:
        self.declare_before(node)
        self.line(f"if ({self.test(node.test)}) {{", node)
        known = self.facts(node.test, False)
        with self.assuming(self.facts(node.test, True), node.body):
            self.block(node.body)
        while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If) and id(node.orelse[0]) not in self.scope.plan.before:
            node = node.orelse[0]
            with self.assuming(known, [node]):
                self.line(f"}} else if ({self.test(node.test)}) {{", node)
                with self.assuming(self.facts(node.test, True), node.body):
                    self.block(node.body)
                known = known | self.facts(node.test, False)
        if node.orelse:
            self.line("} else {")
            with self.assuming(known, node.orelse):
                self.block(node.orelse)
        self.line("}")

    def block(self, statements: list[ast.stmt]) -> None:
        self.indent()
        self.body(statements)
        self.dedent()

    def visit_While(self, node: ast.While) -> None:
        self.declare_before(node)
        head = f"while ({self.test(node.test)}) {{"
        with self.assuming(self.facts(node.test, True), node.body):
            self.loop(node, head)

    def loop(self, node: ast.stmt, head: str, first: str = "") -> None:
        """A loop with its body and else; break of a loop with else leaves the labelled block around both."""
        label = ""
        if node.orelse:
            self.temp_count += 1
            label = f"loop{self.temp_count}"
            self.line(f"{label}: {{", node)
            self.indent()
        self.scope.loops.append(label)
        self.line(head, node)
        if first:
            self.line("  " + first, node)
        self.block(node.body)
        self.line("}")
        self.scope.loops.pop()
        if label:
            self.body(node.orelse)
            self.dedent()
            self.line("}")

    def visit_Break(self, node: ast.Break) -> None:
        label = self.scope.loops[-1] if self.scope.loops else ""
        self.line(f"break {label};" if label else "break;", node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.line("continue;", node)

    def visit_For(self, node: ast.For) -> None:
        self.declare_before(node)
        names = list(target_names(node.target))
        here = self.scope.plan.at.get(id(node), {})
        own = bool(names) and all(name in here for name in names)
        assigned = {
            name for child in node.body for n in ast.walk(child)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) for name in [n.id]
        }
        if own and isinstance(node.target, ast.Name) and node.target.id not in assigned:
            head = self.counting_loop(node, assigned)
            if head:
                proven = self.proven_pair(node, assigned)
                self.scope.proven |= proven
                self.loop(node, head)
                self.scope.proven -= proven
                return
        if own:
            keyword = "let" if assigned & set(names) else "const"
            target = f"{keyword} {self.pattern(node.target)}"
        else:
            missing = [name for name in names if name in here]
            if missing:
                self.line(f"let {', '.join(variable_name(name) for name in missing)};", node)
            target = self.assign_pattern(node.target, True)
        self.loop(node, f"for ({target} of {self.loop_source(node.iter)}) {{")

    def loop_source(self, node: ast.expr) -> str:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "enumerate" and self.is_builtin("enumerate") \
                and len(node.args) == 1 and not node.keywords:
            if self.type_of(node.args[0]).kind in ("list", "tuple", "bytes", "array") and not self.type_of(node.args[0]).opt:
                return f"{self.member(node.args[0])}.entries()"
            return f"{self.rt('enumerate')}({self.iterable(node.args[0])})"
        return self.iterable(node).removesuffix(".entries()") if is_items(node) and self.type_of(node.func.value).kind == "dict" else self.iterable(node)

    def counting_loop(self, node: ast.For | ast.comprehension, assigned: set[str]) -> str:
        """`for (let i = a; i < b; i++) {` for range(), or nothing."""
        call = node.iter
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "range" and self.is_builtin("range")):
            return ""
        if call.keywords or any(isinstance(a, ast.Starred) for a in call.args):
            return ""
        start = call.args[0] if len(call.args) > 1 else None
        stop = call.args[1] if len(call.args) > 1 else call.args[0]
        step = constant_int(call.args[2]) if len(call.args) > 2 else 1
        if not step:
            return ""
        name = variable_name(node.target.id)
        begin = self.js(start, ASSIGN) if start is not None else "0"
        setup = f"let {name} = {begin}"
        if constant_int(stop) is not None or isinstance(stop, ast.Name) and stop.id not in assigned and self.is_settled(stop.id):
            limit = self.js(stop, SHIFT)
        else:
            self.temp_count += 1
            limit = f"$n{self.temp_count}"
            setup += f", {limit} = {self.js(stop, ASSIGN)}"
        advance = f"{name}++" if step == 1 else f"{name}--" if step == -1 else f"{name} += {step}" if step > 0 else f"{name} -= {-step}"
        return f"for ({setup}; {name} {'<' if step > 0 else '>'} {limit}; {advance}) {{"

    def is_settled(self, name: str) -> bool:
        """Whether no closure can change a variable while a loop over it runs."""
        return not any(name in scope.nonlocals for scope in self.scope_stack) and name not in self.changed_inside()

    def changed_inside(self) -> set[str]:
        return {n for scope in self.scope_stack for info in scope.nested.values() for child in ast.walk(info.node)
                if isinstance(child, ast.Nonlocal) for n in child.names}

    def proven_pair(self, node: ast.For, assigned: set[str]) -> set[tuple[str, str]]:
        """(i, xs) of `for i in range(len(xs))` where the body neither rebinds nor resizes xs."""
        call = node.iter
        stop = call.args[-1] if len(call.args) < 3 else None
        if len(call.args) == 2 and not (constant_int(call.args[0]) is not None and constant_int(call.args[0]) >= 0):
            return set()
        if not (isinstance(stop, ast.Call) and isinstance(stop.func, ast.Name) and stop.func.id == "len"):
            return set()
        target = stop.args[0]
        if not isinstance(target, ast.Name) or target.id in assigned:
            return set()
        for child in (c for statement in node.body for c in ast.walk(statement)):
            if isinstance(child, ast.Attribute) and child.attr in _MUTATORS and ast.unparse(child.value) == target.id:
                return set()
            if isinstance(child, ast.Delete):
                return set()
        return {(node.target.id, target.id)}

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.declare_before(node)
        names = list(target_names(node.target))
        here = self.scope.plan.at.get(id(node), {})
        own = bool(names) and all(name in here for name in names)
        target = f"{'const' if all(here[n] for n in names) else 'let'} {self.pattern(node.target)}" if own else self.assign_pattern(node.target)
        self.loop(node, f"for await ({target} of {self.js(node.iter, ASSIGN)}) {{")


def is_items(node: ast.expr) -> bool:
    """d.items(), which for..of over the Map itself gives."""
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "items"
