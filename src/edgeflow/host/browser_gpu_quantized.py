"""Kernels of quantised products in browsers, which come with the part that uses them. JS only."""

from __future__ import annotations

from edgeflow.host.browser_gpu import add_shaders

__pragma__('js', r'''
import { SHADERS } from './shaders_quantized.js';
''')


def _shaders() -> object:
    __pragma__('js', 'return SHADERS;')


def bring_shaders() -> None:
    add_shaders(_shaders())
