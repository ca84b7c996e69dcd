"""The compiled kernels: fetched and compiled once for a page, which hands them to its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.backends.wasm.memory import first_address
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    compile_wasm, copy_bytes, load_asset, new_deferred, start_task, start_wasm, wasm_features,
)
from edgeflow.host.port import Bytes, Deferred, WasmInstance, WasmModule
from edgeflow.onnx.pieces import joined_size

@dataclass(frozen=True)
class Image:
    """An .onnx file in the memory of a fresh instance: `size` bytes from `address`, which is where its heap begins."""

    instance: WasmInstance
    address: int
    size: int


# In a worker: what its page gave it.
_given: list[WasmModule] = []


async def kernel_module(more: bool = False) -> WasmModule:
    """The best binary that the platform can run, compiled. more: the large one. 'platform' where WebAssembly lacks SIMD."""
    if len(_given) > 0 and not more:
        return _given[0]
    features = wasm_features()
    if not features.simd:
        raise EdgeflowError('platform', 'edgeflow needs WebAssembly with SIMD; this platform lacks it', {})
    name = ('more-' if more else '') + ('relaxed' if features.relaxed_simd else 'simd')
    return await compile_wasm(await load_asset(f'edgeflow-{name}.wasm', env.wasm_location))


def use_kernels(module: WasmModule) -> None:
    """Take a module that another thread compiled, once and for all."""
    if len(_given) == 0:
        _given.append(module)


async def start_instance(memory: object | None = None, more: bool = False) -> WasmInstance:
    """A fresh instance of the kernels, with memory of its own, or on the shared memory of another instance. more: of the large binary."""
    return await start_wasm(await kernel_module(more), memory)


class Preparation:
    """An instance into whose memory the .onnx file comes as it arrives: there its weights are packed, and many stay where they are."""

    def __init__(self, spent: Callable[[Bytes], None]) -> None:
        """spent: is given the memory of what was copied."""
        self._spent: Callable[[Bytes], None] = spent
        self._instance: WasmInstance | None = None
        self._starting: Deferred | None = None
        self._pieces: dict[int, Bytes] = {}
        self._sizes: dict[int, int] = {}
        self._failure: Exception | None = None

    def receive(self, start: int, data: Bytes) -> None:
        """A piece of the file, whose memory is given up; in any order."""
        self._sizes[start] = len(data)
        if self._instance is not None:
            self._store(self._instance, start, data)
            return
        self._pieces[start] = data
        if self._starting is None and len(_given) > 0:
            self._starting = new_deferred()
            start_task(self._start)

    def reset(self) -> None:
        """What came was of another version."""
        self._pieces = {}
        self._sizes = {}

    async def image(self) -> Image:
        """The file, which is here. EdgeflowErrors: those of start_instance(), and 'out-of-memory'."""
        if self._starting is None:
            self._starting = new_deferred()
            await self._start()
        else:
            await self._starting.result()
        instance = self._instance
        if self._failure is not None or instance is None:
            raise self._failure if self._failure is not None else EdgeflowError('internal', 'no instance was started', {})
        return Image(instance, first_address(instance), joined_size(self._sizes))

    async def _start(self) -> None:
        try:
            instance = await start_instance()
            self._instance = instance
            pieces = self._pieces
            self._pieces = {}
            for start in pieces:
                self._store(instance, start, pieces[start])
        except EdgeflowError as error:
            self._failure = error
        if self._starting is not None:
            self._starting.resolve(None)

    def _store(self, instance: WasmInstance, start: int, data: Bytes) -> None:
        if self._failure is not None:
            return
        try:
            address = first_address(instance) + start
            instance.grow(address + len(data))
            copy_bytes(instance.view(address, len(data)), 0, data)
            self._spent(data)
        except EdgeflowError as error:
            self._failure = error
