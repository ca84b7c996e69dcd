// Four models, their priorities, and what the scheduler does with them. It uses only edgeflow's public API.
import { env, memoryStats, onTask, pipeline } from '../../dist/edgeflow.js';
import { $, element, showFailure } from '../page/page.js';

const NAMES = ['Search', 'Support', 'News', 'Recipes'];
const PRIORITIES = ['low', 'normal', 'high', 'critical'];
const TEXTS = [
  'How do I get from the station to the museum when the bridge is closed?',
  'My order arrived without the charger; can you send one to my new address?',
  'The central bank kept its rate, but expects prices to rise more slowly next year.',
  'Let the dough rest for an hour, then fold it twice and bake it until it is golden.',
];
const MS_PER_PIXEL = 1.8; // a run of some milliseconds is a bar that can be seen
const WAITING = 2; // requests that each model keeps in the queue
const LATEST = 40;

const settings = new URLSearchParams(location.search);
const modelAddress = new URL(settings.get('model') ?? 'minilm/', location.href).href;
const dtype = settings.get('dtype') ?? 'q8';
if (settings.has('workers')) env.workers = Number(settings.get('workers'));

const models = NAMES.map((name, number) => ({
  name, number, priority: 'normal', extractor: null, id: '', done: 0, failed: 0, lane: '', waits: [], runs: [], ends: [], view: {},
}));
const state = { running: false, shownMs: 2000, spans: new Map(), lanes: [], started: 0, both: 0, last: 0, frames: [], done: 0 };

// Loading

async function load() {
  const parts = models.map(() => ({ loaded: 0, total: 0 }));
  const progress = number => event => {
    parts[number] = { loaded: event.loadedAll, total: event.totalAll ?? 0 };
    const loaded = parts.reduce((sum, part) => sum + part.loaded, 0), total = parts.reduce((sum, part) => sum + part.total, 0);
    if (total > 0) $('progress').value = loaded / total;
    $('loading-bytes').textContent = `${(loaded / 1e6).toFixed(1)} MB`;
  };
  await Promise.all(models.map(async model => {
    model.extractor = await pipeline('feature-extraction', modelAddress, { dtype, onProgress: progress(model.number) });
    model.id = model.extractor.model.id;
    await model.extractor(TEXTS[model.number], { pooling: 'mean' });
  }));
  $('loading').hidden = true;
}

// Work

async function work(model) {
  while (state.running) {
    try {
      const output = await model.extractor(TEXTS[model.number], { pooling: 'mean', normalize: true, priority: model.priority });
      output.dispose();
    } catch (error) {
      model.failed++;
      fail(error);
      return;
    }
  }
}

function start() {
  state.running = true;
  state.started = state.last = performance.now();
  $('toggle').textContent = 'Pause';
  for (const model of models) for (let i = 0; i < WAITING; i++) work(model);
}

function pause() {
  state.running = false;
  $('toggle').textContent = 'Go on';
}

const keep = (list, value, count) => {
  list.push(value);
  if (list.length > count) list.shift();
};

function hear(event) {
  const model = models.find(candidate => candidate.id === event.modelId);
  if (!model) return;
  if (event.kind === 'queued') state.spans.set(event.task, { model, queued: event.time, start: null, end: null, lane: '' });
  const span = state.spans.get(event.task);
  if (!span) return;
  if (event.kind === 'started') {
    span.start = event.time;
    span.lane = model.lane = event.lane;
    if (!state.lanes.includes(event.lane)) state.lanes = [...state.lanes, event.lane].sort();
    keep(model.waits, event.time - span.queued, LATEST);
  } else if (event.kind === 'done') {
    span.end = event.time;
    model.done++;
    state.done++;
    keep(model.runs, event.ran, LATEST);
    model.ends.push(event.time);
  } else if (event.kind !== 'queued') {
    state.spans.delete(event.task);
  }
}

// Drawing

const colours = models.map(model => `var(--model-${model.number})`);
const median = list => list.length === 0 ? 0 : [...list].sort((a, b) => a - b)[list.length >> 1];
const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;

