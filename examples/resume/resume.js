// ?url=address of a large file & chunk=bytes & start (begin at once). What is stored is shown even before the download goes on.
import { cache, download } from '../../dist/edgeflow.js';

const query = new URLSearchParams(location.search);
const url = new URL(query.get('url') ?? 'minilm/onnx/model.onnx', location.href).href;
const options = { chunkSize: Number(query.get('chunk') ?? 1 << 20) };
const at = id => document.getElementById(id);
const megabytes = bytes => bytes === null ? '?' : `${(bytes / 1e6).toFixed(1)} MB`;
let running = null;
let reused = null;
let cells = [];

function say(state, text) {
  document.documentElement.dataset.state = state;
  at('state').textContent = text;
  at('pause').disabled = !(state === 'downloading' || state === 'paused');
  at('pause').textContent = state === 'paused' ? 'Resume' : 'Pause';
  at('start').disabled = state !== 'idle' && state !== 'failed';
}

function draw() {
  const map = running.chunkMap(), now = running.progress();
  while (cells.length > map.length) cells.pop().remove();
  while (cells.length < map.length) cells.push(at('map').appendChild(document.createElement('i')));
  // What is here when the store was read is from before.
  if (reused === null && map.length > 0) reused = new Set(now.reused > 0 ? map.map((state, i) => state === 2 ? i : -1) : []);
  map.forEach((state, i) => { cells[i].className = state === 2 ? (reused?.has(i) ? 'reused' : 'here') : state === 1 ? 'coming' : ''; });
  at('progress').value = now.total ? now.loaded / now.total : 0;
  const facts = {
    Here: `${megabytes(now.loaded)} of ${megabytes(now.total)}`, 'From before': megabytes(now.reused), Chunks: `${now.chunksDone} of ${now.chunks}`,
    Speed: now.speed > 0 ? `${megabytes(now.speed)}/s` : '', 'Time left': now.timeLeft === null ? '' : `${Math.ceil(now.timeLeft)} s`, Connections: now.connections,
  };
  at('facts').replaceChildren(...Object.entries(facts).map(([name, value]) => {
    const box = document.createElement('div');
    box.append(Object.assign(document.createElement('dt'), { textContent: name }), Object.assign(document.createElement('dd'), { textContent: value }));
    return box;
  }));
}

async function start() {
  at('failure').hidden = true;
  say('downloading', 'Downloading');
  running = download(url, { ...options, onProgress: draw });
  window.running = running;
  try {
    await running.done();
    draw();
    say('done', 'Complete and stored');
  } catch (error) {
    at('failure').hidden = false;
    at('failure').textContent = `${error.message} (${error.code})`;
    say('failed', 'Failed');
  }
}

at('file-title').textContent = url.split('/').at(-1);
at('start').addEventListener('click', start);
at('pause').addEventListener('click', () => {
  if (running.paused) {
    running.resume();
    say('downloading', 'Downloading');
  } else {
    running.pause();
    say('paused', 'Paused');
  }
  draw();
});
at('reload').addEventListener('click', () => {
  query.set('start', '');
  location.search = query;
});
at('clear').addEventListener('click', async () => {
  running?.pause();
  await cache.delete(url);
  query.delete('start');
  location.search = query;
});

const stored = (await cache.list()).find(file => file.url === url);
say('idle', stored ? `${megabytes(stored.stored)} are here from an earlier visit` : 'Nothing is here yet');
if (query.has('start')) start();
