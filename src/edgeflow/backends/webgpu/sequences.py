"""What decoders and operators along an axis need on the GPU beside what all do: a part of its own, with its kernels."""

from __future__ import annotations

from edgeflow.backends.webgpu.lower_axis import AXIS_LOWERINGS
from edgeflow.backends.webgpu.lower_decoder import DECODER_LOWERINGS
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.host.gpu import add_shaders
from edgeflow.host.shaders_sequences import SHADERS


def install_sequences() -> None:
    """Have these among the lowerings."""
    add_shaders(SHADERS)
    for table in [AXIS_LOWERINGS, DECODER_LOWERINGS]:
        GPU_LOWERINGS.update(table)
