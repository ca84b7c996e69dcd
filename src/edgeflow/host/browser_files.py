"""Files of the origin private file system as values of a database: the worker that fetches and writes them. JS only.

The value in the database is the name of the file, put there once the file is written. Only workers may write in place, and what is
fetched where it is written passes through no other thread; so a worker of a few lines does both as it is told.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_cache import Sha256
from edgeflow.host.browser_io import HttpResponse
from edgeflow.host.port import AbortSignal, Bytes


def store_failure(reason: str, kind: str = '') -> EdgeflowError:
    """What a store's errors become."""
    code = 'quota-exceeded' if kind in ['QuotaExceededError', 'ENOSPC', 'EDQUOT'] else 'platform'
    return EdgeflowError(code, f'the store failed: {reason}')


__pragma__('js', r'''
import { hashPart } from './browser_cache.js';
import { failedTransfer, onAbort } from './browser_io.js';

// The folder of a store's files.
export async function filesOf(name) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
}

// The bytes of a file, given by its name, or of a Blob. What the browser has lost is as good as absent: null.
export async function readFile(base, value) {
  try {
    const blob = typeof value === 'string' ? await (await (await filesOf(base.name)).getFileHandle(value)).getFile() : value;
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    if (error.name === 'NotFoundError' || error.name === 'NotReadableError') return null;
    throw storeFailure(error.message);
  }
}

// The source of the worker. It refers to nothing outside. An answer is known by the number of the call that asked for it.
function fetchFiles(hashPart) {
  const answers = {}, folders = {}, AHEAD = 3, TELL_MS = 20;
  const folderOf = name => folders[name] ??= navigator.storage.getDirectory().then(root => root.getDirectoryHandle(name, { create: true }));
  const open = async (folder, name, create) => (await (await folder).getFileHandle(name, { create })).createSyncAccessHandle();
  const remove = async (folder, name) => (await folder).removeEntry(name).catch(() => {});
  const work = {
    async fetch(call, folder, url, base, headers, cache) {
      const stop = new AbortController();
      answers[call] = { stop, folder: folderOf(folder), memory: new ArrayBuffer(0), spares: [] };
      const answer = await fetch(new URL(url, base), { headers, cache, referrer: base, signal: stop.signal });
      answers[call].reader = answer.body?.getReader({ mode: 'byob' });
      return [answer.status, answer.url, [...answer.headers]];
    },
    // [the name of a file with the next bytes of a body, how many, the bytes themselves where they are wanted or there is no such file].
    // What is shorter than it was to be is the end of a body or a body cut off, and becomes no file. Opening a file takes longer than
    // filling it: some are opened for the `more` that will follow; -1: no file is wanted. Bytes are written as they come: the
    // network goes on meanwhile.
    async take(call, number, size, give, more) {
      const source = answers[number], { folder, reader, spares, memory: spare } = source;
      while (spares.length <= Math.min(more, AHEAD)) {
        const name = crypto.randomUUID();
        spares.push([name, open(folder, name, true).catch(() => {})]);
      }
      const [name, opening] = more < 0 ? [] : spares.shift(), file = await opening;
      let memory = spare.byteLength < size ? new ArrayBuffer(size) : spare, filled = 0, told = performance.now(), kept = !!file;
      source.memory = new ArrayBuffer(0);
      try {
        while (filled < size) {
          const { done, value } = await reader?.read(new Uint8Array(memory, filled, size - filled)) ?? { done: true };
          if (value) memory = value.buffer;
          if (done) break;
          try {
            kept &&= file.write(value, { at: filled }) === value.length;
          } catch {
            // There is no room: the bytes go back.
            kept = false;
          }
          filled += value.length;
          if (performance.now() > told + TELL_MS) {
            told = performance.now();
            postMessage([call, filled]);
          }
        }
        kept &&= filled === size;
        if (!kept || give) return [kept && name, filled, new Uint8Array(memory, 0, filled)];
        source.memory = memory;
        return [name, filled];
      } finally {
        file?.close();
        if (!kept || filled < size) await remove(folder, name);
      }
    },
    async hash(call, folder, name, sha) {
      const file = await open(folderOf(folder), name), part = new Uint8Array(1 << 20);
      for (let at = 0, read; (read = file.read(part, { at })) > 0; at += read) hashPart(sha, part.subarray(0, read));
      file.close();
      return sha;
    },
    async end(call, number) {
      // It is told once by a signal and once at the end of a body.
      if (!answers[number]) return;
      const { stop, folder, spares } = answers[number];
      // With its memory: the worker may live for as long as a page downloads.
      delete answers[number];
      stop.abort();
      for (const [name, opening] of spares.splice(0)) {
        (await opening)?.close();
        await remove(folder, name);
      }
    },
  };
  onmessage = async ({ data: [call, what, ...given] }) => {
    try {
      const found = await work[what](call, ...given);
      postMessage([call, 0, found], found?.[2]?.buffer ? [found[2].buffer] : []);
    } catch (error) {
      postMessage([call, 0, null, error.message]);
    }
  };
  navigator.storage.getDirectory().then(() => {
    new Response('').body.getReader({ mode: 'byob' });
    postMessage(FileSystemFileHandle.prototype.createSyncAccessHandle !== undefined);
  }).catch(() => postMessage(false));
}

const IDLE_MS = 10000, ORPHAN_MS = 3600000, calls = new Map();
let starting = null, last = 0, bodies = 0, ending = 0;

// The worker; null where there can be none.
function fetcher() {
  return starting ??= new Promise(resolve => {
    const address = URL.createObjectURL(new Blob([`(${fetchFiles})(${hashPart})`], { type: 'text/javascript' }));
    const worker = new Worker(address);
    worker.end = event => {
      event?.preventDefault();
      URL.revokeObjectURL(address);
      worker.terminate();
      starting = event ? Promise.resolve(null) : null;
      resolve(null);
      for (const { reject } of calls.values()) reject(new Error('the worker that fetches was lost'));
      calls.clear();
    };
    worker.onerror = worker.end;
    worker.onmessage = ({ data }) => {
      if (data === true) return resolve(worker);
      if (data === false) return worker.end(new Event(''));
      const [call, filled, found, failure] = data, asked = calls.get(call);
      if (filled) return asked.tell(filled);
      calls.delete(call);
      if (failure) asked.reject(new Error(failure));
      else asked?.resolve(found);
    };
  }).catch(() => null);
}

function ask(worker, given, tell) {
  return new Promise((resolve, reject) => {
    calls.set(++last, { resolve, reject, tell });
    worker.postMessage([last, ...given]);
  });
}

// Files that a page wrote which ended before it could say so.
async function sweepFiles(base) {
  const files = await filesOf(base.name), known = new Set(await transaction(base, 'readonly', entries => entries.getAll()));
  for await (const [name, file] of files.entries()) {
    if (!known.has(name) && (await file.getFile()).lastModified < Date.now() - ORPHAN_MS) await files.removeEntry(name);
  }
}

// What cannot be removed now is swept by a later visit.
async function removeFiles(base, values) {
  const names = values.filter(value => typeof value === 'string');
  if (names.length === 0) return;
  const files = await filesOf(base.name);
  await Promise.all(names.map(name => files.removeEntry(name).catch(() => {})));
}

// Change a range of entries; the files of those that were there go.
export async function change(base, range, work) {
  let before = [];
  await transaction(base, 'readwrite', entries => {
    const request = entries.getAll(range);
    request.onsuccess = () => { before = request.result; };
    return work(entries);
  });
  await removeFiles(base, before);
}

// One transaction a call; it is committed when the promise is fulfilled.
export function transaction(base, mode, work) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(storeFailure(String(job?.error?.message || job?.error), job?.error?.name));
    let job = null;
    try {
      job = base.transaction('entries', mode, { durability: 'relaxed' });
      const request = work(job.objectStore('entries'));
      job.oncomplete = () => resolve(request.result ?? null);
      job.onerror = job.onabort = fail;
    } catch (error) {
      reject(storeFailure(error.message, error.name));
    }
  });
}
''')


