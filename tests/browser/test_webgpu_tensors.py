"""Tensors that stay on the GPU, and several runs under way, in Chromium on SwiftShader: models in a worker and in the page."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper
from playwright.sync_api import Page

from toolchain.serve import Server

MODEL = '/models/bert-mini-sentence/onnx/model.onnx'
ROWS = {'input_ids': [2, 5, 9, 3], 'attention_mask': [1, 1, 1, 1], 'token_type_ids': [0, 0, 0, 0]}


def doubling() -> list[int]:
    """The bytes of a model with y = x + x."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ['b', 's', 'h']) for name in ('x', 'y')]
    graph = helper.make_graph([helper.make_node('Add', ['x', 'x'], ['y'])], 'g', infos[:1], infos[1:])
    return list(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString())


PRELUDE = """
  const { env, loadModel, memoryStats, onTask, tensor } = await import('/dist/edgeflow.js');
  env.workers = workers;
  // The cache has a worker of its own while it fetches; here those that hold models are counted.
  env.cache = false;
  const given = (rows, id = 2) => Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, tensor(
    name === 'input_ids' ? [id, ...row.slice(1)] : row, [1, row.length], 'int64')]));
  const codeOf = promise => promise.then(() => 'no error', error => error.code);
"""
CHAIN = 'async ([url, bytes, rows, workers]) => {' + PRELUDE + """
  const first = await loadModel(url, { device: 'webgpu' });
  const second = await loadModel(Uint8Array.from(bytes), { device: 'webgpu' });
  const elsewhere = await loadModel(Uint8Array.from(bytes), { device: 'wasm' });
  const name = first.outputs[0].name, plain = (await first.run(given(rows)))[name];
  await second.run({ x: plain });
  const before = memoryStats().gpu.size;
  const x = (await first.run(given(rows), { location: 'gpu' }))[name];
  const kept = memoryStats().gpu.size - before;
  const { y } = await second.run({ x }, { location: 'gpu' });
  const { y: z } = await elsewhere.run({ x: y });
  let look = '';
  try { x.data; } catch (error) { look = error.code; }
  first.dispose(), second.dispose(), elsewhere.dispose();
  // The worker is still there for its tensors.
  const read = [...await y.read()], same = [...await x.read()];
  const left = memoryStats().gpu.size;
  x.dispose(), y.dispose();
  const { y: again } = await (await loadModel(Uint8Array.from(bytes), { device: 'webgpu' })).run({ x: plain });
  return { plain: [...plain.data], read, same, z: [...z.data], again: [...again.data], locations: [x, y, z, plain].map(t => t.location), look, kept, left,
           gone: await codeOf(y.read()) };
}"""


@pytest.mark.parametrize('workers', [0, 2])
def test_what_stays_on_the_gpu_feeds_the_next_model(page: Page, server: Server, workers: int) -> None:
    """With workers, both models and the tensors are in one; it ends with the last of them."""
    seen = page.evaluate(CHAIN, [server.url(MODEL), doubling(), ROWS, workers])
    plain = seen['plain']
    assert seen['same'] == plain and seen['read'] == seen['again'] == [2 * x for x in plain]
    assert seen['z'] == [4 * x for x in plain]
    assert seen['locations'] == ['gpu', 'gpu', 'host', 'host'] and seen['look'] == 'invalid-argument'
    assert seen['kept'] == 4 * len(plain) and seen['left'] == 2 * seen['kept']
    assert seen['gone'] == 'disposed'


def test_models_on_the_gpu_live_in_one_worker_that_ends_with_the_last_tensor(page: Page, server: Server) -> None:
    page.evaluate('async ([url, bytes, rows, workers]) => {' + PRELUDE + """
      const models = [await loadModel(url, { device: 'webgpu' }), await loadModel(url, { device: 'webgpu' })];
      window.kept = (await models[0].run(given(rows), { location: 'gpu' }))[models[0].outputs[0].name];
      window.models = models;
    }""", [server.url(MODEL), [], ROWS, 4])
    assert len(page.workers) == 1
    page.evaluate('() => { for (const model of models) model.dispose(); }')
    assert page.evaluate('() => kept.read().then(numbers => numbers.length)') > 0
    assert len(page.workers) == 1
    with page.workers[0].expect_event('close', timeout=10_000):
        page.evaluate('() => kept.dispose()')


FLIGHTS = 'async ([url, bytes, rows, workers]) => {' + PRELUDE + """
  const model = await loadModel(url, { device: 'webgpu' }), name = model.outputs[0].name, ids = [2, 3, 4, 5, 6, 7, 8];
  const run = async id => [...(await model.run(given(rows, id)))[name].data];
  const single = [];
  for (const id of ids) single.push(await run(id));
  let running = 0, most = 0;
  onTask(({ kind }) => { running += { started: 1, done: -1 }[kind] ?? 0; most = Math.max(most, running); });
  const ended = [], together = await Promise.all(ids.map(async id => { const data = await run(id); ended.push(id); return data; }));
  // One of several is cancelled, the others go on.
  const controller = new AbortController();
  const cancelled = [1, 2, 3, 4].map((_, i) => model.run(given(rows, ids[i]), i === 3 ? { signal: controller.signal } : {}));
  controller.abort();
  const codes = await Promise.all(cancelled.map(codeOf));
  model.dispose();
  return { single, together, ended, ids, most, codes };
}"""


@pytest.mark.parametrize('workers', [0, 3])
def test_runs_under_way_together_give_what_single_runs_give(page: Page, server: Server, workers: int) -> None:
    seen = page.evaluate(FLIGHTS, [server.url(MODEL), [], ROWS, workers])
    assert seen['together'] == seen['single'] and seen['single'][0] != seen['single'][1]
    assert seen['ended'] == seen['ids'] and seen['most'] == 3
    assert seen['codes'] == ['no error', 'no error', 'no error', 'aborted']



