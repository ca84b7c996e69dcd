"""examples/resume.html: the map fills, a pause holds it, a reload and a closed tab go on where it was."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.store.faults import ServedFile, fault_server
from toolchain.paths import EXAMPLES
from toolchain.serve import Server

CHUNK, COUNT = 100_000, 40
STATE = 'document.documentElement.dataset.state'


@pytest.fixture(scope='module')
def site(dist: Path) -> Iterator[Server]:
    with Server({'/examples': EXAMPLES, '/dist': dist}) as server:
        yield server


@pytest.fixture
def visitor(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={'width': 900, 'height': 800})
    yield context
    context.close()


def open_example(visitor: BrowserContext, site: Server, url: str, **query: str) -> Page:
    page = visitor.new_page()
    page.goto(site.url('/examples/resume.html?' + urlencode({'url': url, 'chunk': CHUNK, **query})))
    page.wait_for_function(f'{STATE} !== undefined')
    return page


def shown(page: Page, kind: str) -> int:
    return page.locator(f'#map i.{kind}').count()


def test_pause_reload_and_close(visitor: BrowserContext, site: Server) -> None:
    data = random.Random(1).randbytes(CHUNK * COUNT)
    with fault_server() as server:
        file = ServedFile(data, rate=500_000)
        url = server.add(file)
        page = open_example(visitor, site, url)
        expect(page.locator('#state')).to_have_text('Nothing is here yet')
        page.click('#start')
        page.wait_for_function('window.running?.progress().chunksDone >= 6', timeout=20_000)
        page.click('#pause')
        assert page.evaluate(STATE) == 'paused'
        page.wait_for_timeout(300)
        held = page.evaluate('running.progress().chunksDone')
        assert shown(page, 'here') >= 6 and page.locator('#map i').count() == COUNT and shown(page, 'reused') == 0
        page.wait_for_timeout(300)
        assert page.evaluate('running.progress().chunksDone') == held

        page.click('#reload')
        page.wait_for_function('window.running?.progress().chunksDone >= 14', timeout=20_000)
        before = page.evaluate('running.progress().reused') // CHUNK
        assert held - 3 <= before <= held
        assert shown(page, 'reused') >= before
        page.close()

        file.rate = None
        page = open_example(visitor, site, url, start='')
        page.wait_for_function(f'{STATE} === "done"', timeout=30_000)
        reused = page.evaluate('running.progress().reused') // CHUNK
        assert reused >= 10
        assert shown(page, 'here') + shown(page, 'reused') == COUNT
        expect(page.locator('#state')).to_have_text('Complete and stored')
        digest = 'running.bytes().then(async bytes => Array.from(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))))'
        assert bytes(page.evaluate(digest)) == hashlib.sha256(data).digest()

        page.click('#clear')
        expect(page.locator('#state')).to_have_text('Nothing is here yet')


def test_a_failure_is_shown(visitor: BrowserContext, site: Server) -> None:
    page = open_example(visitor, site, 'no-such-file.bin', start='')
    page.wait_for_function(f'{STATE} === "failed"')
    expect(page.locator('#failure')).to_contain_text('(file-missing)')
    expect(page.locator('#start')).to_be_enabled()
