// The edgeflow side of the bench: the same three functions as transformers.js's side.
import { pipeline, env } from '/dist/edgeflow.js';

const options = { pooling: 'mean', normalize: true };

export async function load(model, dtype) {
  env.remoteHost = location.origin;
  env.remotePathTemplate = '/models/{model}/';
  const extractor = await pipeline('feature-extraction', model, { device: 'wasm', dtype });
  return {
    embed: async texts => Array.from((await extractor.run(texts, options)).data),
    dispose: () => extractor.dispose(),
  };
}
