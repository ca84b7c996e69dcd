"""The installed package at work: in Node from disk, and in Chromium through Vite's build and development server."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser

from tests.browser.model_cases import check_output, read_case
from tests.browser.page_model import packed, unpacked
from toolchain.paths import MODELS, NODE_MODULES, ROOT
from toolchain.serve import Server

MODEL = 'bert-mini-sentence/onnx/model.onnx'
CASE = 'bert-mini-sentence/cases/model.0.npz'
VITE = NODE_MODULES / 'vite' / 'bin' / 'vite.js'
RUN_MODEL = ROOT / 'tests' / 'browser' / 'pages' / 'run_model.js'

MAIN = """
import * as edgeflow from 'edgeflow';
import { runModel } from './run_model.js';
window.run = (url, cases) => runModel(edgeflow, url, cases);
window.write = async url => {
  const generator = await edgeflow.pipeline('text-generation', url, { dtype: 'fp32' });
  return (await generator('Once', { maxNewTokens: 3, doSample: true, seed: 1 }))[0].generatedText;
};
"""
NODE = """
import { readFileSync } from 'node:fs';
import * as edgeflow from 'edgeflow';
import { runModel } from './run_model.js';
const { path, cases } = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify(await runModel(edgeflow, path, cases)));
"""


@pytest.fixture(scope='module')
def app(project: Path) -> Path:
    """The empty project with a page that uses edgeflow, and nothing configured."""
    (project / 'index.html').write_text('<!doctype html><link rel="icon" href="data:,"><script type="module" src="/main.js"></script>')
    (project / 'main.js').write_text(MAIN)
    (project / 'run_model.js').write_text(RUN_MODEL.read_text())
    (project / 'node.mjs').write_text(NODE)
    return project


def check(answers: list[dict], expected: dict[str, np.ndarray]) -> None:
    [answer] = answers
    assert answer.keys() == expected.keys()
    for name, record in answer.items():
        check_output(unpacked(**record), expected[name], 'fp32')


def run_page(browser: Browser, address: str, model: str, workers: list[str]) -> list[dict]:
    """What the page's model gives. workers: takes the addresses of the workers that it started."""
    context = browser.new_context()
    page = context.new_page()
    failures: list[str] = []
    page.on('pageerror', lambda error: failures.append(str(error)))
    # The cache has a worker of its own, from a blob.
    page.on('worker', lambda worker: worker.url.startswith('blob:') or workers.append(worker.url))
    page.goto(address)
    page.wait_for_function('window.run !== undefined', timeout=60_000)
    case = read_case(CASE)
    answers = page.evaluate('([url, cases]) => window.run(url, cases)', [model, [{n: packed(a) for n, a in case.inputs.items()}]])
    context.close()
    assert failures == []
    return answers


