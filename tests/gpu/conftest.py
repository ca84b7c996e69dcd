"""Tests in this folder run WGSL in CPython, through wgpu-py on SwiftShader (EDGEFLOW_GPU=hardware: on the machine's GPU)."""

from __future__ import annotations

from toolchain.gpu import use_software_gpu

if not use_software_gpu():
    raise RuntimeError('no SwiftShader for the GPU tests: run `npm ci`, whose Chromium brings it')
