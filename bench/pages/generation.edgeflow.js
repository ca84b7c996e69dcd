// The edgeflow side of the generation bench: token ids in, token ids out, the likeliest each time.
import { env, loadModel } from '/dist/edgeflow.js';

export async function load(name, dtype) {
  const model = await loadModel(`${location.origin}/models/${name}/onnx/model${dtype === 'fp32' ? '' : '_' + dtype}.onnx`, { device: 'wasm' });

  /** One text: the time of its first token, and of the others together; what was made. */
  async function generate(prompt, count) {
    const session = await model.openSession();
    try {
      const start = performance.now();
      const ids = [(await session.prompt(prompt)).tokenId];
      const first = performance.now();
      while (ids.length < count) ids.push((await session.feed([ids.at(-1)])).tokenId);
      return { first: first - start, rest: performance.now() - first, ids };
    } finally {
      session.dispose();
    }
  }

  return {
    generate,
    /** Several texts at once; ms of the steps after the prompts, in which they run together. */
    async together(prompts, count) {
      const sessions = await Promise.all(prompts.map(() => model.openSession()));
      const last = [];
      for (const [i, session] of sessions.entries()) last.push((await session.prompt(prompts[i])).tokenId);
      const start = performance.now();
      const texts = await Promise.all(sessions.map(async (session, i) => {
        const ids = [last[i]];
        while (ids.length < count) ids.push((await session.feed([ids.at(-1)])).tokenId);
        return ids;
      }));
      const time = performance.now() - start;
      for (const session of sessions) session.dispose();
      return { time, texts };
    },
    /** Bytes of the model after every hundredth of `count` tokens, in a context of `context`: when it is full, half of it is kept. */
    async memory(count, context) {
      const session = await model.openSession();
      let token = (await session.prompt([1])).tokenId;
      const bytes = [];
      for (let i = 1; i <= count; i++) {
        if (session.ids.length >= context) {
          const kept = session.ids.slice(-context / 2);
          session.rewind(0);
          token = (await session.prompt([...kept, token])).tokenId;
        } else {
          token = (await session.feed([token])).tokenId;
        }
        if (i % 100 === 0) bytes.push(model.memory().total);
      }
      session.dispose();
      return bytes;
    },
    /** ms from cancelling a step in the middle to the session's memory being free, and the length of a whole step. */
    async cancel(prompt) {
      const session = await model.openSession();
      let token = (await session.prompt(prompt)).tokenId;
      let start = performance.now();
      for (let i = 0; i < 5; i++) token = (await session.feed([token])).tokenId;
      const step = (performance.now() - start) / 5;
      const controller = new AbortController();
      const running = session.feed([token], { signal: controller.signal });
      await new Promise(done => setTimeout(done, step / 2));
      start = performance.now();
      controller.abort();
      await running.catch(error => { if (error.code !== 'aborted') throw error; });
      session.dispose();
      // The session's end is known here when the worker has answered a question that comes after it.
      const other = await model.openSession();
      const time = performance.now() - start;
      other.dispose();
      return { time, step };
    },
  };
}
