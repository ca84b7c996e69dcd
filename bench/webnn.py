"""all-MiniLM-L6-v2 on WebNN's cpu beside edgeflow's WASM, and beside transformers.js on both: part of `make bench`.

The four pages take turns, a few calls each; figures are medians, ratios those of the medians. Results go to bench/webnn.json and into README.md's table.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page
from tokenizers import Tokenizer

from bench.bench import MODEL, MODELS, SENTENCE
from bench.table import timed_row, write_results
from toolchain.browser import open_browser
from toolchain.serve import Server

ROOT = Path(__file__).resolve().parent.parent
SIDES = ('edgeflow webnn', 'edgeflow wasm', 'transformers webnn', 'transformers wasm')
LENGTHS = (32, 128)
TOLERANCE = 1e-3


def sentence_of(tokens: int) -> str:
    """Words that are so many tokens, special ones included."""
    tokenizer = Tokenizer.from_file(str(MODELS / MODEL / 'tokenizer.json'))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    words = (SENTENCE + ' ') * (tokens // 32 + 1)
    for end in range(len(words), 0, -1):
        if words[end - 1 : end + 1].strip() and not words[end : end + 1].isalpha() and len(tokenizer.encode(words[:end]).ids) == tokens:
            return words[:end]
    raise SystemExit(f'bench: no text of {tokens} tokens')


def open_side(browser: Browser, base: str, side: str, tokens: int, text: str) -> Page:
    """The page, its first embedding done. tokens: what WebNN of the peer compiles its graph for."""
    library, device = side.split()
    page = browser.new_context().new_page()
    page.on('pageerror', lambda error: print(f'{side}: {error}', file=sys.stderr))
    page.goto(f'{base}/bench/index.html?{urlencode({"side": library, "device": device, "tokens": tokens, "dtype": "fp32", "model": MODEL, "text": text})}')
    page.evaluate('window.ready')
    return page


def measure(browser: Browser, base: str, tokens: int, rounds: int) -> list[dict]:
    """The rows for one length."""
    text = sentence_of(tokens)
    pages = {side: open_side(browser, base, side, tokens, text) for side in SIDES}
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    last: dict[str, list[float]] = {}
    for page in pages.values():
        page.evaluate('t => window.bench.time(t, 5)', text)
    for _ in range(rounds):
        for side, page in pages.items():
            run = page.evaluate('t => window.bench.time(t, 5)', text)
            times[side] += run['times']
            last[side] = run['last']
    for page in pages.values():
        page.context.close()
    for side in SIDES:
        worst = max(abs(a - b) for a, b in zip(last[side], last[SIDES[-1]], strict=True))
        if worst > TOLERANCE:
            raise SystemExit(f'bench: {side}: the embedding differs by {worst:.2g}, expected at most {TOLERANCE}')
    medians = {side: statistics.median(times[side]) for side in SIDES}
    return [
        # No promise: where WebNN is behind our own WASM, device 'fastest' finds that out. The peer is to be behind in both.
        timed_row(f'WebNN cpu beside our WASM, {tokens} tokens', medians['edgeflow webnn'], medians['edgeflow wasm'], 0),
        timed_row(f'WebNN cpu, {tokens} tokens, transformers.js', medians['edgeflow webnn'], medians['transformers webnn'], 1),
        timed_row(f'WASM, {tokens} tokens, transformers.js', medians['edgeflow wasm'], medians['transformers wasm'], 1),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=12, help='turns a side takes')
    parser.add_argument('--length', type=int, default=0, help='only this many tokens; writes no results')
    options = parser.parse_args()
    roots = {'/bench': ROOT / 'bench/pages', '/dist': ROOT / 'dist', '/models': MODELS, '/peers': ROOT / 'bench/node_modules'}
    rows: list[dict] = []
    with Server(roots) as server, open_browser() as browser:
        version = browser.version
        for tokens in LENGTHS:
            if options.length in (0, tokens):
                rows += measure(browser, server.origin, tokens, options.rounds)
    if not options.length:
        write_results('webnn.json', {'browser': f'Chromium {version}', 'peer': 'transformers.js 4.3.1', 'figures': rows})
    return 0 if all(found['ratio'] >= found['least'] for found in rows) else 1


if __name__ == '__main__':
    sys.exit(main())