function build() {
  for (const model of models) {
    const slider = element('input', { type: 'range', min: 0, max: PRIORITIES.length - 1, step: 1, value: PRIORITIES.indexOf(model.priority) });
    slider.setAttribute('aria-label', `Priority of ${model.name}`);
    slider.setAttribute('aria-valuetext', model.priority);
    const level = element('span', { className: 'level', textContent: model.priority });
    const where = element('span', { className: 'where' });
    const rate = element('b', { textContent: '0' }), wait = element('b', { textContent: '0' }), run = element('b', { textContent: '–' });
    slider.addEventListener('input', () => {
      model.priority = PRIORITIES[slider.value];
      level.textContent = model.priority;
      slider.setAttribute('aria-valuetext', model.priority);
      model.waits.length = 0;
    });
    const item = element('li', {},
      element('div', { className: 'name' }, element('span', { textContent: model.name }), where, level), slider,
      element('div', { className: 'figures' },
        element('span', {}, rate, ' a second'), element('span', {}, 'waits ', wait, ' ms'), element('span', {}, 'runs ', run, ' ms')));
    item.style.setProperty('--colour', colours[model.number]);
    $('models').append(item);

    const size = element('span'), parts = ['weights', 'arena', 'plans', 'spare'].map(name => element('span', { className: name, title: name }));
    const row = element('li', {},
      element('div', { className: 'memory-line' }, element('span', { textContent: model.name }), size), element('div', { className: 'bar' }, ...parts));
    row.style.setProperty('--colour', colours[model.number]);
    $('memory').append(row);
    model.view = { slider, level, where, rate, wait, run, size, parts };
  }
  for (const name of ['Done', 'At a time', 'Frames a second', 'Longest frame']) {
    $('facts').append(element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: '–' })));
  }
}

const chart = $('chart'), paint = chart.getContext('2d');
const LANE = 38, GAP = 10, AXIS = 24;

function drawChart(now) {
  const lanes = state.lanes.length > 0 ? state.lanes : [''];
  const width = chart.clientWidth, height = lanes.length * (LANE + GAP) + AXIS, scale = devicePixelRatio || 1;
  if (chart.width !== Math.round(width * scale) || chart.height !== Math.round(height * scale)) {
    chart.width = Math.round(width * scale);
    chart.height = Math.round(height * scale);
    chart.style.height = `${height}px`;
  }
  const style = getComputedStyle(document.documentElement), label = width < 520 ? 64 : 84;
  const fill = models.map(model => colour(style, `--model-${model.number}`));
  const line = colour(style, '--line'), quiet = colour(style, '--quiet'), room = width - label;
  const shown = state.shownMs = Math.max(500, 500 * Math.round(room * MS_PER_PIXEL / 500));
  const x = time => label + room * (1 - (now - time) / shown);
  paint.setTransform(scale, 0, 0, scale, 0, 0);
  paint.clearRect(0, 0, width, height);
  paint.font = '13px system-ui, sans-serif';
  paint.textBaseline = 'middle';
  lanes.forEach((lane, i) => {
    const top = i * (LANE + GAP);
    paint.fillStyle = quiet;
    paint.fillText(lane.replace('worker ', 'Worker ').replace('page', 'Page'), 0, top + LANE / 2);
    paint.fillStyle = line;
    paint.globalAlpha = .45;
    paint.beginPath();
    paint.roundRect(label, top, room, LANE, 7);
    paint.fill();
    paint.globalAlpha = 1;
  });
  for (const [task, span] of state.spans) {
    if (span.end !== null && span.end < now - shown) {
      state.spans.delete(task);
      continue;
    }
    if (span.start === null) continue;
    const left = Math.max(label, x(span.start)), right = x(span.end ?? now), top = lanes.indexOf(span.lane) * (LANE + GAP);
    paint.fillStyle = fill[span.model.number];
    paint.globalAlpha = span.end === null ? .7 : 1;
    paint.beginPath();
    paint.roundRect(left, top + 4, Math.max(1, right - left - 1), LANE - 8, Math.min(4, Math.max(0, (right - left) / 3)));
    paint.fill();
  }
  paint.globalAlpha = 1;
  paint.fillStyle = quiet;
  paint.font = '12px system-ui, sans-serif';
  const parts = room < 400 ? 2 : 4;
  for (let part = 0; part <= parts; part++) {
    const ms = shown * part / parts;
    paint.textAlign = part === 0 ? 'right' : part === parts ? 'left' : 'center';
    paint.fillText(part === 0 ? 'now' : `−${Math.round(ms)} ms`, x(now - ms), height - AXIS / 2 + 2);
  }
  paint.textAlign = 'left';
}

