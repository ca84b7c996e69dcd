"""Network, files, storage and workers in browsers and Node. JS only.

Node's modules come from process.getBuiltinModule (Node 20.16 and later): bundlers follow `import('node:fs')` and fail.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortController, AbortSignal, Bytes


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _network_failure(url: str, reason: str) -> EdgeflowError:
    return EdgeflowError('http', f'{url}: expected an answer, got a network failure ({reason})', {'url': url})


def _unreadable(path: str, reason: str) -> EdgeflowError:
    return EdgeflowError('file-missing', f'{path} cannot be read: {reason}', {'path': path})


def _store_failure(reason: str) -> EdgeflowError:
    return EdgeflowError('platform', f'the store failed: {reason}')


__pragma__('js', r'''
function nodeModule(name) {
  const process = globalThis.process;
  return process?.versions?.node && process.getBuiltinModule ? process.getBuiltinModule('node:' + name) : null;
}

function failedTransfer(url, signal, error) {
  if (signal?.aborted) return _fail('aborted', `${url} was cancelled through its signal`);
  const cause = error?.cause?.code ?? error?.cause?.message;
  return _networkFailure(url, cause ? `${error.message}: ${cause}` : String(error?.message ?? error));
}
''')


# Cancelling


def signal_aborted(signal: AbortSignal | None) -> bool:
    __pragma__('js', 'return signal?.aborted === true;')


def on_abort(signal: AbortSignal | None, callback: Callable[[], None]) -> Callable[[], None]:
    __pragma__('js', r'''
    const stop = () => signal?.removeEventListener('abort', callback);
    if (signal?.aborted) callback();
    else signal?.addEventListener('abort', callback, { once: true });
    return stop;
    ''')


def new_abort_controller() -> AbortController:
    __pragma__('js', 'return new AbortController();')


# Network


async def fetch(url: str, headers: dict[str, str], signal: AbortSignal | None) -> HttpResponse:
    answer = await _fetch(url, headers, signal)
    return HttpResponse(answer, _status(answer), _url(answer, url), signal)


async def _fetch(url: str, headers: dict[str, str], signal: AbortSignal | None) -> object:
    __pragma__('js', r'''
    try {
      return await globalThis.fetch(url, { headers: [...headers], signal: signal ?? null });
    } catch (error) {
      throw failedTransfer(url, signal, error);
    }
    ''')


def _status(answer: object) -> int:
    __pragma__('js', 'return answer.status;')


def _url(answer: object, asked: str) -> str:
    __pragma__('js', 'return answer.url || asked;')


class HttpResponse:
    """host.port.Response over the platform's own."""

    def __init__(self, answer: object, status: int, url: str, signal: AbortSignal | None) -> None:
        self._answer = answer
        self._signal = signal
        self._reader: object = None
        self.status = status
        self.url = url

    def header(self, name: str) -> str | None:
        return _header(self._answer, name)

    async def chunks(self) -> AsyncIterator[Bytes]:
        self._reader = _open_reader(self._answer)
        try:
            while True:
                part = await _next_part(self._reader, self.url, self._signal)
                if part is None:
                    return
                if len(part) > 0:
                    yield part
        finally:
            await self.cancel()

    async def body(self) -> Bytes:
        return await _whole_body(self._answer, self.url, self._signal)

    async def cancel(self) -> None:
        await _cancel(self._answer, self._reader)


def _header(answer: object, name: str) -> str | None:
    __pragma__('js', 'return answer.headers.get(name);')


def _open_reader(answer: object) -> object:
    __pragma__('js', 'return answer.body?.getReader() ?? null;')


async def _next_part(reader: object, url: str, signal: AbortSignal | None) -> Bytes | None:
    __pragma__('js', r'''
    try {
      const { done, value } = reader === null ? { done: true } : await reader.read();
      if (signal?.aborted) throw signal.reason;
      return done ? null : value;
    } catch (error) {
      throw failedTransfer(url, signal, error);
    }
    ''')


async def _whole_body(answer: object, url: str, signal: AbortSignal | None) -> Bytes:
    __pragma__('js', r'''
    try {
      return new Uint8Array(await answer.arrayBuffer());
    } catch (error) {
      throw failedTransfer(url, signal, error);
    }
    ''')


async def _cancel(answer: object, reader: object) -> None:
    # A body that has ended or broken cannot be cancelled; there is nothing left to free then.
    __pragma__('js', r'''
    const ended = () => {};
    if (reader) await reader.cancel().catch(ended);
    else if (answer.body && !answer.bodyUsed) await answer.body.cancel().catch(ended);
    ''')


# Files


def is_url(source: str) -> bool:
    return source.startswith(('http://', 'https://', 'blob:', 'data:'))


def reads_files() -> bool:
    __pragma__('js', "return nodeModule('fs') !== null;")


