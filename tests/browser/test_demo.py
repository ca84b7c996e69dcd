"""The demo's page, as `make demo` and `make serve` show it, on the packed package and the real model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from toolchain.demo import WAIT_MS, demo_server, print_report
from toolchain.serve import Server

READY = "['ready', 'failed'].includes(document.documentElement.dataset.state)"


@pytest.fixture(scope='module')
def site(dist: Path) -> Iterator[Server]:
    with demo_server() as server:
        yield server


@pytest.fixture(scope='module')
def demo(browser: Browser, site: Server) -> Iterator[Page]:
    """The page with its first dozen sentences embedded, shared by the tests."""
    page = browser.new_page(viewport={'width': 1280, 'height': 900})
    page.goto(site.url('/?fresh&dtype=q8'))
    page.wait_for_function(READY, timeout=WAIT_MS)
    yield page
    page.close()


def state(page: Page) -> str:
    return page.evaluate('document.documentElement.dataset.state')


def test_a_dozen_sentences_find_their_partners(demo: Page) -> None:
    assert state(demo) == 'ready', demo.inner_text('#failure')
    report = demo.evaluate('demoReport()')
    assert len(report['sentences']) == 12
    found = {frozenset((pair['first'], pair['second'])) for pair in report['pairs']}
    written = report['sentences']
    assert found == {frozenset(written[i:i + 2]) for i in range(0, 12, 2)}
    assert all(abs(report['table'][i][i] - 1) < 1e-3 for i in range(12))


def test_the_report_of_make_demo_names_pairs_table_bytes_and_times(demo: Page, site: Server, capsys: pytest.CaptureFixture) -> None:
    report = demo.evaluate('demoReport()')
    print_report(report, 'x', sum(record.sent for record in site.site.log))
    printed = capsys.readouterr().out
    for words in ('nearest pairs', 'similarity', 'bytes', 'first result after', 'a sentence takes', *report['sentences']):
        assert words in printed
    assert report['loadedBytes'] > 20_000_000
    assert report['firstResultMs'] > 0 and report['sentenceMs'] > 0


def test_a_typed_sentence_joins_the_table(demo: Page) -> None:
    demo.get_by_label('New sentence').fill('The sky is blue and the sun shines.')
    demo.keyboard.press('Enter')
    demo.wait_for_function('demoReport().sentences.length === 13 && demoReport().table[12][12] > 0.99', timeout=WAIT_MS)
    report = demo.evaluate('demoReport()')
    row = report['table'][12][:12]
    assert row.index(max(row)) in (2, 3)
    demo.get_by_label('Remove sentence 13').click()
    expect(demo.locator('#sentences li')).to_have_count(12)


def test_the_table_is_walked_with_the_arrow_keys(demo: Page) -> None:
    demo.locator('#matrix td').first.focus()
    demo.keyboard.press('ArrowRight')
    report = demo.evaluate('demoReport()')
    expect(demo.locator('#detail')).to_contain_text(f'{report["table"][0][1]:.3f}')
    expect(demo.locator('#detail')).to_contain_text(report['sentences'][1])
    demo.keyboard.press('ArrowDown')
    expect(demo.locator('#detail')).to_contain_text('1.000')


def test_enter_moves_from_sentence_to_sentence(demo: Page) -> None:
    demo.get_by_label('Sentence 12', exact=True).focus()
    demo.keyboard.press('Enter')
    expect(demo.get_by_label('New sentence')).to_be_focused()


def test_the_page_leads_to_the_other_examples(browser: Browser, demo: Page, site: Server) -> None:
    links = [link.evaluate('link => link.href') for link in demo.locator('nav a').all()]
    assert [link.rsplit('/', 1)[1] for link in links] == ['chat.html', 'parallel.html', 'profile.html']
    for link in links:
        page = browser.new_page()
        page.goto(link)
        page.wait_for_function(READY, timeout=WAIT_MS)
        assert state(page) == 'ready', page.inner_text('#failure')
        page.close()


def test_a_missing_model_is_told_in_words_with_its_code(browser: Browser, site: Server) -> None:
    page = browser.new_page()
    page.goto(site.url('/?fresh&model=nothing/'))
    page.wait_for_function(READY, timeout=WAIT_MS)
    assert state(page) == 'failed'
    expect(page.locator('#failure')).to_be_visible()
    expect(page.locator('#failure-code')).to_have_text('file-missing')
    expect(page.locator('#loading')).to_be_hidden()
    page.close()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_nothing_is_wider_than_a_phone(browser: Browser, site: Server, scheme: str) -> None:
    context = browser.new_context(viewport={'width': 390, 'height': 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(site.url('/?fresh&dtype=q8'))
    page.wait_for_function(READY, timeout=WAIT_MS)
    assert state(page) == 'ready'
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    ink, paper = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert (brightness(ink) < brightness(paper)) == (scheme == 'light')
    context.close()


def brightness(colour: str) -> float:
    """The mean of the parts of 'rgb(r, g, b)'."""
    parts = [float(part) for part in colour.removeprefix('rgb(').removesuffix(')').split(',')]
    return sum(parts) / 3
