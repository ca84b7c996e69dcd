"""Measure WebGPU beside onnxruntime-web in Chromium on SwiftShader, its software GPU: `python -m bench.webgpu`. Results go to bench/webgpu.json.

Both sides run all-MiniLM-L6-v2 in float32 on the same 32 tokens, in a page each, on WebGPU, and take turns. SwiftShader runs the
shaders on the CPU: the figures tell how much work the kernels are and what surrounds them costs, not how fast a GPU is.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page
from tokenizers import Tokenizer

from bench.bench import MODEL, MODELS, SENTENCE, Figure, check_sentence
from bench.table import write_results
from toolchain.browser import open_browser
from toolchain.serve import Server

ROOT = Path(__file__).resolve().parent.parent
SIDES = ('edgeflow', 'onnxruntime')
# Name, how many runs are asked for at once, the ratio that the project promises.
FIGURES = (('one sentence of 32 tokens, fp32', 1, 1.5), ('four runs of it asked for at once', 4, 1.5))
# Runs in a turn of a side.
CALLS = 4
TOLERANCE = 1e-3


def open_side(browser: Browser, base: str, side: str, ids: list[int]) -> Page:
    """A fresh context, the page opened, the model loaded, its first run done."""
    page = browser.new_context().new_page()
    page.on('pageerror', lambda error: print(f'{side}: {error}', file=sys.stderr))
    query = urlencode({'side': side, 'model': f'/models/{MODEL}/onnx/model.onnx', 'ids': ','.join(map(str, ids))})
    page.goto(f'{base}/bench/webgpu.html?{query}')
    page.wait_for_function('window.bench !== undefined', timeout=120_000)
    return page


def measure(pages: dict[str, Page], together: int, rounds: int) -> dict[str, list[float]]:
    """Times of each side in ms, turn by turn, once both gave the same numbers."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for i in range(rounds + 1):
        last = {}
        for side, page in pages.items():
            run = page.evaluate('([n, together]) => window.bench.time(n, together)', [CALLS // together, together])
            last[side] = run['last']
            # The first turn warms up.
            times[side] += run['times'] if i > 0 else []
        worst = max(abs(a - b) for a, b in zip(*last.values(), strict=True))
        if worst > TOLERANCE:
            raise SystemExit(f'bench: the outputs differ by {worst:.2g}, expected at most {TOLERANCE}')
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5, help='turns that a side takes in each figure')
    parser.add_argument('--only', default='', help='the figures whose name contains this; writes no results')
    options = parser.parse_args()
    check_sentence()
    tokenizer = Tokenizer.from_file(str(MODELS / MODEL / 'tokenizer.json'))
    tokenizer.no_padding()
    ids = tokenizer.encode(SENTENCE).ids
    roots = {'/bench': ROOT / 'bench/pages', '/dist': ROOT / 'dist', '/models': MODELS, '/peers': ROOT / 'bench/node_modules'}
    figures: list[Figure] = []
    with Server(roots) as server, open_browser() as browser:
        version = browser.version
        pages = {side: open_side(browser, server.origin, side, ids) for side in SIDES}
        first = {side: round(page.evaluate('window.bench.firstMs')) for side, page in pages.items()}
        for name, together, least in FIGURES:
            if options.only in name:
                ours, theirs = (statistics.median(times) for times in measure(pages, together, options.rounds).values())
                figures.append(Figure(name, 'ms', round(ours, 2), round(theirs, 2), round(theirs / ours, 2), least))
                print(f'{name:40} edgeflow {ours:7.1f} ms   onnxruntime-web {theirs:7.1f} ms   {theirs / ours:5.2f}x (at least {least})', flush=True)
    print(f'loading and the first run: {first} ms')
    if not options.only:
        write_results('webgpu.json', {
            'browser': f'Chromium {version}', 'peer': 'onnxruntime-web 1.30', 'figures': [asdict(figure) for figure in figures], 'first_run_ms': first,
        })
    return 0 if all(figure.ratio >= figure.least for figure in figures) else 1


if __name__ == '__main__':
    sys.exit(main())
