"""examples/profile.html: the kernels of a run, timed on the GPU and on WASM, and what the page shows of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.engine.minilm import folder
from toolchain.paths import EXAMPLES
from toolchain.serve import Server

READY = "['ready', 'failed'].includes(document.documentElement.dataset.state)"


@pytest.fixture(scope='module')
def site(dist: object) -> Iterator[Server]:
    folder()
    with Server({'/examples': EXAMPLES, '/dist': dist}) as server:
        yield server


def open_example(browser: Browser, site: Server, query: str = '', script: str = '', **options: object) -> Page:
    page = browser.new_context(**options).new_page()
    page.add_init_script(script)
    page.goto(site.url(f'/examples/profile.html{query}'))
    page.wait_for_function(READY, timeout=120_000)
    return page


@pytest.fixture(scope='module')
def example(browser: Browser, site: Server) -> Iterator[Page]:
    page = open_example(browser, site, viewport={'width': 390, 'height': 844})
    assert page.evaluate('document.documentElement.dataset.state') == 'ready', page.inner_text('#failure')
    yield page
    page.context.close()


def report(page: Page) -> dict:
    return page.evaluate('profileReport()')


def test_every_kernel_of_the_run_on_the_gpu_is_drawn(example: Page) -> None:
    shown = report(example)
    assert shown['device'] == 'webgpu' and shown['total'] > 0
    counts = {operator['operator']: operator['count'] for operator in shown['operators']}
    assert counts['MatMul'] == 36 and counts['Sdpa'] == 6 and counts['LayerNormalization'] >= 12
    assert sum(counts.values()) == len(shown['kernels']) == example.locator('#kernels li').count() == example.locator('#strip span').count()
    assert [operator['ms'] for operator in shown['operators']] == sorted((operator['ms'] for operator in shown['operators']), reverse=True)
    assert sum(operator['ms'] for operator in shown['operators']) == pytest.approx(shown['total'])
    widths = example.evaluate("[...document.querySelectorAll('#strip span')].reduce((sum, part) => sum + part.getBoundingClientRect().width, 0)")
    assert widths == pytest.approx(example.locator('#strip').bounding_box()['width'], rel=0.02)
    expect(example.locator('#total')).to_contain_text(f'{len(shown["kernels"])} kernels')


def test_operators_are_chosen_by_keyboard(example: Page) -> None:
    example.locator('#operators button').first.focus()
    example.keyboard.press('ArrowDown')
    example.keyboard.press('Enter')
    second = report(example)['operators'][1]
    assert report(example)['chosen'] == second['operator']
    assert example.locator('#operators button[aria-pressed=true]').count() == 1
    assert example.locator('#kernels .row:visible').count() == second['count']
    expect(example.locator('#shown')).to_have_text(f'{second["count"]} of {len(report(example)["kernels"])}: {second["operator"]}')
    example.keyboard.press('ArrowUp')
    expect(example.locator('#operators button').first).to_be_focused()
    example.keyboard.press('ArrowDown')
    example.keyboard.press('Enter')
    assert report(example)['chosen'] == '' and example.locator('#kernels .row:visible').count() == len(report(example)['kernels'])


def test_nothing_is_wider_than_a_phone(example: Page) -> None:
    assert example.evaluate('document.documentElement.scrollWidth') == 390


def test_it_measures_on_wasm_too(example: Page) -> None:
    example.get_by_label('WebAssembly').check()
    example.get_by_label('Tokens').select_option('16')
    example.get_by_role('button', name='Measure again').click()
    example.wait_for_function("profileReport().device === 'wasm' && profileReport().kernels.every(kernel => kernel.device === 'wasm')", timeout=60_000)
    expect(example.get_by_role('button', name='Measure again')).to_be_enabled()
    assert {operator['operator'] for operator in report(example)['operators']} >= {'MatMul', 'Sdpa'}


def test_what_fails_is_told_in_words_with_its_code(browser: Browser, site: Server) -> None:
    page = open_example(browser, site, '?model=nothing/')
    assert page.evaluate('document.documentElement.dataset.state') == 'failed'
    expect(page.locator('#failure')).to_be_visible()
    expect(page.locator('#failure-code')).to_have_text('file-missing')
    expect(page.locator('#loading')).to_be_hidden()
    page.context.close()


def test_without_webgpu_it_measures_on_wasm(browser: Browser, site: Server) -> None:
    page = open_example(browser, site, script="Object.defineProperty(Navigator.prototype, 'gpu', { value: undefined });")
    assert report(page)['device'] == 'wasm' and report(page)['total'] > 0
    page.context.close()
