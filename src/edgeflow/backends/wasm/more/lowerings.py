"""The lowerings of the operators that common models do not have, by Node.key(): one table for each
family. Their kernels are in the large binary (wasm/more)."""

from __future__ import annotations

from edgeflow.backends.wasm.more.lower_attention import MORE_ATTENTION_LOWERINGS
from edgeflow.backends.wasm.more.lower_numeric import MORE_NUMERIC_LOWERINGS
from edgeflow.backends.wasm.more.lower_quantized import MORE_QUANTIZED_LOWERINGS
from edgeflow.backends.wasm.more.lower_recurrent import MORE_RECURRENT_LOWERINGS
from edgeflow.backends.wasm.more.lower_signal import MORE_SIGNAL_LOWERINGS
from edgeflow.backends.wasm.more.lower_spatial import MORE_SPATIAL_LOWERINGS
from edgeflow.plan.builder import Lowering

MORE_LOWERINGS: list[dict[str, Lowering]] = [
    MORE_ATTENTION_LOWERINGS,
    MORE_NUMERIC_LOWERINGS,
    MORE_QUANTIZED_LOWERINGS,
    MORE_RECURRENT_LOWERINGS,
    MORE_SIGNAL_LOWERINGS,
    MORE_SPATIAL_LOWERINGS,
]
