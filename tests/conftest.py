"""What all tests share: the built package, a server, a browser, and how many random cases are tried."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from playwright.sync_api import Browser, Page, sync_playwright

from edgeflow.store import entries
from tests.browser.watched import watched_page
from toolchain.browser import launch_options
from toolchain.build import build
from toolchain.paths import BUILD, DIST, EXAMPLES, MODELS, NODE_MODULES, ROOT
from toolchain.serve import Server

PAGES = ROOT / 'tests' / 'browser' / 'pages'

settings.register_profile('test', max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile('nightly', settings.get_profile('test'), max_examples=2000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a browser go last: Playwright's synchronous API keeps an event loop running, beside which no async test can run."""
    items.sort(key=lambda item: 'browser' in getattr(item, 'fixturenames', []))


COUNT: list[None] = []
SAID = pytest.StashKey[list[str]]()


@pytest.fixture(scope='session')
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Print a line at the end of the run, such as a count or a measurement."""
    return pytestconfig.stash.setdefault(SAID, []).append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for line in config.stash.get(SAID, []):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test, and every process that it starts, has a cache of its own, which is made when it is used."""
    COUNT.append(None)
    monkeypatch.setenv('EDGEFLOW_CACHE', str(tmp_path_factory.getbasetemp() / f'cache-{len(COUNT)}'))
    monkeypatch.setattr(entries, '_opened', entries._Opened())


@pytest.fixture(scope='session')
def dist() -> Path:
    """The folder of the built package, up to date with the sources."""
    build(report=False)
    return DIST


@pytest.fixture(scope='session')
def server(dist: Path) -> Iterator[Server]:
    """Serves the test pages at /, the package at /dist/, the transpiled modules at /js/, models at /models/ and /examples/."""
    tokenizers = NODE_MODULES / '@huggingface' / 'tokenizers' / 'dist'
    roots = {'/': PAGES, '/dist': dist, '/js': BUILD / 'js', '/models': MODELS, '/examples': EXAMPLES, '/tokenizers': tokenizers}
    with Server(roots) as running:
        yield running


@pytest.fixture(scope='session')
def other_origin(dist: Path) -> Iterator[Server]:
    """A second server, as a CDN would be: another origin that allows CORS."""
    with Server({'/dist': dist}) as running:
        yield running


@pytest.fixture(scope='session')
def browser() -> Iterator[Browser]:
    """One browser for all tests. There is none to be found: an error, not a skip."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(**launch_options(playwright))
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """An empty page of the server in a context of its own; what nobody caught in it fails the test."""
    with watched_page(browser, server) as opened:
        yield opened


@pytest.fixture(scope='session')
def node() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Node with the given arguments in the repository's root."""

    def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(['node', *arguments], cwd=cwd, capture_output=True, text=True, timeout=300)

    return run
