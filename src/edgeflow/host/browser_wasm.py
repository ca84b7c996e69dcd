"""WebAssembly in browsers and Node. JS only. Code is compiled once for a page, instances have memories of their own.

On a cross-origin isolated page these memories are shared ones, so that an instance in another thread can work on the same. Shared
memory has to be imported, and our binaries bring their own: so the code is rewritten before it is compiled there.
"""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.browser_io import fetch, is_url, read_file, reads_files
from edgeflow.host.port import Bytes, WasmFeatures, WasmModule


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _index_error(message: str) -> IndexError:
    return IndexError(message)


def _features(simd: bool, relaxed_simd: bool) -> WasmFeatures:
    return WasmFeatures(simd, relaxed_simd)


# The addresses are written out in full for Vite and webpack, which look for exactly this form. The probes are the smallest
# modules that use an instruction of each proposal: i8x16.popcnt, i8x16.relaxed_swizzle.
__pragma__('js', r'''
import { partAddress, placed } from './browser_parts.js';
const ASSETS = {
  'edgeflow-simd.wasm': () => new URL('./edgeflow-simd.wasm', import.meta.url),
  'edgeflow-relaxed.wasm': () => new URL('./edgeflow-relaxed.wasm', import.meta.url),
};
const SIMD_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];
const RELAXED_PROBE = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
  253, 128, 2, 11,
];
const assets = new Map();
const modules = new WeakMap();
let features = null;

function validates(probe) {
  return typeof WebAssembly === 'object' && WebAssembly.validate(Uint8Array.from(probe));
}

function assetAddress(name, location) {
  if (location != null) return location + (/[/\\]$/.test(location) ? '' : '/') + name;
  try {
    return ASSETS[name] ? placed(ASSETS[name]()) : partAddress(name);
  } catch (error) {
    throw _fail('platform', `the address of ${name} is not known here; expected env.wasmLocation to name its folder`);
  }
}

const INITIAL_PAGES = 64, MOST_PAGES = 65536;

// The code with its memory, its own (section 5) or imported (section 2), replaced by an import of a shared one, which stands behind the
// types (section 1).
function withImportedMemory(code) {
  const parts = [], leb = n => n < 128 ? [n] : [n % 128 + 128, ...leb(n >>> 7)];
  let at = 8, least = 0;
  const number = () => {
    let n = 0, shift = 0;
    do {
      n |= (code[at] & 127) << shift;
      shift += 7;
    } while (code[at++] > 127);
    return n;
  };
  while (at < code.length) {
    const start = at, id = code[at++], size = number(), end = at + size;
    if (id === 2) {
      // What has no memory of its own imports another's, and nothing else.
      least = 1;
    } else if (id === 5) {
      at += 2;
      least = number();
    } else {
      parts.push(code.subarray(start, end));
    }
    at = end;
  }
  if (!least || least > INITIAL_PAGES) return code;
  const memory = [1, 3, 101, 110, 118, 6, 109, 101, 109, 111, 114, 121, 2, 3, ...leb(least), ...leb(MOST_PAGES)];
  parts.splice(1, 0, Uint8Array.from([2, memory.length, ...memory]));
  return new Blob([code.subarray(0, 8), ...parts]).arrayBuffer();
}

function refusal(what, error) {
  if (error instanceof RangeError) return _fail('out-of-memory', `${what}: memory was refused (${error.message})`);
  return _fail('platform', `${what}: ${error.message}`);
}
''')


def wasm_features() -> WasmFeatures:
    __pragma__('js', 'return features ??= _features(validates(SIMD_PROBE), validates(RELAXED_PROBE));')


async def load_asset(name: str, location: str | None) -> Bytes:
    """A file of dist/, fetched once for a page: from `location`, else from beside this module's own file."""
    __pragma__('js', r'''
    const address = assetAddress(name, location);
    if (!assets.has(address)) {
      const loading = _loadAsset(address);
      assets.set(address, loading);
      loading.catch(() => assets.delete(address));
    }
    return assets.get(address);
    ''')


async def _load_asset(address: str) -> Bytes:
    data = await _read_asset(address)
    if data is None:
        raise EdgeflowError('file-missing', f'{address} is not there; env.wasm_location can name its folder', {'url': address})
    # Servers of single-page applications answer a missing file with their page and status 200.
    if address.endswith('.wasm') and (len(data) < 4 or data[0] != 0 or data[1] != 0x61):
        raise EdgeflowError(
            'file-missing', f'{address}: expected WebAssembly, got something else; env.wasm_location can name its folder',
            {'url': address},
        )
    return data


async def _read_asset(address: str) -> Bytes | None:
    if reads_files() and not is_url(address):
        return await read_file(address)
    response = await fetch(address, {}, None)
    if response.status < 200 or response.status > 299:
        await response.cancel()
        return None
    return await response.body()


