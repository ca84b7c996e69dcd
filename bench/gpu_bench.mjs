// Measures models on a GPU in Node with Dawn (npm `webgpu`, the WebGPU of Chrome), beside onnxruntime-web's WebGPU in the same run:
//   python -m bench.gpu_models FOLDER && node bench/gpu_bench.mjs FOLDER [--out FILE] [--without-peer] [minilm] [four] [bert128] [bert512] [resnet] [resnet8] [decode] [drawn] [pages] [matrices]
// First each model of ours alone; then the two sides take turns of several runs each, since a single run would be measured in what the other side's
// left behind: garbage, and a GPU at another clock. Figures, medians of all such runs, go to bench/gpu-node.json with the device's name.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const SHAPES = {
  minilm: { name: 'all-MiniLM-L6-v2 shape, 32 tokens', file: 'minilm.onnx', batch: 1, length: 32, models: 1, turns: 4, runs: 60 },
  four: { name: 'four of them at once', file: 'minilm.onnx', batch: 1, length: 32, models: 4, turns: 4, runs: 20 },
  bert128: { name: 'BERT-base shape, batch 32 x 128', file: 'bert.onnx', batch: 32, length: 128, models: 1, turns: 3, runs: 10 },
  bert512: { name: 'BERT-base shape, batch 32 x 512', file: 'bert.onnx', batch: 32, length: 512, models: 1, turns: 2, runs: 4 },
  resnet: { name: 'ResNet-18 shape, an image of 224 x 224', file: 'resnet18.onnx', batch: 1, size: 224, models: 1, turns: 4, runs: 60 },
  resnet8: { name: 'ResNet-18 shape, 8 images', file: 'resnet18.onnx', batch: 8, size: 224, models: 1, turns: 4, runs: 20 },
};

const words = process.argv.slice(2);
const out = words.includes('--out') ? words.splice(words.indexOf('--out'), 2)[1] : path.join(HERE, 'gpu-node.json');
const withPeer = !words.includes('--without-peer');
const [folder, ...asked] = words.filter(word => !word.startsWith('--'));
const chosen = asked.length > 0 ? asked : [...Object.keys(SHAPES), 'decode', 'drawn', 'pages', 'matrices'];
const WARM_MS = 400;

const { create, globals } = await import('webgpu');
Object.assign(globalThis, globals);
// Timestamps as they are: Dawn rounds them to 65 us.
const gpu = create(['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia', 'disable-dawn-features=timestamp_quantization']);
Object.defineProperty(globalThis, 'navigator', { value: { gpu, hardwareConcurrency: 4, userAgent: 'Node' }, configurable: true });
const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
const device = adapter.info.device || adapter.info.description || adapter.info.vendor;

const prototype = Object.getPrototypeOf(adapter);
const request = prototype.requestDevice;
let submitted = 0, line;
prototype.requestDevice = async function (...options) {
  const made = await request.apply(this, options), queue = line = made.queue, submit = queue.submit.bind(queue);
  queue.submit = commands => {
    submit(commands);
    submitted = performance.now();
  };
  return bridged ? bridge(made) : made;
};
let bridged = false;

const { loadModel, pipeline, tensor, VERSION } = await import('../dist/edgeflow.js');

