"""bring_shaders(): as host/gpu_sessions.py, for the kernels of quantised products. For JS `host/browser_gpu_quantized.py`."""

from edgeflow.host.cpython_gpu_quantized import *  # noqa: F401,F403
