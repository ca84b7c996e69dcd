"""The compiled kernels: fetched and compiled once for a page, which hands them to its workers."""

from __future__ import annotations

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import compile_wasm, load_asset, start_task, start_wasm, touch_pages, wasm_features
from edgeflow.host.port import WasmInstance, WasmModule

# In a worker: what its page gave it.
_given: list[WasmModule] = []


async def kernel_module() -> WasmModule:
    """The best binary that the platform can run, compiled. 'platform' where WebAssembly lacks SIMD."""
    if len(_given) > 0:
        return _given[0]
    features = wasm_features()
    if not features.simd:
        raise EdgeflowError('platform', 'edgeflow needs WebAssembly with SIMD; this platform lacks it', {})
    name = 'edgeflow-relaxed.wasm' if features.relaxed_simd else 'edgeflow-simd.wasm'
    return await compile_wasm(await load_asset(name, env.wasm_location))


def use_kernels(module: WasmModule) -> None:
    """Take a module that another thread compiled, once and for all."""
    if len(_given) == 0:
        _given.append(module)


async def start_instance(memory: object | None = None) -> WasmInstance:
    """A fresh instance of the kernels, with memory of its own, or on the shared memory of another instance."""
    return await start_wasm(await kernel_module(), memory)


class Preparation:
    """An instance whose memory grows while a model's files come, so that loading need not wait for the system's pages."""

    def __init__(self) -> None:
        self._instance: WasmInstance | None = None
        self._starting: bool = False
        self._wanted: int = 0

    def expect(self, size: int) -> None:
        """So many bytes more will be needed. Nothing happens before this thread has the kernels."""
        self._wanted += size
        if self._instance is not None:
            self._grow(self._instance)
        elif not self._starting and len(_given) > 0:
            self._starting = True
            start_task(self._start)

    def take(self) -> WasmInstance | None:
        """The instance, if there is one."""
        instance = self._instance
        self._instance = None
        return instance

    async def _start(self) -> None:
        try:
            self._instance = await start_instance()
            self._grow(self._instance)
        except EdgeflowError:
            # Loading will meet it again, and tell.
            self._instance = None

    def _grow(self, instance: WasmInstance) -> None:
        start = instance.memory_size()
        instance.grow(self._wanted)
        touch_pages(instance.view(start, instance.memory_size() - start))