async def read_file(path: str) -> Bytes | None:
    __pragma__('js', r'''
    const fs = nodeModule('fs');
    if (fs === null) return null;
    let file;
    try {
      file = await fs.promises.open(path.startsWith('file:') ? new URL(path) : path);
      const data = new Uint8Array((await file.stat()).size);
      let size = 0;
      while (size < data.length) {
        const { bytesRead } = await file.read(data, size, Math.min(data.length - size, 2 ** 30));
        if (bytesRead === 0) break;
        size += bytesRead;
      }
      return data.subarray(0, size);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(error.code)) return null;
      if (error instanceof RangeError) throw _fail('out-of-memory', `${path}: ${error.message}`);
      throw _unreadable(path, error.message);
    } finally {
      await file?.close();
    }
    ''')


# Storage


async def open_store(name: str) -> IndexedStore | FolderStore:
    if reads_files():
        return FolderStore(await _make_folder(name))
    return IndexedStore(await _open_database(name))


__pragma__('js', r'''
function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(_storeFailure(String(request.error?.message ?? request.error)));
  });
}

// One transaction a call; it is committed when the promise is fulfilled.
function transaction(base, mode, work) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(_storeFailure(String(job?.error?.message ?? job?.error)));
    let job = null;
    try {
      job = base.transaction('entries', mode);
      const request = work(job.objectStore('entries'));
      job.oncomplete = () => resolve(request.result ?? null);
      job.onerror = job.onabort = fail;
    } catch (error) {
      reject(_storeFailure(error.message));
    }
  });
}
''')


async def _open_database(name: str) -> object:
    __pragma__('js', r'''
    if (!globalThis.indexedDB) throw _storeFailure('this platform has no IndexedDB');
    const request = indexedDB.open('edgeflow-' + name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore('entries');
    const base = await settled(request);
    base.onversionchange = () => base.close();
    return base;
    ''')


class IndexedStore:
    """host.port.KeyValueStore in IndexedDB. Values are Blobs, so that a range is read without the whole."""

    def __init__(self, base: object) -> None:
        self._base = base

    async def get(self, key: str) -> Bytes | None:
        return await _read_blob(self._base, key, 0, None)

    async def get_range(self, key: str, start: int, end: int) -> Bytes | None:
        return await _read_blob(self._base, key, start, end)

    async def put(self, key: str, value: Bytes) -> None:
        await _put_blob(self._base, key, value)

    async def delete(self, key: str) -> None:
        await _delete_blob(self._base, key)

    async def keys(self, prefix: str) -> list[str]:
        return await _blob_keys(self._base, prefix)

    async def close(self) -> None:
        _close_base(self._base)


async def _read_blob(base: object, key: str, start: int, end: int | None) -> Bytes | None:
    __pragma__('js', r'''
    const blob = await transaction(base, 'readonly', entries => entries.get(key));
    if (blob === null) return null;
    try {
      return new Uint8Array(await blob.slice(start, end ?? blob.size).arrayBuffer());
    } catch (error) {
      throw _storeFailure(error.message);
    }
    ''')


async def _put_blob(base: object, key: str, value: Bytes) -> None:
    __pragma__('js', "await transaction(base, 'readwrite', entries => entries.put(new Blob([value]), key));")


async def _delete_blob(base: object, key: str) -> None:
    __pragma__('js', "await transaction(base, 'readwrite', entries => entries.delete(key));")


async def _blob_keys(base: object, prefix: str) -> list[str]:
    __pragma__('js', r'''
    const from = IDBKeyRange.lowerBound(prefix);
    const keys = await transaction(base, 'readonly', entries => entries.getAllKeys(from));
    return keys.filter(key => key.startsWith(prefix));
    ''')


def _close_base(base: object) -> None:
    __pragma__('js', 'base.close();')


async def _make_folder(name: str) -> str:
    __pragma__('js', r'''
    const env = process.env, path = nodeModule('path');
    const root = env.EDGEFLOW_CACHE || path.join(env.XDG_CACHE_HOME || path.join(nodeModule('os').homedir(), '.cache'), 'edgeflow');
    const folder = path.join(root, name);
    try {
      await nodeModule('fs').promises.mkdir(folder, { recursive: true });
    } catch (error) {
      throw _storeFailure(error.message);
    }
    return folder;
    ''')


