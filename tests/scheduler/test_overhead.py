"""What the scheduler itself costs a task, in Chromium: tasks whose work is nothing, beside awaiting the same work without a scheduler."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

from bench.overhead import LIMIT_MS, MEASURE


def test_overhead_a_task(page: Page, say: Callable[[str], None]) -> None:
    for name, count, depth in [('one after the other', 2000, 1), ('100 waiting', 10000, 100), ('10,000 waiting', 10000, 10000)]:
        # Four slots, one run a model, a timeout for every task, aging 10 s.
        figures = page.evaluate(MEASURE, {'count': count, 'depth': depth, 'limits': [4, 1, 30000, 10000]})
        assert figures['done'] == 4 * count
        assert figures['events'] == 3 * 4 * count
        shown = ', '.join(f'{way} {1000 * figures[way]:.1f}' for way in ('none', 'scheduled', 'watched'))
        say(f'scheduler overhead in Chromium, {name}: µs a task: {shown}')
        assert figures['scheduled'] < LIMIT_MS
        assert figures['watched'] < LIMIT_MS
