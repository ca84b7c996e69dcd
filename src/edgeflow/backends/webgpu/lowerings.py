"""All lowerings of the WebGPU backend by Node.key()."""

from __future__ import annotations

from edgeflow.backends.wasm.lowerings import merged
from edgeflow.backends.webgpu.builder import GpuLowering
from edgeflow.backends.webgpu.lower_attention import ATTENTION_LOWERINGS
from edgeflow.backends.webgpu.lower_conv import CONV_LOWERINGS
from edgeflow.backends.webgpu.lower_decoder import DECODER_LOWERINGS
from edgeflow.backends.webgpu.lower_dense import DENSE_LOWERINGS
from edgeflow.backends.webgpu.lower_elementwise import ELEMENTWISE_LOWERINGS
from edgeflow.backends.webgpu.lower_indexing import INDEXING_LOWERINGS
from edgeflow.backends.webgpu.lower_movement import MOVEMENT_LOWERINGS
from edgeflow.backends.webgpu.lower_norm import NORM_LOWERINGS
from edgeflow.backends.webgpu.lower_reduce import REDUCE_LOWERINGS
from edgeflow.backends.webgpu.lower_spatial import SPATIAL_LOWERINGS

# Those of quantised products come with their part (lower_quantized.py).
GPU_LOWERINGS: dict[str, GpuLowering] = merged([
    ELEMENTWISE_LOWERINGS,
    MOVEMENT_LOWERINGS,
    INDEXING_LOWERINGS,
    REDUCE_LOWERINGS,
    NORM_LOWERINGS,
    ATTENTION_LOWERINGS,
    SPATIAL_LOWERINGS,
    DECODER_LOWERINGS,
    DENSE_LOWERINGS,
    CONV_LOWERINGS,
])