function numbers(count, below) {
  let state = 12345;
  return Array.from({ length: count }, () => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % below);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// What a model is given, by name: numbers, dims, type; and the name of what it gives.
function given({ batch, length, size }) {
  if (size) return [{ image: [Float32Array.from(numbers(batch * 3 * size * size, 2001), number => number / 1000 - 1), [batch, 3, size, size], 'float32'] }, 'logits'];
  const dims = [batch, length], count = batch * length;
  return [{ input_ids: [numbers(count, 30000), dims, 'int64'], attention_mask: [Array(count).fill(1), dims, 'int64'] }, 'last_hidden_state'];
}

const mapped = (inputs, make) => Object.fromEntries(Object.entries(inputs).map(([name, input]) => [name, make(...input)]));

async function ours(shape, bytes) {
  const models = [];
  for (let i = 0; i < shape.models; i++) models.push(await loadModel(bytes.slice(), { device: 'webgpu' }));
  const [inputs, output] = given(shape), feeds = mapped(inputs, tensor);
  return {
    once: async () => {
      const results = await Promise.all(models.map(model => model.run(feeds)));
      const first = results.map(result => result[output].data[0]);
      results.forEach(result => result[output].dispose());
      return first;
    },
    // Several runs of one model asked for at once: the next ones begin while the results of others are read back.
    several: async count => {
      const results = await Promise.all(Array.from({ length: count }, () => models[0].run(feeds)));
      results.forEach(result => result[output].dispose());
    },
    placement: () => models[0].placement(),
    end: () => models.forEach(model => model.dispose()),
  };
}

// Two gaps of the binding, on the peer's side: createComputePipelineAsync never settles, and writeBuffer fails for views on shared memory.
function bridge(made) {
  made.createComputePipelineAsync = async descriptor => made.createComputePipeline(descriptor);
  const write = made.queue.writeBuffer.bind(made.queue);
  made.queue.writeBuffer = (buffer, offset, data, ...rest) => {
    const view = ArrayBuffer.isView(data) ? data : new Uint8Array(data);
    return view.buffer instanceof SharedArrayBuffer ? write(buffer, offset, view.slice(), ...rest) : write(buffer, offset, data, ...rest);
  };
  return made;
}

async function peers(shape, bytes) {
  const ort = await import('onnxruntime-web/webgpu');
  ort.env.wasm.numThreads = 1;
  bridged = true;
  const sessions = [];
  for (let i = 0; i < shape.models; i++) sessions.push(await ort.InferenceSession.create(bytes, { executionProviders: ['webgpu'] }));
  const [inputs, output] = given(shape);
  const feeds = mapped(inputs, (values, dims, type) => new ort.Tensor(type, type === 'int64' ? BigInt64Array.from(values, BigInt) : values, dims));
  return {
    // At once it aborts, so one after the other.
    once: async () => {
      const first = [];
      for (const session of sessions) first.push((await session.run(feeds))[output].data[0]);
      return first;
    },
    end: () => Promise.all(sessions.map(session => session.release())),
  };
}

async function timed(work) {
  const began = performance.now();
  const value = await work();
  return [performance.now() - began, value];
}

// A round that was never idle before: the GPU is warm, and nobody else is there.
async function alone(side, rounds) {
  const times = [], submits = [];
  for (const end = performance.now() + WARM_MS; performance.now() < end;) await side.once();
  for (let round = 0; round < rounds; round++) {
    const began = performance.now();
    await side.once();
    times.push(performance.now() - began);
    submits.push(submitted - began);
  }
  return { ms: median(times), least_ms: Math.min(...times), submit_ms: median(submits) };
}

const TOGETHER = 12;

// Milliseconds a run where so many are asked for at once, in turns with as many one after the other.
async function together(side, rounds) {
  const several = [], single = [];
  for (let round = 0; round < rounds; round++) {
    let [took] = await timed(() => side.several(TOGETHER));
    several.push(took / TOGETHER);
    [took] = await timed(async () => { for (let i = 0; i < TOGETHER; i++) await side.several(1); });
    single.push(took / TOGETHER);
  }
  return { ms: median(several), single_ms: median(single), ratio: median(single) / median(several) };
}

// Tokens a second of one stream of SmolLM2-135M's shape with 4-bit weights (bench/decoder.py), and how much of a core that takes.
async function decode() {
  const model = await loadModel(new Uint8Array(readFileSync(path.join(folder, 'model_q4.onnx'))), { device: 'webgpu' });
  const session = await model.openSession();
  let next = await session.prompt(numbers(16, 49000));
  for (let i = 0; i < 60; i++) next = await session.feed([next.tokenId]);
  const tokens = 300, began = performance.now(), cpu = process.cpuUsage();
  for (let i = 0; i < tokens; i++) next = await session.feed([next.tokenId]);
  const took = performance.now() - began, used = process.cpuUsage(cpu);
  const row = { name: "decode, SmolLM2-135M's shape, 4-bit weights, one stream", tokens_per_s: 1000 * tokens / took, cpu_share: (used.user + used.system) / 1000 / took, on_wasm: model.placement().fallback };
  model.dispose();
  return row;
}

// The same shape in float16 (bench/gpu_models.py), by the pipeline: tokens a second of the likeliest text, of texts whose tokens are drawn on the GPU, and
// of one whose logits the CPU has to see, in turns; and what the kernel that chooses takes.
async function drawn() {
  const generator = await pipeline('text-generation', path.join(folder, 'decoder'), { dtype: 'q4f16', device: 'webgpu' }), prompt = numbers(16, 49000).map(id => `t${id}`).join(' ');
  const ways = {
    greedy: { doSample: false }, 'top-k 50, top-p 0.9': { topK: 50, topP: 0.9 }, 'top-p 0.9': { topP: 0.9 }, 'temperature alone': { temperature: 0.8 },
    'top-k 50, top-p 0.9, repetition penalty': { topK: 50, topP: 0.9, repetitionPenalty: 1.1 },
    'top-k 50, top-p 0.9, by the CPU (for n-grams)': { topK: 50, topP: 0.9, noRepeatNgramSize: 3 },
  };
  const rates = {};
  for (let round = 0; round < 4; round++) {
    for (const [name, options] of Object.entries(ways)) {
      let began = 0, made = 0, cpu;
      for await (const event of generator.stream(prompt, { seed: name === 'greedy' ? undefined : 7, maxNewTokens: 180, eosTokenId: [], ...options })) {
        if (++made === 20) [began, cpu] = [performance.now(), process.cpuUsage()];
      }
      const took = performance.now() - began, used = process.cpuUsage(cpu);
      if (round > 0) (rates[name] ??= []).push({ tokens_per_s: 1000 * (made - 20) / took, cpu_share: (used.user + used.system) / 1000 / took });
    }
  }
  generator.dispose();
  return Object.entries(rates).map(([name, rounds]) => ({
    name: `decode, q4f16, one stream by the pipeline: ${name}`, tokens_per_s: median(rounds.map(r => r.tokens_per_s)), cpu_share: median(rounds.map(r => r.cpu_share)),
  }));
}

// The same shape with keys and values in pages: the prompt, tokens a second behind it, and bytes of pages a token.
async function pages() {
  const model = await loadModel(new Uint8Array(readFileSync(path.join(folder, 'decoder/onnx/model_q4f16.onnx'))), { device: 'webgpu' }), made = [];
  for (const length of [64, 1024, 4096]) {
    const prompt = numbers(length, 49000), prompts = [], steps = [];
    let session, next;
    for (let round = 0; round < 5; round++) {
      session?.dispose();
      session = await model.openSession();
      const began = performance.now();
      next = await session.prompt(prompt);
      prompts.push(performance.now() - began);
      for (let i = 0; i < 20; i++) next = await session.feed([next.tokenId]);
      const from = performance.now();
      for (let i = 0; i < 80; i++) next = await session.feed([next.tokenId]);
      steps.push((performance.now() - from) / 80);
    }
    const kernels = async (session, ids) => {
      const found = {};
      for (const time of await session.profile(ids)) found[time.kernel] = Math.round((found[time.kernel] ?? 0) * 1e3 + time.ms * 1e3) / 1e3;
      return found;
    };
    const bytes = session.memory().arena / (Math.ceil((length + 101) / 64) * 64), empty = await model.openSession();
    made.push({
      name: `decode, q4f16, behind a prompt of ${length} tokens`, prompt_ms: median(prompts), tokens_per_s: 1000 / median(steps), bytes_a_token: bytes,
      step_kernels: await kernels(session, [next.tokenId]), prompt_kernels: await kernels(empty, prompt),
    });
    session.dispose();
    empty.dispose();
  }
  model.dispose();
  return made;
}

// Products of float16 weights (bench/gpu_models.py), by matrix units where the device has them, beside sums in float64. A GPU that was idle is slow at
// first: so each timing by its clock comes right after many runs, whose factor and results stay on the GPU; run_ms: one of these. The least counts: while
// results of 64 MB are made and read, its clock was seen to fall from 1,980 MHz to 345.
async function matrices() {
  const model = await loadModel(new Uint8Array(readFileSync(path.join(folder, 'half.onnx'))), { device: 'webgpu' }), size = 4096;
  const weights = new Float32Array(readFileSync(path.join(folder, 'half.bin')).buffer.slice(0)), made = [];
  for (const m of [4096, 1024, 512, 100]) {
    const x = Float32Array.from(numbers(m * size, 2001), number => number / 1024 - 0.9765625), feeds = { x: tensor(x, [m, size]) };
    const { y } = await model.run(feeds, { location: 'gpu' }), results = await y.read();
    let off = 0;
    for (const [i, j] of [[0, 0], [m - 1, size - 1], [37, 1001], [99, 4090], [m >> 1, 77]]) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += x[i * size + k] * weights[k * size + j];
      off = Math.max(off, Math.abs(sum - results[i * size + j]));
    }
    const there = { x: y }, count = Math.min(160, 16 * size / m), runs = [], clock = [];
    for (const end = performance.now() + 2 * WARM_MS; performance.now() < end || runs.length < 5;) {
      const began = performance.now(), outputs = [];
      for (let i = 0; i < count; i++) outputs.push((await model.run(there, { location: 'gpu' })).y);
      await line.onSubmittedWorkDone();
      runs.push((performance.now() - began) / count);
      for (const time of await model.profile(there)) if (time.kernel.startsWith('matmul')) clock.push(time);
      outputs.forEach(output => output.dispose());
    }
    y.dispose();
    const times = clock.map(time => time.ms), ms = Math.min(...times);
    made.push({ name: `matmul ${m} x ${size} x ${size}, float16 weights`, kernel: clock[0].kernel, ms, median_ms: median(times), tflops: 2 * m * size * size / ms / 1e9, run_ms: median(runs), off });
  }
  model.dispose();
  return made;
}

