"""Hours of use in a minute: thousands of inferences in scopes that take turns, with cancels and failures, leave nothing behind.
With two workers, the runs of one of the two models are merged.

What is compared, after the first 500 runs and at the end: heap snapshots of the page and of each worker (a snapshot holds only what is
reachable), the size of every WebAssembly memory that lives, and edgeflow's own counts.
V8's own code is left out: machine code, the lists of what it depends on, the data with which it goes back to slower code, feedback of
call sites. V8 compiles on for tens of thousands of runs, and drops and makes again what guessed wrong. On the whole heap that shows as
4 to 5 % from run 500 to run 10,000 (100 KB of a page's 1.9 MB), of which the program's objects are less than a tenth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page

from tests.engine.minilm import folder
from tests.soak.inspector import Held, Inspector

TINY = '/models/bert-mini-sentence/onnx/model.onnx'
MINILM = '/examples/minilm/onnx/model.onnx'
WARM_UP = 500
WIDTH = 20
MOST_GROWTH = 0.02

SET_UP = """async ([path, workers]) => {
  window.library = await import('/dist/edgeflow.js');
  window.soak = (await import('/soak.js')).soak;
  library.env.workers = workers;
  // Which runs find an idle worker to help is chance, and so is when helpers get their memory: tests/browser/test_helpers.py looks at that.
  library.env.spareCores = false;
  // The worker that writes the cache ends some time after its last write.
  library.env.cache = false;
  const load = batching => library.loadModel(new URL(path, location.href).href, { batching });
  window.models = workers === 0 ? [await load(null)] : await Promise.all([load(null), load({ maxSize: 4, maxWait: 1 })]);
}"""
COUNTS = """() => {
  const { tensors, scopes, host, wasm, models } = library.memoryStats(), { total, busy } = library.schedulerStatistics();
  return { tensors, scopes, host: host.size, wasm: wasm.size, running: models.map(model => model.running), queued: total.queued, busy };
}"""


@dataclass(frozen=True)
class State:
    """What the page and its workers hold at one moment."""

    heaps: list[Held]
    wasm: list[int]
    counts: dict


def state(page: Page, inspector: Inspector) -> State:
    """Of two readings, each after forced collections, the smaller."""
    readings = []
    for _ in range(2):
        inspector.collect_garbage()
        readings.append(inspector.held())
    heaps = [Held(min(a.size, b.size), min(a.browser_objects, b.browser_objects)) for a, b in zip(*readings, strict=True)]
    return State(heaps, inspector.wasm_sizes(), page.evaluate(COUNTS))


def soaked(page: Page, say: Callable[[str], None], path: str, workers: int, runs: int, columns: int) -> None:
    inspector = Inspector(page)
    page.evaluate(SET_UP, [path, workers])
    ends: dict[str, int] = {}

    def go(count: int, seed: int) -> State:
        for end, times in page.evaluate('options => soak(library, models, options)', {'count': count, 'width': WIDTH, 'columns': columns, 'seed': seed}).items():
            ends[end] = ends.get(end, 0) + times
        return state(page, inspector)

    early = go(WARM_UP, 1)
    late = go(runs - WARM_UP, 2)
    grown = ', '.join(f'{after.size / before.size - 1:+.2%}' for before, after in zip(early.heaps, late.heaps, strict=True))
    say(f'soak of {runs:,} runs, {workers} workers: heap of the page and of each worker {grown}; ended {ends}')
    assert sum(ends.values()) == runs
    assert set(ends) == {'done', 'aborted', 'run-failed', 'timeout'} and min(ends.values()) > 0
    assert late.counts == early.counts
    assert (late.counts['tensors'], late.counts['scopes'], late.counts['host'], late.counts['queued'], late.counts['busy']) == (0, 0, 0, 0, 0)
    assert late.wasm == early.wasm and sum(late.wasm) == late.counts['wasm']
    assert len(late.heaps) == 1 + workers
    for before, after in zip(early.heaps, late.heaps, strict=True):
        assert after.size <= before.size * (1 + MOST_GROWTH), (early, late)
        assert after.browser_objects <= before.browser_objects * (1 + MOST_GROWTH), (early, late)


@pytest.fixture
def nightly(pytestconfig: pytest.Config) -> bool:
    return pytestconfig.getoption('--hypothesis-profile') == 'nightly'


def test_thousands_of_runs_in_workers_leave_nothing(page: Page, say: Callable[[str], None], nightly: bool) -> None:
    soaked(page, say, TINY, 2, 10_000 if nightly else 4_000, 12)


def test_thousands_of_runs_on_the_page_leave_nothing(page: Page, say: Callable[[str], None], nightly: bool) -> None:
    soaked(page, say, TINY, 0, 10_000 if nightly else 2_000, 12)


def test_runs_of_a_real_model_leave_nothing(page: Page, say: Callable[[str], None], nightly: bool) -> None:
    """1,000 in the nightly profile; else as many as show that the test works."""
    folder()
    soaked(page, say, MINILM, 2, 1_000 if nightly else WARM_UP + 20, 8)
