"""Rules of the rarer operators on images: tensors [batch, channels, spatial...]."""

from __future__ import annotations

from edgeflow.ir.ops.infer import OpSpec

MORE_SPATIAL_OPS: dict[str, OpSpec] = {}
