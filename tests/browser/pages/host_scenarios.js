// What the JS side of the host seam does with a server of bad manners, a store and a worker. Runs in Chromium and in Node.
// `modules`: address of the transpiled modules, ending in '/'. `address`: tests/host/server.py. Gives plain records back.

async function outcome(work) {
  try {
    return await work();
  } catch (error) {
    return { code: error.code ?? null, message: error.message, isError: error instanceof Error, hasStack: typeof error.stack === 'string' };
  }
}

export async function network(modules, address) {
  const { loadFile, findFile, loadFiles, Wanted } = await import(modules + 'edgeflow/store/files.js');
  const { Progress } = await import(modules + 'edgeflow/store/progress.js');
  const load = (path, signal = null) => outcome(async () => {
    const events = [];
    const data = await loadFile(address + path, 'f', new Progress(event => events.push(event)), signal);
    const last = events.at(-1);
    return {
      bytes: data instanceof Uint8Array, size: data.length, sum: data.reduce((sum, x) => (sum * 31 + x) % 1000003, 7),
      statuses: [...new Set(events.map(event => event.status))], announced: events[1].total, loaded: last.loaded, total: last.total,
    };
  });
  const found = {};
  for (const path of [
    '/plain', '/chunked', '/no-length', '/redirect', '/gzip', '/empty', '/none', '/status/500', '/status/403',
    '/cut', '/chunked-cut', '/reset', '/loop', '/huge',
  ]) found[path] = await load(path);
  found.unreachable = await outcome(() => loadFile('http://127.0.0.1:9/', 'f', new Progress(null), null));
  found.optional = await findFile(address + '/none', 'f', new Progress(null), null) ?? 'absent';

  for (const path of ['/slow', '/silent']) {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 100);
    found['abort ' + path] = await load(path, controller.signal);
  }
  found['abort before'] = await load('/plain', AbortSignal.abort());
  const wanted = path => new Wanted(address + path, path, false);
  found['one fails'] = await outcome(() => loadFiles([wanted('/slow'), wanted('/status/500')], new Progress(null), null));
  found['callback raises'] = await outcome(() => loadFile(address + '/plain', 'f', new Progress(event => {
    if (event.status === 'progress') throw new TypeError('the page is gone');
  }), null));
  return found;
}

/** How many files of the origin private file system a store has; null where there is none. */
async function storedFiles(folder) {
  if (!globalThis.navigator?.storage?.getDirectory) return null;
  const root = await navigator.storage.getDirectory();
  return (await Array.fromAsync((await root.getDirectoryHandle(folder)).keys())).length;
}

export async function store(modules) {
  const { openStore } = await import(modules + 'edgeflow/host/browser_store.js');
  const name = 'test-' + Math.random().toString(36).slice(2);
  const list = bytes => bytes === null ? null : [...bytes];
  const found = {};
  let base = await openStore(name);
  found.absent = list(await base.get('a'));
  await base.put('a', Uint8Array.of(1, 2, 3));
  await base.put('a', Uint8Array.from({ length: 10 }, (_, i) => i));
  await base.put('empty', new Uint8Array(0));
  await base.put('https://x/ü?a=1', Uint8Array.of(9));
  await base.put('b%', Uint8Array.of(1));
  await base.put('part', Uint8Array.of(1, 2, 3, 4).subarray(1, 3));
  found.noPlace = [await base.place('a'), await base.place('none')];
  found.empty = list(await base.get('empty'));
  found.part = list(await base.get('part'));
  await base.close();
  found.closed = await outcome(() => base.get('a'));
  base = await openStore(name);
  found.kept = list(await base.get('a'));
  found.keys = await base.keys('');
  found.https = await base.keys('https://');
  await base.delete('a');
  await base.delete('a');
  found.deleted = list(await base.get('a'));
  const other = await openStore(name + '-other');
  found.other = list(await other.get('b%'));
  await other.close();
  await base.close();
  return found;
}

