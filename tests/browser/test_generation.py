"""Generation in Chromium through the built package, the model in a worker: tokens, streams, priority, cancelling."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page

from edgeflow.pipelines.pipeline import pipeline
from tests.engine.test_generation import SMOL, Wanted, by_onnxruntime, sliding_window, states_of_audio, wanted
from tests.text.test_beam_pipelines import CASES as BEAMS
from tests.text.test_beam_pipelines import TASKS
from toolchain.paths import MODELS
from toolchain.serve import Server

EXACT = [case for case in wanted(False) if case.margin > 0.005 and 'f16' not in case.path and 'quantized' not in case.path]

PRELUDE = """
  const { loadModel, env } = await import('/dist/edgeflow.js');
  const generate = async (model, prompt, count) => {
    const session = await model.openSession();
    const ids = [(await session.prompt(prompt)).tokenId];
    while (ids.length < count) ids.push((await session.feed([ids.at(-1)])).tokenId);
    session.dispose();
    return ids;
  };
"""


def external(server: Server, path: str) -> str:
    """JS that loads the model, with its external data."""
    return f"loadModel({json.dumps(server.url('/models/' + path))}, {{ device: 'wasm' }})"


@pytest.mark.parametrize('case', EXACT, ids=str)
def test_greedy_tokens_are_those_of_onnxruntime(page: Page, server: Server, case: Wanted) -> None:
    got = page.evaluate(f'async ([prompt, count]) => {{ {PRELUDE} return generate(await {external(server, case.path)}, prompt, count); }}',
                        [case.prompt['input_ids'], len(case.new_ids)])
    assert got == case.new_ids


def test_there_are_models() -> None:
    paths = {case.path for case in EXACT}
    assert len(paths) >= 8
    assert all((MODELS / path).exists() for path in paths)


def test_a_mask_that_is_not_plainly_causal_is_obeyed(page: Page, tmp_path: Path) -> None:
    data = sliding_window(8)
    (tmp_path / 'model.onnx').write_bytes(data)
    with Server({'/made': tmp_path}) as made:
        url = made.url('/made/model.onnx')
        got = page.evaluate(f"async url => {{ {PRELUDE} return generate(await loadModel(url, {{ device: 'wasm' }}), [1, 2, 3, 4], 20); }}", url)
    assert got == by_onnxruntime(data, [1, 2, 3, 4], 20)


def test_streams_share_runs_and_a_high_priority_gets_in_between(page: Page, server: Server) -> None:
    result = page.evaluate(f"""async () => {{ {PRELUDE}
      const model = await {external(server, SMOL)};
      const alone = [];
      for (const prompt of [[1, 2, 3], [7, 8]]) alone.push(await generate(model, prompt, 40));
      const streams = Promise.all([generate(model, [1, 2, 3], 40), generate(model, [7, 8], 40)]);
      await new Promise(done => setTimeout(done, 5));
      const high = await model.openSession();
      const began = performance.now();
      await high.prompt([5, 6, 7], {{ priority: 'high' }});
      const waited = performance.now() - began;
      high.dispose();
      const together = await streams;
      const whole = performance.now() - began;
      return {{ alone, together, waited, whole }};
    }}""")
    assert result['together'] == result['alone']
    assert result['waited'] < result['whole']


def test_a_cancelled_step_leaves_the_session_usable_and_a_disposed_one_is_gone(page: Page, server: Server) -> None:
    result = page.evaluate(f"""async () => {{ {PRELUDE}
      const model = await {external(server, SMOL)};
      const expected = await generate(model, [1, 2, 3], 6);
      const session = await model.openSession();
      const first = (await session.prompt([1, 2, 3])).tokenId;
      const controller = new AbortController();
      const long = session.feed(Array.from({{ length: 400 }}, (_, i) => i), {{ signal: controller.signal }});
      controller.abort();
      const code = await long.then(() => 'none', error => error.code);
      const ids = [first];
      while (ids.length < 6) ids.push((await session.feed([ids.at(-1)])).tokenId);
      session.dispose();
      const after = await session.feed([1]).then(() => 'none', error => error.code);
      return {{ expected, ids, code, after }};
    }}""")
    assert result['code'] == 'aborted'
    assert result['ids'] == result['expected']
    assert result['after'] == 'disposed'


def test_without_workers_sessions_work_too(page: Page, server: Server) -> None:
    case = EXACT[0]
    got = page.evaluate(f'async ([prompt, count]) => {{ {PRELUDE} env.workers = 0; return generate(await {external(server, case.path)}, prompt, count); }}',
                        [case.prompt['input_ids'], len(case.new_ids)])
    assert got == case.new_ids


STREAM = """async ([folder, text, options]) => {
  const { pipeline } = await import('/dist/edgeflow.js');
  const generator = await pipeline('text-generation', folder, { dtype: 'fp32' });
  const events = [];
  for await (const event of generator.stream(text, options)) events.push(event);
  const [whole] = await generator(text, options);
  generator.dispose();
  return { ids: events.map(event => event.tokenId), text: events.at(-1).text, reason: events.at(-1).reason, whole: whole.generatedText ?? whole.generated_text };
}"""


async def in_python(text: str, **options: object) -> list[int]:
    generator = await pipeline('text-generation', str(MODELS / 'smollm2-mini'), dtype='fp32')
    ids = [event.token_id async for event in generator.stream(text, **options)]
    generator.dispose()
    return ids


@pytest.mark.parametrize('sampled', [False, True])
def test_the_pipeline_streams_from_a_worker_what_it_streams_in_python(page: Page, server: Server, sampled: bool) -> None:
    given = {'seed': 11, 'temperature': 1.3, 'topK': 40, 'repetitionPenalty': 1.2} if sampled else {'doSample': False}
    python = {'seed': 11, 'temperature': 1.3, 'top_k': 40, 'repetition_penalty': 1.2} if sampled else {'do_sample': False}
    got = page.evaluate(STREAM, [server.url('/models/smollm2-mini'), 'Once upon a time', {**given, 'maxNewTokens': 20}])
    # Playwright has the event loop of this thread.
    with ThreadPoolExecutor() as other:
        expected = other.submit(asyncio.run, in_python('Once upon a time', max_new_tokens=20, **python)).result()
    assert got['ids'] == expected
    assert got['reason'] == 'length'
    assert got['whole'] == 'Once upon a time' + got['text']


def test_the_decoder_of_a_speech_model_writes_from_its_encoders_states(page: Page, server: Server) -> None:
    case = next(case for case in wanted(True) if case.path == 'whisper-mini/onnx/decoder_model_merged.onnx')
    states = states_of_audio('whisper-mini/onnx/encoder_model.onnx')
    got = page.evaluate(f"""async ([prompt, count, values, shape]) => {{
      const {{ loadModel, tensor }} = await import('/dist/edgeflow.js');
      const model = await {external(server, case.path)};
      const states = tensor(new Float32Array(values), shape);
      const session = await model.openSession({{ encoder_hidden_states: states }});
      states.dispose();
      const ids = [(await session.prompt(prompt)).tokenId];
      while (ids.length < count) ids.push((await session.feed([ids.at(-1)])).tokenId);
      return ids;
    }}""", [case.prompt['decoder_input_ids'], len(case.new_ids), states.ravel().tolist(), list(states.shape)])
    assert got == case.new_ids


def test_a_translation_takes_two_models(page: Page, server: Server) -> None:
    prompt = json.loads((MODELS / 'marian-mini/cases/generate.json').read_text())['prompts'][0]
    expected = prompt['files']['onnx/decoder_model_merged.onnx']['new_ids']
    got = page.evaluate("""async ([folder, text, count]) => {
      const { pipeline } = await import('/dist/edgeflow.js');
      const translator = await pipeline('translation', folder, { dtype: 'fp32' });
      const ids = [];
      for await (const event of translator.stream(text, { maxNewTokens: count, doSample: false, eosTokenId: [] })) ids.push(event.tokenId);
      const [result] = await translator(text, { maxNewTokens: 4 });
      translator.dispose();
      return { ids, fields: Object.keys(result) };
    }""", [server.url('/models/marian-mini'), prompt['prompt'], len(expected)])
    assert got['ids'] == expected
    assert len(got['fields']) == 1


@pytest.mark.parametrize('model', TASKS)
def test_beams_in_a_worker_find_the_texts_of_transformers(page: Page, server: Server, model: str) -> None:
    case = next(case for case in BEAMS if case['model'] == model and len(case['new_ids']) > 1)
    options = case['options']
    got = page.evaluate("""async ([task, folder, text, numBeams, maxNewTokens, numReturnSequences, eosTokenId]) => {
      const { pipeline } = await import('/dist/edgeflow.js');
      const generator = await pipeline(task, folder, { dtype: 'fp32' });
      const ids = Array.from({ length: numReturnSequences }, () => []);
      await generator(text, { numBeams, maxNewTokens, numReturnSequences, eosTokenId, onToken: event => ids[event.row].push(event.tokenId) });
      generator.dispose();
      return ids;
    }""", [TASKS[model], server.url('/models/' + model), case['text'], options['num_beams'], options['max_new_tokens'],
           options['num_return_sequences'], case['eos_token_id']])
    assert got == case['new_ids']


def test_forks_share_memory_and_go_on_by_themselves(page: Page, server: Server) -> None:
    got = page.evaluate(f"""async () => {{ {PRELUDE}
      const model = await {external(server, SMOL)};
      const prompt = Array.from({{ length: 100 }}, (_, i) => i);
      const one = await model.openSession();
      await one.prompt(prompt);
      const before = one.memory().arena;
      const other = await one.fork();
      const ids = await Promise.all([one.feed([7]), other.feed([8])]);
      const after = one.memory().arena;
      one.dispose();
      ids.push(await other.feed([9]));
      const left = other.memory().arena;
      return {{ ids: ids.map(one => one.tokenId), before, after, left,
        alone: [await generate(model, [...prompt, 7], 1), await generate(model, [...prompt, 8], 1), await generate(model, [...prompt, 8, 9], 1)].flat() }};
    }}""")
    assert got['ids'] == got['alone']
    assert (got['after'], got['left']) == (got['before'] * 3 // 2, got['before'])


def test_streams_that_are_left_returned_or_aborted_free_everything(page: Page, server: Server) -> None:
    """One step later a session of one token finds only its own page in use."""
    got = page.evaluate("""async folder => {
      const { pipeline } = await import('/dist/edgeflow.js');
      const generator = await pipeline('text-generation', folder, { dtype: 'fp32' });
      const probe = await generator.model.openSession();
      await probe.prompt([1]);
      const before = probe.memory().arena;
      const options = { maxNewTokens: 400, doSample: false };
      const used = [];
      const after = async () => { await probe.prompt([1]); await probe.prompt([1]); used.push(probe.memory().arena / before); };
      let seen = 0;
      for await (const event of generator.stream('Once upon a time', options)) if (++seen === 3) break;
      await after();
      const stream = generator.stream(['Once', 'Twice'], options), events = stream[Symbol.asyncIterator]();
      await events.next();
      const pending = events.next();
      const ended = await events.return();
      await pending;
      await after();
      const controller = new AbortController();
      let code = 'none';
      try {
        for await (const event of generator.stream('Once', { ...options, signal: controller.signal })) setTimeout(() => controller.abort());
      } catch (error) { code = error.code; }
      await after();
      const beams = new AbortController();
      const search = generator('Once', { numBeams: 4, maxNewTokens: 400, signal: beams.signal }).then(() => 'none', error => error.code);
      setTimeout(() => beams.abort(), 40);
      const searched = await search;
      await after();
      return { used, code, searched, done: ended.done };
    }""", server.url('/models/smollm2-mini'))
    assert got['used'] == [1, 1, 1, 1]
    assert (got['code'], got['searched'], got['done']) == ('aborted', 'aborted', True)


# Run in a worker: instead of its next answer comes its end.
ENDINGS = {
    'ends': '() => { self.postMessage = () => self.close(); }',
    'throws': "() => { self.postMessage = () => { setTimeout(() => { throw new Error('out of cheese'); }); }; }",
}


@pytest.mark.parametrize('ending', ENDINGS)
def test_a_stream_whose_worker_ends_says_so_and_the_next_one_works(page: Page, server: Server, ending: str) -> None:
    page.evaluate("""async folder => {
      const { pipeline, env } = await import('/dist/edgeflow.js');
      env.workers = 1;
      const generator = await pipeline('text-generation', folder, { dtype: 'fp32' });
      const options = { maxNewTokens: 30, doSample: false };
      const [whole] = await generator('Once upon a time', options);
      const session = await generator.model.openSession();
      await session.prompt([1, 2, 3]);
      const stream = generator.stream('Once upon a time', options), events = stream[Symbol.asyncIterator]();
      await events.next();
      window.kept = { generator, options, whole, session, events };
    }""", server.url('/models/smollm2-mini'))
    page.workers[0].evaluate(ENDINGS[ending])
    got = page.evaluate("""async () => {
      const { generator, options, whole, session, events } = kept;
      const ask = async () => { while (!(await events.next()).done); return 'done'; };
      const codes = [await ask().catch(error => error.code)];
      codes.push((await events.next()).done);
      const [again] = await generator('Once upon a time', options);
      codes.push(await session.feed([4]).then(() => 'none', error => error.code));
      session.dispose();
      return { codes, same: JSON.stringify(again) === JSON.stringify(whole) };
    }""")
    assert got == {'codes': ['worker-lost', True, 'worker-lost'], 'same': True}


def test_two_streams_take_turns_and_a_classification_of_high_priority_gets_in_between_tokens(page: Page, server: Server) -> None:
    got = page.evaluate("""async ([folder, classifier]) => {
      const { pipeline, env } = await import('/dist/edgeflow.js');
      env.workers = 1;
      const generator = await pipeline('text-generation', folder, { dtype: 'fp32' });
      const classify = await pipeline('text-classification', classifier, { dtype: 'fp32' });
      await classify('warm');
      const order = [];
      const read = async (name, text) => {
        for await (const event of generator.stream(text, { maxNewTokens: 60, doSample: false, eosTokenId: [] })) order.push(name);
      };
      const both = Promise.all([read('a', 'Once upon a time'), read('b', 'The capital')]);
      while (order.length < 20) await new Promise(done => setTimeout(done));
      const at = order.length;
      await classify('What a day', { priority: 'high' });
      const passed = order.length - at;
      await both;
      return { order: order.join(''), passed };
    }""", [server.url('/models/smollm2-mini'), server.url('/models/distilbert-sst2-mini')])
    order = got['order']
    assert (order.count('a'), order.count('b')) == (60, 60)
    # Tokens whose text may still change wait, so one stream may be told a few behind the other.
    assert max(abs(order[:i].count('a') - order[:i].count('b')) for i in range(len(order))) <= 6
    assert got['passed'] <= 8
