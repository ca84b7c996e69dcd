"""python -m toolchain.transpile [--tests] [--check]: src/edgeflow/**.py -> build/js/edgeflow/**.js, with source maps, and build/bundle/edgeflow/**.js.

--tests also compiles tests/unit/test_*.py to build/js/tests; --check runs the gate and the compiler, writing nothing.
"""

from __future__ import annotations

import argparse
import ast
import posixpath
import shutil
import sys
import time
import tomllib
from fnmatch import fnmatch
from pathlib import Path

from toolchain import dts, members, properties, subset
from toolchain.generator import CompileError, EsGenerator
from toolchain.literals import Literals, module_path, plain
from toolchain.lowering import lower
from toolchain.parts import Parts
from toolchain.sourcemap import with_inline_map
from toolchain.symbols import Module, Project

ROOT = Path(__file__).resolve().parent.parent
HERE = Path(__file__).resolve().parent


def settings(root: Path = ROOT) -> dict:
    """transcrypt.toml."""
    return tomllib.loads((root / "transcrypt.toml").read_text())


def source_files(root: Path, config: dict) -> list[Path]:
    base = root / config["source"]["root"]
    files = sorted((base / config["source"]["package"]).rglob("*.py"))
    excluded = config["source"]["exclude"]
    return [file for file in files if not any(fnmatch(file.relative_to(base).as_posix(), pattern) for pattern in excluded)]


def read(project: Project, name: str, path: Path, root: Path, errors: list[CompileError]) -> Module | None:
    """Parse one file and put it into the project."""
    source = path.read_text(encoding="utf-8")
    source_name = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        errors.append(CompileError(source_name, error.lineno or 1, f"syntax error: {error.msg}"))
        return None
    return project.add(name, path, source_name, source, tree)


def module_name(path: Path, base: Path) -> str:
    parts = path.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Build:
    """One run: load, gate, generate, write."""

    def __init__(self, root: Path = ROOT, tests: bool = False) -> None:
        self.root = root
        self.config = settings(root)
        self.errors: list[CompileError] = []
        self.project = Project(self.config["alias"])
        self.project.parts = Parts.read(root)
        self.sources: list[Module] = []
        self.tests: list[Module] = []
        self.loose: dict[str, str] = {}
        base = root / self.config["source"]["root"]
        for path in source_files(root, self.config):
            self._keep(self.sources, read(self.project, module_name(path, base), path, root, self.errors))
        if tests:
            for path in sorted((root / self.config["source"]["tests"]).glob("test_*.py")):
                self._keep(self.tests, read(self.project, f"tests.{path.stem}", path, root, self.errors))

    @staticmethod
    def _keep(target: list[Module], module: Module | None) -> None:
        if module is not None:
            target.append(module)

    def compile(self) -> dict[str, str]:
        """Output path -> JS text; errors are collected."""
        parts = self.project.parts
        self.project.link()
        package = self.root / self.config["source"]["root"] / self.config["source"]["package"]
        self.project.public = properties.words(dts.Declarations(package).generate())
        modules = self.sources + self.tests
        self.errors += subset.check(self.project, modules, self.config["bans"])
        for module in modules:
            lower(module.tree)
        self.project.private = members.private_classes(self.project)
        texts = {}
        loose: dict[str, str] = {}
        for module in modules:
            path = js_path(module)
            generator = EsGenerator(self.project, module, path, is_test=module in self.tests)
            texts[path] = generator.generate()
            self.errors += generator.errors
            if module in self.sources:
                loose.update({name: f"{module.source_name}:{node.lineno}" for name, node in generator.loose_members.items()})
        by_path = {js_path(module): module for module in self.sources}
        for path, message in parts.check({path: text for path, text in texts.items() if path in by_path}):
            self.errors.append(CompileError(by_path[path].source_name, 1, message))
        literals = {}
        for part in [None, *parts.patterns]:
            literals[part] = Literals([texts[path] for path in by_path if parts.of_path(path) == part], module_path(part))
        names = members.shared_names(
            [texts[js_path(module)] for module in self.sources],
            members.replaceable(self.project, self.sources, set(loose), properties.written_by_hand(self.sources)),
        )
        self.loose = {name: place for name, place in loose.items() if name in members.declared(self.project)}
        shared = {constants.path: constants.module() for constants in literals.values()}
        outputs = {f"js/{path}": text for path, text in shared.items()}
        for module in modules:
            path = js_path(module)
            is_test = module in self.tests
            text = plain(texts[path]) if is_test else literals[parts.of_path(path)].shared(texts[path], path)
            outputs[f"js/{path}"] = self.mapped(parts.resolved(members.resolved(text, {}), path, False), module, path)
            if not is_test:
                shared[path] = members.resolved(text, names)
        for path, text in parts.outputs(shared).items():
            below = path.split("/", 2 if path.startswith("parts/") else 1)[-1]
            outputs[path] = self.mapped(text, by_path[below], below) if below in by_path else text
        return outputs

    def mapped(self, text: str, module: Module, path: str) -> str:
        return with_inline_map(text, self.source_reference(module, path), module.source)

    def shortened(self) -> list[str]:
        """The property names that the bundler may shorten."""
        return properties.shortened(self.project, self.sources)

    def source_reference(self, module: Module, path: str) -> str:
        """The .py file as a map beside the .js file names it; bundlers make it relative to the bundle."""
        folder = posixpath.dirname(posixpath.join(self.config["output"]["folder"], "js", path))
        return posixpath.relpath(module.source_name, folder)


