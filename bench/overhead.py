"""What the scheduler itself costs a task in the browser: JS that runs in a page of a server with the transpiled modules at /js/."""

from __future__ import annotations

# The most ms a task that are promised.
LIMIT_MS = 0.1

# Tasks whose work is nothing, beside awaiting the same work without a scheduler: ms a task, best of four rounds.
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
