"""The platform that this process runs on.

In CPython this module passes on `host.cpython`; for JS, transcrypt.toml puts `host/browser.py` in its place.
"""

from edgeflow.host.cpython import *  # noqa: F401,F403
