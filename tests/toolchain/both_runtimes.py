"""Run a piece of the Python subset in CPython and, compiled, in Node; give both results in one plain form."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import tempfile
import textwrap
from pathlib import Path

from toolchain.generator import EsGenerator
from toolchain import literals, subset
from toolchain.lowering import lower
from toolchain.sourcemap import with_inline_map
from toolchain.symbols import Project
from toolchain.transpile import copy_runtime, settings, unique

_SERVER = """
import { createInterface } from 'node:readline';
const plain = (x) => {
  if (x == null) return null;
  if (typeof x === 'number') return Number.isFinite(x) ? (x === 0 ? 0 : x) : { number: String(x) };
  if (x instanceof Map) return { map: [...x].map(([k, v]) => [plain(k), plain(v)]) };
  if (x instanceof Set) return { set: [...x].map((k) => JSON.stringify(plain(k))).sort() };
  if (x instanceof Uint8Array) return { bytes: [...x] };
  if (Array.isArray(x)) return x.map(plain);
  if (typeof x === 'object') return { object: (x.constructor.$record ?? '').split(' ')[0] || x.constructor.name };
  return x;
};
const revived = (x) => {
  if (Array.isArray(x)) return x.map(revived);
  if (x !== null && typeof x === 'object') {
    if (x.map) return new Map(x.map.map(([k, v]) => [revived(k), revived(v)]));
    if (x.set) return new Set(x.set.map((k) => JSON.parse(k)));
    if (x.bytes) return Uint8Array.from(x.bytes);
    if (x.number) return Number(x.number);
  }
  return x;
};
for await (const line of createInterface({ input: process.stdin })) {
  const { path, name, args } = JSON.parse(line);
  let answer;
  try {
    answer = { value: plain(await (await import(path))[name](...args.map(revived))) };
  } catch (error) {
    answer = { error: error.name, message: error.message, stack: error.stack };
  }
  process.stdout.write(JSON.stringify(answer) + '\\n');
}
"""


def plain(value: object) -> object:
    """A result as JSON, with what JS cannot tell apart made equal."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return {"number": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
        return int(value) if value == int(value) and abs(value) < 1e300 else value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": list(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {"map": [[plain(k), plain(v)] for k, v in value.items()]}
    if isinstance(value, (set, frozenset)):
        return {"set": sorted(json.dumps(plain(k), separators=(",", ":"), ensure_ascii=False) for k in value)}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return {"object": type(value).__name__}


def compile_snippet(source: str, name: str = "snippet") -> tuple[str, list[str]]:
    """(JS with its map, error texts) of one module."""
    project = Project(settings()["alias"])
    project.add(name, Path(f"{name}.py"), f"{name}.py", source, ast.parse(source))
    project.link()
    module = project.modules[name]
    errors = subset.check(project, [module], settings()["bans"])
    lower(module.tree)
    generator = EsGenerator(project, module, f"{name}.js")
    text = literals.plain(generator.generate())
    return with_inline_map(text, f"{name}.py", source), unique([*errors, *generator.errors])


class Node:
    """One Node process for the whole test session."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="edgeflow-snippets-"))
        copy_runtime(self.folder)
        (self.folder / "package.json").write_text('{ "type": "module" }')
        (self.folder / "server.mjs").write_text(_SERVER)
        self.count = 0
        self.process = subprocess.Popen(
            ["node", "--enable-source-maps", "server.mjs"], cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )

    def load(self, source: str) -> str:
        """Compile and write a module; its path for call()."""
        self.count += 1
        name = f"snippet{self.count}"
        text, errors = compile_snippet(source, name)
        assert errors == [], errors
        (self.folder / f"{name}.js").write_text(text, encoding="utf-8")
        return f"./{name}.js"

    def call(self, path: str, name: str, *args: object) -> dict:
        request = {"path": path, "name": name, "args": [plain(argument) for argument in args]}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(timeout=10)


class Snippet:
    """A module in both runtimes."""

    def __init__(self, node: Node, source: str) -> None:
        self.node = node
        self.source = textwrap.dedent(source)
        self.path = node.load(self.source)
        self.python: dict = {"__name__": "snippet_module"}
        import sys
        import types
        module = types.ModuleType("snippet_module")
        sys.modules["snippet_module"] = module
        self.python = module.__dict__
        exec(compile(self.source, "snippet.py", "exec", dont_inherit=True), self.python)

    def both(self, name: str, *args: object) -> tuple[object, object]:
        """(CPython's, Node's) result in the plain form; an error becomes {'error': its name}."""
        import asyncio
        import inspect
        try:
            value = self.python[name](*args)
            expected: object = plain(asyncio.run(value) if inspect.iscoroutine(value) else value)
        except Exception as error:
            expected = {"error": type(error).__name__}
        camel = name.split("_")[0] + "".join(part.capitalize() for part in name.split("_")[1:])
        answer = self.node.call(self.path, camel, *args)
        actual = answer["value"] if "error" not in answer else {"error": answer["error"]}
        if isinstance(actual, dict) and "error" in actual and actual != expected:
            actual = {"error": answer["error"], "message": answer["message"], "stack": answer["stack"][:600]}
        return expected, actual

    def agree(self, name: str, *args: object) -> None:
        expected, actual = self.both(name, *args)
        assert actual == expected, f"{name}{args}: CPython {expected!r}, Node {actual!r}"
