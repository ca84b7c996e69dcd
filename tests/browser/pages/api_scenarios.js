// The public API of the built package, as a user of dist/edgeflow.js calls it. Runs in Chromium and in Node.
// `bundle`: address of edgeflow.js. `models`: address or path of tests/models, ending in '/'.

async function failure(work) {
  try {
    await work();
  } catch (error) {
    return { code: error.code ?? null, message: error.message, details: error.details instanceof Map, isError: error instanceof Error };
  }
  return null;
}

export async function loading(bundle, models) {
  const { loadModel, tensor, env, EdgeflowError, VERSION } = await import(bundle);
  const events = [];
  const model = await loadModel(models + 'xlm-roberta-mini/onnx/model.onnx', { onProgress: event => events.push(event) });
  const ids = tensor(BigInt64Array.of(0n, 5n, 6n, 2n), [1, 4]);
  const inputs = Object.fromEntries(model.inputs.map(info => [info.name, info.name === 'input_ids' ? ids : tensor([[1, 1, 1, 1]], null, 'int64')]));
  const outputs = await model.run(inputs);
  const name = model.outputs[0].name;
  const again = await model.run(new Map(Object.entries(inputs)));
  const found = {
    version: VERSION, inputs: model.inputs.map(info => [info.name, info.dtype]), outputs: Object.keys(outputs),
    plain: Object.getPrototypeOf(outputs) === Object.prototype, shape: outputs[name].shape, dtype: outputs[name].dtype,
    float32: outputs[name].data instanceof Float32Array, numbers: outputs[name].tolist(), same: outputs[name].data.every((x, i) => x === again[name].data[i]),
    statuses: [...new Set(events.map(event => event.status))], files: [...new Set(events.map(event => event.file))],
    total: [events.at(-1).loadedAll, events.at(-1).totalAll],
  };

  found.repository = (await loadModel(models + 'bert-mini-sentence', { dtype: 'q8' })).inputs.length;
  env.remoteHost = models.startsWith('http') ? models : 'http://127.0.0.1:9/';
  env.remotePathTemplate = '{model}/';
  env.localModelPath = models.startsWith('http') ? null : models;
  found.hub = (await loadModel('bert-mini-sentence')).inputs.length;

  const { [model.inputs[0].name]: first, ...rest } = inputs;
  const path = models + 'bert-mini-sentence/onnx/model.onnx';
  found.failures = {
    option: await failure(() => loadModel(path, { devise: 'wasm' })),
    snake: await failure(() => loadModel(path, { on_progress: () => {} })),
    device: await failure(() => loadModel(path, { device: 'tpu' })),
    dtype: await failure(() => loadModel(models + 'bert-mini-sentence', { dtype: 'fp15' })),
    source: await failure(() => loadModel(null)),
    bytes: await failure(() => loadModel(Uint8Array.of(60, 33, 100))),
    buffer: await failure(() => loadModel(new TextEncoder().encode('<!doctype html>').buffer)),
    missing: await failure(() => loadModel(models + 'none/model.onnx')),
    external: await failure(() => loadModel(models + 'bert-mini-sentence/config.json')),
    lacking: await failure(() => model.run(rest)),
    unknown: await failure(() => model.run({ ...inputs, extra: ids })),
    array: await failure(() => model.run({ ...inputs, input_ids: [[1, 2]] })),
    list: await failure(() => model.run([ids])),
    float: await failure(() => model.run({ ...inputs, input_ids: tensor([[1, 2]]) })),
    rank: await failure(() => model.run({ ...inputs, input_ids: tensor([1, 2], null, 'int64') })),
    range: await failure(() => model.run({ ...inputs, input_ids: tensor([[0, 99999, 6, 2]], null, 'int64') })),
    ragged: await failure(() => tensor([[1, 2], [3]])),
    shape: await failure(() => tensor([1, 2, 3], [2, 2])),
    aborted: await failure(() => loadModel(path, { signal: AbortSignal.abort() })),
  };
  found.family = [new EdgeflowError('http', 'x') instanceof Error, new EdgeflowError('http', 'x').name];
  ids.dispose();
  found.failures.tensor = await failure(() => model.run(inputs));
  model.dispose();
  model.dispose();
  found.failures.model = await failure(() => model.run(inputs));
  return found;
}
