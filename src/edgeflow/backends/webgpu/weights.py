"""Which initializers of a model lie on the GPU, and how they come there.

Those that a node with a GPU lowering reads are written to it while the model is loaded, and are not in WASM memory at all; small ones
are there too, since plans read their elements. What the WASM steps of a plan need of them after all comes back (executable.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgeflow.backends.wasm.machine import WasmMachine
from edgeflow.backends.wasm.weights import check_data
from edgeflow.backends.webgpu.builder import BYTES, KINDS, ROUND
from edgeflow.backends.webgpu.device import Gpu
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.backends.webgpu.memory import GpuMemory
from edgeflow.host.gpu import narrowed
from edgeflow.host.port import Bytes
from edgeflow.ir.dtype import PACKED_BITS
from edgeflow.ir.graph import Graph, TensorData
from edgeflow.plan.planner import initializer_key, memory_dtype, scope_key

KEPT = 4096


@dataclass(frozen=True)
class _Source:
    """An initializer: in the graph `owner` by `name`."""

    owner: Graph
    name: str
    key: str


def gpu_read(graph: Graph) -> list[_Source]:
    """The initializers that nodes with a GPU lowering read, those of subgraphs too."""
    found: dict[str, _Source] = {}
    _collect(graph, [''], [graph], found)
    return list(found.values())


def _collect(graph: Graph, scopes: list[str], graphs: list[Graph], found: dict[str, _Source]) -> None:
    for node in graph.nodes:
        if node.key() in GPU_LOWERINGS:
            for name in node.inputs:
                for i in range(len(graphs) - 1, -1, -1):
                    if name in graphs[i].initializers:
                        key = initializer_key(scopes[i], name)
                        found[key] = _Source(graphs[i], name, key)
                        break
        for attribute in node.attributes:
            inner = node.attributes[attribute]
            if isinstance(inner, Graph):
                _collect(inner, scopes + [scope_key(scopes[-1], node, attribute)], graphs + [inner], found)


def load_weights(graph: Graph, wasm: WasmMachine, gpu: Gpu, memory: GpuMemory) -> Iterator[set[str]]:
    """Write weights to the GPU, with a halt after each; yields the keys of those that are there so far.

    wasm: has the file in its memory, perhaps, and widens types that the GPU lacks.
    """
    there: set[str] = set()
    for source in gpu_read(graph):
        data = source.owner.initializers[source.name]
        check_data(data, source.name)
        dtype = memory_dtype(data.dtype)
        if data.size() <= KEPT or (dtype not in KINDS and dtype not in BYTES):
            continue
        half = data.dtype == 'float16' and gpu.features.f16
        plain = data.dtype == dtype and dtype not in PACKED_BITS
        content = content_of(data) if half or plain else widened_data(wasm, data)
        words = content if half or dtype in BYTES else narrowed(dtype, content)
        if words is None or len(words) > gpu.device.limit('maxBufferSize'):
            continue
        size = (len(words) + ROUND - 1) // ROUND * ROUND
        gpu.device.write(memory.add_weight(source.key, size), 0, words)
        if half:
            memory.halves.add(source.key)
        there.add(source.key)
        wasm.end_plan(set())
        yield there
    yield there


def content_of(data: TensorData) -> Bytes:
    """The tensor's bytes where they lie, if they lie in one piece."""
    stored = data.stored
    return data.whole() if stored is None else stored.memory.view(stored.address, stored.length)


def widened_data(wasm: WasmMachine, data: TensorData) -> Bytes:
    """The elements in the dtype that memory holds; a view, valid until the next."""
    wasm.begin_plan()
    return wasm.engine.read_bytes(wasm.value_of(data))
