"""WebAssembly in CPython through wasmtime. One engine for the process; code is compiled once (known by its SHA-256)."""

from __future__ import annotations

import hashlib
import threading
from typing import Any, cast

import wasmtime

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import WasmFeatures, WasmModule

PAGE = 65536

# Smallest modules that use an instruction of each proposal: i8x16.popcnt, i8x16.relaxed_swizzle.
SIMD_PROBE = bytes([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
])
RELAXED_PROBE = bytes([
    0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 15, 1, 13, 0, 65, 1, 253, 15, 65, 2, 253, 15,
    253, 128, 2, 11,
])

_lock = threading.Lock()
_engines: list[wasmtime.Engine] = []
_modules: dict[bytes, wasmtime.Module] = {}


def _engine() -> wasmtime.Engine:
    with _lock:
        if not _engines:
            config = wasmtime.Config()
            config.wasm_simd = True
            config.wasm_relaxed_simd = True
            config.cranelift_opt_level = 'speed'
            _engines.append(wasmtime.Engine(config))
        return _engines[0]


def _validates(code: bytes) -> bool:
    try:
        wasmtime.Module.validate(_engine(), code)
        return True
    except wasmtime.WasmtimeError:
        return False


def wasm_features() -> WasmFeatures:
    return WasmFeatures(simd=_validates(SIMD_PROBE), relaxed_simd=_validates(RELAXED_PROBE))


def _module(code: memoryview) -> wasmtime.Module:
    engine = _engine()
    key = hashlib.sha256(code).digest()
    with _lock:
        if key not in _modules:
            try:
                _modules[key] = wasmtime.Module(engine, bytes(code))
            except wasmtime.WasmtimeError as error:
                raise EdgeflowError('platform', f'this platform cannot compile the WebAssembly code: {error}') from None
        return _modules[key]


class _Instance:
    """host.port.WasmInstance."""

    def __init__(self, module: wasmtime.Module) -> None:
        self._store = wasmtime.Store(_engine())
        try:
            self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EdgeflowError('platform', f'the WebAssembly code does not start: {error}') from None
        memory = self._exports.get('memory')
        if not isinstance(memory, wasmtime.Memory):
            raise EdgeflowError('platform', 'the WebAssembly code must export its memory as "memory"')
        self._memory = memory
        self._more: dict[str, object] = {}
        self._map()

    async def add(self, module: WasmModule) -> None:
        try:
            more = wasmtime.Instance(self._store, cast(wasmtime.Module, module), [self._memory]).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EdgeflowError('platform', f'the second WebAssembly code does not start: {error}') from None
        self._more = dict(more.items())
        table = self._exports['__indirect_function_table']
        assert isinstance(table, wasmtime.Table)
        functions = [self._more['k_' + name] for name in self.added()]
        first = table.grow(self._store, len(functions), None)
        for i, function in enumerate(functions):
            table.set(self._store, first + i, function)
        self.call('add_kernels', [first, len(functions)])

    def added(self) -> list[str]:
        return [name.removeprefix('k_') for name in self._more if name.startswith('k_')]

    def _map(self) -> None:
        raw: Any = self._memory.get_buffer_ptr(self._store)
        raw.owner = self._store  # views keep the memory alive
        self._bytes = memoryview(raw).cast('B')

    def call(self, name: str, arguments: list[int]) -> int:
        function = self._exports.get(name)
        if not isinstance(function, wasmtime.Func):
            raise EdgeflowError('platform', f'the WebAssembly code has no function {name!r}', {'name': name})
        words = [(x + 0x80000000) % 0x100000000 - 0x80000000 for x in arguments]
        try:
            result = function(self._store, *words)
        except wasmtime.Trap as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise EdgeflowError('run-failed', f'{name} trapped: {reason}', {'name': name}) from None
        except wasmtime.WasmtimeError as error:
            raise EdgeflowError('platform', f'{name} cannot be called: {error}', {'name': name}) from None
        finally:
            if self._memory.data_len(self._store) != len(self._bytes):
                self._map()
        return 0 if result is None else result

    def global_value(self, name: str) -> int:
        value = self._exports.get(name)
        if not isinstance(value, wasmtime.Global):
            raise EdgeflowError('platform', f'the WebAssembly code has no global {name!r}', {'name': name})
        return value.value(self._store)

    def set_global(self, name: str, value: int) -> None:
        found = self._exports.get(name)
        assert isinstance(found, wasmtime.Global)
        found.set_value(self._store, value)

    def shared_memory(self) -> None:
        return None

    def memory_size(self) -> int:
        return len(self._bytes)

    def grow(self, size: int) -> None:
        pages = (size - len(self._bytes) + PAGE - 1) // PAGE
        if pages <= 0:
            return
        try:
            self._memory.grow(self._store, pages)
        except wasmtime.WasmtimeError:
            raise EdgeflowError(
                'out-of-memory', f'WebAssembly memory of {size} bytes was refused; it has {len(self._bytes)}',
                {'wanted': size, 'have': len(self._bytes)},
            ) from None
        self._map()

    def view(self, address: int, size: int) -> memoryview:
        if address < 0 or size < 0 or address + size > len(self._bytes):
            raise IndexError(f'bytes {address} to {address + size} are outside of {len(self._bytes)} bytes of memory')
        return self._bytes[address:address + size]


async def compile_wasm(code: memoryview) -> wasmtime.Module:
    return _module(code)


def isolated() -> bool:
    return False


async def start_wasm(module: WasmModule, memory: object | None = None) -> _Instance:
    return _Instance(cast(wasmtime.Module, module))


async def instantiate_wasm(code: memoryview) -> _Instance:
    return _Instance(_module(code))
