"""What a page downloads: edgeflow.js, the larger of the two .wasm files, and for chat the template engine; past the budget of
transcrypt.toml the build fails.
"""

from __future__ import annotations

import gzip
import tomllib
from dataclasses import dataclass
from pathlib import Path

import brotli

from toolchain.paths import DIST, ROOT


@dataclass(frozen=True)
class Size:
    """One file's bytes as they lie on disk, and as servers send them."""

    name: str
    raw: int
    gzip: int
    brotli: int


def measure(path: Path) -> Size:
    data = path.read_bytes()
    return Size(path.name, len(data), len(gzip.compress(data, 9, mtime=0)), len(brotli.compress(data, quality=11)))


def budget() -> int:
    """The most raw bytes that a page may have to download."""
    with (ROOT / 'transcrypt.toml').open('rb') as handle:
        return int(tomllib.load(handle)['budget']['total'])


def downloaded() -> list[Path]:
    """All files that a page may download, of the two .wasm files of common operators the larger one."""
    return [DIST / 'edgeflow.js', DIST / 'edgeflow-jinja.js', max(DIST.glob('edgeflow-[sr]*.wasm'), key=lambda path: path.stat().st_size)]


def sizes() -> list[Size]:
    """The sizes of these files, then their sum."""
    parts = [measure(path) for path in downloaded()]
    return [*parts, Size('a page downloads', *(sum(getattr(p, key) for p in parts) for key in ('raw', 'gzip', 'brotli')))]


def check() -> int:
    """The raw bytes that the budget leaves; SystemExit past it."""
    total, limit = sum(path.stat().st_size for path in downloaded()), budget()
    if total > limit:
        raise SystemExit(f'a page downloads {total:,} bytes; the budget is {limit:,} (transcrypt.toml)')
    return limit - total


def report() -> None:
    """Print the table; SystemExit past the budget."""
    rows = sizes()
    print(f'{"":24}{"raw":>10}{"gzip":>10}{"brotli":>10}')
    for row in rows:
        print(f'{row.name:24}{row.raw:>10,}{row.gzip:>10,}{row.brotli:>10,}')
    print(f'budget {budget():,} raw bytes, {check():,} left')


if __name__ == '__main__':
    report()
