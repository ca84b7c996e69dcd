"""What graphs over images need on the GPU beside what all do: a part of its own, with its kernels."""

from __future__ import annotations

from edgeflow.backends.webgpu.lower_conv import CONV_LOWERINGS
from edgeflow.backends.webgpu.lower_image_norm import IMAGE_NORM_LOWERINGS
from edgeflow.backends.webgpu.lower_spatial import SPATIAL_LOWERINGS
from edgeflow.backends.webgpu.lowerings import GPU_LOWERINGS
from edgeflow.host.gpu import add_shaders
from edgeflow.host.shaders_vision import SHADERS


def install_vision() -> None:
    """Have these among the lowerings."""
    add_shaders(SHADERS)
    for table in [CONV_LOWERINGS, IMAGE_NORM_LOWERINGS, SPATIAL_LOWERINGS]:
        GPU_LOWERINGS.update(table)
