"""Texts, patterns and numbers on the platform that this process runs on, apart from host.platform: only rare operators need them.

In CPython this module passes on `host.cpython_strings`; for JS, transcrypt.toml puts `host/browser_strings.py` in its place.
"""

from edgeflow.host.cpython_strings import *  # noqa: F401,F403
