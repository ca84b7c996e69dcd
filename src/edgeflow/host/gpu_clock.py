"""timed(device, commands): submit the commands, and give how many ms each dispatch took (a copy: 0). Needs the feature 'timestamp-query'.

As host/gpu.py: `host.cpython_gpu_clock` in CPython, for JS `host/browser_gpu_clock.py`.
"""

from edgeflow.host.cpython_gpu_clock import *  # noqa: F401,F403
