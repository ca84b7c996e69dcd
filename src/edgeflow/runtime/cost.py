"""How long a model will take on a device, roughly: which one 'auto' chooses, and where 'fastest' begins.

What counts is what the products and convolutions with weights compute for one input of ordinary size. The rates are those of ordinary
machines, not of this one; who needs to know takes 'fastest'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from edgeflow.host.port import Machine
from edgeflow.ir.graph import Graph, Node, ValueInfo
from edgeflow.runtime.opening import ModelFiles

# The sizes of inputs whose dims are symbols: tokens, samples of sound, frames of a spectrum, the side of an image.
TOKENS = 64
SAMPLES = 16000
FRAMES = 1000
SIDE = 224

CONVOLUTIONS = ['Conv', 'ConvInteger', 'QLinearConv', 'ConvTranspose']
# Their results have no positions: sizes, and means over all of them.
SMALL = ['Shape', 'Size', 'GlobalAveragePool', 'GlobalMaxPool']
# Their input of tables has no positions that count.
LOOKUPS = ['Gather', 'GatherBlockQuantized']


@dataclass(frozen=True)
class Rate:
    """fixed: ms of a run whatever it computes. node: ms for each node of the graph. flops: of a ms, bytes: of weights read in a ms."""

    fixed: float
    node: float
    flops: float
    bytes: float


# Of one core; a run is shared by up to four.
CORE = Rate(0.1, 0.0003, 25e6, 8e6)
MOST_CORES = 4
# Integrated GPUs as they have been for some years; a run ends with a read-back. What a node costs is the processor's time to submit what becomes of it:
# 0.3 ms for the 689 nodes of all-MiniLM-L6-v2 (bench/gpu-node.json), and less for a decoder's, of which more are fused.
GPU = Rate(1.5, 0.0005, 300e6, 30e6)


async def work_of(files: ModelFiles) -> list[float]:
    """[floating-point operations, bytes of weights, nodes] of a run of the model; of a decoder, of one token's."""
    from edgeflow.runtime.loading import read_graph
    return count_work(await read_graph(files))


def count_work(graph: Graph) -> list[float]:
    """work_of() a graph as it was read."""
    decodes = False
    for info in graph.inputs:
        decodes = decodes or info.name.startswith('past')
    positions: dict[str, float] = {}
    for info in graph.inputs:
        positions[info.name] = 1.0 if decodes else positions_of(info)
    size = 0.0
    for tensor in graph.initializers.values():
        size = size + tensor.size()
    flops = [0.0, 0.0]
    add_nodes(graph, positions, flops)
    return [flops[0], size, flops[1]]


def positions_of(info: ValueInfo) -> float:
    """How many positions an input has: tokens, samples, frames or pixels."""
    dims = info.shape
    if dims is None or len(dims) < 2:
        return 1.0
    symbol = SIDE
    spatial = dims[2:]
    if len(dims) == 2:
        symbol = SAMPLES if info.dtype.startswith('float') else TOKENS
        spatial = dims[1:]
    elif len(dims) == 3:
        symbol = FRAMES
    count = 1.0
    for dim in spatial:
        count = count * (symbol if isinstance(dim, str) else dim)
    return count


def add_nodes(graph: Graph, positions: dict[str, float], sums: list[float]) -> None:
    """Add operations and nodes to `sums`; positions: of the values so far."""
    for node in graph.nodes:
        sums[1] = sums[1] + 1
        count = 1.0
        weights = 0.0
        for i in range(len(node.inputs)):
            name = node.inputs[i]
            tensor = graph.initializers.get(name)
            if tensor is None and not (i == 0 and node.op in LOOKUPS):
                count = max(count, positions.get(name, 1.0))
            elif tensor is not None and len(tensor.shape) > 1 and i > 0:
                weights = max(weights, elements(tensor.shape))
        count = count / strides_of(node)
        if node.op in SMALL:
            count = 1.0
        bits = node.attributes.get('K')
        if bits is not None:
            weights = cast(float, bits) * cast(float, node.attributes.get('N', 0))
        if node.op in CONVOLUTIONS or 'MatMul' in node.op or node.op == 'Gemm':
            sums[0] = sums[0] + 2 * weights * count
        for value in node.attributes.values():
            if isinstance(value, Graph):
                inner: Graph = value
                add_nodes(inner, dict(positions), sums)
        for name in node.outputs:
            positions[name] = count


def elements(shape: list[int]) -> float:
    count = 1.0
    for dim in shape:
        count = count * dim
    return count


def strides_of(node: Node) -> float:
    """By how much a convolution or pooling makes the positions fewer."""
    if node.op not in CONVOLUTIONS and 'Pool' not in node.op:
        return 1.0
    found = elements(cast('list[int]', node.attributes.get('strides', [])))
    return 1 / found if node.op == 'ConvTranspose' else found


def cost(device: str, work: list[float], here: Machine) -> float:
    """ms of a run."""
    cores = 1
    rate = GPU
    if device == 'wasm':
        rate = CORE
        cores = max(1, min(MOST_CORES, here.cores))
    return rate.fixed + rate.node * work[2] + max(work[0] / (rate.flops * cores), work[1] / (rate.bytes * min(cores, 2)))


def by_cost(devices: list[str], work: list[float], here: Machine) -> list[str]:
    """The devices, the one that is likely to be the fastest first."""
    return sorted(devices, key=lambda device: cost(device, work, here))
