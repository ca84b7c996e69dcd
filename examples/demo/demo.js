// The demo's page: sentences in, similarities out. It uses only what `npm install edgeflow` gives.
import { pipeline } from './package/dist/edgeflow.js';
import { $, element, showFailure } from '../page/page.js';

const EXAMPLES = [
  'A man is playing a guitar on stage.',
  'Someone performs music with a stringed instrument.',
  'The weather is lovely today.',
  'It is so sunny outside!',
  'He drove to the stadium.',
  'They took the car to watch the match.',
  'How do I reset my password?',
  'I cannot log in to my account.',
  'The central bank raised interest rates.',
  'Borrowing money is becoming more expensive.',
  'My cat sleeps all day on the sofa.',
  'A kitten is napping on the couch.',
];
const STORE_KEY = 'edgeflow-demo-sentences';
const TYPING_PAUSE = 250;
const FULL_COLOUR = .8;

const settings = new URLSearchParams(location.search);
const modelAddress = new URL(settings.get('model') ?? 'model/', location.href).href;
const dtype = settings.get('dtype') ?? 'fp32';

const state = { extractor: null, sentences: [], vectors: new Map(), busy: false, again: false, times: [], firstResult: null, loaded: 0 };

// Embedding

async function embed(text) {
  const started = performance.now();
  const output = await state.extractor(text, { pooling: 'mean', normalize: true });
  const vector = Float32Array.from(output.data);
  output.dispose();
  const ended = performance.now();
  if (state.firstResult === null) state.firstResult = ended;
  else state.times.push(ended - started);
  return vector;
}

async function refresh() {
  if (state.busy || !state.extractor) {
    state.again = true;
    return;
  }
  state.busy = true;
  try {
    do {
      state.again = false;
      for (const text of wanted()) {
        if (state.vectors.has(text)) continue;
        state.vectors.set(text, await embed(text));
        drawMatrix();
        await new Promise(resolve => setTimeout(resolve, 0));
        if (state.again) break;
      }
    } while (state.again);
    drawAll();
    document.documentElement.dataset.state = 'ready';
  } catch (error) {
    fail(error);
  } finally {
    state.busy = false;
  }
}

const wanted = () => [...new Set(state.sentences.map(text => text.trim()).filter(text => text !== ''))];
const shown = () => state.sentences.map(text => text.trim());

function similarity(a, b) {
  const first = state.vectors.get(a), second = state.vectors.get(b);
  if (!first || !second) return null;
  let sum = 0;
  for (let i = 0; i < first.length; ++i) sum += first[i] * second[i];
  return sum;
}

function nearestPairs(count) {
  const texts = wanted(), pairs = [];
  for (let i = 0; i < texts.length; ++i) {
    for (let j = i + 1; j < texts.length; ++j) {
      const score = similarity(texts[i], texts[j]);
      if (score !== null) pairs.push({ first: texts[i], second: texts[j], score });
    }
  }
  return pairs.sort((a, b) => b.score - a.score).slice(0, count);
}

// Sentences

function drawSentences() {
  $('sentences').replaceChildren(...state.sentences.map((text, i) => {
    const field = element('textarea', { value: text, rows: 1, spellcheck: false, maxLength: 2000, ariaLabel: `Sentence ${i + 1}` });
    field.addEventListener('input', () => {
      fit(field);
      change(i, field.value.replaceAll('\n', ' '));
    });
    field.addEventListener('keydown', event => {
      if (event.key === 'Enter') {
        event.preventDefault();
        (fieldAt(i + 1) ?? $('new-sentence')).focus();
      }
    });
    const remove = element('button', { type: 'button', className: 'remove', textContent: '×', title: 'Remove', ariaLabel: `Remove sentence ${i + 1}` });
    remove.addEventListener('click', () => {
      state.sentences.splice(i, 1);
      changed();
      drawSentences();
      (fieldAt(Math.min(i, state.sentences.length - 1)) ?? $('new-sentence')).focus();
    });
    return element('li', {}, element('span', { className: 'number', textContent: i + 1 }), field, remove);
  }));
  document.querySelectorAll('#sentences textarea').forEach(fit);
}

const fieldAt = i => document.querySelectorAll('#sentences textarea')[i];

