// The onnxruntime-web side of the WebGPU bench. Its session takes one run at a time.
import * as ort from '/peers/onnxruntime-web/dist/ort.webgpu.min.mjs';

export async function load(url, rows) {
  ort.env.wasm.wasmPaths = '/peers/onnxruntime-web/dist/';
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(url, { executionProviders: ['webgpu'] });
  const inputs = Object.fromEntries(Object.entries(rows).map(
    ([name, row]) => [name, new ort.Tensor('int64', BigInt64Array.from(row, BigInt), [1, row.length])]));
  let turn = Promise.resolve();
  return () => (turn = turn.then(async () => (await session.run(inputs)).last_hidden_state.data));
}
