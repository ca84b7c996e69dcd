"""The lowerings of the operators that common models do not have, by Node.key(): one table for each
family. Their kernels are in the second binary (wasm/more)."""

from __future__ import annotations

from edgeflow.backends.wasm.lowerings import FORMS, INTERPRETED, MORE_LOWERINGS
from edgeflow.backends.wasm.more.compose import COMPOSED_LOWERINGS
from edgeflow.backends.wasm.more.lower_attention import MORE_ATTENTION_LOWERINGS
from edgeflow.backends.wasm.more.lower_contrib import MORE_CONTRIB_LOWERINGS
from edgeflow.backends.wasm.more.lower_numeric import MORE_NUMERIC_LOWERINGS, NARROWED, WIDE_LOWERINGS, narrowed_lowering
from edgeflow.backends.wasm.more.lower_quantized import MORE_FORMS, MORE_QUANTIZED_LOWERINGS
from edgeflow.backends.wasm.more.lower_recurrent import MORE_RECURRENT_LOWERINGS
from edgeflow.backends.wasm.more.lower_signal import MORE_SIGNAL_LOWERINGS
from edgeflow.backends.wasm.more.lower_spatial import MORE_SPATIAL_LOWERINGS, WIDE_SPATIAL_LOWERINGS
from edgeflow.ir.ops.more.flow import FLOW_OPS
from edgeflow.ir.ops.more.table import MORE_OPS
from edgeflow.ir.ops.table import OPS
from edgeflow.plan.builder import Lowering

TABLES: list[dict[str, Lowering]] = [
    COMPOSED_LOWERINGS,
    MORE_ATTENTION_LOWERINGS,
    MORE_CONTRIB_LOWERINGS,
    MORE_NUMERIC_LOWERINGS,
    MORE_QUANTIZED_LOWERINGS,
    MORE_RECURRENT_LOWERINGS,
    MORE_SIGNAL_LOWERINGS,
    MORE_SPATIAL_LOWERINGS,
    WIDE_LOWERINGS,
    WIDE_SPATIAL_LOWERINGS,
]


def install() -> None:
    """Add this part's operators to the tables that planning looks them up in. Those of the part 'vision' are there."""
    if len(MORE_LOWERINGS) > 0:
        return
    for rules in MORE_OPS:
        for key in rules:
            OPS[key] = rules[key]
    for key in FLOW_OPS:
        INTERPRETED.add(key)
    for table in TABLES:
        for key in table:
            MORE_LOWERINGS[key] = table[key]
    for key in NARROWED:
        MORE_LOWERINGS[key] = narrowed_lowering(key, MORE_LOWERINGS.get(key))
    for key in MORE_FORMS:
        FORMS[key] = MORE_FORMS[key]
