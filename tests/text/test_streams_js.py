"""A TokenStream as JS sees it: loops that are left, return(), ReadableStream, `await using`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

SCRIPT = Path(__file__).parent / 'streams.mjs'


def test_streams_in_node(dist: Path, node: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = node('--enable-source-maps', str(SCRIPT))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        'loop': [['.', False, ',', False, ';', True], 3, 1],
        'broken': [2, 1],
        'returned': [{'value': 'over', 'done': True}, {'done': True}, 1, 1],
        'thrown': ['mine', 1],
        'readable': [0, '.', 1],
        'cancelled': 1,
        'piped': [['.', ',', ';'], 1],
        'together': [['.', ',', ';', None], 1],
        'disposed': 1,
        'aborted': ['aborted', 1],
        'leaks': 0,
    }
