"""The platform's decoder of images, apart from host.platform: only the operator ImageDecoder needs it.

In CPython this module passes on `host.cpython_images`; for JS, transcrypt.toml puts `host/browser_images.py` in its place.
"""

from edgeflow.host.cpython_images import *  # noqa: F401,F403