async def compile_wasm(code: Bytes) -> WasmModule:
    """The compiled code, which can be posted to workers of this page."""
    __pragma__('js', r'''
    const compile = async () => WebAssembly.compile(isolated() ? await withImportedMemory(code) : code);
    if (!modules.has(code)) modules.set(code, compile());
    try {
      return await modules.get(code);
    } catch (error) {
      throw refusal('the WebAssembly code does not compile', error);
    }
    ''')


def isolated() -> bool:
    __pragma__('js', 'return globalThis.crossOriginIsolated === true;')


async def start_wasm(module: WasmModule, memory: object | None = None) -> Instance:
    return Instance(await _instance(module, memory))


async def instantiate_wasm(code: Bytes) -> Instance:
    return await start_wasm(await compile_wasm(code))


async def _instance(module: WasmModule, memory: object | None) -> object:
    __pragma__('js', r'''
    let instance;
    try {
      const shared = WebAssembly.Module.imports(module)[0]?.name === 'memory';
      if (shared) memory ??= new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum: MOST_PAGES, shared });
      instance = await WebAssembly.instantiate(module, shared ? { env: { memory } } : {});
    } catch (error) {
      throw refusal('the WebAssembly code does not start', error);
    }
    if (!(instance.exports.memory instanceof WebAssembly.Memory)) {
      throw _fail('platform', 'the WebAssembly code must export its memory as "memory"');
    }
    return instance.exports;
    ''')


async def _added(exports: object, module: WasmModule) -> object:
    __pragma__('js', r'''
    try {
      const more = (await WebAssembly.instantiate(module, { env: { memory: exports.memory } })).exports;
      const table = exports.__indirect_function_table, names = _kernels(more), first = table.grow(names.length);
      names.forEach((name, i) => table.set(first + i, more['k_' + name]));
      exports.add_kernels(first, names.length);
      return more;
    } catch (error) {
      throw refusal('the second WebAssembly code does not start', error);
    }
    ''')


def _kernels(more: object) -> list[str]:
    __pragma__('js', "return Object.keys(more).filter(name => name.startsWith('k_')).map(name => name.slice(2));")


class Instance:
    """host.port.WasmInstance."""

    def __init__(self, exports: object) -> None:
        self._exports = exports
        # What add() has added.
        self._more: object | None = None

    def call(self, name: str, arguments: list[int]) -> int:
        return _call(self._exports, name, arguments)

    def global_value(self, name: str) -> int:
        return _global_value(self._exports, name)

    def set_global(self, name: str, value: int) -> None:
        _set_global(self._exports, name, value)

    async def add(self, module: WasmModule) -> None:
        self._more = await _added(self._exports, module)

    def added(self) -> list[str]:
        return [] if self._more is None else _kernels(self._more)

    def shared_memory(self) -> object | None:
        return _shared_memory(self._exports)

    def memory_size(self) -> int:
        return _memory_size(self._exports)

    def grow(self, size: int) -> None:
        _grow(self._exports, size)

    def view(self, address: int, size: int) -> Bytes:
        return _view(self._exports, address, size)


def _call(exports: object, name: str, words: list[int]) -> int:
    __pragma__('js', r'''
    const run = exports[name];
    if (typeof run !== 'function') throw _fail('platform', `the WebAssembly code has no function '${name}'`);
    try {
      return run(...words) ?? 0;
    } catch (error) {
      // Too deep a recursion is a RangeError in V8 and JavaScriptCore, an InternalError in SpiderMonkey.
      if (error instanceof WebAssembly.RuntimeError || error instanceof RangeError || error.name === 'InternalError') {
        throw _fail('run-failed', `${name} trapped: ${error.message}`);
      }
      throw error;
    }
    ''')


def _global_value(exports: object, name: str) -> int:
    __pragma__('js', r'''
    const found = exports[name];
    if (!(found instanceof WebAssembly.Global)) throw _fail('platform', `the WebAssembly code has no global '${name}'`);
    return found.value;
    ''')


def _set_global(exports: object, name: str, value: int) -> None:
    __pragma__('js', 'exports[name].value = value;')


def _shared_memory(exports: object) -> object | None:
    __pragma__('js', 'return exports.memory.buffer instanceof ArrayBuffer ? null : exports.memory;')


def _memory_size(exports: object) -> int:
    __pragma__('js', 'return exports.memory.buffer.byteLength;')


def _grow(exports: object, size: int) -> None:
    __pragma__('js', r'''
    const memory = exports.memory, have = memory.buffer.byteLength, pages = Math.ceil((size - have) / 65536);
    if (pages <= 0) return;
    try {
      memory.grow(pages);
    } catch (error) {
      throw _fail('out-of-memory', `WebAssembly memory of ${size} bytes was refused; it has ${have}`);
    }
    ''')


def _view(exports: object, address: int, size: int) -> Bytes:
    __pragma__('js', r'''
    const buffer = exports.memory.buffer;
    if (!(address >= 0 && size >= 0 && address + size <= buffer.byteLength)) {
      throw _indexError(`bytes ${address} to ${address + size} are outside of ${buffer.byteLength} bytes of memory`);
    }
    return new Uint8Array(buffer, address, size);
    ''')
