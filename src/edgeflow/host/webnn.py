"""WebNN on the platform that this process runs on, apart from host.platform: only what runs models on it needs it.

In CPython this module passes on `host.cpython_webnn`; for JS, transcrypt.toml puts `host/browser_webnn.py` in its place.
"""

from edgeflow.host.cpython_webnn import *  # noqa: F401,F403
