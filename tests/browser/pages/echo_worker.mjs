// Answers a message with the sum of its numbers, in a browser's module worker and in a worker thread of Node.
const port = globalThis.process?.getBuiltinModule?.('node:worker_threads').parentPort ?? globalThis;
const answer = message => port.postMessage({ sum: message.numbers.reduce((sum, x) => sum + x, 0) });
if (port.on) port.on('message', answer);
else port.addEventListener('message', event => answer(event.data));