class FolderStore:
    """host.port.KeyValueStore in a folder: a file for each value, named by the key's SHA-256; it begins with the key itself."""

    def __init__(self, folder: str) -> None:
        self._folder: str | None = folder

    def _open(self) -> str:
        if self._folder is None:
            raise _store_failure('it was closed')
        return self._folder

    async def get(self, key: str) -> Bytes | None:
        return await _read_entry(self._open(), key, 0, None)

    async def get_range(self, key: str, start: int, end: int) -> Bytes | None:
        return await _read_entry(self._open(), key, start, end)

    async def put(self, key: str, value: Bytes) -> None:
        await _write_entry(self._open(), key, value)

    async def delete(self, key: str) -> None:
        await _delete_entry(self._open(), key)

    async def keys(self, prefix: str) -> list[str]:
        return await _entry_keys(self._open(), prefix)

    async def close(self) -> None:
        self._folder = None


__pragma__('js', r'''
function entryPath(folder, key) {
  return nodeModule('path').join(folder, nodeModule('crypto').createHash('sha256').update(key).digest('hex'));
}

async function entryKey(file) {
  const head = new Uint8Array(4);
  await file.read(head, 0, 4, 0);
  const key = new Uint8Array(new DataView(head.buffer).getUint32(0));
  await file.read(key, 0, key.length, 4);
  return new TextDecoder().decode(key);
}

async function withEntry(path, work) {
  let file;
  try {
    file = await nodeModule('fs').promises.open(path);
    return await work(file);
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw _storeFailure(error.message);
  } finally {
    await file?.close();
  }
}
''')


async def _read_entry(folder: str, key: str, start: int, end: int | None) -> Bytes | None:
    __pragma__('js', r'''
    return withEntry(entryPath(folder, key), async file => {
      const head = 4 + new TextEncoder().encode(key).length, size = (await file.stat()).size - head;
      const stop = Math.min(end ?? size, size), data = new Uint8Array(Math.max(0, stop - start));
      for (let done = 0; done < data.length;) {
        const { bytesRead } = await file.read(data, done, Math.min(data.length - done, 2 ** 30), head + start + done);
        if (bytesRead === 0) throw new Error('the file is shorter than it was');
        done += bytesRead;
      }
      return data;
    });
    ''')


async def _write_entry(folder: str, key: str, value: Bytes) -> None:
    __pragma__('js', r'''
    const fs = nodeModule('fs').promises, path = entryPath(folder, key), name = new TextEncoder().encode(key);
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, name.length);
    const draft = `${path}.${nodeModule('crypto').randomUUID()}`;
    try {
      const file = await fs.open(draft, 'wx');
      try {
        await file.writev([head, name]);
        await file.writeFile(value);
      } finally {
        await file.close();
      }
      await fs.rename(draft, path);
    } catch (error) {
      await fs.rm(draft, { force: true });
      throw _storeFailure(error.message);
    }
    ''')


async def _delete_entry(folder: str, key: str) -> None:
    __pragma__('js', r'''
    try {
      await nodeModule('fs').promises.rm(entryPath(folder, key), { force: true });
    } catch (error) {
      throw _storeFailure(error.message);
    }
    ''')


async def _entry_keys(folder: str, prefix: str) -> list[str]:
    __pragma__('js', r'''
    const keys = [];
    for (const name of await nodeModule('fs').promises.readdir(folder)) {
      if (name.includes('.')) continue;
      const key = await withEntry(nodeModule('path').join(folder, name), entryKey);
      if (key !== null && key.startsWith(prefix)) keys.push(key);
    }
    return keys.sort();
    ''')


# Workers


def spawn_worker(url: str) -> WorkerThread:
    return WorkerThread(_start_worker(url))


class WorkerThread:
    """host.port.WorkerHandle over a module worker of the browser or a worker thread of Node."""

    def __init__(self, worker: object) -> None:
        self._worker = worker

    def post(self, message: object, transfer: list[object]) -> None:
        _post(self._worker, message, transfer)

    def on_message(self, callback: Callable[[object], None]) -> None:
        _listen(self._worker, 'message', callback)

    def on_error(self, callback: Callable[[str], None]) -> None:
        _listen(self._worker, 'error', callback)

    def terminate(self) -> None:
        _terminate(self._worker)


def _start_worker(url: str) -> object:
    __pragma__('js', r'''
    const threads = nodeModule('worker_threads');
    try {
      return threads ? new threads.Worker(new URL(url)) : new Worker(url, { type: 'module' });
    } catch (error) {
      throw _fail('platform', `no worker can be started from ${url}: ${error.message}`);
    }
    ''')


def _post(worker: object, message: object, transfer: list[object]) -> None:
    __pragma__('js', 'worker.postMessage(message, transfer);')


def _listen(worker: object, kind: str, callback: Callable) -> None:
    __pragma__('js', r'''
    const hear = kind === 'error' ? event => callback(event.message || 'the worker could not be loaded') : event => callback(event.data);
    if (!worker.on) worker.addEventListener(kind, hear);
    else worker.on(kind, kind === 'error' ? hear : data => callback(data));
    ''')


def _terminate(worker: object) -> None:
    __pragma__('js', 'worker.terminate();')
