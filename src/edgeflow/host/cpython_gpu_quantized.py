"""Kernels of quantised products in CPython, which reads every kernel from its file. CPython only."""

from __future__ import annotations


def bring_shaders() -> None:
    """They are there."""
