"""The README's table of figures is the one that `make bench` wrote, and its commands are there."""

from __future__ import annotations

import json
import re

from bench.table import filled
from toolchain.paths import ROOT


def test_the_table_is_the_measured_one() -> None:
    readme = (ROOT / 'README.md').read_text()
    results = json.loads((ROOT / 'bench' / 'results.json').read_text())
    assert len(results['figures']) >= 4
    assert filled(readme, results) == readme, 'run `python -m bench.table`'


def test_the_commands_exist() -> None:
    targets = set(re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    named = set(re.findall(r'(?:^|`)make ([a-z-]+)', (ROOT / 'README.md').read_text(), re.MULTILINE))
    assert named and named <= targets
