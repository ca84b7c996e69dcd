"""What a transpiled test module tells the runner: its test functions and the cases of parametrize."""

from __future__ import annotations

import ast

from toolchain.expressions import quote
from toolchain.names import variable_name


class TestExport:
    """Mixed into the generator."""

    def export_tests(self) -> None:
        """`export const $tests = [[name, function, [[argument names, rows], ...]], ...]`."""
        self.line("\nexport const $tests = [")
        for node in self.module.tree.body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test"):
                self.line(f"  [{quote(node.name)}, {variable_name(node.name)}, [{', '.join(self._cases(node))}]],", node)
        self.line("];")

    def _cases(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
        parameters = [argument.arg for argument in node.args.args]
        result = []
        for decorator in node.decorator_list:
            if not (isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize"):
                if ast.unparse(decorator) != "pytest.mark.asyncio":
                    self.error(decorator, "only @pytest.mark.parametrize is in the subset; leave the other decorator out")
                continue
            names, rows = decorator.args[0], decorator.args[1]
            text = names.value if isinstance(names, ast.Constant) else ",".join(n.value for n in names.elts)
            places = [str(parameters.index(name.strip())) for name in text.split(",")]
            result.append(f"[[{', '.join(places)}], {self.list_of(rows)}]")
        return result
