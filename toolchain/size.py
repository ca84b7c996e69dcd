"""What pages download: edgeflow.js, a .wasm file, and the parts that their job needs; past the budget of transcrypt.toml the build fails."""

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


def settings() -> dict:
    with (ROOT / 'transcrypt.toml').open('rb') as handle:
        return tomllib.load(handle)['budget']


def budget() -> int:
    """The most raw bytes that a page may have to download."""
    return int(settings()['total'])


def limit(page: str) -> int:
    """The most raw bytes that this kind of page may have to download."""
    return int(settings().get('limits', {}).get(page, budget()))


def larger(*names: str) -> Path:
    return max((DIST / name for name in names), key=lambda path: path.stat().st_size)


def pages() -> dict[str, list[Path]]:
    """What pages download, by what they do: edgeflow.js, a .wasm (the larger of the two) and the parts that the job needs."""
    always = [DIST / 'edgeflow.js', larger('edgeflow-simd.wasm', 'edgeflow-relaxed.wasm')]
    second = [larger('edgeflow-more-simd.wasm', 'edgeflow-more-relaxed.wasm')]
    return {
        page: [*always, *(DIST / f'edgeflow-{part}.js' for part in parts), *(second if 'vision' in parts else [])]
        for page, parts in settings()['pages'].items()
    }


def sizes() -> list[Size]:
    """The sizes of all files that a page can download, then of what each kind of page does."""
    found = pages()
    files = [measure(path) for path in dict.fromkeys(path for paths in found.values() for path in paths)]
    by_name = {size.name: size for size in files}
    sums = []
    for page, paths in found.items():
        parts = [by_name[path.name] for path in paths]
        sums.append(Size(page, *(sum(getattr(part, key) for part in parts) for key in ('raw', 'gzip', 'brotli'))))
    return [*files, *sums]


def check() -> int:
    """The raw bytes that the budget leaves the largest of the pages that it is for; SystemExit where a page is past its limit."""
    totals = {page: sum(path.stat().st_size for path in paths) for page, paths in pages().items()}
    for page, total in totals.items():
        if total > limit(page):
            raise SystemExit(f"a page for '{page}' downloads {total:,} bytes; the budget is {limit(page):,} (transcrypt.toml)")
    return budget() - max(total for page, total in totals.items() if limit(page) == budget())


def report() -> None:
    """Print the table; SystemExit past the budget."""
    rows = sizes()
    print(f'{"":28}{"raw":>10}{"gzip":>10}{"brotli":>10}')
    for row in rows:
        print(f'{row.name:28}{row.raw:>10,}{row.gzip:>10,}{row.brotli:>10,}')
    print(f'budget {budget():,} raw bytes a page, {check():,} left')


if __name__ == '__main__':
    report()
