// How long each kernel of a run takes. It uses only edgeflow's public API.
import { loadModel, tensor } from '../../dist/edgeflow.js';
import { $, element, showFailure } from '../page/page.js';

const ROUNDS = 6; // the mean of so many runs, since browsers round the clock of the GPU
const HUES = [172, 28, 262, 330, 90, 230, 0, 55, 300, 130];

const settings = new URLSearchParams(location.search);
const address = new URL(settings.get('model') ?? 'minilm/', location.href).href;
const dtype = settings.get('dtype') ?? 'fp32';
if (settings.get('device') === 'wasm' || !navigator.gpu) document.querySelector('input[value=wasm]').checked = true;

const models = new Map();
const state = { kernels: [], operators: [], chosen: '' };
const device = () => document.querySelector('input[name=device]:checked').value;
const ms = value => value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);

// Measuring

async function modelOn(where) {
  if (!models.has(where)) {
    $('loading').hidden = false;
    const onProgress = ({ loadedAll, totalAll }) => {
      if (totalAll) $('progress').value = loadedAll / totalAll;
      $('loading-bytes').textContent = `${(loadedAll / 1e6).toFixed(1)} MB`;
    };
    models.set(where, await loadModel(address, { device: where, dtype, onProgress }));
    $('loading').hidden = true;
  }
  return models.get(where);
}

function inputsOf(model, length) {
  const rows = { attention_mask: () => 1, token_type_ids: () => 0, input_ids: i => 1000 + 37 * i };
  return Object.fromEntries(model.inputs.map(({ name }) => [name, tensor(Array.from({ length }, (_, i) => rows[name](i)), [1, length], 'int64')]));
}

/** 'MatMul' and '/encoder/MatMul' of "edgeflow:MatMul (node '/encoder/MatMul')"; copies between the two memories have no node. */
function named({ device, kernel, node }) {
  const [, operator, name] = /^(?:.*:)?(\S+) \(node '(.*)'\)$/s.exec(node) ?? [null, { up: 'To the GPU', down: 'From the GPU' }[kernel] ?? kernel, ''];
  return { device, kernel, operator, name };
}

async function measure() {
  $('measure').disabled = true;
  $('measure').textContent = 'Measuring';
  $('failure').hidden = true;
  try {
    const model = await modelOn(device()), inputs = inputsOf(model, Number($('length').value));
    const rounds = [];
    for (let i = 0; i <= ROUNDS; i++) {
      const times = await model.profile(inputs);
      // The first one compiles kernels.
      if (i > 0) rounds.push(times);
    }
    state.kernels = rounds[0].map((first, i) => ({ ...named(first), ms: rounds.reduce((sum, times) => sum + times[i].ms, 0) / ROUNDS }));
    const byOperator = Map.groupBy(state.kernels, kernel => kernel.operator);
    state.operators = [...byOperator].map(([operator, kernels]) => ({ operator, count: kernels.length, ms: kernels.reduce((sum, kernel) => sum + kernel.ms, 0) }));
    state.operators.sort((a, b) => b.ms - a.ms);
    if (!byOperator.has(state.chosen)) state.chosen = '';
    // Told in steps of a tenth, as Chromium does unless it is asked to be exact.
    const rounded = device() === 'webgpu' && rounds.flat().every(({ ms }) => Math.abs(ms * 10 - Math.round(ms * 10)) < 1e-3);
    $('note').textContent = rounded ? `This browser rounds the GPU's clock to 0.1 ms, so short kernels are the mean of ${ROUNDS} runs of 0 or more tenths.` : '';
    draw();
  } catch (error) {
    showFailure(error);
  }
  $('measure').disabled = false;
  $('measure').textContent = 'Measure again';
}

// Drawing

const total = () => state.kernels.reduce((sum, kernel) => sum + kernel.ms, 0);
const colourOf = operator => {
  const place = state.operators.findIndex(other => other.operator === operator);
  return place < HUES.length ? `light-dark(oklch(.56 .13 ${HUES[place]}), oklch(.76 .12 ${HUES[place]}))` : 'var(--quiet)';
};

function row(tag, label, small, value, most, colour) {
  const fill = element('span'), made = element(tag, { className: 'row' },
    element('span', { className: 'label' }, label, ' ', element('small', { textContent: small })), element('span', { textContent: `${ms(value)} ms` }),
    element('span', { className: 'bar' }, fill));
  fill.style.width = `${most > 0 ? 100 * value / most : 0}%`;
  made.style.setProperty('--colour', colour);
  return made;
}

function draw() {
  const all = total();
  document.querySelector('main').hidden = false;
  $('total').textContent = `${ms(all)} ms in ${state.kernels.length} kernels`;
  $('strip').replaceChildren(...state.kernels.map(kernel => {
    const part = element('span', { title: `${kernel.operator}, ${ms(kernel.ms)} ms` });
    part.style.width = `${all > 0 ? 100 * kernel.ms / all : 0}%`;
    part.style.setProperty('--colour', colourOf(kernel.operator));
    return part;
  }));
  $('operators').replaceChildren(...state.operators.map(({ operator, count, ms: time }) => {
    const share = all > 0 ? Math.round(100 * time / all) || '< 1' : 0;
    const button = row('button', operator, `× ${count} · ${share} %`, time, state.operators[0].ms, colourOf(operator));
    button.addEventListener('click', () => choose(operator));
    return element('li', {}, button);
  }));
  const most = Math.max(...state.kernels.map(kernel => kernel.ms));
  $('kernels').replaceChildren(...state.kernels.map(kernel => {
    const where = kernel.device === 'wasm' && device() !== 'wasm' ? ', on WebAssembly' : '';
    return element('li', { title: kernel.name }, row('div', kernel.operator, `${kernel.kernel}${where}`, kernel.ms, most, colourOf(kernel.operator)));
  }));
  mark();
}

/** Only the kernels of one operator, or, when it is chosen again, all. */
function choose(operator) {
  state.chosen = state.chosen === operator ? '' : operator;
  mark();
}

function mark() {
  const parts = [...$('strip').children], rows = [...$('kernels').children], none = state.chosen === '';
  let shown = 0;
  state.kernels.forEach((kernel, i) => {
    const other = !none && kernel.operator !== state.chosen;
    parts[i].classList.toggle('other', other);
    rows[i].hidden = other;
    shown += other ? 0 : 1;
  });
  [...$('operators').children].forEach((item, i) => item.firstChild.setAttribute('aria-pressed', state.operators[i].operator === state.chosen));
  $('shown').textContent = none ? 'in the order of the run' : `${shown} of ${state.kernels.length}: ${state.chosen}`;
}

// The arrow keys go through the operators, as in a list.
$('operators').addEventListener('keydown', event => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  const buttons = [...$('operators').querySelectorAll('button')], next = buttons[buttons.indexOf(event.target) + step];
  if (step && next) {
    event.preventDefault();
    next.focus();
  }
});

/** What the page shows, as numbers: for tests. */
globalThis.profileReport = () => ({ device: device(), total: total(), kernels: state.kernels, operators: state.operators, chosen: state.chosen });

$('settings').addEventListener('submit', event => {
  event.preventDefault();
  measure();
});
await measure();
if (document.documentElement.dataset.state !== 'failed') document.documentElement.dataset.state = 'ready';
