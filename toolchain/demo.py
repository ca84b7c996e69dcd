"""`make demo` and `make serve`: a real sentence-embedding model in a real browser, on the package that npm would install.

`python -m toolchain.demo` opens the page in a headless browser, waits for its results and prints them;
`python -m toolchain.demo --serve [--port 8000]` serves the page for a person.
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

from toolchain.browser import open_browser
from toolchain.bundle import DIST
from toolchain.paths import BUILD, EXAMPLES, ROOT
from toolchain.serve import Server
from toolchain.stamp import when_changed

PAGE = EXAMPLES / 'demo'
MODEL = EXAMPLES / 'minilm'
PACKAGE = BUILD / 'demo' / 'package'
WAIT_MS = 180_000


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
    """A server of the page with its package and its model."""
    return Server({'/': PAGE, '/page': EXAMPLES / 'page', '/package': packed_package(), '/model': export_model()}, port=port)


def open_page(server: Server, query: str = '?fresh') -> tuple[dict, str]:
    """What the page found, and the browser's version; a page that fails is a RuntimeError with its message."""
    with open_browser() as browser:
        page = browser.new_page()
        page.goto(server.url(f'/{query}'))
        page.wait_for_function("['ready', 'failed'].includes(document.documentElement.dataset.state)", timeout=WAIT_MS)
        if page.evaluate('document.documentElement.dataset.state') == 'failed':
            raise RuntimeError(page.inner_text('#failure'))
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


def demo() -> None:
    """Run the page once and print what it found."""
    with demo_server() as server:
        report, version = open_page(server)
        print_report(report, version, sum(record.sent for record in server.site.log))


def serve(port: int) -> None:
    """Serve the page until interrupted."""
    with demo_server(port) as server:
        print(f'open {server.url("/")} (Ctrl-C stops)')
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print()


def main() -> None:
    parser = argparse.ArgumentParser(description='A sentence-embedding model in the browser.')
    parser.add_argument('--serve', action='store_true', help='serve the page for a person')
    parser.add_argument('--port', type=int, default=8000)
    options = parser.parse_args()
    if options.serve:
        serve(options.port)
    else:
        demo()


if __name__ == '__main__':
    main()
