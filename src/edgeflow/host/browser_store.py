"""Byte strings kept between visits: IndexedDB in browsers, a folder in Node. JS only."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_io import reads_files
from edgeflow.host.port import Bytes, HeldBody


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
    if (!globalThis.indexedDB) throw _storeFailure('this platform has no IndexedDB');
    const request = indexedDB.open('edgeflow-' + name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore('entries');
    const base = await settled(request);
    base.onversionchange = () => base.close();
    return base;
    ''')


class IndexedStore:
    """host.port.KeyValueStore in IndexedDB. Large values are Blobs, so that a range is read without the whole."""

    def __init__(self, base: object) -> None:
        self._base = base

    async def get(self, key: str) -> Bytes | None:
        return await _read_blob(self._base, key, 0, None)

    async def get_range(self, key: str, start: int, end: int) -> Bytes | None:
        return await _read_blob(self._base, key, start, end)

    async def put(self, key: str, value: Bytes | HeldBody) -> None:
        await _put_blob(self._base, key, value)

    async def delete(self, key: str) -> None:
        await _delete_blob(self._base, key)

    async def delete_all(self, prefix: str) -> None:
        await _delete_blobs(self._base, prefix)

    async def keys(self, prefix: str) -> list[str]:
        return await _blob_keys(self._base, prefix)

    async def close(self) -> None:
        _close_base(self._base)


async def _read_blob(base: object, key: str, start: int, end: int | None) -> Bytes | None:
    __pragma__('js', r'''
    const blob = await transaction(base, 'readonly', entries => entries.get(key));
    if (blob === null) return null;
    if (!(blob instanceof Blob)) return blob.subarray(start, end ?? blob.length);
    try {
      return new Uint8Array(await blob.slice(start, end ?? blob.size).arrayBuffer());
    } catch (error) {
      // The browser has lost the file behind it: as good as absent.
      if (error.name === 'NotFoundError' || error.name === 'NotReadableError') return null;
      throw _storeFailure(error.message);
    }
    ''')


async def _put_blob(base: object, key: str, value: Bytes | HeldBody) -> None:
    __pragma__('js', r'''
    const kept = value instanceof Blob ? value : value.length < 65536 ? Uint8Array.from(value) : new Blob([value]);
    await transaction(base, 'readwrite', entries => entries.put(kept, key));
    ''')


async def _delete_blob(base: object, key: str) -> None:
    __pragma__('js', "await transaction(base, 'readwrite', entries => entries.delete(key));")


async def _delete_blobs(base: object, prefix: str) -> None:
    __pragma__('js', r'''
    const range = IDBKeyRange.bound(prefix, prefix + '\uffff');
    await transaction(base, 'readwrite', entries => entries.delete(range));
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
        return await _read_entry(self._open(), key, 0, None)

    async def get_range(self, key: str, start: int, end: int) -> Bytes | None:
        return await _read_entry(self._open(), key, start, end)

    async def put(self, key: str, value: Bytes | HeldBody) -> None:
        await _write_entry(self._open(), key, value)

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


async def _write_entry(folder: str, key: str, value: Bytes | HeldBody) -> None:
    __pragma__('js', r'''
    const bytes = value instanceof Blob ? new Uint8Array(await value.arrayBuffer()) : Uint8Array.from(value);
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
