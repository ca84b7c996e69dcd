"""A stack from the minified bundle names the .py file and line."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.toolchain.both_runtimes import compile_snippet
from toolchain.sourcemap import encode, split_notes, vlq
from toolchain.transpile import ROOT, copy_runtime

SOURCE = '''"""A module."""

from __future__ import annotations


def deep(values: list[int]) -> int:
    total = 0
    for value in values:
        total += value
    if total > 3:
        raise ValueError(
            f"too much: {total}"
        )
    return total


def outer() -> list[int]:
    return [
        deep([1, 2]),
        deep([3, 4]),
    ]


outer()
'''


def test_vlq() -> None:
    assert [vlq(n) for n in (0, 1, -1, 16, 1000)] == ["A", "C", "D", "gB", "w+B"]


def test_notes_become_mappings() -> None:
    text, mappings = split_notes("\x015,2\x02a(\x016,4\x02b);\nc\n")
    assert text == "a(b);\nc\n"
    assert mappings == [[(0, 4, 2), (2, 5, 4)], [(0, 5, 4)], []]
    assert encode(mappings) == "AAIE,EACE;AAAA;"


def test_stack_of_minified_bundle(tmp_path: Path) -> None:
    text, errors = compile_snippet(SOURCE)
    assert errors == []
    copy_runtime(tmp_path)
    (tmp_path / "snippet.js").write_text(text)
    bundle = tmp_path / "bundle.mjs"
    subprocess.run(
        [ROOT / "node_modules" / ".bin" / "esbuild", "snippet.js", "--bundle", "--minify", "--format=esm", "--sourcemap", f"--outfile={bundle}"],
        cwd=tmp_path, check=True, capture_output=True,
    )
    result = subprocess.run(["node", "--enable-source-maps", bundle], capture_output=True, text=True, cwd=tmp_path)
    assert "ValueError" in result.stderr and "too much: 7" in result.stderr
    lines = [line for line in result.stderr.splitlines() if "snippet.py" in line and line.strip().startswith("at")]
    places = [int(line.rsplit("snippet.py:", 1)[1].split(":")[0]) for line in lines]
    assert places[:3] == [11, 20, 24]
