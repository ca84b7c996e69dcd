"""WebGPU on the platform that this process runs on, apart from host.platform: only what runs models on a GPU needs it.

In CPython this module passes on `host.cpython_gpu`; for JS, transcrypt.toml puts `host/browser_gpu.py` in its place.
"""

from edgeflow.host.cpython_gpu import *  # noqa: F401,F403
