// The transformers.js side of the bench, everything from the local server, its browser cache off, as edgeflow's, unless ?cache asks for both.
import { AutoModel, env, pipeline } from '/peers/@huggingface/transformers/dist/transformers.min.js';

const options = { pooling: 'mean', normalize: true };

function settle() {
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.localModelPath = '/models/';
  env.useBrowserCache = new URLSearchParams(location.search).has('cache');
  env.backends.onnx.wasm.wasmPaths = '/peers/@huggingface/transformers/node_modules/onnxruntime-web/dist/';
}

export async function load(model, dtype) {
  settle();
  const query = new URLSearchParams(location.search), device = query.get('device') ?? 'wasm';
  // Its WebNN compiles for fixed shapes.
  const session_options = device === 'webnn' ? { freeDimensionOverrides: { batch_size: 1, sequence_length: Number(query.get('tokens')) } } : {};
  const extractor = await pipeline('feature-extraction', model, { device, dtype, session_options });
  return {
    embed: async texts => Array.from((await extractor(texts, options)).data),
    dispose: () => extractor.dispose(),
  };
}

export const stored = async () => (await (await caches.open('transformers-cache')).keys()).some(request => request.url.endsWith('.onnx'));

export function loadBare(model, dtype) {
  settle();
  return AutoModel.from_pretrained(model, { device: 'wasm', dtype });
}
