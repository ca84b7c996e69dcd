// Reads broken models with the transpiled reader, as tests/onnx/test_corruption.py asks on standard input.
// One line in: {path, edits: [[offset, removed, inserted in hex]], size}; one line out: {code} or {text}, a hash of the graph's text.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { createInterface } from 'node:readline';

const load = (name) => import(pathToFileURL(`${process.argv[2]}/edgeflow/${name}.js`).href);
const { readModel } = await load('onnx/reader');
const { printGraph } = await load('ir/printer');
const { verify, verifyOperators } = await load('ir/verify');
const { runPasses } = await load('passes/pipeline');
const { EdgeflowError } = await load('errors');
const { fetchRare } = await load('backends/wasm/load');
await fetchRare();

const files = new Map();

function broken(path, edits, size) {
  if (!files.has(path)) files.set(path, readFileSync(path));
  let data = files.get(path);
  for (const [offset, removed, inserted] of edits) {
    data = Buffer.concat([data.subarray(0, offset), Buffer.from(inserted, 'hex'), data.subarray(offset + removed)]);
  }
  return new Uint8Array(data.subarray(0, size));
}

function outcome({ path, edits, size }) {
  try {
    const { graph } = readModel(broken(path, edits, size), null);
    verify(graph);
    verifyOperators(graph);
    const before = printGraph(graph);
    runPasses(graph);
    verify(graph);
    return { text: createHash('sha256').update(before + printGraph(graph)).digest('hex') };
  } catch (error) {
    return error instanceof EdgeflowError ? { code: error.code } : { foreign: String(error.stack) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(outcome(JSON.parse(line))) + '\n');
}
