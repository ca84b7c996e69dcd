"""Which device was the fastest for a model, kept between visits."""

from __future__ import annotations

from typing import cast

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import json_parse, json_text, open_store, utf8_decode, utf8_encode
from edgeflow.host.port import KeyValueStore, Machine
from edgeflow.version import VERSION

STORE = 'devices'

# What this page has found, also where nothing can be stored.
_found: dict[str, list[str]] = {}


def trial_key(name: str, size: int, devices: list[str], here: Machine) -> str:
    """For a model of this name and size, on this machine, with these devices and this version of edgeflow."""
    return ' '.join([VERSION, name, str(size), ','.join(devices), here.gpu, ','.join(here.webnn), str(here.cores), here.platform])


async def recall(key: str, devices: list[str]) -> list[str] | None:
    """The devices, the fastest first; None if that is not known."""
    if key in _found:
        return list(_found[key])
    base = await _store()
    data = None if base is None else await base.get(key)
    if data is None:
        return None
    try:
        known = json_parse(utf8_decode(data))
    except ValueError:
        # Cut off by a page that ended as it was written.
        return None
    found = [name for name in cast('list[str]', known) if name in devices] if isinstance(known, list) else []
    return found if len(found) > 0 else None


async def remember(key: str, order: list[str]) -> None:
    """For recall()."""
    _found[key] = list(order)
    base = await _store()
    if base is None:
        return
    try:
        await base.put(key, utf8_encode(json_text(order)))
    except EdgeflowError:
        # No room: the next visit tries again.
        return


def forget_found() -> None:
    """Internal: as at a new visit."""
    _found.clear()


async def _store() -> KeyValueStore | None:
    """None where nothing is to be kept, or the platform refuses it, as in private windows."""
    if not env.cache:
        return None
    try:
        return await open_store(STORE)
    except Exception:
        # Each browser has errors of its own for this.
        return None
