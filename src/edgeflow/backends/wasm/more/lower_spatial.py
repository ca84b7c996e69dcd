"""Lowerings of the rarer operators on images. Words: wasm/more/kernels_spatial.h."""

from __future__ import annotations

from edgeflow.plan.builder import Lowering

MORE_SPATIAL_LOWERINGS: dict[str, Lowering] = {}