def test_node_runs_a_model_from_disk(app: Path) -> None:
    case = read_case(CASE)
    question = json.dumps({'path': str(MODELS / MODEL), 'cases': [{n: packed(a) for n, a in case.inputs.items()}]})
    done = subprocess.run(['node', 'node.mjs'], cwd=app, input=question, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ''
    check(json.loads(done.stdout), case.outputs)


def test_node_runs_models_in_worker_threads_when_asked(app: Path) -> None:
    case = read_case(CASE)
    program = NODE.replace('const {', "edgeflow.env.workers = 2;\nconst {", 1)
    (app / 'threads.mjs').write_text(program)
    question = json.dumps({'path': str(MODELS / MODEL), 'cases': [{n: packed(a) for n, a in case.inputs.items()}]})
    done = subprocess.run(['node', 'threads.mjs'], cwd=app, input=question, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, '')
    check(json.loads(done.stdout), case.outputs)


def test_node_ends_though_a_model_in_a_thread_still_lives(app: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    program = f"""
      const {{ loadModel, env, onTask }} = await import('edgeflow');
      const {{ threadId, isMainThread }} = await import('node:worker_threads');
      env.workers = 1;
      const model = await loadModel({json.dumps(str(MODELS / MODEL))});
      const lanes = [];
      onTask(event => lanes.push(event.lane));
      const failure = await model.run({{}}).catch(error => error.code);
      console.log(isMainThread, failure, model.memory().weights > 0);
    """
    done = node('--input-type=module', '-e', program, cwd=app)
    assert (done.stdout.strip(), done.stderr) == ('true invalid-input true', '')


def test_answers_have_the_forms_that_the_declarations_say(app: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """toolchain/answers.py: an object is named by its fields, a list by the form of its first item."""
    program = f"""
      const {{ pipeline, schedulerStatistics }} = await import('edgeflow');
      const form = x => Array.isArray(x) ? [form(x[0])] : x?.constructor === Object || x?.generatedText || x?.score != null || x?.scores ? Object.keys(x).sort().join() : x?.constructor.name;
      const open = (task, name) => pipeline(task, {json.dumps(str(MODELS))} + '/' + name, {{ dtype: 'fp32' }});
      const few = {{ maxNewTokens: 2 }}, one = 'Rex', two = [one, one], said = [{{ role: 'user', content: one }}];
      const of = async answer => form(await answer);
      const classify = await open('text-classification', 'distilbert-sst2-mini'), tag = await open('ner', 'bert-ner-mini');
      const read = await open('question-answering', 'bert-qa-mini'), judge = await open('zero-shot-classification', 'deberta-v2-nli-mini');
      const write = await open('text-generation', 'smollm2-mini'), turn = await open('translation', 'marian-mini');
      const fill = await open('fill-mask', 'modernbert-mlm-mini');
      const [chat] = await write(said, few);
      console.log(JSON.stringify({{
        classify: [await of(classify(one)), await of(classify(one, {{ topK: 2 }})), await of(classify(two)), await of(classify(two, {{ topK: 2 }}))],
        tag: [await of(tag(one, {{ ignoreLabels: [] }})), await of(tag(two, {{ ignoreLabels: [], aggregationStrategy: 'simple' }}))],
        read: [await of(read(one, one)), await of(read(one, one, {{ topK: 2 }})), await of(read(two, two)), await of(read(two, two, {{ topK: 2 }}))],
        judge: [await of(judge(one, 'a, b')), await of(judge(two, 'a, b'))],
        fill: [await of(fill('A [MASK].')), await of(fill('A [MASK] [MASK].')), await of(fill(['A [MASK].']))],
        write: [await of(write(one, few)), await of(write(two, few)), form(chat.generatedText), await of(write([said], few))],
        roles: chat.generatedText.map(message => message.role), again: (await write(chat.generatedText, few))[0].generatedText.length,
        bare: typeof (await write(said, {{ ...few, returnFullText: false }}))[0].generatedText,
        turn: [Object.keys((await turn(one, few))[0]), (await turn(two, few)).length],
        maps: [write.config, write.tokenizer.config, schedulerStatistics().models].map(form),
      }}));
    """
    done = node('--input-type=module', '-e', program, cwd=app)
    assert done.returncode == 0, done.stderr
    label, entity, answer = 'label,score', 'end,entity,index,score,start,word', 'answer,end,score,start'
    filled, judged = 'score,sequence,token,tokenStr', 'labels,scores,sequence'
    assert json.loads(done.stdout) == {
        'classify': [[label], [label], [label], [[label]]],
        'tag': [[entity], [['end,entityGroup,score,start,word']]],
        'read': [answer, [answer], [answer], [[answer]]],
        'judge': [judged, [judged]],
        'fill': [[filled], [[filled]], [[filled]]],
        'write': [['generatedText'], [['generatedText']], ['content,role'], [['generatedText']]],
        'roles': ['user', 'assistant'], 'again': 3, 'bare': 'string',
        'turn': [['translationText'], 2],
        'maps': ['Map', 'Map', 'Map'],
    }


def test_node_imports_by_name(app: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = node('-e', "import('edgeflow').then(m => console.log(typeof m.loadModel))", cwd=app)
    assert done.stdout.strip() == 'function', done.stderr


def test_vite_builds_it(app: Path, browser: Browser, server: Server) -> None:
    done = subprocess.run(['node', str(VITE), 'build', '--logLevel', 'warn'], cwd=app, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ''), done.stdout + done.stderr
    assert len(list((app / 'dist').glob('assets/edgeflow-*.wasm'))) == 4
    workers: list[str] = []
    with Server({'/': app / 'dist'}) as built:
        answers = run_page(browser, built.url('/'), server.url(f'/models/{MODEL}'), workers)
        downloaded = [record.path for record in built.site.log if record.path.endswith('.wasm')]
    check(answers, read_case(CASE).outputs)
    assert len(downloaded) == 1
    assert downloaded[0].startswith('/assets/edgeflow-relaxed')
    assert [re.sub(r'.*/assets/edgeflow-[^/]*\.js', 'the copy', address) for address in workers] == ['the copy']


def test_parts_are_found_in_what_vite_built(app: Path, browser: Browser, server: Server) -> None:
    """Sampling is a part, which the page and its worker fetch from where Vite has put it."""
    subprocess.run(['node', str(VITE), 'build', '--logLevel', 'warn'], cwd=app, check=True)
    with Server({'/': app / 'dist'}) as built:
        context = browser.new_context()
        page = context.new_page()
        page.goto(built.url('/'))
        page.wait_for_function('window.write !== undefined', timeout=60_000)
        text = page.evaluate('url => window.write(url)', server.url('/models/smollm2-mini'))
        context.close()
    assert text.startswith('Once')


def test_a_bundler_that_copies_nothing_needs_the_folder_beside_the_bundle(app: Path, browser: Browser, server: Server) -> None:
    """esbuild, as dist/README.md says it."""
    shutil.copytree(app / 'node_modules' / 'edgeflow' / 'dist', app / 'bundled')
    program = NODE_MODULES / '.bin' / 'esbuild'
    subprocess.run([str(program), 'main.js', '--bundle', '--format=esm', '--outdir=bundled', '--log-level=warning'], cwd=app, check=True)
    (app / 'bundled' / 'index.html').write_text('<!doctype html><link rel="icon" href="data:,"><script type="module" src="/main.js"></script>')
    workers: list[str] = []
    with Server({'/': app / 'bundled'}) as built:
        check(run_page(browser, built.url('/'), server.url(f'/models/{MODEL}'), workers), read_case(CASE).outputs)
        assert workers == [built.url('/edgeflow.js')]


@pytest.fixture(params=['export default {};', "export default { optimizeDeps: { exclude: ['edgeflow'] } };"], ids=['as it is', 'excluded'])
def vite(app: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """Vite's development server; its address."""
    (app / 'vite.config.js').write_text(request.param)
    environment = {**os.environ, 'NO_COLOR': '1'}
    command = ['node', str(VITE), '--host', '127.0.0.1', '--port', '0']
    with subprocess.Popen(command, cwd=app, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        heard = ''
        for line in process.stdout:
            heard += line
            found = re.search(r'http://127\.0\.0\.1:\d+/', line)
            if found:
                break
        else:
            pytest.fail(f'vite did not start: {heard}')
        yield found[0]
        process.terminate()


def test_vite_serves_it_while_developing(vite: str, browser: Browser, server: Server) -> None:
    workers: list[str] = []
    check(run_page(browser, vite, server.url(f'/models/{MODEL}'), workers), read_case(CASE).outputs)
    [worker] = workers
    assert re.fullmatch(r'node_modules/(edgeflow/dist|\.vite/deps)/edgeflow\.js', worker.split('?')[0].removeprefix(vite))
