"""What downloading needs of browsers and Node beside network and store: locks, room, digests, memory given back. JS only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortSignal, Bytes


def _cancelled() -> EdgeflowError:
    return EdgeflowError('aborted', 'waiting for another download of the same file was cancelled through its signal')


def epoch_ms() -> float:
    __pragma__('js', 'return Date.now();')


def free_headers(url: str) -> bool:
    __pragma__('js', r'''
    const base = globalThis.document?.baseURI ?? globalThis.location?.href;
    return !base || new URL(url, base).origin === location.origin;
    ''')


async def storage_room() -> list[int | None]:
    __pragma__('js', r'''
    const { usage = null, quota = null } = await globalThis.navigator?.storage?.estimate?.().catch(() => ({})) ?? {};
    return [usage, quota];
    ''')


async def persist_storage() -> bool:
    __pragma__('js', r'''
    const storage = globalThis.navigator?.storage;
    return globalThis.document === undefined && storage === undefined ? true : await storage?.persist?.() ?? false;
    ''')


async def with_lock(name: str, signal: AbortSignal | None, work: Callable[[], Awaitable[object]]) -> object:
    __pragma__('js', r'''
    const locks = globalThis.document === undefined && globalThis.process?.versions?.node ? null : globalThis.navigator?.locks;
    if (!locks) return work();
    let began = false;
    try {
      return await locks.request(name, signal ? { signal } : {}, () => {
        began = true;
        return work();
      });
    } catch (error) {
      if (began) throw error;
      if (signal?.aborted) throw _cancelled();
      return work();
    }
    ''')


# FIPS 180-4, section 6.2. WebCrypto has no digest in parts. The constants are the first 32 bits of the fractional parts of
# square and cube roots of primes (sections 4.2.2, 5.3.3).
__pragma__('js', r'''
import { freeMemory } from './browser_io.js';

// The next bytes of what newSha() has begun. It refers to nothing outside: its source goes to the worker that has the bytes.
export function hashPart(sha, data) {
  const { state, constants, words, tail } = sha;
  const blocks = (view, start, count) => {
    let [a0, b0, c0, d0, e0, f0, g0, h0] = state;
    for (let block = 0; block < count; block++) {
      for (let i = 0; i < 16; i++) words[i] = view.getInt32(start + block * 64 + i * 4);
      for (let i = 16; i < 64; i++) {
        const x = words[i - 15], y = words[i - 2];
        words[i] = words[i - 16] + words[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
          + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10) | 0;
      }
      let a = a0, b = b0, c = c0, d = d0, e = e0, f = f0, g = g0, h = h0;
      for (let i = 0; i < 64; i++) {
        const t = h + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7)) + (g ^ e & (f ^ g)) + constants[i] + words[i] | 0;
        const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ c & (a ^ b)) | 0;
        h = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
      }
      a0 = a0 + a | 0; b0 = b0 + b | 0; c0 = c0 + c | 0; d0 = d0 + d | 0; e0 = e0 + e | 0; f0 = f0 + f | 0; g0 = g0 + g | 0; h0 = h0 + h | 0;
    }
    state.set([a0, b0, c0, d0, e0, f0, g0, h0]);
  };
  const filled = sha.size % 64, start = filled && Math.min(64 - filled, data.length);
  sha.size += data.length;
  if (filled) {
    tail.set(data.subarray(0, start), filled);
    if (filled + start < 64) return;
    blocks(new DataView(tail.buffer), 0, 1);
  }
  const count = Math.floor((data.length - start) / 64);
  blocks(new DataView(data.buffer, data.byteOffset, data.byteLength), start, count);
  tail.set(data.subarray(start + count * 64));
}

// A plain record, so that it can go to another thread and come back.
function newSha() {
  const sha = { state: new Int32Array(8), constants: new Int32Array(64), words: new Int32Array(64), tail: new Uint8Array(64), size: 0 };
  const bits = x => (x - Math.floor(x)) * 2 ** 32;
  for (let n = 2, found = 0; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) prime &&= n % d !== 0;
    if (!prime) continue;
    if (found < 8) sha.state[found] = bits(Math.sqrt(n));
    sha.constants[found++] = bits(Math.cbrt(n));
  }
  return sha;
}

const users = new WeakMap();
''')


class Sha256:
    """host.port.Sha256."""

    def __init__(self) -> None:
        self.record: object = _new_record()

    def update(self, data: Bytes) -> None:
        _add(self.record, data)

    def hex(self) -> str:
        return _end(self.record)


def new_sha256() -> Sha256:
    return Sha256()


def _new_record() -> object:
    __pragma__('js', 'return newSha();')


def _add(record: object, data: Bytes) -> None:
    __pragma__('js', 'hashPart(record, data);')


def _end(record: object) -> str:
    __pragma__('js', r'''
    const filled = record.size % 64, tail = new Uint8Array((filled < 56 ? 64 : 128) - filled), view = new DataView(tail.buffer);
    tail[0] = 128;
    view.setUint32(tail.length - 8, Math.floor(record.size / 2 ** 29));
    view.setUint32(tail.length - 4, record.size * 8 % 2 ** 32);
    hashPart(record, tail);
    return Array.from(record.state, word => (word >>> 0).toString(16).padStart(8, '0')).join('');
    ''')


def hold_memory(data: Bytes) -> None:
    __pragma__('js', 'users.set(data.buffer, (users.get(data.buffer) ?? 0) + 1);')


def drop_memory(data: Bytes) -> None:
    __pragma__('js', r'''
    const memory = data.buffer, left = users.get(memory) - 1;
    users.set(memory, left);
    if (left === 0) freeMemory(memory);
    ''')
