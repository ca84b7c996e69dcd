"""Measure downloads and the cache: `python -m bench.store`, beside plain browser means and transformers.js.

Sides take turns in one browser with a profile on disk; figures are medians, ratios peer / edgeflow of the medians; over loopback,
where whatever else the machine does weighs most, the ratio is the median of those of each round. The memory is what the page's process (page and workers), in which a small model already runs, takes more at its peak while it loads, over
the size of the weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlencode

from playwright.sync_api import BrowserContext, Page, sync_playwright

from bench.bench import MODEL, MODELS, ROOT, SENTENCE, SIDES, Figure
from bench.table import write_results
from tests.store.faults import ServedFile, fault_server
from toolchain.browser import launch_options
from toolchain.serve import Server

SIZE = 200_000_000
RATE = 8_000_000
LEAST_SLOW, LEAST_LOOPBACK, LEAST_SECOND, MOST_MEMORY = 3.5, 1.0, 3.0, 1.15

DOWNLOAD = """async ([dist, url]) => {
  const { cache, download } = await import(dist);
  const began = performance.now();
  await download(url).done();
  const took = performance.now() - began;
  await cache.clear();
  return took;
}"""
FETCH = """async ([, url]) => {
  const began = performance.now();
  await (await fetch(url, { cache: 'no-store' })).arrayBuffer();
  return performance.now() - began;
}"""
PUT = """async ([, url]) => {
  const began = performance.now(), cache = await caches.open('bench');
  await cache.put(url, await fetch(url));
  const took = performance.now() - began;
  await caches.delete('bench');
  return took;
}"""


@contextmanager
def profile() -> Iterator[BrowserContext]:
    """A browser whose profile is on disk."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(folder, **launch_options(playwright))
        yield context
        context.close()


def figure(name: str, unit: str, ours: list[float], theirs: list[float], least: float, *, by_rounds: bool = False) -> Figure:
    """by_rounds: the ratio is the median of the rounds' ratios."""
    one, other = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True)) if by_rounds else other / one
    print(f'{name:58} edgeflow {one:8.1f} {unit}   peer {other:8.1f} {unit}   {ratio:5.2f}x (at least {least})', flush=True)
    return Figure(name, unit, round(one, 2), round(other, 2), round(ratio, 2), least)


