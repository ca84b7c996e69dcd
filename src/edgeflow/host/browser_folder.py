"""Byte strings kept between runs in a folder: Node's side of browser_store. JS only."""

from __future__ import annotations

from edgeflow.host.browser_files import store_failure
from edgeflow.host.port import AbortSignal, Bytes


async def open_folder(name: str) -> FolderStore:
    """The store of this name in the user's cache folder."""
    return FolderStore(await _make_folder(name))


__pragma__('js', r'''
import { nodeModule } from './browser_io.js';
''')


async def _make_folder(name: str) -> str:
    __pragma__('js', r'''
    const env = process.env, path = nodeModule('path');
    const root = env.EDGEFLOW_CACHE || path.join(env.XDG_CACHE_HOME || path.join(nodeModule('os').homedir(), '.cache'), 'edgeflow');
    const folder = path.join(root, name);
    try {
      await nodeModule('fs').promises.mkdir(folder, { recursive: true });
    } catch (error) {
      throw storeFailure(error.message);
    }
    return folder;
    ''')


class FolderStore:
    """host.port.KeyValueStore in a folder: a file for each value, named by the key's SHA-256; it begins with the key itself."""

    def __init__(self, folder: str) -> None:
        self._folder: str | None = folder

    def _open(self) -> str:
        if self._folder is None:
            raise store_failure('it was closed')
        return self._folder

    async def get(self, key: str) -> Bytes | None:
        return await _read_entry(self._open(), key)

    async def place(self, key: str) -> object | None:
        return None

    async def put(self, key: str, value: Bytes) -> None:
        await _write_entry(self._open(), key, value)

    async def fetch(self, url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> None:
        return None

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
    throw storeFailure(error.message);
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
      throw storeFailure(error.message, error.code);
    }
    ''')


async def _delete_entry(folder: str, key: str) -> None:
    __pragma__('js', r'''
    try {
      await nodeModule('fs').promises.rm(entryPath(folder, key), { force: true });
    } catch (error) {
      throw storeFailure(error.message);
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
