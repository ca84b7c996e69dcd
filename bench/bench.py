"""Measure edgeflow beside transformers.js in one browser: `make bench`.

Both sides run the same model files on the same pages (bench/pages), served by one warm HTTP server; their calls are
interleaved, so that a noisy machine disturbs both alike. Figures are medians; ratios are peer / edgeflow of the medians.
Results go to bench/results.json and from there into README.md's table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page
from tokenizers import Tokenizer

from bench.smooth import Bound, measure_overhead, measure_smooth
from bench.table import write_results
from toolchain.browser import open_browser
from toolchain.serve import Server

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / 'examples'
MODEL = 'minilm'
SIDES = ('edgeflow', 'transformers')
# A closed page is still being taken down, on the same two cores, when the next one starts.
SETTLE_SECONDS = 1.0
SENTENCE = (
    'The quick brown fox jumps over the lazy dog while a small crowd of people watches from '
    'the other side of the river and waits for the evening train.'
)
TOKENS = 32


@dataclass(frozen=True)
class Figure:
    """One row of the table. `ratio` = peer / edgeflow; `least`: the ratio that the project promises."""

    name: str
    unit: str
    edgeflow: float
    peer: float
    ratio: float
    least: float


def check_sentence() -> None:
    """The sentence must have TOKENS tokens, special ones included."""
    tokenizer = Tokenizer.from_file(str(MODELS / MODEL / 'tokenizer.json'))
    tokenizer.no_padding()
    count = len(tokenizer.encode(SENTENCE).ids)
    if count != TOKENS:
        raise SystemExit(f'bench: the sentence has {count} tokens, expected {TOKENS}')


def open_side(browser: Browser, base: str, side: str, dtype: str, instances: int = 1) -> Page:
    """A fresh context (nothing cached), the page opened, its first embedding done."""
    page = browser.new_context().new_page()
    page.on('pageerror', lambda error: print(f'{side}: {error}', file=sys.stderr))
    query = urlencode({'side': side, 'dtype': dtype, 'model': MODEL, 'text': SENTENCE, 'instances': instances})
    page.goto(f'{base}/bench/index.html?{query}')
    page.evaluate('window.ready')
    if page.evaluate('window.bench.isolated'):
        raise SystemExit('bench: the page is cross-origin isolated, the figures are for pages that are not')
    return page


def measure_load(browser: Browser, base: str, rounds: int) -> tuple[Figure, dict[str, int]]:
    """Navigation start to first embedding, fp32, each time in a fresh context."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    transferred: dict[str, int] = {}
    for _ in range(rounds):
        for side in SIDES:
            page = open_side(browser, base, side, 'fp32')
            times[side].append(page.evaluate('window.bench.firstEmbeddingMs'))
            transferred[side] = page.evaluate('window.bench.transferred()')
            page.context.close()
            time.sleep(SETTLE_SECONDS)
    return figure('navigation start to first embedding', 'ms', times, 5.0), transferred


def measure_steady(browser: Browser, base: str, dtype: str, batch: int, name: str, least: float, rounds: int) -> Figure:
    """Median time of one call with `batch` sentences of TOKENS tokens; sides take turns, a few calls each."""
    texts = SENTENCE if batch == 1 else [SENTENCE] * batch
    calls = 5 if batch == 1 else 1
    pages = {side: open_side(browser, base, side, dtype) for side in SIDES}
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    last: dict[str, list[float]] = {}
    for page in pages.values():
        page.evaluate('([t, n]) => window.bench.time(t, n)', [texts, 3 if batch == 1 else 1])
    for _ in range(rounds):
        for side, page in pages.items():
            run = page.evaluate('([t, n]) => window.bench.time(t, n)', [texts, calls])
            times[side] += run['times']
            last[side] = run['last']
    for page in pages.values():
        page.context.close()
    check_same(last, 1e-3 if dtype == 'fp32' else 5e-2)
    return figure(name, 'ms', times, least)


