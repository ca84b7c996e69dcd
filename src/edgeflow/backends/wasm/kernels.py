"""The compiled kernels: fetched and compiled once for a page, which hands them to its workers."""

from __future__ import annotations

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import compile_wasm, load_asset, start_wasm, wasm_features
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
