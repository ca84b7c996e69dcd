"""Kernels of quantised products, which come with the part that dispatches them: for host.gpu.add_shaders(). toolchain/shaders.py writes over the JS of this module."""

from __future__ import annotations

# CPython reads every kernel from its file.
SHADERS: dict[str, str] = {}
