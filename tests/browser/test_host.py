"""The JS side of the host seam in Chromium and in Node: network, storage, workers, assets, with real parts."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.host.server import BODY, TEXT, serving
from tests.host.server import Server as BadServer
from toolchain.paths import BUILD, ROOT
from toolchain.serve import Server

Run = Callable[..., dict]


@pytest.fixture
def bad_server(tmp_path: Path) -> Iterator[BadServer]:
    (tmp_path / 'page.wasm').write_text('<!doctype html>')
    with serving(tmp_path) as running:
        yield running


@pytest.fixture(params=['chromium', 'node'])
def run(request: pytest.FixtureRequest, page: Page, server: Server, tmp_path: Path) -> Run:
    """Runs a scenario: its name, then its arguments after the modules' address."""
    if request.param == 'chromium':
        def in_browser(name: str, *arguments: str) -> dict:
            script = 'async ([name, ...args]) => (await import("/host_scenarios.js"))[name](...args)'
            return page.evaluate(script, [name, server.url('/js/'), *arguments])

        in_browser.is_node = False
        return in_browser

    def in_node(name: str, *arguments: str) -> dict:
        done = subprocess.run(
            ['node', 'tests/browser/pages/run_scenario.mjs', name, (BUILD / 'js').as_uri() + '/', *arguments],
            cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, 'EDGEFLOW_CACHE': str(tmp_path / 'cache')},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    in_node.is_node = True
    return in_node


def checksum(data: bytes) -> int:
    total = 7
    for x in data:
        total = (total * 31 + x) % 1000003
    return total


def test_network(run: Run, bad_server: BadServer) -> None:
    found = run('network', bad_server.address)

    whole = {'bytes': True, 'size': len(BODY), 'sum': checksum(BODY), 'loaded': len(BODY), 'total': len(BODY)}
    statuses = ['initiate', 'download', 'progress', 'done']
    for path in ['/plain', '/redirect']:
        assert found[path] == {**whole, 'statuses': statuses, 'announced': len(BODY)}, path
    for path in ['/chunked', '/no-length']:
        assert found[path] == {**whole, 'statuses': statuses, 'announced': None}, path
    # In Chromium the server is another origin: CORS hides Content-Encoding, and the encoded size is announced.
    packed = len(gzip.compress(TEXT))
    assert found['/gzip']['announced'] in ([None] if run.is_node else [packed])
    assert (found['/gzip']['size'], found['/gzip']['sum'], found['/gzip']['total']) == (len(TEXT), checksum(TEXT), len(TEXT))
    assert found['/empty']['size'] == 0

    codes = {name: result['code'] for name, result in found.items() if isinstance(result, dict) and 'code' in result}
    assert codes == {
        '/none': 'file-missing', '/status/500': 'http', '/status/403': 'http', '/cut': 'http', '/chunked-cut': 'http',
        '/reset': 'http', '/loop': 'http', '/huge': 'out-of-memory', 'unreachable': 'http', 'abort /slow': 'aborted',
        'abort /silent': 'aborted', 'abort before': 'aborted', 'one fails': 'http', 'callback raises': None,
    }
    for name in codes:
        assert found[name]['isError'] and found[name]['hasStack'], name
    assert bad_server.address + '/none' in found['/none']['message']
    assert 'got 500' in found['one fails']['message']
    assert found['callback raises']['message'] == 'the page is gone'
    assert found['optional'] == 'absent'


def test_store(run: Run) -> None:
    found = run('store')
    assert found.pop('closed')['code'] == 'platform'
    assert found == {
        'absent': None, 'empty': [], 'part': [2, 3], 'noPlace': [None, None],
        'kept': list(range(10)), 'keys': ['a', 'b%', 'empty', 'https://x/ü?a=1', 'part'], 'https': ['https://x/ü?a=1'],
        'deleted': None, 'other': None,
    }


def test_a_store_that_fetches(run: Run, bad_server: BadServer) -> None:
    part = len(BODY) // 4
    assert run('storeFetches', bad_server.address) == (None if run.is_node else {
        'status': 200, 'type': str(len(BODY)), 'heard': 3 * part,
        'drafts': [[True, None, True], [True, True, True], [True, None, True]], 'taken': 9, 'rest': [True, None, True],
        'hashed': True, 'read': True, 'stored': [True, True, True], 'files': 2, 'replaced': 1, 'removed': 0,
        'refused': 'http', 'cut': 'http', 'aborted': 'aborted',
    })


def test_worker(run: Run, server: Server) -> None:
    script = (ROOT / 'tests/browser/pages/echo_worker.mjs').as_uri() if run.is_node else server.url('/echo_worker.mjs')
    assert run('worker', script) == {'answer': {'sum': 6}, 'failed': True}


def test_assets(run: Run, bad_server: BadServer, dist: Path) -> None:
    for path in dist.glob('*.wasm'):
        (bad_server.root / path.name).write_bytes(path.read_bytes())
    found = run('assets', bad_server.address)
    name = 'edgeflow-simd.wasm' if found['size'] == (dist / 'edgeflow-simd.wasm').stat().st_size else 'edgeflow-relaxed.wasm'
    assert found['size'] == found['located'] == (dist / name).stat().st_size
    assert found['simd'] and found['once'] and found['memory'] and found['heap']
    assert found['missing']['code'] == 'file-missing' and 'none.wasm' in found['missing']['message']
    assert found['page']['code'] == 'file-missing' and 'expected WebAssembly' in found['page']['message']
    assert found['unknown']['code'] == 'platform'
