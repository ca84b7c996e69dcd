"""The lowerings of the operators that common models do not have, by Node.key(): one table for each
family. Their kernels are in the large binary (wasm/more)."""

from __future__ import annotations

from edgeflow.backends.wasm.more.lower_attention import MORE_ATTENTION_LOWERINGS
from edgeflow.backends.wasm.more.lower_spatial import MORE_SPATIAL_LOWERINGS
from edgeflow.plan.builder import Lowering

MORE_LOWERINGS: list[dict[str, Lowering]] = [
    MORE_ATTENTION_LOWERINGS,
    MORE_SPATIAL_LOWERINGS,
]