function fit(field) {
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight + 2}px`;
}

let typing = 0;
function change(i, text) {
  state.sentences[i] = text;
  clearTimeout(typing);
  typing = setTimeout(changed, TYPING_PAUSE);
}

function changed() {
  try {
    localStorage.setItem(STORE_KEY, JSON.stringify(state.sentences));
  } catch { /* a page without storage forgets them */ }
  drawAll();
  refresh();
}

function remembered() {
  if (settings.has('fresh')) return [...EXAMPLES];
  try {
    const kept = JSON.parse(localStorage.getItem(STORE_KEY));
    if (Array.isArray(kept) && kept.length > 0 && kept.every(text => typeof text === 'string')) return kept;
  } catch { /* likewise */ }
  return [...EXAMPLES];
}

// Drawing

function drawAll() {
  drawMatrix();
  drawPairs();
  drawFacts();
}

let focused = [0, 0];
function drawMatrix() {
  const texts = shown(), keep = $('matrix').contains(document.activeElement);
  const head = element('tr', {}, element('th'), ...texts.map((text, j) => element('th', { scope: 'col', textContent: j + 1 })));
  const rows = texts.map((text, i) => element('tr', {}, element('th', { scope: 'row', textContent: i + 1 }), ...texts.map((other, j) => cell(i, j, text, other))));
  const table = element('table', { className: texts.length > 14 ? 'many' : '' }, element('thead', {}, head), element('tbody', {}, ...rows));
  table.setAttribute('aria-labelledby', 'table-title');
  $('matrix').replaceChildren(table);
  focused = focused.map(k => Math.max(0, Math.min(k, texts.length - 1)));
  const field = fieldOf(...focused);
  if (field) field.tabIndex = 0;
  if (keep) field?.focus();
}

function cell(i, j, text, other) {
  const score = similarity(text, other), field = element('td', { tabIndex: -1 });
  if (score === null) {
    field.className = 'waiting';
    return field;
  }
  const near = Math.max(0, Math.min(1, score / FULL_COLOUR));
  field.style.setProperty('--near', near.toFixed(3));
  field.className = i === j ? 'self' : near > .65 ? 'strong' : '';
  field.append(element('span', { textContent: score.toFixed(2).replace('-0.00', '0.00').replace(/^(-?)0/, '$1') }));
  field.ariaLabel = `${i + 1} and ${j + 1}: ${score.toFixed(2)}`;
  field.addEventListener('pointerenter', () => choose(i, j));
  field.addEventListener('focus', () => choose(i, j));
  return field;
}

const fieldOf = (i, j) => document.querySelectorAll('#matrix tbody tr')[i]?.querySelectorAll('td')[j];

function choose(i, j) {
  const texts = shown(), score = similarity(texts[i], texts[j]);
  if (score === null) return;
  document.querySelectorAll('#matrix .chosen, #sentences .chosen').forEach(old => old.classList.remove('chosen'));
  fieldOf(i, j)?.classList.add('chosen');
  for (const k of [i, j]) $('sentences').children[k]?.classList.add('chosen');
  $('detail').replaceChildren(element('b', { textContent: score.toFixed(3) }), ` ${texts[i]} ↔ ${texts[j]}`);
}

$('matrix').addEventListener('keydown', event => {
  const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = fieldOf(focused[0] + step[0], focused[1] + step[1]);
  if (!next) return;
  fieldOf(...focused).tabIndex = -1;
  focused = [focused[0] + step[0], focused[1] + step[1]];
  next.tabIndex = 0;
  next.focus();
});

function drawPairs() {
  const pairs = nearestPairs(5);
  $('nearest').hidden = pairs.length === 0;
  $('pairs').replaceChildren(...pairs.map(pair => element('li', {}, element('div', { className: 'line' },
    element('span', { className: 'share', textContent: pair.score.toFixed(3) }),
    element('div', {}, element('q', { textContent: pair.first }), element('q', { textContent: pair.second }))))));
}

const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;
const median = values => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

function drawFacts() {
  const facts = [];
  if (state.loaded > 0) facts.push(['model and tokenizer', megabytes(state.loaded)]);
  if (state.firstResult !== null) facts.push(['first result after', `${(state.firstResult / 1000).toFixed(2)} s`]);
  if (state.times.length > 0) facts.push(['a sentence takes', `${median(state.times).toFixed(1)} ms`]);
  $('facts').replaceChildren(...facts.map(([name, value]) => element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value }))));
}

// Loading

function showProgress(event) {
  state.loaded = event.loadedAll;
  if (event.totalAll) {
    $('progress').max = event.totalAll;
    $('progress').value = event.loadedAll;
  }
  $('loading-bytes').textContent = event.totalAll ? `${megabytes(event.loadedAll)} of ${megabytes(event.totalAll)}` : megabytes(event.loadedAll);
}

function fail(error) {
  showFailure(error);
  console.error(error);
}

async function load() {
  document.documentElement.dataset.state = 'loading';
  $('failure').hidden = true;
  $('loading').hidden = false;
  $('progress').removeAttribute('value');
  try {
    state.extractor = await pipeline('feature-extraction', modelAddress, { dtype, onProgress: showProgress });
  } catch (error) {
    fail(error);
    return;
  }
  $('loading').hidden = true;
  await refresh();
}

$('add').addEventListener('submit', event => {
  event.preventDefault();
  const text = $('new-sentence').value.trim();
  if (text === '') return;
  $('new-sentence').value = '';
  state.sentences.push(text);
  drawSentences();
  changed();
});
$('reset').addEventListener('click', () => {
  state.sentences = [...EXAMPLES];
  drawSentences();
  changed();
});
$('retry').addEventListener('click', load);

// What `make demo` prints and tests read.
globalThis.demoReport = () => ({
  sentences: wanted(),
  table: wanted().map(text => wanted().map(other => similarity(text, other))),
  pairs: nearestPairs(6),
  loadedBytes: state.loaded,
  firstResultMs: state.firstResult,
  sentenceMs: state.times.length > 0 ? median(state.times) : null,
  times: state.times,
});

state.sentences = remembered();
drawSentences();
drawAll();
load();
