// What dist/edgeflow-jinja.js is made of: @huggingface/jinja from its sources, without its formatter. Fetched with the first chat template.
import { tokenize } from '../build/jinja/lexer.ts';
import { parse } from '../build/jinja/parser.ts';
import { Environment, Interpreter, setupGlobals } from '../build/jinja/runtime.ts';

const programs = new Map();

/** The parsed template; kept for the next time. */
export function compile(template) {
  if (!programs.has(template)) programs.set(template, parse(tokenize(template, { lstrip_blocks: true, trim_blocks: true })));
  return programs.get(template);
}

/** The text that a template makes of these variables. */
export function render(program, variables) {
  const environment = new Environment();
  setupGlobals(environment);
  for (const [name, value] of Object.entries(variables)) environment.set(name, value);
  return new Interpreter(environment).run(program).value;
}
