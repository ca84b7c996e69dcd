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

let constants = null, initial = null;

function prepareSha() {
  constants = new Int32Array(64);
  initial = new Int32Array(8);
  const bits = x => (x - Math.floor(x)) * 2 ** 32;
  for (let n = 2, found = 0; found < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) prime &&= n % d !== 0;
    if (!prime) continue;
    if (found < 8) initial[found] = bits(Math.sqrt(n));
    constants[found++] = bits(Math.cbrt(n));
  }
}

function shaBlocks(state, words, view, start, blocks) {
  let [a0, b0, c0, d0, e0, f0, g0, h0] = state;
  for (let block = 0; block < blocks; block++) {
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
}

class ShaState {
  constructor() {
    if (constants === null) prepareSha();
    this.state = initial.slice();
    this.words = new Int32Array(64);
    this.tail = new Uint8Array(128);
    this.filled = 0;
    this.size = 0;
  }

  add(data) {
    this.size += data.length;
    let start = 0;
    if (this.filled > 0) {
      start = Math.min(64 - this.filled, data.length);
      this.tail.set(data.subarray(0, start), this.filled);
      this.filled += start;
      if (this.filled < 64) return;
      shaBlocks(this.state, this.words, new DataView(this.tail.buffer), 0, 1);
      this.filled = 0;
    }
    const blocks = Math.floor((data.length - start) / 64);
    shaBlocks(this.state, this.words, new DataView(data.buffer, data.byteOffset, data.byteLength), start, blocks);
    this.filled = data.length - start - blocks * 64;
    this.tail.set(data.subarray(data.length - this.filled));
  }

  end() {
    const { tail, filled, size } = this, blocks = filled < 56 ? 1 : 2, view = new DataView(tail.buffer);
    tail.fill(0, filled);
    tail[filled] = 128;
    view.setUint32(blocks * 64 - 8, Math.floor(size / 2 ** 29));
    view.setUint32(blocks * 64 - 4, size * 8 % 2 ** 32);
    shaBlocks(this.state, this.words, view, 0, blocks);
    return Array.from(this.state, word => (word >>> 0).toString(16).padStart(8, '0')).join('');
  }
}

const users = new WeakMap();
''')


class Sha256:
    """host.port.Sha256."""

    def __init__(self) -> None:
        self._state: object = _new_state()

    def update(self, data: Bytes) -> None:
        _add(self._state, data)

    def hex(self) -> str:
        return _end(self._state)


def new_sha256() -> Sha256:
    return Sha256()


def _new_state() -> object:
    __pragma__('js', 'return new ShaState();')


def _add(state: object, data: Bytes) -> None:
    __pragma__('js', 'state.add(data);')


def _end(state: object) -> str:
    __pragma__('js', 'return state.end();')


def hold_memory(data: Bytes) -> None:
    __pragma__('js', 'users.set(data.buffer, (users.get(data.buffer) ?? 0) + 1);')


def drop_memory(data: Bytes) -> None:
    __pragma__('js', r'''
    const memory = data.buffer, left = users.get(memory) - 1;
    users.set(memory, left);
    if (left === 0) freeMemory(memory);
    ''')
