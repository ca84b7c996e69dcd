// The edgeflow side of the WebGPU bench.
import { env, loadModel, tensor } from '/dist/edgeflow.js';

export async function load(url, rows) {
  env.cache = false;
  const model = await loadModel(url, { device: 'webgpu' });
  const inputs = Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, tensor(row, [1, row.length], 'int64')]));
  return async () => {
    const { last_hidden_state: output } = await model.run(inputs), data = output.data;
    output.dispose();
    return data;
  };
}
