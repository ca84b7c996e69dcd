// node --enable-source-maps toolchain/testrunner/node.js [part of module::test]
// Runs build/js/tests/*.js and prints `N passed, N failed`.
import { readdirSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { runTests } from './runner.js';

const folder = fileURLToPath(new URL('../../build/js/tests/', import.meta.url));
const modules = {};
let broken = 0;
for (const file of readdirSync(folder).filter((name) => name.endsWith('.js')).sort()) {
  try {
    modules[file.replace('.js', '')] = await import(pathToFileURL(join(folder, file)));
  } catch (error) {
    broken++;
    console.log(`CANNOT LOAD ${file}: ${error.stack}`);
  }
}
const result = await runTests(modules, {
  only: process.argv[2] ?? '',
  onFailure: (failure) => console.log(`FAILED ${failure.module}::${failure.test}[${failure.case}]\n${failure.stack}`),
});
console.log(`${result.passed} passed, ${result.failed + broken} failed`);
process.exit(result.failed + broken > 0 ? 1 : 0);
