"""Under which keys devices were tried out for a model, now or at an earlier visit: what is not in the part `devices` of runtime/trials.py."""

from __future__ import annotations

from edgeflow.env import env
from edgeflow.host.platform import open_store
from edgeflow.host.port import KeyValueStore

# By the model's name; what this page has looked up, or found itself.
_keys: dict[str, list[str]] = {}


async def trial_keys(name: str) -> list[str]:
    """The keys of the trials of models of this name, each of which begins with the name and a line feed."""
    if name not in _keys:
        found: list[str] = []
        try:
            base = await trial_store()
            if base is not None:
                found = await base.keys(name + '\n')
        except Exception:
            # The platform refuses it, as in private windows; each browser has errors of its own for this.
            found = []
        _keys[name] = found
    return _keys[name]


async def trial_store() -> KeyValueStore | None:
    """Where trials are kept; None where nothing is to be. Raises what the platform does."""
    return await open_store('devices') if env.cache else None
