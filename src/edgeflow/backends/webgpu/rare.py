"""What few graphs need on the GPU: a part of its own."""

from __future__ import annotations

from edgeflow.backends.webgpu.lower_encoder import ENCODER_LOWERINGS
from edgeflow.backends.webgpu.lower_padding import PADDING_LOWERINGS
from edgeflow.backends.webgpu.lower_scales import SCALE_LOWERINGS
from edgeflow.backends.webgpu.lower_scatter import SCATTER_LOWERINGS
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS


def install_rare() -> None:
    """Have these among the lowerings."""
    for table in [ENCODER_LOWERINGS, PADDING_LOWERINGS, SCALE_LOWERINGS, SCATTER_LOWERINGS]:
        GPU_LOWERINGS.update(table)
