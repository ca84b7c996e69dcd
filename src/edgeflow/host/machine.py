"""What the platform that this process runs on can compute with, apart from host.platform: only models that have a choice ask.

In CPython this module passes on `host.cpython_machine`; for JS, transcrypt.toml puts `host/browser_machine.py` in its place.
"""

from edgeflow.host.cpython_machine import *  # noqa: F401,F403
