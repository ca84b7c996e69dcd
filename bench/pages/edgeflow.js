// The edgeflow side of the bench: the same three functions as transformers.js's side.
import { env, isCached, pipeline } from '/dist/edgeflow.js';

const options = { pooling: 'mean', normalize: true };

export async function load(model, dtype) {
  env.remoteHost = location.origin;
  env.remotePathTemplate = '/models/{model}/';
  env.cache = new URLSearchParams(location.search).has('cache');
  const extractor = await pipeline('feature-extraction', model, { device: 'wasm', dtype });
  return {
    embed: async texts => Array.from((await extractor.run(texts, options)).data),
    dispose: () => extractor.dispose(),
  };
}

/** Whether the next visit finds the model in the cache. */
export const stored = (model, dtype) => isCached(model, { dtype });
