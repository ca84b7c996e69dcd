"""Byte strings kept between visits: IndexedDB and files of the origin private file system in browsers, a folder in Node. JS only."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_io import reads_files
from edgeflow.host.port import Bytes, Lent


def _store_failure(reason: str, kind: str = '') -> EdgeflowError:
    code = 'quota-exceeded' if kind in ['QuotaExceededError', 'ENOSPC', 'EDQUOT'] else 'platform'
    return EdgeflowError(code, f'the store failed: {reason}')


async def open_store(name: str) -> IndexedStore | FolderStore:
    if reads_files():
        return FolderStore(await _make_folder(name))
    return IndexedStore(await _open_database(name))


__pragma__('js', r'''
import { nodeModule } from './browser_io.js';

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(_storeFailure(String(request.error?.message ?? request.error)));
  });
}

// The folder of a store's files, whose names are values in its database.
async function filesOf(name) {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
}

// The source of a worker: only there files can be written in place. It refers to nothing outside.
function writeFiles() {
  onmessage = async ({ data: [folder, name, data] }) => {
    let file, failure = null;
    try {
      const all = folders[folder] ??= navigator.storage.getDirectory().then(root => root.getDirectoryHandle(folder, { create: true }));
      file = await (await (await all).getFileHandle(name, { create: true })).createSyncAccessHandle();
      if (file.write(data) < data.length) failure = ['there is no room', 'QuotaExceededError'];
    } catch (error) {
      failure = [error.message, error.name];
    }
    file?.close();
    postMessage([name, data, failure], [data.buffer]);
  };
  const folders = {};
  postMessage(FileSystemFileHandle.prototype.createSyncAccessHandle !== undefined);
}

const WRITER_IDLE_MS = 10000, ORPHAN_MS = 3600000, written = new Map();
let writing = null, ending = 0;

// The worker that writes; null where there can be none.
function writer(base) {
  return writing ??= new Promise(resolve => {
    const address = URL.createObjectURL(new Blob([`(${writeFiles})()`], { type: 'text/javascript' }));
    const worker = new Worker(address);
    const end = () => {
      URL.revokeObjectURL(address);
      worker.terminate();
      writing = null;
    };
    worker.onmessage = ({ data }) => {
      if (Array.isArray(data)) {
        const [name, bytes, failure] = data;
        written.get(name)(bytes, failure);
        written.delete(name);
        clearTimeout(ending);
        ending = setTimeout(() => {
          if (written.size > 0) return;
          end();
          sweepFiles(base).catch(() => {});
        }, WRITER_IDLE_MS);
      } else {
        filesOf(base.name).then(() => data ? resolve(worker) : worker.onerror(), () => worker.onerror());
      }
    };
    worker.onerror = event => {
      event?.preventDefault();
      end();
      resolve(null);
      writing = Promise.resolve(null);
      for (const lost of written.values()) lost(new Uint8Array(0), ['the worker that writes files was lost']);
      written.clear();
    };
  }).catch(() => null);
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
async function change(base, range, work) {
  let before = [];
  await transaction(base, 'readwrite', entries => {
    const request = entries.getAll(range);
    request.onsuccess = () => { before = request.result; };
    return work(entries);
  });
  await removeFiles(base, before);
}

// One transaction a call; it is committed when the promise is fulfilled.
function transaction(base, mode, work) {
  return new Promise((resolve, reject) => {
    const fail = () => reject(_storeFailure(String(job?.error?.message || job?.error), job?.error?.name));
    let job = null;
    try {
      job = base.transaction('entries', mode, { durability: 'relaxed' });
      const request = work(job.objectStore('entries'));
      job.oncomplete = () => resolve(request.result ?? null);
      job.onerror = job.onabort = fail;
    } catch (error) {
      reject(_storeFailure(error.message, error.name));
    }
  });
}
''')


async def _open_database(name: str) -> object:
    __pragma__('js', r'''
    let request;
    try {
      request = indexedDB.open('edgeflow-' + name, 1);
    } catch (error) {
      // There is none, or the user has blocked it.
      throw _storeFailure(error.message);
    }
    request.onupgradeneeded = () => request.result.createObjectStore('entries');
    const base = await settled(request);
    base.onversionchange = () => base.close();
    return base;
    ''')


class IndexedStore:
    """host.port.KeyValueStore in IndexedDB. What put_lent() stores are files, or Blobs where files cannot be written in place."""

    def __init__(self, base: object) -> None:
        self._base = base

    async def get(self, key: str) -> Bytes | None:
        return await _read_value(self._base, key)

    async def place(self, key: str) -> object | None:
        return await _place_of(self._base, key)

    async def put(self, key: str, value: Bytes) -> None:
        await _put(self._base, key, value)

    async def put_lent(self, key: str, value: Lent) -> None:
        await _put_file(self._base, key, value)

    async def delete(self, key: str) -> None:
        await _delete_blob(self._base, key)

    async def delete_all(self, prefix: str) -> None:
        await _delete_blobs(self._base, prefix)

    async def keys(self, prefix: str) -> list[str]:
        return await _blob_keys(self._base, prefix)

    async def close(self) -> None:
        _close_base(self._base)


async def _read_value(base: object, key: str) -> Bytes | None:
    __pragma__('js', r'''
    const value = await transaction(base, 'readonly', entries => entries.get(key));
    if (value === null || value instanceof Uint8Array) return value;
    try {
      const blob = typeof value === 'string' ? await (await (await filesOf(base.name)).getFileHandle(value)).getFile() : value;
      return new Uint8Array(await blob.arrayBuffer());
    } catch (error) {
      // What the browser has lost is as good as absent.
      if (error.name === 'NotFoundError' || error.name === 'NotReadableError') return null;
      throw _storeFailure(error.message);
    }
    ''')


async def _place_of(base: object, key: str) -> object | None:
    __pragma__('js', r'''
    const value = await transaction(base, 'readonly', entries => entries.get(key));
    return typeof value === 'string' ? [base.name, value] : null;
    ''')


async def read_place(place: object, size: int, memory: Callable[[], Bytes]) -> bool:
    # Only workers have such handles; another tab may have one for itself alone.
    __pragma__('js', r'''
    let file;
    try {
      file = await (await (await filesOf(place[0])).getFileHandle(place[1])).createSyncAccessHandle({ mode: 'read-only' });
      return file.getSize() === size && file.read(memory()) === size;
    } catch {
      return false;
    } finally {
      file?.close();
    }
    ''')


async def _put(base: object, key: str, value: Bytes) -> None:
    __pragma__('js', r'''
    const kept = value.length < 65536 ? Uint8Array.from(value) : new Blob([value]);
    await change(base, key, entries => entries.put(kept, key));
    ''')


async def _put_file(base: object, key: str, lent: Lent) -> None:
    __pragma__('js', r'''
    const worker = navigator.storage?.getDirectory ? await writer(base) : null;
    if (worker === null) return _put(base, key, lent.data);
    const name = crypto.randomUUID(), { data } = lent;
    lent.data = new Uint8Array(0);
    const failure = await new Promise(resolve => {
      written.set(name, (bytes, failure) => {
        lent.data = bytes;
        resolve(failure);
      });
      worker.postMessage([base.name, name, data], [data.buffer]);
    });
    try {
      if (failure) throw _storeFailure(...failure);
      await change(base, key, entries => entries.put(name, key));
    } catch (error) {
      await removeFiles(base, [name]);
      throw error;
    }
    ''')


async def _delete_blob(base: object, key: str) -> None:
    __pragma__('js', 'await change(base, key, entries => entries.delete(key));')


async def _delete_blobs(base: object, prefix: str) -> None:
    __pragma__('js', r'''
    const range = IDBKeyRange.bound(prefix, prefix + '\uffff');
    await change(base, range, entries => entries.delete(range));
    ''')


async def _blob_keys(base: object, prefix: str) -> list[str]:
    __pragma__('js', r'''
    const range = IDBKeyRange.bound(prefix, prefix + '\uffff');
    return transaction(base, 'readonly', entries => entries.getAllKeys(range));
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
        return await _read_entry(self._open(), key)

    async def place(self, key: str) -> object | None:
        return None

    async def put(self, key: str, value: Bytes) -> None:
        await _write_entry(self._open(), key, value)

    async def put_lent(self, key: str, value: Lent) -> None:
        await self.put(key, value.data)

    async def delete(self, key: str) -> None:
        await _delete_entry(self._open(), key)

    async def delete_all(self, prefix: str) -> None:
        for key in await self.keys(prefix):
            await self.delete(key)

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


async def _read_entry(folder: str, key: str) -> Bytes | None:
    __pragma__('js', r'''
    return withEntry(entryPath(folder, key), async file => {
      const head = 4 + new TextEncoder().encode(key).length, data = new Uint8Array((await file.stat()).size - head);
      for (let done = 0; done < data.length;) {
        const { bytesRead } = await file.read(data, done, Math.min(data.length - done, 2 ** 30), head + done);
        if (bytesRead === 0) throw new Error('the file is shorter than it was');
        done += bytesRead;
      }
      return data;
    });
    ''')


async def _write_entry(folder: str, key: str, value: Bytes) -> None:
    __pragma__('js', r'''
    const bytes = Uint8Array.from(value);
    const fs = nodeModule('fs').promises, path = entryPath(folder, key), name = new TextEncoder().encode(key);
    const head = new Uint8Array(4);
    new DataView(head.buffer).setUint32(0, name.length);
    const draft = `${path}.${nodeModule('crypto').randomUUID()}`;
    try {
      const file = await fs.open(draft, 'wx');
      try {
        await file.writev([head, name]);
        await file.writeFile(bytes);
      } finally {
        await file.close();
      }
      await fs.rename(draft, path);
    } catch (error) {
      await fs.rm(draft, { force: true });
      throw _storeFailure(error.message, error.code);
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
