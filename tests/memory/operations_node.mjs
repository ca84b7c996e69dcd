// node operations_node.mjs ADDRESS_OF_EDGEFLOW_JS: one call a line in, its result a line out. See node_side.py.
import { createInterface } from 'node:readline';

const edgeflow = await import(process.argv[2]);
await edgeflow.loadOperations();

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bool: Uint8Array, int8: Int8Array, uint8: Uint8Array,
  int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array,
};

function given(x) {
  if (Array.isArray(x)) return x.map(given);
  if (x === null || typeof x !== 'object') return x;
  if (x.number) return Number(x.number);
  if (typeof x.data !== 'string') return x;
  const bytes = Uint8Array.from(Buffer.from(x.data, 'base64'));
  return edgeflow.tensor(new ARRAYS[x.dtype](bytes.buffer), x.shape, x.dtype);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, args } = JSON.parse(line);
  let answer;
  const scope = edgeflow.memoryScope();
  try {
    edgeflow.withMemoryScope(inner => {
      const result = edgeflow[name](...args.map(given));
      const { buffer, byteOffset, byteLength } = result.data;
      answer = { dtype: result.dtype, shape: result.shape, data: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
    });
  } catch (error) {
    answer = { error: error.code ?? error.stack };
  }
  scope.dispose();
  answer.tensors = edgeflow.memoryStats().tensors;
  process.stdout.write(JSON.stringify(answer) + '\n');
}
