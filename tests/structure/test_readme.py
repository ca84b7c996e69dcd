"""The README's table of figures is the one that `make bench` wrote, and its commands are there."""

from __future__ import annotations

import json
import re

from bench.table import filled, table
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


def test_rows_with_a_bound_are_shown_as_they_are() -> None:
    bounds = [
        {'name': 'longest task of the page', 'unit': 'ms', 'edgeflow': 0.0, 'peer': 385.25, 'ratio': None},
        {'name': 'frames a second', 'unit': 'a second', 'edgeflow': 59.8, 'peer': 12.4, 'ratio': 4.82},
        {'name': 'the scheduler itself, a run', 'unit': 'ms', 'edgeflow': 0.0031, 'peer': None, 'ratio': None},
    ]
    rows = table({'date': '', 'browser': '', 'peer': '', 'figures': [], 'bounds': bounds}).splitlines()[-3:]
    assert rows == [
        '| longest task of the page | none over 50 ms | 385.2 ms |  |',
        '| frames a second | 59.8 a second | 12.4 a second | 4.8 × |',
        '| the scheduler itself, a run | 0.003 ms |  |  |',
    ]
