// Checked by tsc against the installed package: what must be accepted, and, after @ts-expect-error, what must not.
import {
  EdgeflowError, Resource, Tensor, add, detectLeaks, env, loadModel, loadOperations, memoryScope, memoryStats, ones, pipeline, random, sum, tensor,
  withMemoryScope,
} from 'edgeflow';
import type {
  Answer, ChatMessage, Classification, EntityGroup, FeatureExtractionPipeline, Float32Tensor, Model, ProgressEvent, TokenEntity, TokenEvent, ZeroShotClassification,
} from 'edgeflow';

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function same<A, B>(_: Same<A, B>): void {}

export async function accepted(bytes: Uint8Array, signal: AbortSignal): Promise<void> {
  const x = tensor([[1, 2], [3, 4]]);
  same<typeof x, Tensor>(true);
  same<typeof x.shape, number[]>(true);
  same<typeof x.dtype, string>(true);
  tensor(new BigInt64Array(4), [2, 2], 'int64');
  tensor(3);
  tensor(new Float32Array(4), null);
  if (x.data instanceof Float32Array) x.data.fill(0);
  x.dispose();

  const heard: string[] = [];
  const onProgress = (event: ProgressEvent): void => { heard.push(`${event.status} ${event.file} ${event.loaded / (event.total ?? 1)}`); };
  const model: Model = await loadModel('model.onnx', { device: 'wasm', dtype: 'fp32', revision: 'main', onProgress, signal });
  await loadModel(bytes, { batching: { maxSize: 4, maxWait: 2 } });
  await loadModel(bytes, { batching: {} });
  same<Awaited<ReturnType<typeof model.describePlan>>, string>(true);
  const outputs = await model.run({ x });
  same<typeof outputs, Record<string, Tensor>>(true);
  const kept = await model.run({ x }, { location: 'gpu' });
  same<typeof x.location, 'host' | 'gpu'>(true);
  same<Awaited<ReturnType<typeof x.read>>, typeof x.data>(true);
  for (const time of await model.profile(kept)) same<[typeof time.node, typeof time.ms], [string, number]>(true);
  model.dispose();

  const extractor: FeatureExtractionPipeline = await pipeline('feature-extraction', 'org/model', { onProgress: event => event.totalAll });
  same<Awaited<ReturnType<typeof extractor.run>>, Float32Tensor>(true);
  const vectors: Tensor = await extractor('one');
  same<typeof vectors.shape, number[]>(true);
  const first = (await extractor.run('one')).data[0];
  same<number | undefined, typeof first>(true);
  await extractor(['one', 'two'], { pooling: 'mean', normalize: true });
  await extractor.run('one');
  const classifier = await pipeline('text-classification');
  for (const found of (await classifier('text', { topK: 2 })).flat()) same<[typeof found.label, typeof found.score], [string, number]>(true);
  extractor.dispose();
  const reader = await pipeline('question-answering');
  same<[typeof reader.run] extends [(question: string, context: string, options: { topK: number }) => Promise<unknown>] ? true : false, true>(true);
  for (const found of [await reader('Who?', 'Rex.', { topK: 2 })].flat(2)) same<[typeof found.answer, typeof found.start], [string, number]>(true);
  const filler = await pipeline('fill-mask');
  for (const found of (await filler('A [MASK].')).flat(2)) same<typeof found.tokenStr, string>(true);
  const tagger = await pipeline('ner');
  for (const found of (await tagger('Rex', { aggregationStrategy: 'simple' })).flat()) {
    if ('entityGroup' in found) same<typeof found.entityGroup, string>(true);
  }
  const judge = await pipeline('zero-shot-classification');
  for (const found of [await judge('Rex', ['dog', 'cat'], { multiLabel: true })].flat()) same<typeof found.scores, number[]>(true);

  env.remoteHost = 'https://models.example/';
  env.localModelPath = null;
  env.wasmLocation = '/wasm/';
  try {
    await model.run({});
  } catch (error) {
    if (error instanceof EdgeflowError) same<typeof error.code, string>(true);
  }
  const asError: Error = new EdgeflowError('http', 'message', new Map([['status', 500]]));
  void asError;
}

