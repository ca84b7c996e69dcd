// Runs one model on raw inputs through the public API; arrays travel as base64.
const ARRAYS = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array, float16: Uint16Array,
};

function decode(text) {
  return Uint8Array.from(atob(text), character => character.charCodeAt(0));
}

function encode(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  let text = '';
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return btoa(text);
}

export async function runModel(library, url, cases, options) {
  const { loadModel, tensor } = library;
  const model = await loadModel(url, options);
  const results = [];
  for (const inputs of cases) {
    const given = {};
    for (const [name, { dtype, shape, data }] of Object.entries(inputs)) {
      given[name] = tensor(new ARRAYS[dtype](decode(data).buffer), shape, dtype);
    }
    const outputs = await model.run(given);
    const result = {};
    for (const [name, { dtype, shape, data }] of Object.entries(outputs)) result[name] = { dtype, shape, data: encode(data) };
    results.push(result);
  }
  model.dispose();
  return results;
}
