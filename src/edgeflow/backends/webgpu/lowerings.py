"""The lowerings of the WebGPU backend by Node.key(): those that every graph may need, and which graphs need those of other parts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.backends.ahead import start_ahead
from edgeflow.backends.wasm.lowerings import VISION_OPS, merged
from edgeflow.backends.webgpu.builder import GpuLowering
from edgeflow.backends.webgpu.lower_attention import ATTENTION_LOWERINGS
from edgeflow.backends.webgpu.lower_dense import DENSE_LOWERINGS
from edgeflow.backends.webgpu.lower_elementwise import ELEMENTWISE_LOWERINGS
from edgeflow.backends.webgpu.lower_indexing import INDEXING_LOWERINGS
from edgeflow.backends.webgpu.lower_movement import MOVEMENT_LOWERINGS
from edgeflow.backends.webgpu.lower_norm import NORM_LOWERINGS
from edgeflow.backends.webgpu.lower_reduce import REDUCE_LOWERINGS
from edgeflow.host.gpu import ops_named
from edgeflow.host.platform import gather
from edgeflow.host.port import Bytes
from edgeflow.ir.graph import Graph
from edgeflow.passes.rename import all_graphs

# Those of other parts are added as these are fetched (OTHERS).
GPU_LOWERINGS: dict[str, GpuLowering] = merged([
    ELEMENTWISE_LOWERINGS,
    MOVEMENT_LOWERINGS,
    INDEXING_LOWERINGS,
    REDUCE_LOWERINGS,
    NORM_LOWERINGS,
    ATTENTION_LOWERINGS,
    DENSE_LOWERINGS,
])


async def _install_vision() -> None:
    from edgeflow.backends.webgpu.vision import install_vision
    install_vision()


async def _install_sequences() -> None:
    from edgeflow.backends.webgpu.sequences import install_sequences
    install_sequences()


async def _install_quantized() -> None:
    from edgeflow.backends.webgpu.lower_quantized import install_quantized
    install_quantized()


async def _install_rare() -> None:
    from edgeflow.backends.webgpu.rare import install_rare
    install_rare()


# The operators of other parts without their domains, and what fetches the part and adds its lowerings to GPU_LOWERINGS.
OTHERS: list[tuple[list[str], Callable[[], Awaitable[None]]]] = [
    (VISION_OPS, _install_vision),
    ([
        'Rotary', 'RotaryEmbedding', 'GroupQueryAttention', 'MultiHeadAttention', 'GatherBlockQuantized', 'SkipSimplifiedLayerNormalization',
        'CachedAttention', 'ArgMax', 'ArgMin', 'CumSum', 'TopK',
    ], _install_sequences),
    (['DynamicQuantizeLinear', 'MatMulInteger', 'QMatMul', 'MatMulBnb4', 'MatMulNBits'], _install_quantized),
    ([
        'GatherND', 'Scatter', 'ScatterElements', 'ScatterND', 'OneHot', 'Tile', 'Pad', 'Trilu', 'DepthToSpace', 'SpaceToDepth', 'IsInf', 'Mod',
        'DequantizeLinear', 'QuantizeLinear', 'QuickGelu', 'Attention', 'EmbedLayerNormalization',
    ], _install_rare),
]


async def install_lowerings(graph: Graph, everything: bool) -> None:
    """Have the lowerings of a graph's operators in GPU_LOWERINGS; everything: whatever they are made of. 'file-missing'."""
    names: set[str] = set()
    for part in all_graphs(graph):
        for node in part.nodes:
            names.add(node.op)
    await _install(names, everything)


async def _install(names: set[str], everything: bool) -> None:
    await gather([install() for ops, install in OTHERS if everything or len([op for op in ops if op in names]) > 0])


async def expect_lowerings(head: Bytes) -> None:
    """Fetch the parts of the operators that the first bytes of a model's file name. 'file-missing'."""
    names = set(ops_named(head))
    if 'Cos' in names:
        # What passes make of it.
        names.add('Rotary')
    if 'past_key_values' in names:
        start_ahead(_fetch_sessions)
    await _install(names, False)


async def _fetch_sessions() -> None:
    """Fetch what a decoder's first session waits for."""
    from edgeflow.backends.webgpu.sessions import session_kernels  # noqa: F401
