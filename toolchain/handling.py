"""Statements about failure: raise, assert, try and with."""

from __future__ import annotations

import ast
import re

from toolchain.builtins import BUILTIN_EXCEPTIONS
from toolchain.expressions import ASSIGN, quote
from toolchain.names import variable_name
from toolchain.symbols import own_nodes


class Handling:
    """Mixed into the generator."""

    def visit_Raise(self, node: ast.Raise) -> None:
        if node.exc is None:
            handlers = self.function_scope_of().handlers
            if not handlers:
                self.error(node, "a bare raise must stand inside except; write raise with the error")
            self.line(f"throw {handlers[-1] if handlers else 'null'};", node)
            return
        error = node.exc
        symbol = self.dotted_symbol(error)
        is_class = symbol is not None and symbol.kind == "class" or isinstance(error, ast.Name) and self.is_builtin(error.id) and (
            error.id in BUILTIN_EXCEPTIONS or error.id == "TypeError"
        )
        made = ast.copy_location(ast.Call(error, [], []), error) if is_class else error
        text = self.js(made, ASSIGN)
        cause = node.cause is not None and not (isinstance(node.cause, ast.Constant) and node.cause.value is None)
        new = re.match(r"(\x01[^\x02]*\x02)?new ([\w$.]+)\(", text) if isinstance(made, ast.Call) and not cause else None
        if new is not None and text.endswith(")"):
            given = text[new.end():-1]
            self.line(f"{new[1] or ''}{self.rt('fail')}({new[2]}{', ' if given else ''}{given});", node)
            return
        if node.cause is not None and not (isinstance(node.cause, ast.Constant) and node.cause.value is None):
            text = f"{self.rt('cause')}({text}, {self.js(node.cause, ASSIGN)})"
        # As an expression, minifiers can join it with others. The error has its stack from where it is made, which is here.
        self.line(f"{self.rt('raise')}({text});", node)

    def visit_Assert(self, node: ast.Assert) -> None:
        if node.msg is not None:
            message = self.js(node.msg, ASSIGN)
        elif self.is_test:
            message = self.assertion_text(node.test)
        else:
            message = quote(ast.unparse(node.test))
        flipped = ast.copy_location(ast.UnaryOp(ast.Not(), node.test), node)
        self.line(f"if ({self.test(flipped)}) throw new {self.rt_name('AssertionError')}({message});", node)

    def assertion_text(self, test: ast.expr) -> str:
        """What a failing test shows: the source, and both sides of a comparison."""
        source = quote(ast.unparse(test))
        if isinstance(test, ast.Compare) and len(test.ops) == 1 and not any(
            isinstance(n, (ast.Await, ast.NamedExpr, ast.Yield)) for n in ast.walk(test)
        ) and self.is_simple(test.left):
            return f"{source} + ': got ' + {self.rt('repr')}({self.js(test.left, ASSIGN)})"
        return source

    def visit_Try(self, node: ast.Try) -> None:
        self.declare_before(node)
        nested = bool(node.finalbody and node.orelse)
        flag = ""
        if nested:
            self.line("try {", node)
            self.indent()
        if node.orelse:
            self.temp_count += 1
            flag = f"$ok{self.temp_count}"
            self.line(f"let {flag} = false;", node)
        self.line("try {", node)
        self.block(node.body)
        if flag:
            self.line(f"  {flag} = true;")
        if node.handlers:
            self.handlers(node)
        if node.finalbody and not nested:
            self.line("} finally {")
            self.block(node.finalbody)
        self.line("}")
        if flag:
            self.line(f"if ({flag}) {{")
            self.block(node.orelse)
            self.line("}")
        if nested:
            self.dedent()
            self.line("} finally {")
            self.block(node.finalbody)
            self.line("}")

    def handlers(self, node: ast.Try) -> None:
        scope = self.function_scope_of()
        simple = [handler.name for handler in node.handlers]
        caught = "$error" if len(scope.handlers) == 0 else f"$error{len(scope.handlers) + 1}"
        one = len(node.handlers) == 1 and simple[0] and not self.is_planned(simple[0]) and not self.rebinds(node.handlers[0])
        if one:
            caught = variable_name(simple[0])
        uses = any(h.name or not self.catches_all(h.type) for h in node.handlers) or any(
            isinstance(n, ast.Raise) and n.exc is None for h in node.handlers for s in h.body for n in ast.walk(s)
        )
        self.line(f"}} catch ({caught}) {{" if uses else "} catch {", node.handlers[0])
        self.indent()
        scope.handlers.append(caught)
        complete = False
        for index, handler in enumerate(node.handlers):
            everything = self.catches_all(handler.type)
            if everything and index == 0:
                self.handler_body(handler, caught)
                complete = True
                break
            if everything:
                self.line("} else {", handler)
                complete = True
            else:
                test = " || ".join(self.type_test(t, caught) for t in (handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]))
                if len(node.handlers) == 1:
                    self.line(f"if (!({test})) throw {caught};", handler)
                    self.handler_body(handler, caught)
                    complete = True
                    break
                self.line(f"if ({test}) {{" if index == 0 else f"}} else if ({test}) {{", handler)
            self.indent()
            self.handler_body(handler, caught)
            self.dedent()
            if everything:
                self.line("}")
                break
        if not complete:
            self.line("} else {")
            self.line(f"  throw {caught};")
            self.line("}")
        scope.handlers.pop()
        self.dedent()

    def handler_body(self, handler: ast.ExceptHandler, caught: str) -> None:
        if handler.name and variable_name(handler.name) != caught:
            word = "" if self.is_planned(handler.name) else "const " if not self.rebinds(handler) else "let "
            self.line(f"{word}{variable_name(handler.name)} = {caught};", handler)
        self.body(handler.body)

    def rebinds(self, handler: ast.ExceptHandler) -> bool:
        return any(
            isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store) and n.id == handler.name for s in handler.body for n in ast.walk(s)
        )

    def is_planned(self, name: str) -> bool:
        """Whether a variable of that name is declared elsewhere in the function."""
        return name in self.scope.bound_names

    def catches_all(self, node: ast.expr | None) -> bool:
        return node is None or isinstance(node, ast.Name) and node.id in ("Exception", "BaseException")

    # -- with ------------------------------------------------------------------------------------------------------

    def visit_With(self, node: ast.With) -> None:
        self.declare_before(node)
        self.with_items(node, node.items, isinstance(node, ast.AsyncWith))

    visit_AsyncWith = visit_With

    def with_items(self, node: ast.stmt, items: list[ast.withitem], is_async: bool) -> None:
        """One manager, the rest nested inside: enter, body, exit with the error if there was one."""
        if not items:
            self.body(node.body)
            return
        item = items[0]
        self.temp_count += 1
        manager, failed = f"$cm{self.temp_count}", f"$ok{self.temp_count}"
        enter, leave, wait = ("__aenter__", "__aexit__", "await ") if is_async else ("__enter__", "__exit__", "")
        self.line("{", node)
        self.indent()
        self.line(f"const {manager} = {self.js(item.context_expr, ASSIGN)};", node)
        entered = f"{wait}{manager}.{enter}()"
        if item.optional_vars is None:
            self.line(f"{entered};", node)
        elif isinstance(item.optional_vars, ast.Name):
            once = self.scope.plan.at.get(id(node), {}).get(item.optional_vars.id)
            word = "" if once is None else "const " if once else "let "
            self.line(f"{word}{self.name(item.optional_vars.id)} = {entered};", node)
        else:
            self.store(node, item.optional_vars, entered)
        if self.exit_ignores_errors(item.context_expr, leave):
            self.line("try {")
            self.indent()
            self.with_items(node, items[1:], is_async)
            self.dedent()
            self.line("} finally {")
            self.line(f"  {wait}{manager}.{leave}(null, null, null);", node)
            self.line("}")
        else:
            self.line(f"let {failed} = true;")
            self.line("try {")
            self.indent()
            self.with_items(node, items[1:], is_async)
            self.dedent()
            self.line("} catch ($e) {")
            self.line(f"  {failed} = false;")
            self.line(f"  if (!{self.rt('truthy')}({wait}{manager}.{leave}($e?.constructor ?? null, $e, null))) throw $e;", node)
            self.line("} finally {")
            self.line(f"  if ({failed}) {wait}{manager}.{leave}(null, null, null);", node)
            self.line("}")
        self.dedent()
        self.line("}")

    def exit_ignores_errors(self, context: ast.expr, leave: str) -> bool:
        """Whether a known __exit__ returns nothing and does not look at the error."""
        kind = self.type_of(context)
        method = self.project.find_method(kind.name, leave) if kind.kind == "class" else None
        if method is None or method.node is None or kind.name in self.project.subclassed:
            return False
        params = {param.name for param in method.params}
        if method.node.args.vararg is not None:
            params.add(method.node.args.vararg.arg)
        reads = any(isinstance(n, ast.Name) and n.id in params for s in method.node.body for n in ast.walk(s))
        returns = any(isinstance(n, ast.Return) and n.value is not None for n in own_nodes(method.node))
        return not reads and not returns