/** What an answer is follows from the question. */
export async function answers(texts: string[], k: number, maybe: string | string[]): Promise<void> {
  const classify = await pipeline('sentiment-analysis');
  const [best] = await classify('text');
  same<typeof best, Classification | undefined>(true);
  const labels = [await classify('text', { topK: null }), await classify(texts), await classify.run(texts, { topK: 1 }), (await classify(texts, { topK: 3 }))[0] ?? []];
  same<typeof labels, Classification[][]>(true);
  const either = [await classify(maybe), await classify(texts, { topK: k })];
  same<typeof either, (Classification[] | Classification[][])[]>(true);
  const tag = await pipeline('ner');
  const tagged = [await tag('Rex'), await tag('Rex', { aggregationStrategy: 'none' }), (await tag(texts, { stride: 8 }))[0] ?? []];
  same<typeof tagged, TokenEntity[][]>(true);
  const grouped = [await tag('Rex', { aggregationStrategy: 'simple' }), (await tag.run(texts, { aggregationStrategy: 'max' }))[0] ?? []];
  same<typeof grouped, EntityGroup[][]>(true);
  const read = await pipeline('question-answering');
  const found = [await read('Who?', 'Rex.'), (await read('Who?', 'Rex.', { topK: 2 }))[0], (await read(texts, texts))[0], (await read(texts, texts, { topK: 2 }))[0]?.[0]];
  same<typeof found, (Answer | undefined)[]>(true);
  const judge = await pipeline('zero-shot-classification');
  const judged = [await judge('Rex', 'dog, cat'), (await judge(texts, ['dog', 'cat']))[0]];
  same<typeof judged, (ZeroShotClassification | undefined)[]>(true);
  const write = await pipeline('text-generation');
  const written = [(await write('Once'))[0]?.generatedText, (await write(texts))[0]?.[0]?.generatedText];
  same<typeof written, (string | undefined)[]>(true);
  const messages: ChatMessage[] = [{ role: 'user', content: 'Hello' }];
  const chat = (await write(messages, { maxNewTokens: 9 }))[0]?.generatedText ?? [];
  same<typeof chat, ChatMessage[]>(true);
  await write([...chat, { role: 'user', content: `${chat.at(-1)?.content.trim()}?` }]);
  const bare = (await write([{ role: 'user', content: 'Hello' }], { returnFullText: false }))[0]?.generatedText;
  same<typeof bare, string | undefined>(true);
  for await (const event of write.stream('Once')) same<typeof event, TokenEvent>(true);
  same<ReturnType<ReturnType<typeof write.stream>['toReadableStream']>, ReadableStream<TokenEvent>>(true);
  const turned = [(await (await pipeline('translation'))('text'))[0]?.translationText, (await (await pipeline('summarization'))(texts))[0]?.summaryText,
    (await (await pipeline('text2text-generation')).run('text'))[0]?.generatedText];
  same<typeof turned, (string | undefined)[]>(true);
  for (const filled of (await (await pipeline('fill-mask'))('A [MASK].')).flat()) same<typeof filled.token, number>(true);
}

export async function scoped(model: Model): Promise<void> {
  await loadOperations();
  const x = withMemoryScope(scope => scope.keep(add(sum(ones([2, 3]), 0, { keepdims: true }), 1)));
  same<typeof x, Tensor>(true);
  const outputs = await withMemoryScope(async scope => scope.keep(await scope.run(model, { x: scope.tensor([1]) })));
  same<typeof outputs, Record<string, Tensor>>(true);
  {
    using scope = memoryScope();
    await using other = memoryScope();
    using y = scope.track(random(3, { seed: 1 }));
    same<typeof y, Tensor>(true);
    other.track([model, y]);
  }
  const resources: Resource[] = [x, model, memoryScope()];
  resources[0]?.dispose();
  const detection = detectLeaks({ ageLimit: 1000, onLeak: leak => same<typeof leak.reason, 'age' | 'collected'>(true) });
  detection.stop();
  same<number, ReturnType<typeof memoryStats>['wasm']['size']>(true);
}

export async function refused(model: Model, x: Tensor): Promise<void> {
  // @ts-expect-error a misspelt option of batching
  await loadModel('model.onnx', { batching: { maxsize: 4 } });
  // @ts-expect-error no such location
  await (await loadModel('model.onnx')).run({}, { location: 'webgpu' });
  // @ts-expect-error a tensor needs data
  tensor();
  // @ts-expect-error a shape is a list
  tensor([1], 1);
  // @ts-expect-error an object is no tensor data
  tensor({ one: 1 });
  // @ts-expect-error tensors are made by tensor()
  new Tensor('float32', [1], new Float32Array(1));
  // @ts-expect-error there is no such task
  await pipeline('no-such-task');
  // @ts-expect-error the JS spelling is onProgress
  await loadModel('model.onnx', { on_progress: () => {} });
  // @ts-expect-error options are an object
  await loadModel('model.onnx', 'wasm');
  // @ts-expect-error a signal comes from an AbortController
  await loadModel('model.onnx', { signal: true });
  // @ts-expect-error inputs go by name
  await model.run([x]);
  // @ts-expect-error inputs are tensors
  await model.run({ x: [1, 2, 3] });
  // @ts-expect-error resources are made by functions
  new Resource();
  // @ts-expect-error operations take tensors
  sum([1, 2]);
  const extractor = await pipeline('feature-extraction');
  // @ts-expect-error topK belongs to text-classification
  await extractor('text', { topK: 1 });
  // @ts-expect-error there is no such strategy
  await (await pipeline('ner'))('text', { aggregationStrategy: 'median' });
  // @ts-expect-error an answer needs a context
  await (await pipeline('question-answering'))('Who?');
  // @ts-expect-error texts, not numbers
  await extractor(1);
  // @ts-expect-error no such setting
  env.remoteHosts = '';
  // @ts-expect-error an error needs a code and a message
  new EdgeflowError();
}
