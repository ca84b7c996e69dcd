// node minify.mjs FILE...: what esbuild has minified once more, in place. terser puts functions and constants that are named once where they
// are used; oxc joins declarations and statements, and gives shorter names. The source map beside each file still leads to the first sources.
import { readFileSync, writeFileSync } from 'node:fs';
import remapping from '@jridgewell/remapping';
import { minifySync } from 'oxc-minify';
import { minify } from 'terser';
import ts from 'typescript';

// An import of an address that is known only at run time. Minifiers drop these comments, without which webpack, Turbopack and Vite take
// such an import for one of the application's own modules.
const COMPUTED = /\bimport\((?!["'`][^$"'`]*["'`]\))/g;
const NOT_BUNDLED = '/*webpackIgnore:true*//*turbopackIgnore:true*//*@vite-ignore*/';

// A function that is called in one place stays a function: in the place of the call it would be made anew for each call. terser writes into
// these options, so each file has a copy.
const PLACED = { ecma: 2020, passes: 2, reduce_funcs: false, inline: false, sequences: false };

/** The code with a text in the place of each [start, end, text], in order, and its map with the columns behind them moved. */
function edited(code, map, edits) {
  const decoded = remapping(map, () => null, { decodedMappings: true });
  const pieces = [];
  let line = 0, begin = 0, at = 0, moved = 0, next = 0;
  for (const [start, end, text] of [...edits, [code.length, code.length, '']]) {
    for (let found; (found = code.indexOf('\n', begin)) >= 0 && found < start; line++, begin = found + 1, moved = 0, next = 0) move(Infinity);
    move(start - begin);
    pieces.push(code.slice(at, start), text);
    moved += text.length - (end - start);
    at = end;
  }
  move(Infinity);
  return [pieces.join(''), decoded];

  /** Moves the segments of the line up to a column. */
  function move(column) {
    const segments = decoded.mappings[line] ?? [];
    for (; next < segments.length && segments[next][0] <= column; next++) segments[next][0] += moved;
  }
}

/** The comments in the code without which bundlers take an import for one of the application's own modules. */
const marks = code => Array.from(code.matchAll(COMPUTED), ({ index, 0: found }) => [index + found.length, index + found.length, NOT_BUNDLED]);

/**
 * Edits by which `this` is a variable in functions that say it often: the generator does that for our classes, libraries and hand-written JS
 * do not. And brackets around the function of a part (parts.py), which terser drops.
 */
function improvements(file, code) {
  const edits = [];
  const hasThis = node => ts.isFunctionLike(node) && !ts.isArrowFunction(node) || ts.isClassLike(node);
  const visit = node => {
    if (hasThis(node) && node.body && !(ts.isConstructorDeclaration(node) && node.parent.heritageClauses)) {
      const found = [];
      const collect = child => {
        if (child.kind === ts.SyntaxKind.ThisKeyword) found.push(child);
        else if (!hasThis(child)) ts.forEachChild(child, collect);
      };
      ts.forEachChild(node.body, collect);
      const start = node.body.getStart() + 1;
      const taken = code.startsWith('let ', start) ? 4 : 0;
      // With a name of one letter: `let e=this;` or `e=this,`.
      if (found.length * 3 > (taken ? 7 : 11)) {
        edits.push([start, start + taken, taken ? 'let $this=this,' : 'let $this=this;'], ...found.map(place => [place.getStart(), place.end, '$this']));
      }
    }
    if (ts.isFunctionDeclaration(node) && !node.name) {
      const start = code.indexOf('function', node.getStart());
      edits.push([start, start, '('], [node.end, node.end, ')']);
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, code, ts.ScriptTarget.ES2022, true, ts.ScriptKind.JS));
  return edits.sort((one, other) => one[0] - other[0]);
}

for (const file of process.argv.slice(2)) {
  const link = /\n\/\/# sourceMappingURL=.*\n*$/;
  const text = readFileSync(file, 'utf8');
  const module = !file.endsWith('.iife.js');
  const placed = await minify(text.replace(link, ''), { module, compress: { ...PLACED }, mangle: false, ecma: 2020, sourceMap: { asObject: true } });
  const [named, names] = edited(placed.code, placed.map, improvements(file, placed.code));
  const { code, map, errors } = minifySync(file, named, { module, compress: { target: 'es2022' }, mangle: true, sourcemap: true });
  if (errors.length > 0) throw new Error(`${file}: ${errors.map(error => error.message).join('; ')}`);
  const trimmed = code.trimEnd();
  const [made, moved] = edited(trimmed, map, marks(trimmed));
  const whole = remapping([moved, names, JSON.parse(readFileSync(`${file}.map`, 'utf8'))], () => null);
  writeFileSync(file, `${made}${text.match(link)?.[0] ?? ''}`);
  writeFileSync(`${file}.map`, whole.toString());
}
