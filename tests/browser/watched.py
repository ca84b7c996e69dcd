"""Pages of the tests' server in which nothing may go wrong unnoticed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

from toolchain.serve import Server


@contextmanager
def watched_page(browser: Browser, server: Server) -> Iterator[Page]:
    """An empty page of the server in a context of its own. AssertionError at the end for what nobody caught in it."""
    context = browser.new_context()
    page = context.new_page()
    uncaught: list[str] = []
    page.on('pageerror', lambda error: uncaught.append(f'{error.message}\n{error.stack}'))
    page.goto(server.url('/blank.html'))
    yield page
    context.close()
    assert uncaught == []
