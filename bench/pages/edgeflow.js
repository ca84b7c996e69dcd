// The edgeflow side of the bench: the same three functions as transformers.js's side, and what only edgeflow has.
import { env, isCached, loadModel, onTask, pipeline } from '/dist/edgeflow.js';

const options = { pooling: 'mean', normalize: true };

function settle() {
  env.remoteHost = location.origin;
  env.remotePathTemplate = '/models/{model}/';
  env.cache = new URLSearchParams(location.search).has('cache');
}

export async function load(model, dtype) {
  settle();
  const extractor = await pipeline('feature-extraction', model, { device: new URLSearchParams(location.search).get('device') ?? 'wasm', dtype });
  return {
    embed: async texts => Array.from((await extractor.run(texts, options)).data),
    dispose: () => extractor.dispose(),
    /** A run as a task of the scheduler, with a priority. */
    run: (text, priority) => extractor.run(text, { ...options, priority }),
    critical,
  };
}

async function critical(instances, text, count) {
  const began = new Map(), runs = [];
  let queued = 0, waited = 0;
  const stop = onTask(({ kind, task, time, priority }) => {
    if (kind === 'queued' && priority === 'critical') queued = time;
    if (kind === 'started' && priority === 'critical') waited = time - queued;
    if (kind === 'started') began.set(task, time);
    if (kind === 'done') runs.push(time - began.get(task));
  });
  const others = Array.from({ length: count }, (_, i) => instances[i % instances.length].run(text, 'normal'));
  await instances[0].run(text, 'critical');
  await Promise.all(others);
  stop();
  return { waited, runs };
}

/** Whether the next visit finds the model in the cache. */
export const stored = (model, dtype) => isCached(model, { dtype });

/** The model alone, without its tokenizer; all such in one worker. */
export function loadBare(model, dtype) {
  settle();
  env.workers = 1;
  return loadModel(model, { dtype });
}
