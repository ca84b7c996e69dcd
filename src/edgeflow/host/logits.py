"""Choosing among many logits, on the platform that this process runs on: apart from host.platform, as only what generates or ranks tokens needs it.

As host/gpu.py: `host.cpython_logits` in CPython, for JS `host/browser_logits.py`.
"""

from edgeflow.host.cpython_logits import *  # noqa: F401,F403