// A canvas knows no light-dark(); an element does.
const probe = document.createElement('i');
document.body.append(probe);
const known = new Map();
function colour(style, name) {
  const scheme = matchMedia('(prefers-color-scheme: dark)').matches;
  const key = `${name} ${scheme}`;
  if (!known.has(key)) {
    probe.style.color = `var(${name})`;
    known.set(key, getComputedStyle(probe).color);
  }
  return known.get(key);
}

/** How long a model's requests wait: the latest ones' median, or how long one has been waiting by now. */
function waiting(model, now) {
  let longest = median(model.waits);
  for (const span of state.spans.values()) {
    if (span.model === model && span.start === null) longest = Math.max(longest, now - span.queued);
  }
  return longest;
}

function drawFigures(now) {
  const stats = memoryStats(), most = Math.max(1, ...stats.models.map(entry => entry.total));
  $('memory-total').textContent = `${megabytes(stats.wasm.size + stats.host.size)} in all, peak ${megabytes(stats.peak)}`;
  for (const model of models) {
    const { where, rate, wait, run, size, parts } = model.view;
    model.ends = model.ends.filter(time => time > now - 2000);
    where.textContent = model.lane;
    rate.textContent = (model.ends.length / Math.min(2, Math.max(.5, (now - state.started) / 1000))).toFixed(0);
    wait.textContent = waiting(model, now).toFixed(0);
    run.textContent = model.runs.length > 0 ? median(model.runs).toFixed(1) : '–';
    const use = model.extractor ? model.extractor.model.memory() : { total: 0, weights: 0, arena: 0, plans: 0 };
    const shares = [use.weights, use.arena, use.plans, Math.max(0, use.total - use.weights - use.arena - use.plans)];
    parts.forEach((part, i) => { part.style.width = `${100 * shares[i] / most}%`; });
    size.textContent = megabytes(use.total);
  }
  const frames = state.frames.filter(frame => frame.at > now - 2000);
  $('shown').textContent = `the last ${state.shownMs / 1000} seconds`;
  const facts = $('facts').querySelectorAll('dd');
  facts[0].textContent = state.done.toLocaleString();
  facts[1].textContent = state.lanes.length > 0 ? `up to ${state.lanes.length}` : '–';
  facts[2].textContent = (frames.length / 2).toFixed(0);
  facts[3].textContent = `${Math.max(0, ...frames.map(frame => frame.ms)).toFixed(0)} ms`;
}

let figuresDrawn = 0, shownUntil = 0;
function frame(now) {
  keep(state.frames, { at: now, ms: now - state.last }, 1000);
  const active = [...state.spans.values()].filter(span => span.start !== null && span.end === null);
  if (new Set(active.map(span => span.lane)).size > 1) state.both += now - state.last;
  state.last = now;
  if (state.running) shownUntil = now;
  drawChart(shownUntil || now);
  if (now - figuresDrawn > 250) {
    figuresDrawn = now;
    drawFigures(shownUntil || now);
  }
  requestAnimationFrame(frame);
}

function fail(error) {
  showFailure(error);
  state.running = false;
}

/** What the page shows, as numbers: for tests. */
globalThis.parallelReport = () => ({
  running: state.running, lanes: state.lanes, done: state.done, overlapMs: state.both, runningMs: performance.now() - state.started,
  longestFrameMs: Math.max(0, ...state.frames.slice(-200).map(entry => entry.ms)),
  models: models.map(model => ({
    name: model.name, priority: model.priority, lane: model.lane, done: model.done, failed: model.failed,
    waitMs: waiting(model, performance.now()), runMs: median(model.runs), memory: { ...model.extractor?.model.memory() },
  })),
});

onTask(hear);
build();
requestAnimationFrame(frame);
$('toggle').addEventListener('click', () => state.running ? pause() : start());
try {
  await load();
  $('toggle').disabled = false;
  start();
  document.documentElement.dataset.state = 'ready';
} catch (error) {
  fail(error);
}
