// Runs cases through the public API of the built package; bytes travel as base64.
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, float16: Uint16Array,
};
const MILLISECONDS = 30000;

const decode = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));

function encode(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

function given(tensor, value) {
  if (value === null) return null;
  if (Array.isArray(value)) return value.map(x => given(tensor, x));
  if (value.dtype === 'string') return tensor(value.data, value.shape, 'string');
  return tensor(new ARRAYS[value.storage](decode(value.data).buffer), value.shape, value.dtype);
}

function taken(value) {
  if (value == null) return null;
  if (Array.isArray(value)) return value.map(taken);
  const { dtype, shape, data } = value;
  return { dtype, shape, data: dtype === 'string' ? [...data] : encode(data) };
}

async function runCase({ loadModel, tensor }, { model, runs }, device) {
  let loaded = null;
  try {
    loaded = await loadModel(decode(model), { device });
    const results = [];
    for (const inputs of runs) {
      const feeds = Object.fromEntries(Object.entries(inputs).map(([name, value]) => [name, given(tensor, value)]));
      const outputs = await loaded.run(feeds);
      results.push(Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, taken(value)])));
    }
    const placement = loaded.placement();
    return { results, whole: placement.device === device && Object.keys(placement.fallback).length === 0 };
  } catch (error) {
    return { error: error.code ? `${error.code}: ${error.message}` : `crash: ${error.name}: ${error.message}` };
  } finally {
    loaded?.dispose();
  }
}

export async function runCases(library, cases, device) {
  const edgeflow = await import(library);
  const answers = [];
  for (const given of cases) {
    let timer;
    const late = new Promise(resolve => { timer = setTimeout(() => resolve({ error: 'crash: no answer' }), MILLISECONDS); });
    answers.push(await Promise.race([runCase(edgeflow, given, device), late]));
    clearTimeout(timer);
  }
  return answers;
}
