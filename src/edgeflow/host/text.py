"""Tokenizers and chat templates on the platform that this process runs on, apart from host.platform: only pipelines need them.

In CPython this module passes on `host.cpython_text`; for JS, transcrypt.toml puts `host/browser_text.py` in its place.
"""

from edgeflow.host.cpython_text import *  # noqa: F401,F403
