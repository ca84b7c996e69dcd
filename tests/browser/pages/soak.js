// Random lives of runs: in scopes that take turns, some cancelled, some failing. Driven by tests/soak.

/** Numbers that look random and are the same for the same seed (mulberry32). */
export function generator(seed) {
  let state = seed >>> 0;
  return below => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) / 4294967296) * below | 0;
  };
}

function inputsOf(library, scope, model, rows, columns, id) {
  const inputs = {};
  for (const { name } of model.inputs) {
    const value = name === 'input_ids' ? id : name === 'attention_mask' ? 1 : 0;
    inputs[name] = scope.tensor(new BigInt64Array(rows * columns).fill(BigInt(value)), [rows, columns]);
  }
  return inputs;
}

/** One inference, or what becomes of it; tells how it ended. */
async function one(library, scope, model, random, columns) {
  const kind = random(10);
  const inputs = inputsOf(library, scope, model, 1 + random(2), 1 + random(columns), kind === 0 ? 99999 : 3 + random(90));
  const controller = kind < 4 ? new AbortController() : null;
  const options = { priority: ['low', 'normal', 'high', 'critical'][random(4)] };
  if (controller) options.signal = controller.signal;
  if (kind === 4) options.deadline = performance.now() + random(3);
  if (kind === 5) options.transfer = true;
  const run = scope.run(model, inputs, options);
  if (kind === 1) controller.abort();
  if (kind === 2) setTimeout(() => controller.abort(), random(3));
  try {
    await run;
    return 'done';
  } catch (error) {
    if (!error.code) throw error;
    return error.code;
  }
}

/** `count` inferences over `models`, in `width` scopes at a time of ten inferences each; counts how they ended. */
export async function soak(library, models, { count, width, columns, seed }) {
  const random = generator(seed), ends = {};
  let left = count;
  const live = async () => {
    while (left > 0) {
      await library.withMemoryScope(async scope => {
        for (let i = 0; i < 10 && left > 0; i++) {
          left--;
          const inner = scope.scope();
          const end = await one(library, inner, models[random(models.length)], random, columns);
          ends[end] = (ends[end] ?? 0) + 1;
          if (random(2)) inner.dispose();
        }
        if (random(4) === 0) throw new Error('left by an error');
      }).catch(error => { if (error.message !== 'left by an error') throw error; });
    }
  };
  await Promise.all(Array.from({ length: width }, live));
  return ends;
}
