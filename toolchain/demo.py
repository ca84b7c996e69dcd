"""`make demo` and `make serve`: real models in a real browser, on the package that npm would install.

`python -m toolchain.demo` opens the sentences' page in a headless browser, waits for its results and prints them, then streams a text from
the chat page; `python -m toolchain.demo --serve [--port 8000]` serves the pages for a person.
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

from playwright.sync_api import Page

from toolchain.browser import open_browser
from toolchain.bundle import DIST
from toolchain.paths import BUILD, EXAMPLES, ROOT
from toolchain.serve import Server
from toolchain.stamp import when_changed

PAGE = EXAMPLES / 'demo'
MODEL = EXAMPLES / 'minilm'
PACKAGE = BUILD / 'demo' / 'package'
WAIT_MS = 180_000
QUESTION = 'The "for" statement'
SEED = 1
READY = "['ready', 'failed'].includes(document.documentElement.dataset.state)"


def packed_package() -> Path:
    """The folder that `npm install edgeflow` would give, made by `npm pack`; made anew when dist/ changed."""

    def work() -> None:
        folder = PACKAGE.parent
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = ['npm', 'pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', str(folder)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        with tarfile.open(folder / json.loads(answer.stdout)[0]['filename']) as archive:
            archive.extractall(folder, filter='data')

    inputs = [path for path in DIST.glob('*') if path.is_file()]
    when_changed('demo-package', [*inputs, ROOT / 'package.json'], [PACKAGE / 'package.json'], work)
    return PACKAGE


def export_model() -> Path:
    """The folder of the MiniLM model, written when it is missing or out of date."""
    runpy.run_path(str(EXAMPLES / 'models' / 'export_minilm.py'))['export'](MODEL)
    return MODEL


def demo_server(port: int = 0) -> Server:
    """A server of the pages with their package and their models."""
    package = packed_package()
    roots = {'/': PAGE, '/page': EXAMPLES / 'page', '/package': package, '/model': export_model(), '/examples': EXAMPLES, '/dist': package / 'dist'}
    return Server(roots, port=port)


def wait_for_page(page: Page) -> None:
    """Until a page is ready; one that fails is a RuntimeError with its message."""
    page.wait_for_function(READY, timeout=WAIT_MS)
    if page.evaluate('document.documentElement.dataset.state') == 'failed':
        raise RuntimeError(page.inner_text('#failure'))


def open_page(server: Server, query: str = '?fresh') -> tuple[dict, str]:
    """What the page found, and the browser's version; a page that fails is a RuntimeError with its message."""
    with open_browser() as browser:
        page = browser.new_page()
        page.goto(server.url(f'/{query}'))
        wait_for_page(page)
        return page.evaluate('demoReport()'), browser.version


def print_report(report: dict, version: str, sent: int) -> None:
    """The nearest pairs, the table and the times."""
    sentences = report['sentences']
    print(f'\n{len(sentences)} sentences embedded by all-MiniLM-L6-v2 in Chromium {version}\n')
    print('nearest pairs')
    for pair in report['pairs']:
        print(f'  {pair["score"]:.3f}  {pair["first"]}\n         {pair["second"]}')
    print('\nsimilarity')
    print('     ' + ''.join(f'{j + 1:6d}' for j in range(len(sentences))))
    for i, row in enumerate(report['table']):
        print(f'  {i + 1:2d} ' + ''.join(f'{round(score, 2) + 0.0:6.2f}' for score in row) + f'  {sentences[i]}')
    print(f'\ndownloaded           {sent:,} bytes, of them {report["loadedBytes"]:,} model and tokenizer')
    print(f'first result after   {report["firstResultMs"] / 1000:.2f} s (from the start of navigation)')
    print(f'a sentence takes     {report["sentenceMs"]:.1f} ms (median of {len(report["times"])})')


def stream_answer(page: Page, question: str = QUESTION) -> dict:
    """Ask the chat page, and print the text as the page shows it. The page's figures."""
    page.get_by_label('Seed').fill(str(SEED))
    page.get_by_label('Heading').fill(question)
    page.keyboard.press('Enter')
    answer = page.locator('#log .answer').last
    shown, running = '', True
    while running:
        running = page.evaluate('chatReport().running')
        text = answer.text_content() or ''
        print(text[len(shown):], end='', flush=True)
        shown = text
    if page.evaluate('document.documentElement.dataset.state') == 'failed':
        raise RuntimeError(page.inner_text('#failure'))
    return page.evaluate('chatReport()')


def stream_demo(server: Server) -> None:
    """A text from the small decoder, as it is made, and how fast."""
    with open_browser() as browser:
        page = browser.new_page()
        page.goto(server.url('/examples/chat.html'))
        wait_for_page(page)
        print(f'\n{QUESTION}, as topics-gpt continues it (a decoder of three million parameters that read Python\'s reference; seed {SEED})\n')
        report = stream_answer(page)
        print(f'\n\ntokens a second      {report["rate"]:.0f} ({report["tokens"]} tokens, the first after {report["firstMs"]:.0f} ms)')


def demo() -> None:
    """Run the pages once and print what they found."""
    with demo_server() as server:
        report, version = open_page(server)
        print_report(report, version, sum(record.sent for record in server.site.log))
        stream_demo(server)


def serve(port: int) -> None:
    """Serve the pages until interrupted."""
    with demo_server(port) as server:
        print(f'open {server.url("/")} (Ctrl-C stops)')
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def main() -> None:
    parser = argparse.ArgumentParser(description='Models in the browser.')
    parser.add_argument('--serve', action='store_true', help='serve the pages for a person')
    parser.add_argument('--port', type=int, default=8000)
    options = parser.parse_args()
    if options.serve:
        serve(options.port)
    else:
        demo()


if __name__ == '__main__':
    main()
