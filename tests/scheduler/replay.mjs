// Plays scripts with the transpiled scheduler, as tests/scheduler/test_machine.py asks on standard input.
// One line in: {settings, script: [[name, numbers]]}; one line out: {log} or {error}.
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { replay } = await import(pathToFileURL(`${process.argv[2]}/tests/test_scheduler_replay.js`).href);

for await (const line of createInterface({ input: process.stdin })) {
  const { settings, script } = JSON.parse(line);
  let answer;
  try {
    answer = { log: await replay(new Map(Object.entries(settings)), script) };
  } catch (error) {
    answer = { error: String(error.stack) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
