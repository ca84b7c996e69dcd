"""examples/parallel.html: what it shows while four models run, and that its sliders do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.engine.minilm import folder
from toolchain.paths import EXAMPLES
from toolchain.serve import Server

SHOWN_DONE = """Number([...document.querySelectorAll('#facts dt')].find(term => term.innerText === 'Done')
  .nextElementSibling.innerText.replaceAll(',', ''))"""
READY = "['ready', 'failed'].includes(document.documentElement.dataset.state)"


@pytest.fixture(scope='module')
def site(dist: Path) -> Iterator[Server]:
    folder()
    with Server({'/examples': EXAMPLES, '/dist': dist}) as server:
        yield server


def open_example(browser: Browser, site: Server, query: str = '', **options: object) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(site.url(f'/examples/parallel.html{query}'))
    page.wait_for_function(READY, timeout=60_000)
    assert page.evaluate('document.documentElement.dataset.state') == 'ready', page.inner_text('#failure')
    return page


@pytest.fixture(scope='module')
def example(browser: Browser, site: Server) -> Iterator[Page]:
    """The page with two workers, its models running; shared by the tests."""
    page = open_example(browser, site, '?workers=2', viewport={'width': 1280, 'height': 900})
    page.wait_for_function('parallelReport().models.every(model => model.done >= 20)', timeout=60_000)
    yield page
    page.context.close()


def report(page: Page) -> dict:
    return page.evaluate('parallelReport()')


def model_workers(page: Page) -> list[str]:
    """The workers that run edgeflow; the one that writes files of the cache has a blob's address."""
    return [worker.url for worker in page.workers if not worker.url.startswith('blob:')]


def test_four_models_run_in_two_workers_at_the_same_time(example: Page) -> None:
    shown = report(example)
    assert len(model_workers(example)) == 2
    assert shown['lanes'] == ['worker 1', 'worker 2']
    assert [model['lane'] for model in shown['models']].count('worker 1') == 2
    assert all(model['failed'] == 0 for model in shown['models'])
    assert shown['overlapMs'] > shown['runningMs'] / 2, 'most of the time both worked'


def test_the_page_tells_what_it_measures(example: Page) -> None:
    rows = example.locator('#models li')
    expect(rows).to_have_count(4)
    for row in rows.all():
        expect(row).to_contain_text('a second')
        run = row.locator('.figures b').nth(2)
        expect(run).not_to_have_text('–')
        assert float(run.inner_text()) > 0, 'milliseconds that a run takes'
    example.wait_for_function(f'{SHOWN_DONE} > 40', timeout=30_000)
    facts = dict(zip(example.locator('#facts dt').all_inner_texts(), example.locator('#facts dd').all_inner_texts(), strict=True))
    assert int(facts['Done'].replace(',', '')) > 40, 'and it does not fall again'
    assert facts['At a time'] == 'up to 2'
    assert int(facts['Frames a second']) > 0


def test_the_chart_is_painted_in_the_colours_of_all_models(example: Page) -> None:
    seen = example.evaluate("""() => {
      const chart = document.getElementById('chart'), scale = devicePixelRatio;
      const expected = [...document.querySelectorAll('#models .level')].map(level => getComputedStyle(level).color.match(/\\d+/g).slice(0, 3).join());
      const pixels = chart.getContext('2d').getImageData(0, 0, chart.width, chart.height).data, colours = new Set();
      for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] === 255) colours.add(`${pixels[i]},${pixels[i + 1]},${pixels[i + 2]}`);
      return expected.map(colour => colours.has(colour));
    }""")
    assert seen == [True] * 4


def test_memory_bars_show_what_the_models_hold(example: Page) -> None:
    sizes = example.locator('#memory .memory-line span:last-child').all_inner_texts()
    held = [model['memory']['total'] for model in report(example)['models']]
    assert sizes == [f'{size / 1e6:.1f} MB' for size in held]
    assert all(size > 20_000_000 for size in held)
    widths = example.evaluate("[...document.querySelectorAll('#memory .weights')].slice(0, 4).map(bar => bar.getBoundingClientRect().width)")
    assert all(width > 100 for width in widths)
    expect(example.locator('#memory-total')).to_contain_text('MB in all')


def test_a_slider_gives_its_model_the_worker(example: Page) -> None:
    example.get_by_label('Priority of Search').fill('3')
    expect(example.locator('#models .level').first).to_have_text('critical')
    example.wait_for_timeout(300)
    before = {model['name']: model for model in report(example)['models']}
    example.wait_for_timeout(1500)
    after = {model['name']: model for model in report(example)['models']}
    gained = {name: after[name]['done'] - before[name]['done'] for name in after}
    rival = next(name for name in after if name != 'Search' and after[name]['lane'] == after['Search']['lane'])
    assert gained['Search'] > 3 * gained[rival], gained
    assert after[rival]['waitMs'] > after['Search']['waitMs']
    others = [name for name in after if after[name]['lane'] != after['Search']['lane']]
    assert all(gained[name] > 0 for name in others), 'the other worker goes on'
    example.get_by_label('Priority of Search').fill('1')


def test_pause_and_go_on(example: Page) -> None:
    example.get_by_role('button', name='Pause').click()
    example.wait_for_function("parallelReport().running === false")
    example.wait_for_timeout(500)
    done = report(example)['done']
    example.wait_for_timeout(300)
    assert report(example)['done'] == done
    example.get_by_role('button', name='Go on').click()
    example.wait_for_function(f'parallelReport().done > {done}')


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_nothing_is_wider_than_a_phone(browser: Browser, site: Server, scheme: str) -> None:
    page = open_example(browser, site, viewport={'width': 390, 'height': 844}, color_scheme=scheme)
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    page.context.close()


def test_without_workers_the_page_is_the_lane(browser: Browser, site: Server) -> None:
    page = open_example(browser, site, '?workers=0')
    page.wait_for_function('parallelReport().models.every(model => model.done > 0)', timeout=60_000)
    assert report(page)['lanes'] == ['page']
    assert model_workers(page) == []
    page.context.close()


def test_a_missing_model_is_told_in_words_with_its_code(browser: Browser, site: Server) -> None:
    page = browser.new_page()
    page.goto(site.url('/examples/parallel.html?model=nothing/'))
    page.wait_for_function(READY, timeout=60_000)
    expect(page.locator('#failure-code')).to_have_text('file-missing')
    expect(page.locator('#loading')).to_be_hidden()
    page.close()
