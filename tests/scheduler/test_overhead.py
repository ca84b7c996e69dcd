"""What the scheduler itself costs a task, in Chromium: tasks whose work is nothing, beside awaiting the same work without a scheduler."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

LIMIT_MS = 0.1

MEASURE = """async ({ count, depth, limits }) => {
  const { Scheduler } = await import('/js/edgeflow/runtime/scheduler.js');
  const { SchedulerOptions } = await import('/js/edgeflow/runtime/scheduler_records.js');
  const { HostClock } = await import('/js/edgeflow/runtime/page.js');
  const work = async () => 1;
  const priorities = ['low', 'normal', 'high', 'critical'];
  const models = ['a', 'b', 'c', 'd'];
  const measured = async (task) => {
    const started = performance.now();
    for (let done = 0; done < count; done += depth) {
      const results = [];
      for (let i = 0; i < depth; i++) results.push(task(i));
      await Promise.all(results);
    }
    return (performance.now() - started) / count;
  };
  const options = new SchedulerOptions(...limits);
  const plain = new Scheduler(new HostClock(), options);
  const watched = new Scheduler(new HostClock(), options);
  const controller = new AbortController();
  let events = 0;
  watched.onEvent(() => { events++; });
  const ways = {
    none: () => work(),
    scheduled: (i) => plain.schedule(models[i % 4], work, { priority: priorities[(i >> 2) % 4] }).result(),
    watched: (i) => watched.schedule(models[i % 4], work, { priority: priorities[(i >> 2) % 4], signal: controller.signal }).result(),
  };
  const best = {};
  for (let round = 0; round < 4; round++) {
    for (const [name, task] of Object.entries(ways)) best[name] = Math.min(best[name] ?? Infinity, await measured(task));
  }
  return { ...best, events, done: plain.statistics().total.done };
}"""


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
