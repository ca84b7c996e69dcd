"""Other engines: in Firefox and WebKitGTK the WASM path gives the right embeddings, and the store keeps the model for the next visit."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest

from tests.browser.test_chain import TEXTS, check
from tests.conftest import PAGES
from toolchain.firefox import open_firefox
from toolchain.paths import MODELS
from toolchain.serve import Server
from toolchain.webkit import open_webkit

PATIENCE = 120.0

Opener = Callable[[str, Path], AbstractContextManager[subprocess.Popen]]
# How each is opened, and what only it calls itself.
ENGINES: dict[str, tuple[Opener, str]] = {'Firefox': (open_firefox, 'Firefox/'), 'WebKitGTK': (open_webkit, ' Version/')}


def visit(site: Server, open_page: Opener, profile: Path) -> dict:
    """What the page reports."""
    site.site.log.clear()
    began = time.monotonic()
    with open_page(site.url('/reported.html?' + urlencode({'texts': json.dumps(TEXTS)})), profile) as program:
        while time.monotonic() - began < PATIENCE:
            for record in list(site.site.log):
                if record.path.startswith('/report?'):
                    return json.loads(unquote(record.path.removeprefix('/report?')))
            assert program.poll() is None, program.stderr.read().decode()[-2000:]
            time.sleep(0.1)
    raise AssertionError(f'the browser has asked for {[record.path for record in site.site.log]} and reported nothing')


@pytest.mark.parametrize('name', ENGINES)
def test_embeddings_and_the_store(dist: Path, tmp_path: Path, say: Callable[[str], None], name: str) -> None:
    open_page, calls_itself = ENGINES[name]
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}) as site:
        first = visit(site, open_page, tmp_path / 'profile')
        assert 'error' not in first, first
        check(first)
        assert calls_itself in first['agent']
        assert [first['device'], first['before'], first['after']] == ['wasm', False, True]
        assert first['bytes'] > (MODELS / 'bert-mini-sentence/onnx/model.onnx').stat().st_size
        second = visit(site, open_page, tmp_path / 'profile')
        assert 'error' not in second, second
        check(second)
        assert second['before'] is True
        assert not any(record.path.endswith('.onnx') for record in site.site.log), 'the model comes from the store'
        say(f'{name}: {second["agent"]}, the model came from its store at the second visit')
