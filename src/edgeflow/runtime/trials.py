"""Which device was the fastest for a model, kept between visits."""

from __future__ import annotations

from typing import cast

from edgeflow.backends.tried import trial_keys, trial_store
from edgeflow.host.platform import json_parse, json_text, utf8_decode, utf8_encode
from edgeflow.host.port import Machine
from edgeflow.version import VERSION

# What this page knows, also where nothing can be stored: the devices, the fastest first, and all that were tried.
_found: dict[str, list[list[str]]] = {}


class Trial:
    """The trial of a model of this name and size, on this machine, in this browser, by this version of edgeflow; made or not."""

    def __init__(self, name: str, size: int, here: Machine) -> None:
        self._name: str = name
        # What other versions, of the browser or of edgeflow, do not begin with.
        self._prefix: str = f'{name}\n{VERSION} {here.platform} '
        self._key: str = f'{self._prefix}{size} {here.gpu} {",".join(here.webnn)} {here.cores}'

    async def recall(self, devices: list[str]) -> list[str] | None:
        """The devices, the fastest first, without those that failed; None unless all were tried out. What is of other versions is forgotten."""
        keys = await trial_keys(self._name)
        if self._key not in keys:
            for key in list(keys):
                if not key.startswith(self._prefix):
                    await self._remove(key)
            return None
        if self._key not in _found:
            base = await trial_store()
            data = None if base is None else await base.get(self._key)
            if data is None:
                return None
            _found[self._key] = cast('list[list[str]]', json_parse(utf8_decode(data)))
        known = _found[self._key]
        order = [device for device in known[0] if device in devices]
        return order if len(order) > 0 and len([device for device in devices if device not in known[1]]) == 0 else None

    async def remember(self, order: list[str], tried: list[str]) -> None:
        """For recall()."""
        _found[self._key] = [order, tried]
        keys = await trial_keys(self._name)
        if self._key not in keys:
            keys.append(self._key)
        try:
            base = await trial_store()
            if base is not None:
                await base.put(self._key, utf8_encode(json_text(_found[self._key])))
        except Exception:
            # No room, or no store: the next visit tries again.
            return

    async def forget(self) -> None:
        """One of the devices has failed: what was remembered is no good."""
        await self._remove(self._key)

    async def _remove(self, key: str) -> None:
        keys = await trial_keys(self._name)
        if key in keys:
            keys.remove(key)
            base = await trial_store()
            if base is not None:
                await base.delete(key)


def forget_found() -> None:
    """Internal: as at a new visit."""
    _found.clear()
