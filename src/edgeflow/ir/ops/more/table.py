"""The operators that common models do not have, by Node.key(): one table for each family."""

from __future__ import annotations

from edgeflow.ir.ops.infer import OpSpec
from edgeflow.ir.ops.more.attention import MORE_ATTENTION_OPS
from edgeflow.ir.ops.more.contrib import MORE_CONTRIB_OPS
from edgeflow.ir.ops.more.flow import FLOW_OPS
from edgeflow.ir.ops.more.numeric import MORE_NUMERIC_OPS
from edgeflow.ir.ops.more.quantized import MORE_QUANTIZED_OPS
from edgeflow.ir.ops.more.signal import MORE_SIGNAL_OPS
from edgeflow.ir.ops.more.spatial import MORE_SPATIAL_OPS

MORE_OPS: list[dict[str, OpSpec]] = [
    FLOW_OPS,
    MORE_ATTENTION_OPS,
    MORE_CONTRIB_OPS,
    MORE_NUMERIC_OPS,
    MORE_QUANTIZED_OPS,
    MORE_SIGNAL_OPS,
    MORE_SPATIAL_OPS,
]
