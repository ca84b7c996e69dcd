"""Which backend runs a model."""

from __future__ import annotations

from edgeflow.backends.contract import Executable
from edgeflow.backends.wasm.executable import load_wasm
from edgeflow.backends.wasm.machine import start_machine
from edgeflow.options import check_choice

DEVICES = ['auto', 'wasm']
