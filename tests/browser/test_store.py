"""Downloads and the cache in Chromium: random fault schedules, a killed browser, tabs, no room, no network."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from tests.store.faults import FaultServer, ServedFile, fault_server
from tests.store.test_fault_schedules import CODES, cases, served
from toolchain.browser import launch_options
from toolchain.paths import MODELS
from toolchain.serve import Server

VISITS = 'async ([modules, ...args]) => (await import("/store_scenarios.js")).visits(modules, ...args)'
FETCH = 'async ([dist, url, options]) => (await import("/store_scenarios.js")).fetchAll(dist, url, options)'


@pytest.fixture(scope='module')
def faults() -> Iterator[FaultServer]:
    with fault_server() as running:
        yield running


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_random_fault_schedules(page: Page, server: Server, faults: FaultServer, say: Callable[[str], None]) -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=max(50, settings().max_examples // 4))
    @given(cases())
    def check(case: dict) -> None:
        file = served(case)
        # Pages of other origins see fewer headers unless the server exposes them.
        file.exposed = case['size'] % 2 == 0
        digest = digest_of(file.data) if case['digest'] else ''
        for code, got in page.evaluate(VISITS, [server.url('/js/'), faults.add(file), case, digest]):
            outcomes[code or 'right bytes'] += 1
            if code:
                assert code in CODES
                continue
            short = any(kind == 'short' for kind, _ in case['schedule'])
            allowed = {digest_of(data) for data in file.versions} if not digest else {digest}
            if short and not digest:
                allowed |= {digest_of(data[:length]) for data in file.versions for length in range(len(data))} if len(file.data) < 6000 else allowed
                if len(file.data) >= 6000:
                    continue
            assert got in allowed, 'wrong bytes'

    check()
    say('fault schedules in Chromium: ' + ', '.join(f'{count} {name}' for name, count in outcomes.most_common()))
    assert outcomes['right bytes'] >= 40
