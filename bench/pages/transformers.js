// The transformers.js side of the bench, everything from the local server, its browser cache off so that both load alike.
import { pipeline, env } from '/peers/@huggingface/transformers/dist/transformers.min.js';

const options = { pooling: 'mean', normalize: true };

export async function load(model, dtype) {
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.localModelPath = '/models/';
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = '/peers/@huggingface/transformers/node_modules/onnxruntime-web/dist/';
  const extractor = await pipeline('feature-extraction', model, { device: 'wasm', dtype });
  return {
    embed: async texts => Array.from((await extractor(texts, options)).data),
    dispose: () => extractor.dispose(),
  };
}
