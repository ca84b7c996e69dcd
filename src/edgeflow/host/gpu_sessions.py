"""bring_shaders(): have the kernels of sessions among those that host.gpu.shader_source() knows. As host/gpu.py: for JS `host/browser_gpu_sessions.py`."""

from edgeflow.host.cpython_gpu_sessions import *  # noqa: F401,F403
