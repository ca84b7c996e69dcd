"""Another engine: in Firefox the WASM path gives the right embeddings, and the store keeps the model for the next visit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlencode

from tests.browser.test_chain import TEXTS, check
from tests.conftest import PAGES
from toolchain.firefox import open_page
from toolchain.paths import MODELS
from toolchain.serve import Server

PATIENCE = 120.0


def visit(site: Server, profile: Path) -> dict:
    """What the page reports."""
    site.site.log.clear()
    began = time.monotonic()
    with open_page(site.url('/firefox.html?' + urlencode({'texts': json.dumps(TEXTS)})), profile) as running:
        while time.monotonic() - began < PATIENCE:
            for record in list(site.site.log):
                if record.path.startswith('/report?'):
                    return json.loads(unquote(record.path.removeprefix('/report?')))
            assert running.poll() is None, running.stderr.read().decode()[-2000:]
            time.sleep(0.1)
    raise AssertionError(f'Firefox has asked for {[record.path for record in site.site.log]} and reported nothing')


def test_embeddings_and_the_store(dist: Path, tmp_path: Path, say: Callable[[str], None]) -> None:
    with Server({'/': PAGES, '/dist': dist, '/models': MODELS}) as site:
        first = visit(site, tmp_path / 'profile')
        assert 'error' not in first, first
        check(first)
        assert [first['device'], first['before'], first['after']] == ['wasm', False, True]
        assert first['bytes'] > (MODELS / 'bert-mini-sentence/onnx/model.onnx').stat().st_size
        second = visit(site, tmp_path / 'profile')
        assert 'error' not in second, second
        check(second)
        assert second['before'] is True
        assert not any(record.path.endswith('.onnx') for record in site.site.log), 'the model comes from the store'
        say(f'Firefox: {second["agent"].split(" ")[-1]}, the model came from its store at the second visit')
