"""Run one WASM kernel in wasmtime on numpy arrays: `Kernels(path).run('softmax_f32', x, Out(x.shape), 1, 8, 1)`.

An argument word is an int (itself), a numpy array (its address, in memory aligned to no more than its elements need), Out (the address
of a result), At (an input, some bytes in), InOut (an array that the kernel changes; the same object twice is one address), Scratch (the address of so many bytes, aligned to 16), None (0), or real(x).
Around every array lie guard bytes that are NaN as float32: writing past an array fails the run, and what is read past one spoils it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import wasmtime

from toolchain.wasm import BASE_ADDRESS

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ['simd', 'relaxed']
GUARD = 64
GUARD_BYTE = 0xFF


@dataclass
class Out:
    """A result: filled with guard bytes before the run, so that what is not written shows."""

    shape: tuple[int, ...] | int
    dtype: object = np.float32
    aligned: bool = False


@dataclass
class InOut:
    array: np.ndarray


@dataclass
class At:
    """The address of an input plus `offset` bytes."""

    array: np.ndarray
    offset: int


@dataclass
class Scratch:
    size: int


def real(x: float) -> int:
    """The 32 bits of x as float32."""
    return struct.unpack('<i', struct.pack('<f', x))[0]


class KernelFailed(Exception):
    """run_tape gave a code: (step << 8 | error)."""

    def __init__(self, code: int) -> None:
        super().__init__(f'step {code >> 8}, error {code & 255}')
        self.error = code & 255


class Kernels:
    """One binary, instantiated. Every run starts with the heap empty."""

    def __init__(self, path: Path) -> None:
        config = wasmtime.Config()
        config.wasm_relaxed_simd = True
        engine = wasmtime.Engine(config)
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, wasmtime.Module.from_file(engine, str(path)), []).exports(self._store)
        self._memory = exports['memory']
        self._run = exports['run_tape']
        self._heap = exports['__heap_base'].value(self._store)
        self.numbers: dict[str, int] = {}
        at = exports['kernel_names'](self._store)
        data = bytes(self._memory.read(self._store, at, at + 65536))
        while data[0]:
            name, data = data.split(b'\0', 1)
            self.numbers[name.decode()] = len(self.numbers)
        self._add(engine, exports, path.with_name(path.name.replace('edgeflow-', 'edgeflow-more-')))

    def _add(self, engine: wasmtime.Engine, exports: object, path: Path) -> None:
        """The kernels of the second binary, as host.cpython_wasm adds them."""
        more = wasmtime.Instance(self._store, wasmtime.Module.from_file(engine, str(path)), [self._memory]).exports(self._store)
        assert more['__heap_base'].value(self._store) <= BASE_ADDRESS, 'its data and stack lie below those of the first binary'
        functions = {name: function for name, function in more.items() if name.startswith('k_')}
        first = exports['__indirect_function_table'].grow(self._store, len(functions), None)
        for i, (name, function) in enumerate(functions.items()):
            exports['__indirect_function_table'].set(self._store, first + i, function)
            self.numbers[name.removeprefix('k_')] = len(self.numbers)
        exports['add_kernels'](self._store, first, len(functions))

    def _bytes(self, size: int) -> np.ndarray:
        """The first `size` bytes of memory, grown if need be."""
        missing = size - self._memory.data_len(self._store)
        if missing > 0:
            self._memory.grow(self._store, -(-missing // 65536))
        pointer = ctypes.cast(self._memory.data_ptr(self._store), ctypes.POINTER(ctypes.c_ubyte))
        return np.ctypeslib.as_array(pointer, (self._memory.data_len(self._store),))

    def run(self, name: str, *arguments: object) -> list[np.ndarray]:
        """The results (Out and InOut) in the order of the arguments."""
        top = (self._heap + 63) // 64 * 64
        words: list[int] = []
        pieces: list[tuple[int, np.ndarray, bool]] = []
        places: dict[int, int] = {}
        for argument in arguments:
            if argument is None:
                words.append(0)
                continue
            if isinstance(argument, (int, np.integer)):
                words.append(int(argument))
                continue
            if id(argument) in places:
                words.append(places[id(argument)])
                continue
            aligned = True
            offset = 0
            if isinstance(argument, At):
                array, offset = argument.array, argument.offset
            elif isinstance(argument, Out):
                array, aligned = np.full(argument.shape, 0, argument.dtype), argument.aligned
                array.reshape(-1).view(np.uint8)[...] = GUARD_BYTE
            elif isinstance(argument, Scratch):
                array = np.full(argument.size, GUARD_BYTE, np.uint8)
            elif isinstance(argument, InOut):
                array, aligned = argument.array, False
            else:
                array, aligned = argument, getattr(argument, 'aligned', False)
            address = top + GUARD + (0 if aligned else array.itemsize)
            words.append(address + offset)
            places[id(argument)] = address
            pieces.append((address, np.ascontiguousarray(array).reshape(array.shape), isinstance(argument, (Out, InOut))))
            top = (address + array.nbytes + GUARD + 63) // 64 * 64
        tape = np.array([self.numbers[name], len(words), *words], np.int64).astype(np.int32)
        memory = self._bytes(top + tape.nbytes)
        start = (self._heap + 63) // 64 * 64
        memory[start:top] = GUARD_BYTE
        for address, array, _ in pieces:
            memory[address : address + array.nbytes] = array.reshape(-1).view(np.uint8)
        memory[top : top + tape.nbytes] = tape.view(np.uint8)
        code = self._run(self._store, top, tape.size)
        if code:
            raise KernelFailed(code)
        results = []
        for address, array, wanted in pieces:
            end = address + array.nbytes
            assert (memory[address - GUARD : address] == GUARD_BYTE).all(), f'{name} wrote before an array'
            assert (memory[end : end + GUARD] == GUARD_BYTE).all(), f'{name} wrote past an array'
            if wanted:
                results.append(memory[address:end].copy().view(array.dtype).reshape(array.shape))
            else:
                changed = memory[address:end] != array.reshape(-1).view(np.uint8)
                assert array.dtype == np.uint8 or not changed.any(), f'{name} changed an input'
        return results


class Packed(np.ndarray):
    """Packed weights: an array that is put at an address aligned to 64 bytes."""

    aligned = True


@functools.cache
def kernels(variant: str) -> Kernels:
    """The binary of dist/, built anew if its sources changed. EDGEFLOW_WASM: another folder to take it from, as it is."""
    folder = os.environ.get('EDGEFLOW_WASM')
    if folder is None:
        from toolchain.wasm import build_wasm

        build_wasm()
        folder = str(ROOT / 'dist')
    return Kernels(Path(folder) / f'edgeflow-{variant}.wasm')
