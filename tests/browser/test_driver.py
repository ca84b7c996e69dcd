"""The browser that tests drive: how it is chosen, and that it behaves as a person's."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from toolchain import browser
from toolchain.browser import PROBE, BrowserMissing, find_browser

# (module (memory (export "memory") 1) (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))
LOADS = [
    0, 97, 115, 109, 1, 0, 0, 0, 1, 6, 1, 96, 1, 127, 1, 127, 3, 2, 1, 0, 5, 3, 1, 0, 1, 7, 17, 2, 6, 109, 101, 109, 111, 114, 121,
    2, 0, 4, 108, 111, 97, 100, 0, 0, 10, 9, 1, 7, 0, 32, 0, 40, 2, 0, 11,
]  # fmt: skip


def test_an_access_outside_of_memory_is_an_error_not_a_crash(page: Page) -> None:
    message = page.evaluate(
        """async code => {
          const { instance } = await WebAssembly.instantiate(Uint8Array.from(code));
          try { return instance.exports.load(65536); } catch (error) { return `${error.name}: ${error.message}`; }
        }""",
        LOADS,
    )
    assert message == 'RuntimeError: memory access out of bounds'


def test_the_page_is_not_isolated_and_can_store(page: Page) -> None:
    found = page.evaluate(PROBE)
    assert found['isolated'] is False
    assert found['storage'] is True


def test_the_chosen_browser_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('EDGEFLOW_BROWSER', '/no/such/browser')
    with pytest.raises(BrowserMissing, match='no such file'):
        find_browser()


def test_a_chosen_browser_comes_before_all_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'chrome').touch()
    monkeypatch.setenv('EDGEFLOW_BROWSER', str(tmp_path / 'chrome'))
    assert find_browser().path == tmp_path / 'chrome'


def test_without_a_browser_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv('EDGEFLOW_BROWSER', raising=False)
    monkeypatch.setattr(browser, 'PACKAGE', tmp_path)
    monkeypatch.setattr(browser, 'SYSTEM_PATHS', [])
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(BrowserMissing, match='playwright install chromium'):
        find_browser(str(tmp_path / 'none'))
    (tmp_path / 'chrome').touch()
    assert find_browser(str(tmp_path / 'chrome')).origin == 'playwright'