def measure_four(browser: Browser, base: str, dtype: str, name: str, least: float, rounds: int) -> Figure:
    """Four instances of the model, one sentence each: wall time. The peer's is its own best of Promise.all and one after the other."""
    pages = {side: open_side(browser, base, side, dtype, 4) for side in SIDES}
    ways = {'edgeflow': [True], 'transformers': [True, False]}
    times: dict[tuple[str, bool], list[float]] = {(side, way): [] for side in SIDES for way in ways[side]}
    last: dict[str, list[float]] = {}
    for side, page in pages.items():
        results = page.evaluate('([t, n]) => window.bench.timeAll(t, n, true)', [SENTENCE, 3])['last']
        if any(result != results[0] for result in results):
            raise SystemExit(f'bench: {side}: four instances gave different embeddings of one sentence')
        last[side] = results[0]
    for _ in range(rounds):
        for side, page in pages.items():
            for way in ways[side]:
                times[side, way] += page.evaluate('([t, n, together]) => window.bench.timeAll(t, n, together)', [SENTENCE, 5, way])['times']
    for page in pages.values():
        page.context.close()
    check_same(last, 1e-3 if dtype == 'fp32' else 5e-2)
    best = {side: min((times[side, way] for way in ways[side]), key=statistics.median) for side in SIDES}
    return figure(name, 'ms', best, least)


def check_same(last: dict[str, list[float]], tolerance: float) -> None:
    """Both sides must have computed the same thing, or their times mean nothing."""
    ours, theirs = (last[side] for side in SIDES)
    worst = max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    if worst > tolerance:
        raise SystemExit(f'bench: the embeddings differ by {worst:.2g}, expected at most {tolerance}')


def figure(name: str, unit: str, times: dict[str, list[float]], least: float) -> Figure:
    ours, theirs = (statistics.median(times[side]) for side in SIDES)
    result = Figure(name, unit, round(ours, 2), round(theirs, 2), round(theirs / ours, 2), least)
    print(f'{name:48} edgeflow {ours:9.1f} {unit}   transformers.js {theirs:9.1f} {unit}   {theirs / ours:5.2f}x (at least {least})', flush=True)
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=12, help='turns a side takes in each steady-state figure')
    parser.add_argument('--only', default='', help="run the figures whose name contains this ('smooth' and 'scheduler' are two more); writes no results")
    rounds = parser.parse_args().rounds
    only = parser.parse_args().only
    check_sentence()
    roots = {'/bench': ROOT / 'bench/pages', '/dist': ROOT / 'dist', '/models': MODELS, '/peers': ROOT / 'bench/node_modules', '/js': ROOT / 'build/js'}
    figures: list[Figure] = []
    bounds: list[Bound] = []
    with Server(roots) as server, open_browser() as browser:
        base = server.origin
        version = browser.version
        transferred: dict[str, int] = {}
        if only in 'navigation start to first embedding':
            load, transferred = measure_load(browser, base, max(3, rounds // 2))
            figures.append(load)
        for dtype, batch, name, least in (
            ('fp32', 1, 'one sentence of 32 tokens, fp32', 2.0),
            ('q8', 1, 'one sentence of 32 tokens, dynamic int8', 2.0),
            ('fp32', 32, 'batch of 32 sentences, fp32', 1.5),
        ):
            if only in name:
                figures.append(measure_steady(browser, base, dtype, batch, name, least, rounds))
        for dtype, name, least in (
            ('fp32', 'four models, one sentence each, fp32', 3.46),
            ('q8', 'four models, one sentence each, dynamic int8', 3.0),
        ):
            if only in name:
                figures.append(measure_four(browser, base, dtype, name, least, rounds))
        if only in 'smooth':
            bounds += measure_smooth(browser, base, SIDES, MODEL, SENTENCE, lambda last: check_same(last, 1e-3))
        if only in 'scheduler':
            bounds.append(measure_overhead(browser, base))
    if not only:
        write_results('results.json', {
            'browser': f'Chromium {version}', 'peer': 'transformers.js 4.3.1',
            'figures': [asdict(f) for f in figures], 'bounds': [asdict(b) for b in bounds], 'transferred_bytes': transferred,
        })
    return 0 if all(f.ratio >= f.least for f in figures) and all(b.holds() for b in bounds) else 1


if __name__ == '__main__':
    sys.exit(main())
