// The store in Chromium, driven by tests/browser/test_store.py. `modules`: address of the transpiled modules, ending in '/'.

const codes = error => error.code ?? `${error.name}: ${error.message}\n${error.stack}`;

async function sha256(bytes) {
  return Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)), x => x.toString(16).padStart(2, '0')).join('');
}

// How many workers of the store were started.
window.fetchers = 0;
window.Worker = class extends Worker {
  constructor(address, ...rest) {
    super(address, ...rest);
    if (!String(address).startsWith('blob:')) return;
    window.fetchers++;
    window.fetcher = this;
  }
};

/** One case of tests/store/test_fault_schedules.py: for every visit [code, sha256 of the bytes]. */
export async function visits(modules, url, { chunk, connections, leaves, small }, digest) {
  const { Download } = await import(modules + 'edgeflow/store/downloads.js');
  const { Limits, Source } = await import(modules + 'edgeflow/store/transfer_records.js');
  const found = [];
  for (const leave of [...leaves, null]) {
    const controller = new AbortController();
    const limits = new Limits(chunk, connections, 6, 150, 1, 0, 0, small);
    const hear = progress => { if (leave !== null && progress.loaded >= leave) controller.abort(); };
    const one = new Download(new Source(url, true, digest, null, 'reuse', limits), hear, controller.signal);
    try {
      found.push(['', await sha256(await one.bytes())]);
    } catch (error) {
      found.push([codes(error), '']);
    }
  }
  return found;
}

/**
 * Clients that take chunks: [sha256 of what each got, how many chunks it was given, how many it was told the place of].
 * readers: for each whether it reads what is in files.
 */
export async function taken(modules, url, chunk, readers) {
  const { obtain } = await import(modules + 'edgeflow/store/downloads.js');
  const { Client, Limits, Source } = await import(modules + 'edgeflow/store/transfer_records.js');
  return Promise.all(readers.map(async reads => {
    const parts = new Map(), counts = [0, 0];
    const take = (start, data) => {
      counts[0]++;
      parts.set(start, Uint8Array.from(data));
      structuredClone(data.buffer, { transfer: [data.buffer] });
    };
    const find = async (start, size, [folder, name]) => {
      counts[1]++;
      if (!reads) return false;
      const root = await navigator.storage.getDirectory();
      const file = await (await (await root.getDirectoryHandle(folder)).getFileHandle(name)).getFile();
      parts.set(start, new Uint8Array(await file.arrayBuffer()));
      return file.size === size;
    };
    await obtain(new Source(url, true, '', null, 'reuse', new Limits(chunk, 4, 6, 500, 1, 0, 0, 0)), new Client(take, () => {}, () => parts.clear(), null, find), null);
    const blob = new Blob([...parts.keys()].sort((a, b) => a - b).map(start => parts.get(start)));
    return [await sha256(await blob.arrayBuffer()), ...counts];
  }));
}

/** Download through the built package; gives [sha256, reused, chunks]. */
export async function fetchAll(dist, url, options) {
  const { download } = await import(dist);
  const one = download(url, options);
  window.running = one;
  await one.done();
  const hashed = await sha256(await one.bytes());
  const { reused, chunks } = one.progress();
  return [hashed, reused, chunks];
}

export async function outcome(work) {
  try {
    return await work();
  } catch (error) {
    return { code: codes(error), message: error.message };
  }
}
