// What tests/browser/test_workers.py does in the page: models in workers, and what they are asked.
const DTYPES = { ids: 'int64', mask: 'int64', types: 'int64' };

export const MINI = '/models/bert-mini-sentence/onnx/model.onnx';
export const MINILM = '/examples/minilm/onnx/model.onnx';

/** A batch of made-up token ids for a model of the BERT kind. */
export function batch(library, model, rows, columns, id = 7) {
  const inputs = {};
  for (const { name } of model.inputs) {
    const value = name === 'input_ids' ? BigInt(id) : name === 'attention_mask' ? 1n : 0n;
    inputs[name] = library.tensor(new BigInt64Array(rows * columns).fill(value), [rows, columns]);
  }
  return inputs;
}

export async function load(library, path, options) {
  return library.loadModel(new URL(path, location.href).href, options);
}

/** Runs `count` models at once, `rounds` times each, and tells the tasks' intervals by lane. */
export async function intervals(library, models, rounds, rows, columns) {
  const started = new Map(), spans = [];
  const stop = library.onTask(event => {
    if (event.kind === 'started') started.set(event.task, event.time);
    if (event.kind === 'done') spans.push({ lane: event.lane, model: event.modelId, start: started.get(event.task), end: event.time });
  });
  const work = [];
  for (let i = 0; i < rounds; i++) for (const model of models) work.push(model.run(batch(library, model, rows, columns)));
  await Promise.all(work);
  stop();
  return spans;
}

/** How a promise fails: the error's fields; null if it does not. */
export async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return {
      code: error.code ?? null, name: error.name, message: error.message, stack: String(error.stack),
      details: error.details instanceof Map ? Object.fromEntries(error.details) : error.details ?? null,
      own: error instanceof Error,
    };
  }
}

export async function time(work) {
  const start = performance.now();
  const value = await work();
  return { ms: performance.now() - start, value };
}
