"""What CPython can compute with. CPython only. See host/port.py for the contract."""

from __future__ import annotations

import os
import platform

from edgeflow.host.port import Machine


async def machine() -> Machine:
    return Machine('', False, [], {}, [], os.cpu_count() or 1, f'{platform.python_implementation()} {platform.python_version()} {platform.machine()}')
