"""All lowerings of the WebNN backend by Node.key()."""

from __future__ import annotations

from edgeflow.backends.wasm.lowerings import merged
from edgeflow.backends.webnn.emitter import NnLowering
from edgeflow.backends.webnn.lower_dense import DENSE_LOWERINGS
from edgeflow.backends.webnn.lower_elementwise import ELEMENTWISE_LOWERINGS
from edgeflow.backends.webnn.lower_movement import MOVEMENT_LOWERINGS
from edgeflow.backends.webnn.lower_norm import NORM_LOWERINGS
from edgeflow.backends.webnn.lower_quantized import QUANTIZED_LOWERINGS
from edgeflow.backends.webnn.lower_spatial import SPATIAL_LOWERINGS

NN_LOWERINGS: dict[str, NnLowering] = merged([
    ELEMENTWISE_LOWERINGS, MOVEMENT_LOWERINGS, NORM_LOWERINGS, DENSE_LOWERINGS, SPATIAL_LOWERINGS, QUANTIZED_LOWERINGS,
])
