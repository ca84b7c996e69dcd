"""Generation in Chromium through the built package, the model in a worker: tokens, streams, priority, cancelling."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import Page

from edgeflow.pipelines.pipeline import pipeline
from tests.engine.test_generation import SMOL, WITHOUT_PAGES, Wanted, wanted
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


def test_there_are_models_with_and_without_pages() -> None:
    paths = {case.path for case in EXACT}
    assert paths & WITHOUT_PAGES
    assert len(paths) >= 8
    assert all((MODELS / path).exists() for path in paths)


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
