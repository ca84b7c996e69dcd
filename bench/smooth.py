"""The bench's figures of a page under load: how smooth it stays, and who runs next. Called by bench/bench.py."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from playwright.sync_api import Browser, Page

from bench.overhead import LIMIT_MS, MEASURE

LOAD_SECONDS = 30
TURNS = 3
INSTANCES = 4
LONG_TASK_MS = 50.0
WAITING = 100


@dataclass(frozen=True)
class Bound:
    """A row with a bound of its own. peer: None where the peer has no such thing. ratio: how many times better, where that is a number.

    most, least: what `edgeflow` may be at most, `ratio` at least; None: no such bound.
    """

    name: str
    unit: str
    edgeflow: float
    peer: float | None = None
    ratio: float | None = None
    most: float | None = None
    least: float | None = None

    def holds(self) -> bool:
        return (self.most is None or self.edgeflow <= self.most) and (self.least is None or (self.ratio or 0) >= self.least)

    def told(self) -> Bound:
        peer = '' if self.peer is None else f'   transformers.js {self.peer:9.1f} {self.unit}'
        bound = f'at most {self.most}' if self.most is not None else f'{self.ratio:.2f}x (at least {self.least})'
        print(f'{self.name:48} edgeflow {self.edgeflow:9.3f} {self.unit}{peer}   {bound}', flush=True)
        return self


def open_smooth(browser: Browser, base: str, side: str, model: str, text: str) -> Page:
    page = browser.new_context().new_page()
    query = urlencode({'side': side, 'dtype': 'fp32', 'model': model, 'text': text, 'instances': INSTANCES})
    page.goto(f'{base}/bench/smooth.html?{query}')
    page.wait_for_function('window.smooth !== undefined', timeout=180_000)
    if page.evaluate('window.smooth.isolated'):
        raise SystemExit('bench: the page is cross-origin isolated, the figures are for pages that are not')
    return page


def measure_smooth(browser: Browser, base: str, sides: tuple[str, ...], model: str, text: str, check: Callable[[dict[str, list[float]]], None]) -> list[Bound]:
    """Long tasks (PerformanceObserver 'longtask': those over 50 ms) and frames while four instances embed one sentence after the other."""
    pages = {side: open_smooth(browser, base, side, model, text) for side in sides}
    loading = {side: page.evaluate('window.smooth.takeLongTasks()') for side, page in pages.items()}
    frames: dict[str, list[float]] = {side: [] for side in sides}
    tasks: dict[str, list[float]] = {side: [] for side in sides}
    last: dict[str, list[float]] = {}
    for _ in range(TURNS):
        for side, page in pages.items():
            turn = page.evaluate('seconds => window.smooth.work(seconds)', LOAD_SECONDS / TURNS)
            frames[side].append(turn['frames'])
            tasks[side] += turn['longTasks']
            last[side] = turn['last']
    check(last)
    waits = [critical(pages['edgeflow']) for _ in range(3)]
    for page in pages.values():
        page.context.close()
    ours, theirs = sides
    rates = {side: statistics.mean(frames[side]) for side in sides}
    longest = {side: (max(loading[side], default=0.0), max(tasks[side], default=0.0)) for side in sides}
    return [
        Bound('longest task of the page while four models load', 'ms', longest[ours][0], longest[theirs][0], most=LONG_TASK_MS).told(),
        Bound(f'longest task of the page in {LOAD_SECONDS} s of load', 'ms', longest[ours][1], longest[theirs][1], most=LONG_TASK_MS).told(),
        Bound('frames a second of an animation meanwhile', 'a second', rates[ours], rates[theirs], rates[ours] / rates[theirs], least=2.0).told(),
        Bound(f'a critical run behind {WAITING} others waits, in lengths of a run', 'runs', max(waits), most=1.0).told(),
    ]


def critical(page: Page) -> float:
    """How long a critical run waits for its start behind 100 normal ones, in lengths of the longest of those."""
    found = page.evaluate('count => window.smooth.critical(count)', WAITING)
    if len(found['runs']) != WAITING + 1:
        raise SystemExit(f'bench: {len(found["runs"])} runs ended, expected {WAITING + 1}')
    return found['waited'] / max(found['runs'])


def measure_overhead(browser: Browser, base: str) -> Bound:
    """What the scheduler costs a task when 100 wait, with a listener and a signal."""
    page = browser.new_page()
    page.goto(f'{base}/bench/blank.html')
    figures = page.evaluate(MEASURE, {'count': 10000, 'depth': 100, 'limits': [4, 1, 30000, 10000]})
    page.close()
    return Bound('the scheduler itself, a run', 'ms', figures['watched'], most=LIMIT_MS).told()