def measure_slow(context: BrowserContext, site: Server) -> Figure:
    """200 MB from a server that gives 8 MB/s a connection, beside one fetch."""
    page = context.new_page()
    page.goto(site.url('/pages/blank.html'))
    with fault_server() as server:
        url = server.add(ServedFile(os.urandom(1_000_000) * (SIZE // 1_000_000), rate=RATE))
        times = {script: [page.evaluate(script, [site.url('/dist/edgeflow.js'), url])] for script in (DOWNLOAD, FETCH)}
    page.close()
    return figure('download of 200 MB at 8 MB/s a connection, beside fetch', 'ms', times[DOWNLOAD], times[FETCH], LEAST_SLOW)


def measure_loopback(context: BrowserContext, site: Server, rounds: int) -> Figure:
    """200 MB over loopback into IndexedDB, beside fetch and a put into the Cache API."""
    page = context.new_page()
    page.goto(site.url('/pages/blank.html'))
    times: dict[str, list[float]] = {DOWNLOAD: [], PUT: []}
    for _ in range(3 * rounds):
        for script in times:
            times[script].append(page.evaluate(script, [site.url('/dist/edgeflow.js'), site.url('/large/file.bin')]))
            time.sleep(0.5)
    page.close()
    return figure('the same unthrottled, stored, beside fetch + Cache API', 'ms', times[DOWNLOAD], times[PUT], LEAST_LOOPBACK, by_rounds=True)


def open_side(context: BrowserContext, site: Server, side: str, **more: str) -> Page:
    page = context.new_page()
    query = urlencode({'side': side, 'dtype': 'fp32', 'model': MODEL, 'text': SENTENCE, 'instances': 1, 'cache': '', **more})
    page.goto(site.url(f'/bench/index.html?{query}'))
    return page


def first_result(page: Page) -> float:
    page.evaluate('window.ready')
    return page.evaluate('window.bench.firstEmbeddingMs')


def fill_caches(context: BrowserContext, site: Server) -> None:
    for side in SIDES:
        page = open_side(context, site, side)
        first_result(page)
        while not page.evaluate('window.bench.stored()'):
            time.sleep(0.2)
        page.close()


def measure_second_load(context: BrowserContext, site: Server, rounds: int) -> Figure:
    """Navigation start to first embedding where the model is in the cache."""
    times: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            page = open_side(context, site, side)
            times[side].append(first_result(page))
            page.close()
            time.sleep(1)
    ours, theirs = (times[side] for side in SIDES)
    return figure('second load from the cache to first embedding', 'ms', ours, theirs, LEAST_SECOND)


def renderer(context: BrowserContext, page: Page) -> int:
    """The process of a page: the renderer that works when the page does."""
    session = context.browser.new_browser_cdp_session() if context.browser else context.new_cdp_session(page)
    processes = [p for p in session.send('SystemInfo.getProcessInfo')['processInfo'] if p['type'] == 'renderer']

    def used(pid: int) -> int:
        fields = Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before = {p['id']: used(p['id']) for p in processes}
    page.evaluate('() => { const end = performance.now() + 400; while (performance.now() < end); }')
    return max(before, key=lambda pid: used(pid) - before[pid])


def resident(pid: int) -> int:
    """Bytes of a process that are its own: anonymous and shared memory, not files."""
    total = 0
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith(('RssAnon:', 'RssShmem:')):
            total += int(line.split()[1]) * 1024
    return total


def peak_memory(context: BrowserContext, site: Server, side: str) -> float:
    """How much more the page's process takes at its peak, while it loads the model from the cache beside a small one, in sizes of the weights."""
    page = open_side(context, site, side, bare='tiny')
    page.wait_for_function('window.begin !== undefined', timeout=60_000)
    pid = renderer(context, page)
    before = peak = resident(pid)
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.is_set():
            peak = max(peak, resident(pid))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    page.evaluate('window.begin().then(() => null)')
    done.set()
    watcher.join()
    page.close()
    return (peak - before) / (MODELS / MODEL / 'onnx/model.onnx').stat().st_size


def measure_memory(context: BrowserContext, site: Server, rounds: int) -> Figure:
    peaks = {side: [peak_memory(context, site, side) for _ in range(rounds)] for side in SIDES}
    ours, theirs = (statistics.median(peaks[side]) for side in SIDES)
    print(f'{"peak memory while loading, in sizes of the weights":58} edgeflow {ours:8.2f}      peer {theirs:8.2f}      (at most {MOST_MEMORY})', flush=True)
    return Figure('peak memory while loading', '× the weights', round(ours, 2), round(theirs, 2), round(theirs / ours, 2), round(theirs / MOST_MEMORY, 2))


def measure(only: str = '', rounds: int = 5) -> list[Figure]:
    """The figures whose name contains `only`."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / 'file.bin').write_bytes(os.urandom(SIZE) if only in 'loopback' else b'')
        roots = {
            '/bench': ROOT / 'bench/pages', '/pages': ROOT / 'tests/browser/pages', '/dist': ROOT / 'dist', '/models': MODELS,
            '/models/tiny': ROOT / 'tests/models/bert-mini-sentence', '/peers': ROOT / 'bench/node_modules', '/large': Path(folder),
        }
        with Server(roots) as site, profile() as context:
            if only in 'slow':
                figures.append(measure_slow(context, site))
            if only in 'loopback':
                figures.append(measure_loopback(context, site, rounds))
            if only in 'second' or only in 'memory':
                fill_caches(context, site)
            if only in 'second':
                figures.append(measure_second_load(context, site, rounds))
            if only in 'memory':
                figures.append(measure_memory(context, site, rounds))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--only', default='', help='slow, loopback, second or memory')
    options = parser.parse_args()
    figures = measure(options.only, options.rounds)
    if not options.only:
        write_results('store.json', {'figures': [asdict(row) for row in figures]})
    return 0 if all(row.ratio >= row.least for row in figures) else 1


if __name__ == '__main__':
    sys.exit(main())
