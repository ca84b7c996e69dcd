// stdin: a stack of the bundle; argument: its source map. stdout: the frames as JSON [{source, line}], in the sources' own lines.
import { readFileSync } from 'node:fs';
import { SourceMap } from 'node:module';

const map = new SourceMap(JSON.parse(readFileSync(process.argv[2], 'utf8')));
const frames = [];
for (const [, line, column] of readFileSync(0, 'utf8').matchAll(/edgeflow(?:\.iife)?\.js:(\d+):(\d+)/g)) {
  const entry = map.findEntry(Number(line) - 1, Number(column) - 1);
  frames.push({ source: entry.originalSource ?? null, line: (entry.originalLine ?? -1) + 1 });
}
process.stdout.write(JSON.stringify(frames));
