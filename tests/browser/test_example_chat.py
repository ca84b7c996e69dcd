"""examples/chat.html: what it shows while the small decoder writes, how it is stopped, and that its settings do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from toolchain.demo import READY, WAIT_MS, stream_answer
from toolchain.paths import EXAMPLES
from toolchain.serve import Server

FOR = 'The "for" statement'


@pytest.fixture(scope='module')
def site(dist: Path) -> Iterator[Server]:
    with Server({'/examples': EXAMPLES, '/dist': dist}) as server:
        yield server


def open_example(browser: Browser, site: Server, query: str = '', **options: object) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(site.url(f'/examples/chat.html{query}'))
    page.wait_for_function(READY, timeout=WAIT_MS)
    return page


@pytest.fixture
def example(browser: Browser, site: Server) -> Iterator[Page]:
    page = open_example(browser, site, viewport={'width': 1280, 'height': 900})
    assert page.evaluate('document.documentElement.dataset.state') == 'ready', page.inner_text('#failure')
    yield page
    page.context.close()


def ask(page: Page, question: str, seed: int = 1) -> str:
    """The answer that the page shows, once it has ended."""
    count = page.locator('#log .ending:not(:empty)').count()
    page.get_by_label('Seed').fill(str(seed))
    page.get_by_label('Heading').fill(question)
    page.keyboard.press('Enter')
    expect(page.locator('#log .ending:not(:empty)')).to_have_count(count + 1, timeout=WAIT_MS)
    return page.locator('#log .answer').last.text_content() or ''


def facts(page: Page) -> dict[str, str]:
    return dict(zip(page.locator('#facts dt').all_inner_texts(), page.locator('#facts dd').all_inner_texts(), strict=True))


def test_the_model_writes_a_section_below_a_heading(example: Page) -> None:
    answer = ask(example, FOR)
    assert len(answer) > 200
    assert answer.count(' the ') >= 3, answer
    expect(example.locator('#log .question')).to_have_text(FOR)
    shown = facts(example)
    report = example.evaluate('chatReport()')
    assert report['turns'][0]['text'] == answer
    assert int(shown['tokens']) == report['turns'][0]['tokens'] > 50
    assert int(shown['tokens a second']) > 0 and float(shown['first token after'].removesuffix(' ms')) > 0
    assert f'{report["turns"][0]["tokens"]} tokens · seed 1' in example.locator('#log .ending').inner_text()


def test_text_comes_piece_by_piece(example: Page) -> None:
    example.evaluate("""() => {
      globalThis.seen = [];
      new MutationObserver(() => seen.push(document.querySelector('#log .answer')?.textContent ?? '')).observe(document.getElementById('log'), { childList: true, subtree: true });
    }""")
    answer = ask(example, FOR)
    seen = [text for text in example.evaluate('seen') if text]
    assert len(set(seen)) > 20
    assert all(later.startswith(earlier) for earlier, later in zip(seen, seen[1:], strict=False))
    assert seen[-1] == answer


def test_the_same_seed_writes_the_same_text_and_another_seed_another(example: Page) -> None:
    texts = []
    for seed in (7, 7, 8):
        texts.append(ask(example, 'Mutable sequences', seed))
        example.get_by_role('button', name='New conversation').click()
    assert texts[0] == texts[1] != texts[2]


def test_temperature_0_needs_no_seed(example: Page) -> None:
    example.get_by_label('Temperature').fill('0')
    first = ask(example, 'Lambdas', 1)
    example.get_by_role('button', name='New conversation').click()
    assert ask(example, 'Lambdas', 2) == first


def test_tokens_at_most(example: Page) -> None:
    example.get_by_label('Tokens at most').fill('10')
    ask(example, FOR)
    expect(example.locator('#log .ending')).to_contain_text('as many tokens as allowed · 10 tokens')


@pytest.mark.parametrize('how', ['button', 'key'])
def test_an_answer_is_stopped_and_the_page_goes_on(example: Page, how: str) -> None:
    example.get_by_label('Tokens at most').fill('400')
    example.evaluate("""how => {
      new MutationObserver((_, observer) => {
        if (chatReport().tokens >= 5) {
          observer.disconnect();
          if (how === 'button') document.getElementById('stop').click();
          else document.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape' }));
        }
      }).observe(document.getElementById('log'), { childList: true, subtree: true });
    }""", how)
    stopped = ask(example, 'String Methods')
    expect(example.locator('#log .ending')).to_contain_text('stopped')
    assert 0 < example.evaluate('chatReport().turns[0].tokens') < 100
    assert example.evaluate('chatReport().turns[0].text') == stopped
    expect(example.get_by_role('button', name='Stop')).to_be_hidden()
    assert len(ask(example, 'Lambdas')) > 20


def test_a_long_conversation_stays_within_the_context(example: Page) -> None:
    for i in range(5):
        ask(example, FOR, i)
    report = example.evaluate('chatReport()')
    assert sum(turn['tokens'] for turn in report['turns']) > 512
    expect(example.locator('#failure')).to_be_hidden()


def test_a_suggestion_is_asked_by_a_click_and_the_next_seed_is_another(example: Page) -> None:
    example.get_by_role('button', name='Lambdas').click()
    expect(example.locator('#log .ending')).not_to_be_empty(timeout=WAIT_MS)
    expect(example.locator('#log .question')).to_have_text('Lambdas')
    assert example.get_by_label('Seed').input_value() != '1'


def test_a_seed_that_is_none_is_told_before_anything_runs(example: Page) -> None:
    example.get_by_label('Seed').fill('')
    example.get_by_label('Heading').fill(FOR)
    example.keyboard.press('Enter')
    expect(example.get_by_label('Seed')).to_be_focused()
    expect(example.locator('#log .question')).to_have_count(0)


def test_make_demo_prints_the_text_as_it_is_shown(example: Page, capsys: pytest.CaptureFixture) -> None:
    report = stream_answer(example)
    assert capsys.readouterr().out == report['turns'][0]['text'] == example.locator('#log .answer').text_content()
    assert report['rate'] > 0 and report['firstMs'] > 0


def test_a_missing_model_is_told_in_words_with_its_code(browser: Browser, site: Server) -> None:
    page = open_example(browser, site, '?model=nothing/')
    expect(page.locator('#failure-code')).to_have_text('file-missing')
    page.context.close()


@pytest.mark.parametrize('scheme', ['light', 'dark'])
def test_nothing_is_wider_than_a_phone(browser: Browser, site: Server, scheme: str) -> None:
    page = open_example(browser, site, viewport={'width': 390, 'height': 844}, color_scheme=scheme)
    ask(page, FOR)
    assert page.evaluate('document.documentElement.scrollWidth') == 390
    page.context.close()