const SEVERAL = { drawn, pages, matrices }, rows = [];
for (const key of chosen) {
  if (SEVERAL[key]) {
    for (const row of await SEVERAL[key]()) {
      rows.push(row);
      report();
    }
    continue;
  }
  if (key === 'decode') {
    rows.push(await decode());
    report();
    continue;
  }
  const shape = SHAPES[key], bytes = new Uint8Array(readFileSync(path.join(folder, shape.file)));
  const row = { name: shape.name };
  const [load, mine] = await timed(() => ours(shape, bytes));
  const [first, answer] = await timed(mine.once);
  row.load_ms = load;
  row.first_run_ms = first;
  row.alone = await alone(mine, shape.turns * shape.runs);
  if (shape.models === 1) row.together = await together(mine, shape.turns);
  const sides = [[mine, []]];
  if (withPeer) {
    const [peerLoad, peer] = await timed(() => peers(shape, bytes));
    const [peerFirst, peerAnswer] = await timed(peer.once);
    row.peer_load_ms = peerLoad;
    row.peer_first_run_ms = peerFirst;
    row.difference = Math.abs(answer[0] - peerAnswer[0]);
    sides.push([peer, []]);
  }
  for (let turn = 0; turn < shape.turns; turn++) {
    for (const [side, times] of sides) {
      for (let run = 0; run < shape.runs; run++) times.push((await timed(side.once))[0]);
    }
  }
  row.ms = median(sides[0][1]);
  row.least_ms = Math.min(...sides[0][1]);
  row.on_wasm = mine.placement().fallback;
  if (withPeer) {
    row.peer_ms = median(sides[1][1]);
    row.ratio = row.peer_ms / row.ms;
  }
  for (const [side] of sides) await side.end();
  rows.push(row);
  report();
}
process.exit(0);

function report() {
  console.log(JSON.stringify(rows.at(-1)));
  writeFileSync(out, JSON.stringify({ device, runtime: `Node ${process.version} with Dawn (webgpu 0.6.2)`, edgeflow: VERSION, rows }, null, 1) + '\n');
}
