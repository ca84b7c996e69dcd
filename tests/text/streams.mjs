// What only JS does with a TokenStream: `for await`, next() and return(), ReadableStream, `await using`. Prints its findings as JSON.
import { TokenStream, StepToken } from '../../build/js/edgeflow/text/streamer.js';

const tokenizer = { specialIds: () => new Set(), decode: ids => ids.map(id => String.fromCharCode(id)).join('') };
const made = [];
function streamOf(text, options = {}) {
  const source = {
    place: 0, closed: 0,
    async next() {
      const i = this.place++;
      return [new StepToken(0, text.charCodeAt(i), null, [], i === text.length - 1 ? 'length' : null)];
    },
    stop() {},
    async close() { this.closed++; },
  };
  made.push(source);
  return [new TokenStream(source, tokenizer, [[]], options), source];
}
const found = {};

{
  const [stream, source] = streamOf('.,;');
  const seen = [];
  for await (const { token, done } of stream) seen.push(token, done);
  found.loop = [seen, source.place, source.closed];
}
{
  const [stream, source] = streamOf('.,;');
  for await (const { token } of stream) if (token === ',') break;
  found.broken = [source.place, source.closed];
}
{
  const [stream, source] = streamOf('.,;');
  await stream.next();
  found.returned = [await stream.return('over'), await stream.next(), source.place, source.closed];
}
{
  const [stream, source] = streamOf('.,;');
  try {
    for await (const { token } of stream) throw new Error('mine');
  } catch (error) {
    found.thrown = [error.message, source.closed];
  }
}
{
  const [stream, source] = streamOf('.,;');
  const reader = stream.toReadableStream().getReader();
  await new Promise(resolve => setTimeout(resolve, 20));
  const before = source.place;
  const first = await reader.read();
  await new Promise(resolve => setTimeout(resolve, 20));
  found.readable = [before, first.value.token, source.place];
  await reader.cancel();
  found.cancelled = source.closed;
}
{
  const [stream, source] = streamOf('.,;');
  const seen = [];
  for await (const event of stream.toReadableStream()) seen.push(event.token);
  found.piped = [seen, source.closed];
}
{
  const [stream, source] = streamOf('.,;');
  const both = await Promise.all([stream.next(), stream.next(), stream.next(), stream.next()]);
  found.together = [both.map(item => item.value?.token ?? null), source.closed];
}
{
  const [stream, source] = streamOf('.,;');
  await stream[Symbol.asyncDispose ?? '@@asyncDispose']();
  found.disposed = source.closed;
}
{
  const controller = new AbortController();
  const [stream, source] = streamOf('.,;', { signal: controller.signal });
  await stream.next();
  controller.abort();
  const code = await stream.next().catch(error => error.code);
  found.aborted = [code, source.closed];
}
found.leaks = made.filter(source => source.closed !== 1).length;
console.log(JSON.stringify(found));
