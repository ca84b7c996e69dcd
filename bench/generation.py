"""Measure generation beside transformers.js in one browser: `python -m bench.generation`. Results go to bench/generation.json.

The model is bench/decoder.py's: the graph of SmolLM2-135M with random weights. Both sides run on WASM, in one page each, and take
turns. Tokens a second are those after the first; the bandwidth beside them counts the bytes of weights that a token reads; in the
same turns a page does nothing but read so many bytes (bench/memory_read.c), which is what the machine gives at most.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from playwright.sync_api import Browser, Page

from bench.bench import SIDES, Figure
from bench.decoder import TARGET, VOCABULARY, write_models
from bench.table import write_results
from toolchain.browser import open_browser
from toolchain.serve import Server

ROOT = Path(__file__).resolve().parent.parent
PROMPT_TOKENS = 256
STREAMS = 4
MEMORY_TOKENS = 5000
CONTEXT = 512
# Weights that one token reads, from the shapes: all products, the one with the vocabulary in float32 in both files.
PRODUCTS = 30 * (576 * 576 * 2 + 576 * 192 * 2 + 576 * 1536 * 3)
WEIGHT_BYTES = {'fp32': 4 * PRODUCTS + 4 * 576 * VOCABULARY, 'q4': PRODUCTS * 5 // 8 + 4 * 576 * VOCABULARY}


def prompt(seed: int, count: int = PROMPT_TOKENS) -> list[int]:
    return [int(x) for x in np.random.default_rng(seed).integers(3, VOCABULARY, count)]


def open_side(browser: Browser, base: str, side: str, dtype: str) -> Page:
    page = browser.new_context().new_page()
    page.set_default_timeout(600_000)
    page.on('pageerror', lambda error: print(f'{side}: {error}', file=sys.stderr))
    page.goto(f'{base}/bench/generation.html?' + urlencode({'side': side, 'dtype': dtype, 'model': TARGET.name}))
    page.wait_for_function('window.bench !== undefined')
    return page


def open_plain_read(browser: Browser, base: str, size: int) -> Page:
    """A page that reads `size` bytes of WebAssembly memory when it is asked to."""
    exports = [f'-Wl,--export={name}' for name in ('fill', 'read_all', '__heap_base')]
    flags = ['-target', 'wasm32-freestanding', '-O3', '-msimd128', '-nostdlib', '-Wl,--no-entry', '-Wl,--export-memory', *exports]
    command = [sys.executable, '-m', 'ziglang', 'cc', *flags, str(ROOT / 'bench/memory_read.c'), '-o', str(TARGET.parent / 'memory_read.wasm')]
    subprocess.run(command, check=True)
    page = browser.new_context().new_page()
    page.goto(f'{base}/bench/memory_read.html?bytes={size}')
    page.wait_for_function('window.bench !== undefined')
    return page


def beside(browser: Browser, base: str, dtype: str, rounds: int, tokens: int) -> tuple[list[Figure], dict[str, float]]:
    """Tokens a second and the time to the first token, both sides in turns; GB/s of the weights, and of a plain read of as many bytes."""
    firsts: dict[str, list[float]] = {side: [] for side in SIDES}
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    pages = {side: open_side(browser, base, side, dtype) for side in SIDES}
    made: dict[str, list[int]] = {}
    plain = open_plain_read(browser, base, WEIGHT_BYTES[dtype])
    reads: list[float] = []
    for page in pages.values():
        page.evaluate('p => window.bench.generate(p, 3)', prompt(0, 16))
    for turn in range(rounds):
        for side, page in pages.items():
            result = page.evaluate('([p, n]) => window.bench.generate(p, n)', [prompt(1 + turn), tokens])
            firsts[side].append(result['first'])
            rates[side].append(1000 * (tokens - 1) / result['rest'])
            made[side] = result['ids']
            reads.append(plain.evaluate('window.bench()'))
    for page in [*pages.values(), plain]:
        page.context.close()
    ours, theirs = (made[side] for side in SIDES)
    same = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b), tokens)
    if same == 0:
        raise SystemExit(f'bench: {dtype}: the first tokens differ: {ours[0]} and {theirs[0]}')
    mine, peer = (statistics.median(rates[side]) for side in SIDES)
    first, peer_first = (statistics.median(firsts[side]) for side in SIDES)
    bandwidth = {f'{dtype}_weights_gb_s': round(mine * WEIGHT_BYTES[dtype] / 1e9, 1), f'{dtype}_plain_read_gb_s': round(statistics.median(reads) / 1e9, 1)}
    print(f'{dtype}: {same} of {tokens} tokens equal; {bandwidth}')
    figures = [
        Figure(f'decode, one stream, {dtype}', 'tokens/s', round(mine, 2), round(peer, 2), round(mine / peer, 2), {'q4': 6.0, 'fp32': 1.3}[dtype]),
        Figure(f'first token of {PROMPT_TOKENS}, {dtype}', 'ms', round(first, 1), round(peer_first, 1), round(peer_first / first, 2),
               {'q4': 2.0, 'fp32': 1.6}[dtype]),
    ]
    return figures, bandwidth


def alone(browser: Browser, base: str, rounds: int, tokens: int, long: bool) -> tuple[Figure, dict[str, object]]:
    """What has no peer: streams together, memory, cancelling; q4."""
    page = open_side(browser, base, 'edgeflow', 'q4')
    prompts = [prompt(i, 16) for i in range(STREAMS)]
    page.evaluate('([p, n]) => window.bench.together(p, n)', [prompts, 4])
    one: list[float] = []
    four: list[float] = []
    for _ in range(rounds):
        single = page.evaluate('([p, n]) => window.bench.together(p, n)', [prompts[:1], tokens])
        several = page.evaluate('([p, n]) => window.bench.together(p, n)', [prompts, tokens])
        one.append(1000 * (tokens - 1) / single['time'])
        four.append(1000 * STREAMS * (tokens - 1) / several['time'])
    cancel = page.evaluate('p => window.bench.cancel(p)', prompt(0, 16))
    others: dict[str, object] = {'cancel_ms': cancel}
    if long:
        bytes_held = page.evaluate('([n, c]) => window.bench.memory(n, c)', [MEMORY_TOKENS, CONTEXT])
        full = bytes_held[CONTEXT // 100 + 1]
        others['memory_growth_bytes'] = bytes_held[-1] - full
    page.context.close()
    a, b = statistics.median(four), statistics.median(one)
    return Figure(f'{STREAMS} streams together beside one, q4', 'tokens/s', round(a, 2), round(b, 2), round(a / b, 2), 2.0), others


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--tokens', type=int, default=32)
    parser.add_argument('--only', default='', help='q4, fp32 or alone; writes no results')
    options = parser.parse_args()
    write_models()
    roots = {'/bench': ROOT / 'bench/pages', '/dist': ROOT / 'dist', '/models': TARGET.parent, '/peers': ROOT / 'bench/node_modules'}
    figures: list[Figure] = []
    others: dict[str, object] = {}
    with Server(roots) as server, open_browser() as browser:
        for dtype in ('q4', 'fp32'):
            if options.only in ('', dtype):
                found, bandwidth = beside(browser, server.origin, dtype, options.rounds, options.tokens)
                figures += found
                others |= bandwidth
        if options.only in ('', 'alone'):
            figure, more = alone(browser, server.origin, options.rounds, options.tokens, not options.only)
            figures.append(figure)
            others |= more
        version = browser.version
    for figure in figures:
        print(f'{figure.name:44} edgeflow {figure.edgeflow:9.1f} {figure.unit:9} beside {figure.peer:9.1f}   {figure.ratio:5.2f}x (at least {figure.least})')
    print(others)
    if not options.only:
        write_results('generation.json', {
            'browser': f'Chromium {version}', 'peer': 'transformers.js 4.3.1', 'figures': [vars(figure) for figure in figures], **others,
        })
    return 0 if all(figure.ratio >= figure.least for figure in figures) else 1


if __name__ == '__main__':
    sys.exit(main())
