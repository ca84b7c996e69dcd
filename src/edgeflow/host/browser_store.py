"""Byte strings kept between visits in IndexedDB, large ones in files beside it; Node has browser_folder. JS only."""

from __future__ import annotations

from edgeflow.host.browser_files import StoredResponse, fetch_into
from edgeflow.host.browser_io import reads_files
from edgeflow.host.port import AbortSignal, Bytes, KeyValueStore, StoredPiece


async def open_store(name: str) -> KeyValueStore:
    if reads_files():
        from edgeflow.host.browser_folder import open_folder
        return await open_folder(name)
    return IndexedStore(await _open_database(name))


__pragma__('js', r'''
import { change, filesOf, readFile, storeFailure, transaction } from './browser_files.js';

function settled(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(storeFailure(String(request.error?.message ?? request.error)));
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
      throw storeFailure(error.message);
    }
    request.onupgradeneeded = () => request.result.createObjectStore('entries');
    const base = await settled(request);
    base.onversionchange = () => base.close();
    return base;
    ''')


class IndexedStore:
    """host.port.KeyValueStore in IndexedDB. What its own thread fetched are files, what put() stores values of its own or Blobs."""

    def __init__(self, base: object) -> None:
        self._base = base

    async def get(self, key: str) -> Bytes | None:
        return await _read_value(self._base, key)

    async def place(self, key: str) -> object | None:
        return await _place_of(self._base, key)

    async def put(self, key: str, value: Bytes) -> None:
        await _put(self._base, key, value)

    async def fetch(self, url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> StoredResponse | None:
        return await fetch_into(self._base, url, headers, signal, cache)

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
    return readFile(base, value);
    ''')


async def _place_of(base: object, key: str) -> object | None:
    __pragma__('js', r'''
    const value = await transaction(base, 'readonly', entries => entries.get(key));
    return typeof value === 'string' ? [base.name, value] : null;
    ''')


async def open_place(place: object, size: int) -> StoredPiece | None:
    # Only workers have such handles; another tab may have one for itself alone.
    __pragma__('js', r'''
    try {
      const file = await (await (await filesOf(place[0])).getFileHandle(place[1])).createSyncAccessHandle({ mode: 'read-only' });
      if (file.getSize() === size) return file;
      file.close();
    } catch {}
    return null;
    ''')


async def _put(base: object, key: str, value: Bytes) -> None:
    __pragma__('js', r'''
    const kept = value.length < 65536 ? Uint8Array.from(value) : new Blob([value]);
    await change(base, key, entries => entries.put(kept, key));
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
