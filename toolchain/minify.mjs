// node minify.mjs FILE...: what esbuild has minified once more, in place, with oxc: it joins declarations and statements that esbuild
// leaves apart, and gives shorter names. The source map beside each file still leads to the first sources.
import { readFileSync, writeFileSync } from 'node:fs';
import remapping from '@jridgewell/remapping';
import { minifySync } from 'oxc-minify';

for (const file of process.argv.slice(2)) {
  const link = /\n\/\/# sourceMappingURL=.*\n*$/;
  const text = readFileSync(file, 'utf8');
  const { code, map, errors } = minifySync(file, text.replace(link, ''), {
    module: !file.endsWith('.iife.js'), compress: { target: 'es2022' }, mangle: true, sourcemap: true,
  });
  if (errors.length > 0) throw new Error(`${file}: ${errors.map(error => error.message).join('; ')}`);
  const whole = remapping([map, JSON.parse(readFileSync(`${file}.map`, 'utf8'))], () => null);
  writeFileSync(file, `${code.trimEnd()}${text.match(link)?.[0] ?? ''}`);
  writeFileSync(`${file}.map`, whole.toString());
}
