// A conversation with a small decoder, its text shown as it is made. It uses only edgeflow's public API.
import { pipeline } from '../../dist/edgeflow.js';
import { $, element, showFailure } from '../page/page.js';

const IDEAS = ['The "for" statement', 'Lambdas', 'Generator functions', 'Mutable sequences', 'The "with" statement'];
const CONTROLS = [
  { name: 'temperature', label: 'Temperature', min: 0, max: 2, step: .05, value: .7 },
  { name: 'topK', label: 'Top-k', min: 0, max: 100, step: 1, value: 40, show: value => value === 0 ? 'all' : String(value) },
  { name: 'topP', label: 'Top-p', min: .05, max: 1, step: .05, value: .95 },
  { name: 'maxNewTokens', label: 'Tokens at most', min: 10, max: 400, step: 10, value: 160 },
];
const CONTEXT = 512; // n_positions of the model
const REASONS = { eos: 'the section ends', length: 'as many tokens as allowed', stopped: 'stopped' };

const settings = new URLSearchParams(location.search);
const modelAddress = new URL(settings.get('model') ?? 'models/topics-gpt/', location.href).href;

const state = { generator: null, turns: [], running: null, loaded: 0, last: null };

// Answers

/** No token is less than a byte, and the template adds a few: so many tokens a question takes at most. */
const questionBound = text => new TextEncoder().encode(text).length + 4;

/** The latest turns that leave room in the context for an answer to `question`. */
function history(question, wanted) {
  let room = CONTEXT - questionBound(question) - wanted;
  const kept = [];
  for (const turn of state.turns.toReversed()) {
    room -= questionBound(turn.question) + turn.tokens;
    if (room < 0) break;
    kept.unshift({ role: 'user', content: turn.question }, { role: 'assistant', content: turn.text });
  }
  return kept;
}

async function answer(question) {
  const values = Object.fromEntries(CONTROLS.map(control => [control.name, Number($(control.name).value)]));
  values.maxNewTokens = Math.min(values.maxNewTokens, CONTEXT - questionBound(question));
  const seed = Number($('seed').value);
  const messages = [...history(question, values.maxNewTokens), { role: 'user', content: question }];
  const turn = { question, text: '', tokens: 0, reason: null, seed };
  const shown = draw(turn), abort = new AbortController();
  state.running = abort;
  run(true);
  const started = performance.now();
  let first = 0, latest = 0;
  try {
    const stream = await state.generator.stream(messages, { ...values, seed: values.temperature === 0 ? undefined : seed, signal: abort.signal });
    for await (const event of stream) {
      latest = performance.now();
      if (turn.tokens++ === 0) first = latest;
      turn.text = event.text;
      turn.reason = event.reason;
      show(shown, turn);
      state.last = { firstMs: first - started, tokens: turn.tokens, rate: turn.tokens > 1 ? (turn.tokens - 1) * 1000 / (latest - first) : 0 };
      drawFacts();
    }
  } catch (error) {
    if (error.code !== 'aborted') throw error;
    turn.reason = 'stopped';
  } finally {
    state.running = null;
    shown.text.classList.remove('running');
    run(false);
  }
  state.turns.push(turn);
  shown.ending.textContent = `${REASONS[turn.reason]} · ${turn.tokens} tokens · seed ${seed}`;
  bottom();
  if (!$('keep').checked) $('seed').value = Math.floor(Math.random() * 1e6);
}

async function ask(text) {
  const question = text.replace(/\s+/g, ' ').trim();
  if (question === '' || state.running !== null || state.generator === null) return;
  if (!$('seed').checkValidity() || $('seed').value === '') {
    $('seed').reportValidity();
    $('seed').focus();
    return;
  }
  $('question').value = '';
  try {
    await answer(question);
  } catch (error) {
    showFailure(error);
  }
}

// Drawing

function draw(turn) {
  $('ideas').hidden = true;
  const text = element('p', { className: 'answer running' }), ending = element('p', { className: 'ending quiet' });
  $('log').append(element('p', { className: 'question', textContent: turn.question }), text, ending);
  bottom();
  return { text, ending };
}

function show(shown, turn) {
  const follow = $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 40;
  shown.text.textContent = turn.text;
  if (follow) bottom();
}

const bottom = () => { $('log').scrollTop = $('log').scrollHeight; };

function run(running) {
  const inside = [$('send'), $('stop')].includes(document.activeElement);
  $('send').hidden = running;
  $('stop').hidden = !running;
  $('clear').disabled = running;
  document.documentElement.dataset.running = running;
  if (inside) $('question').focus();
}

function drawFacts() {
  const facts = [['model and tokenizer', `${(state.loaded / 1e6).toFixed(1)} MB`]];
  if (state.last !== null) {
    facts.push(['tokens a second', state.last.rate.toFixed(0)], ['first token after', `${state.last.firstMs.toFixed(0)} ms`], ['tokens', String(state.last.tokens)]);
  }
  $('facts').replaceChildren(...facts.map(([name, value]) => element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value }))));
}

function build() {
  $('ideas').append(element('div', {}, ...IDEAS.map(text => {
    const button = element('button', { type: 'button', className: 'plain', textContent: text });
    button.addEventListener('click', () => ask(text));
    return button;
  })));
  $('controls').append(...CONTROLS.map(({ name, label, min, max, step, value, show: written = String }) => {
    const input = element('input', { type: 'range', id: name, min, max, step, value });
    const output = element('output', { htmlFor: name, textContent: written(value) });
    input.addEventListener('input', () => { output.textContent = written(Number(input.value)); });
    const caption = element('label', { htmlFor: name }, label, output);
    return element('div', { className: 'control' }, caption, input);
  }));
}

function showProgress(event) {
  state.loaded = event.loadedAll;
  if (event.totalAll) $('progress').value = event.loadedAll / event.totalAll;
  $('loading-bytes').textContent = `${(event.loadedAll / 1e6).toFixed(1)} MB`;
}

const stop = () => state.running?.abort();

build();
$('ask').addEventListener('submit', event => {
  event.preventDefault();
  ask($('question').value);
});
$('question').addEventListener('keydown', event => {
  if (event.key === 'Enter' && !event.isComposing) {
    event.preventDefault();
    ask($('question').value);
  }
});
document.addEventListener('keydown', event => {
  if (event.key === 'Escape') stop();
});
$('stop').addEventListener('click', stop);
$('clear').addEventListener('click', () => {
  state.turns = [];
  $('log').replaceChildren($('ideas'));
  $('ideas').hidden = false;
  $('question').focus();
});

/** What the page measured, as numbers: for `make demo` and tests. */
globalThis.chatReport = () => ({ turns: state.turns, running: state.running !== null, loadedBytes: state.loaded, ...state.last });

try {
  state.generator = await pipeline('text-generation', modelAddress, { onProgress: showProgress });
  $('loading').hidden = true;
  $('send').disabled = false;
  drawFacts();
  document.documentElement.dataset.state = 'ready';
} catch (error) {
  showFailure(error);
}
