// The edgeflow side of the bench: the same three functions as transformers.js's side.
import { env, isCached, loadModel, pipeline } from '/dist/edgeflow.js';

const options = { pooling: 'mean', normalize: true };

function settle() {
  env.remoteHost = location.origin;
  env.remotePathTemplate = '/models/{model}/';
  env.cache = new URLSearchParams(location.search).has('cache');
}

export async function load(model, dtype) {
  settle();
  const extractor = await pipeline('feature-extraction', model, { device: 'wasm', dtype });
  return {
    embed: async texts => Array.from((await extractor.run(texts, options)).data),
    dispose: () => extractor.dispose(),
  };
}

/** Whether the next visit finds the model in the cache. */
export const stored = (model, dtype) => isCached(model, { dtype });

/** The model alone, without its tokenizer; all such in one worker. */
export function loadBare(model, dtype) {
  settle();
  env.workers = 1;
  return loadModel(model, { dtype });
}
