// node minify.mjs FILE...: what esbuild has minified once more, in place. terser puts functions and constants that are named once where they
// are used; oxc joins declarations and statements, and gives shorter names. The source map beside each file still leads to the first sources.
import { readFileSync, writeFileSync } from 'node:fs';
import remapping from '@jridgewell/remapping';
import { minifySync } from 'oxc-minify';
import { minify } from 'terser';

// An import of an address that is known only at run time. Minifiers drop these comments, without which webpack, Turbopack and Vite take
// such an import for one of the application's own modules.
const COMPUTED = /\bimport\((?!["'`][^$"'`]*["'`]\))/g;
const NOT_BUNDLED = '/*webpackIgnore:true*//*turbopackIgnore:true*//*@vite-ignore*/';

// A function that is called in one place stays a function: in the place of the call it would be made anew for each call.
const PLACED = { ecma: 2020, passes: 2, reduce_funcs: false, inline: false, sequences: false };

/** The code with the comments in it, and its map with the columns behind them moved. */
function marked(code, map) {
  const decoded = remapping(map, () => null, { decodedMappings: true });
  const lines = code.split('\n').map((line, i) => {
    const columns = Array.from(line.matchAll(COMPUTED), found => found.index + found[0].length);
    for (const segment of decoded.mappings[i] ?? []) segment[0] += NOT_BUNDLED.length * columns.filter(column => column <= segment[0]).length;
    return line.replace(COMPUTED, `$&${NOT_BUNDLED}`);
  });
  return [lines.join('\n'), decoded];
}

for (const file of process.argv.slice(2)) {
  const link = /\n\/\/# sourceMappingURL=.*\n*$/;
  const text = readFileSync(file, 'utf8');
  const module = !file.endsWith('.iife.js');
  const placed = await minify(text.replace(link, ''), { module, compress: PLACED, mangle: false, ecma: 2020, sourceMap: { asObject: true } });
  const { code, map, errors } = minifySync(file, placed.code, { module, compress: { target: 'es2022' }, mangle: true, sourcemap: true });
  if (errors.length > 0) throw new Error(`${file}: ${errors.map(error => error.message).join('; ')}`);
  const [made, moved] = marked(code.trimEnd(), map);
  const whole = remapping([moved, placed.map, JSON.parse(readFileSync(`${file}.map`, 'utf8'))], () => null);
  writeFileSync(file, `${made}${text.match(link)?.[0] ?? ''}`);
  writeFileSync(`${file}.map`, whole.toString());
}
