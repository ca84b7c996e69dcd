// The transformers.js side of the generation bench.
import { AutoModelForCausalLM, Tensor, env } from '/peers/@huggingface/transformers/dist/transformers.min.js';

export async function load(name, dtype) {
  env.allowLocalModels = true;
  env.allowRemoteModels = false;
  env.localModelPath = '/models/';
  env.useBrowserCache = false;
  env.backends.onnx.wasm.wasmPaths = '/peers/@huggingface/transformers/node_modules/onnxruntime-web/dist/';
  const model = await AutoModelForCausalLM.from_pretrained(name, { device: 'wasm', dtype });

  return {
    async generate(prompt, count) {
      const tensor = (values, dims) => new Tensor('int64', BigInt64Array.from(values.map(BigInt)), dims);
      const dims = [1, prompt.length];
      const times = [];
      const streamer = { put: () => times.push(performance.now()), end: () => {} };
      const start = performance.now();
      const made = await model.generate({
        inputs: tensor(prompt, dims), attention_mask: tensor(prompt.map(() => 1), dims), max_new_tokens: count, min_new_tokens: count,
        do_sample: false, streamer,
      });
      // The streamer is given the prompt first.
      const ids = Array.from(made.data, Number).slice(prompt.length);
      return { first: times[1] - start, rest: times.at(-1) - times[1], ids };
    },
  };
}