def js_path(module: Module) -> str:
    """Where a module's JS goes, below the output folder."""
    path = module.name.replace(".", "/")
    return f"{path}/index.js" if module.is_package else f"{path}.js"


def unique(errors: list[CompileError]) -> list[str]:
    """Error texts by place; what gate and generator both saw, once."""
    return list(dict.fromkeys(str(error) for error in sorted(errors, key=lambda error: (error.file, error.line))))


def copy_runtime(folder: Path) -> None:
    """Put the runtime and the test runner beside the generated modules."""
    for name in ("runtime", "testrunner"):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for file in (HERE / name).glob("*.js"):
            if not (target / file.name).exists() or (target / file.name).read_bytes() != file.read_bytes():
                shutil.copyfile(file, target / file.name)


def write(folder: Path, outputs: dict[str, str]) -> None:
    """Write what changed, and remove modules that no source has any more."""
    for part in {path.split("/")[0] for path in outputs} - {"parts"}:
        copy_runtime(folder / part)
        (folder / part / "package.json").write_text('{ "type": "module", "sideEffects": false }\n')
    for path, text in outputs.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    roots = {"/".join(path.split("/")[:2]) for path in outputs} | {"parts"}
    for root in roots:
        for file in (folder / root).rglob("*.js"):
            if file.relative_to(folder).as_posix() not in outputs:
                file.unlink()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m toolchain.transpile", description=__doc__)
    parser.add_argument("--tests", action="store_true", help="compile the unit tests too")
    parser.add_argument("--check", action="store_true", help="report errors only")
    parser.add_argument("--loose", action="store_true", help="list the members that keep their names because a receiver has no known type")
    parser.add_argument("--keep-going", action="store_true", help="write the modules that compiled, whatever the others did")
    options = parser.parse_args(arguments)
    started = time.perf_counter()
    build = Build(tests=options.tests)
    outputs = build.compile()
    errors = unique(build.errors)
    for error in errors:
        print(error, file=sys.stderr)
    if not options.check and (not errors or options.keep_going):
        write(ROOT / build.config["output"]["folder"], outputs)
        properties.write(build.shortened())
    if options.loose:
        print("".join(f"{place}: .{name}\n" for name, place in sorted(build.loose.items())), end="")
    took = time.perf_counter() - started
    print(f"{len(outputs)} modules, {len(errors)} errors, {took:.1f} s")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