def outer() -> list[int]:
    """The bytes of a model with y[i, j] = a[i] + b[j]."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (('a', ['n', 1]), ('b', [1, 'm']), ('y', ['n', 'm']))]
    graph = helper.make_graph([helper.make_node('Add', ['a', 'b'], ['y'])], 'g', infos[:2], infos[2:])
    return list(helper.make_model(graph, opset_imports=[helper.make_opsetid('', 18)], ir_version=9).SerializeToString())


# A buffer of 2^30 bytes is the largest that SwiftShader may be asked for, and more than it gives.
MEMORY = """async ([url, bytes, rows, workers]) => {
  const living = new Set(), create = GPUDevice.prototype.createBuffer, destroy = GPUBuffer.prototype.destroy;
  GPUDevice.prototype.createBuffer = function (options) { const made = create.call(this, options); if (!(options.usage & 1)) living.add(made); return made; };
  GPUBuffer.prototype.destroy = function () { living.delete(this); destroy.call(this); };
""" + PRELUDE + """
  const model = await loadModel(Uint8Array.from(bytes), { device: 'webgpu' });
  const run = async (n, options) => (await model.run({ a: tensor(new Float32Array(n).fill(1), [n, 1]), b: tensor(new Float32Array(n).fill(2), [1, n]) }, options)).y;
  await run(2);
  const buffers = living.size, stats = memoryStats().gpu, codes = [], sums = [];
  for (const options of [{}, { location: 'gpu' }, {}]) {
    codes.push(await codeOf(run(2 ** 14, options)));
    sums.push([...(await run(2)).data].join());
  }
  const after = memoryStats().gpu, kept = living.size;
  model.dispose();
  return { codes, sums, buffers: [buffers, kept, living.size], stats: [stats.size, after.size, memoryStats().gpu.size] };
}"""


@pytest.mark.parametrize('workers', [0, 1])
def test_an_allocation_that_is_too_large_is_an_error_and_leaves_nothing(page: Page, server: Server, workers: int) -> None:
    seen = page.evaluate(MEMORY, [server.url(MODEL), outer(), ROWS, workers])
    assert seen['codes'] == ['out-of-memory'] * 3 and seen['sums'] == ['3,3,3,3'] * 3
    assert seen['stats'][0] == seen['stats'][1] > 0 == seen['stats'][2]
    if workers == 0:
        assert seen['buffers'][0] == seen['buffers'][1] > 0 == seen['buffers'][2]


def test_tensors_that_nobody_holds_are_freed_in_the_worker(page: Page, server: Server) -> None:
    before = page.evaluate('async ([url, bytes, rows, workers]) => {' + PRELUDE + """
      const model = await loadModel(url, { device: 'webgpu' });
      for (let i = 0; i < 3; i++) await model.run(given(rows), { location: 'gpu' });
      model.dispose();
      window.size = () => memoryStats().gpu.size;
      return size();
    }""", [server.url(MODEL), [], ROWS, 1])
    assert before > 0 and len(page.workers) == 1
    cdp = page.context.new_cdp_session(page)
    for _ in range(100):
        cdp.send('HeapProfiler.collectGarbage')
        page.wait_for_timeout(20)
        if len(page.workers) == 0:
            break
    # The last of them has left the worker, which ends so.
    assert len(page.workers) == 0 and page.evaluate('size()') == 0


STEPS = 'async ([url, bytes, rows, workers]) => {' + PRELUDE + """
  const model = await loadModel(url, { device: 'webgpu' }), session = await model.openSession(), other = await model.openSession();
  const ids = [5, 9, 2, 7], seen = [], plain = [];
  let token = (await session.prompt(ids)).tokenId, next = (await other.prompt(ids)).tokenId;
  for (let i = 0; i < 4; i++) {
    const times = await session.profile([token]);
    seen.push([times.length, times.every(({ device, ms }) => device === 'webgpu' && ms >= 0), session.ids.length]);
    token = (await session.feed([token])).tokenId;
    next = (await other.feed([next])).tokenId;
    plain.push([token, next]);
  }
  model.dispose();
  return { seen, plain };
}"""


@pytest.mark.parametrize('workers', [0, 1])
def test_steps_of_sessions_are_timed_and_forgotten(page: Page, server: Server, workers: int) -> None:
    seen = page.evaluate(STEPS, [server.url('/models/gpt2-mini/onnx/decoder_model_merged.onnx'), [], ROWS, workers])
    assert all(count > 10 and on_gpu and length == 4 + i for i, (count, on_gpu, length) in enumerate(seen['seen']))
    assert all(token == next for token, next in seen['plain'])


LARGE = """async ([bytes, count]) => {
  const { env, loadModel, tensor } = await import('/dist/edgeflow.js');
  env.workers = 0;
  const model = await loadModel(Uint8Array.from(bytes), { device: 'webgpu' }), wrong = [];
  const once = async (first, count) => {
    const x = Float32Array.from({ length: count }, (_, i) => first + i), { y } = await model.run({ x: tensor(x, [1, 1, count]) });
    if (y.data.length !== count || y.data.some((value, i) => value !== 2 * x[i])) wrong.push([first, count]);
    y.dispose();
  };
  // One after the other, then several under way, in buffers that are mapped again or are not yet; another size between.
  for (let i = 0; i < 3; i++) await once(i, count);
  await Promise.all([10, 20, 30, 40, 50, 60, 70].map((first, i) => once(first, i === 3 ? count + 5 : count)));
  model.dispose();
  return wrong;
}"""


def test_inputs_of_more_than_a_megabyte(page: Page) -> None:
    assert page.evaluate(LARGE, [doubling(), 300_001]) == []