async def fetch_into(base: object, url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> StoredResponse | None:
    """KeyValueStore.fetch()."""
    body = await _begin_fetch(base, url, headers, signal, cache)
    return None if body is None else StoredResponse(body, _status(body), _address(body), signal)


async def _begin_fetch(base: object, url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> object | None:
    __pragma__('js', r'''
    const worker = navigator.storage?.getDirectory ? await fetcher() : null;
    if (worker === null) return null;
    bodies++;
    const answer = ask(worker, ['fetch', base.name, url, globalThis.document?.baseURI ?? location.href, [...headers], cache]), number = last;
    const abort = () => worker.postMessage([0, 'end', number]), stop = onAbort(signal, abort);
    const release = () => {
      stop();
      abort();
      bodies--;
      clearTimeout(ending);
      ending = setTimeout(() => {
        if (bodies > 0) return;
        worker.end();
        sweepFiles(base).catch(() => {});
      }, IDLE_MS);
    };
    try {
      const [status, address, pairs] = await answer;
      return { status, url: address || url, headers: new Headers(pairs), base, worker, number, release };
    } catch (error) {
      release();
      throw failedTransfer(url, signal, error);
    }
    ''')


def _status(body: object) -> int:
    __pragma__('js', 'return body.status;')


def _address(body: object) -> str:
    __pragma__('js', 'return body.url;')


class StoredResponse(HttpResponse):
    """host.port.Response of the worker's."""

    async def take(self, size: int, on_bytes: Callable[[int], None]) -> Bytes:
        found = await _take(self._answer, size, on_bytes, True, -1, self._signal)
        return found.data

    async def store(self, size: int, on_bytes: Callable[[int], None], give: bool, more: int) -> FileDraft:
        return await _take(self._answer, size, on_bytes, give, more, self._signal)

    async def cancel(self) -> None:
        _release(self._answer)


def _release(body: object) -> None:
    __pragma__('js', 'body.release();')


async def _take(body: object, size: int, on_bytes: Callable[[int], None], give: bool, more: int, signal: AbortSignal | None) -> FileDraft:
    __pragma__('js', r'''
    let told = 0, broken = null, found;
    const tell = filled => {
      try {
        onBytes(filled - told);
      } catch (error) {
        broken = error;
      }
      told = filled;
    };
    try {
      found = await ask(body.worker, ['take', body.number, size, give, more], tell);
    } catch (error) {
      throw failedTransfer(body.url, signal, error);
    }
    const [name, filled, data = null] = found;
    tell(filled);
    if (broken !== null) throw broken;
    return new FileDraft(body, name ? [body.base.name, name] : null, filled, data);
    ''')


class FileDraft:
    """host.port.Draft."""

    def __init__(self, body: object, place: object | None, size: int, data: Bytes | None) -> None:
        self._body = body
        self.place: object | None = place
        self.size: int = size
        self.data: Bytes | None = data

    async def keep(self, key: str) -> None:
        await _keep(self._body, self.place, key)

    async def read(self) -> Bytes:
        data = await _read(self._body, self.place)
        if data is None:
            raise store_failure('a file was lost')
        return data

    async def drop(self) -> None:
        await _remove(self._body, self.place)

    async def hash(self, sha: Sha256) -> None:
        sha.record = await _hash(self._body, self.place, sha.record)


async def _keep(body: object, place: object, key: str) -> None:
    __pragma__('js', 'await change(body.base, key, entries => entries.put(place[1], key));')


async def _read(body: object, place: object) -> Bytes | None:
    __pragma__('js', 'return readFile(body.base, place[1]);')


async def _remove(body: object, place: object) -> None:
    __pragma__('js', 'await removeFiles(body.base, [place[1]]);')


async def _hash(body: object, place: object, record: object) -> object:
    __pragma__('js', r'''
    try {
      return await ask(body.worker, ['hash', ...place, record]);
    } catch (error) {
      throw failedTransfer(body.url, null, error);
    }
    ''')