/** What a store fetches by itself: the body at `address`, whose first parts become files. */
export async function storeFetches(modules, address) {
  const { openStore } = await import(modules + 'edgeflow/host/browser_store.js');
  const { newSha256 } = await import(modules + 'edgeflow/host/browser_cache.js');
  const name = 'test-' + Math.random().toString(36).slice(2), base = await openStore(name);
  const controller = new AbortController(), ask = path => base.fetch(address + path, new Map(), controller.signal, 'no-store');
  const answer = await ask('/plain');
  if (answer === null) return null;
  const whole = new Uint8Array(await (await fetch(address + '/plain')).arrayBuffer()), size = whole.length, part = Math.floor(size / 4);
  const same = (bytes, start) => bytes !== null && bytes.length > 0 && bytes.every((byte, i) => byte === whole[start + i]);
  const files = async () => storedFiles('edgeflow-' + name), found = { status: answer.status, type: answer.header('Content-Length') };
  const heard = [], count = bytes => { heard.push(bytes); }, sum = () => heard.splice(0).reduce((a, b) => a + b, 0);
  const drafts = [await answer.store(part, count, false, 2), await answer.store(part, count, true, 0), await answer.store(part, count, false, 0)];
  found.heard = sum();
  found.drafts = drafts.map((draft, i) => [draft.size === part, draft.data === null ? null : same(draft.data, i * part), draft.place !== null]);
  found.taken = same(await answer.take(9, count), 3 * part) && sum();
  const rest = await answer.store(size, count, false, 0);
  found.rest = [rest.size === sum(), rest.place, same(rest.data, 3 * part + 9)];
  await answer.cancel();
  const sha = newSha256();
  sha.update(whole.subarray(0, 100));
  await drafts[0].hash(sha);
  const other = newSha256();
  other.update(whole.subarray(0, 100));
  other.update(whole.subarray(0, part));
  found.hashed = sha.hex() === other.hex();
  found.read = same(await drafts[0].read(), 0);
  await Promise.all([drafts[0].keep('big'), drafts[1].keep('big/2')]);
  await drafts[2].drop();
  found.stored = [same(await base.get('big'), 0), same(await base.get('big/2'), part), await base.place('big') !== null];
  found.files = await files();
  await base.put('big', Uint8Array.of(1));
  found.replaced = await files();
  await base.deleteAll('big/');
  found.removed = await files();
  found.refused = (await outcome(() => ask('/reset'))).code;
  const cut = await ask('/cut');
  found.cut = (await outcome(() => cut.store(10 * size, count, false, 3))).code;
  await cut.cancel();
  const slow = await ask('/slow');
  setTimeout(() => controller.abort(), 50);
  found.aborted = (await outcome(() => slow.store(10 * size, count, false, 3))).code;
  await slow.cancel();
  while (await files() > 0) await new Promise(resolve => setTimeout(resolve, 10));
  await base.close();
  return found;
}

export async function worker(modules, script) {
  const { spawnWorker } = await import(modules + 'edgeflow/host/browser_workers.js');
  const thread = spawnWorker(script);
  const answer = await new Promise((resolve, reject) => {
    thread.onMessage(resolve);
    thread.onError(reason => reject(new Error(reason)));
    thread.post({ numbers: Float32Array.of(1, 2, 3) }, []);
  });
  thread.terminate();
  const missing = spawnWorker(script.replace('echo_worker', 'no_worker'));
  const failure = await new Promise(resolve => missing.onError(resolve));
  missing.terminate();
  return { answer, failed: typeof failure === 'string' && failure !== '' };
}

export async function assets(modules, location) {
  const { loadAsset, instantiateWasm, wasmFeatures } = await import(modules + 'edgeflow/host/browser_wasm.js');
  const features = wasmFeatures();
  const name = features.relaxedSimd ? 'edgeflow-relaxed.wasm' : 'edgeflow-simd.wasm';
  const [beside, again] = await Promise.all([loadAsset(name, null), loadAsset(name, null)]);
  const located = await loadAsset(name, location);
  const instance = await instantiateWasm(beside);
  return {
    simd: features.simd, size: beside.length, located: located.length, once: beside === again,
    memory: instance.memorySize() > 0, heap: instance.globalValue('__heap_base') > 0,
    missing: await outcome(() => loadAsset('none.wasm', location)),
    page: await outcome(() => loadAsset('page.wasm', location)),
    unknown: await outcome(() => loadAsset('none.wasm', null)),
  };
}
