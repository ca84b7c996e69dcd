"""The browser that tests, demo and bench drive: which one, and how it is started.

The order: EDGEFLOW_BROWSER (a path), the Chromium that `npm ci` brings (@sparticuz/chromium, Linux on x86-64), the one that
`playwright install chromium` brought, a Chrome or Chromium of the system. Finding none is an error, never a reason to skip.

`python -m toolchain.browser` prints what is used and what it offers.
"""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import brotli

from toolchain.paths import ROOT
from toolchain.stamp import locked

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

PACKAGE = ROOT / 'node_modules' / '@sparticuz' / 'chromium'
UNPACKED = ROOT / '.browser'

QUIET_ARGS = [
    '--no-sandbox',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--font-render-hinting=none',
    # V8 turns an access outside of WebAssembly memory into an error by way of Chromium's crash handler, which Playwright
    # switches off and the headless shell leaves off: without it the access ends the page's process.
    '--enable-crash-reporter',
    f'--crash-dumps-dir={UNPACKED / "crashes"}',
]
WEBGPU_ARGS = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--ignore-gpu-blocklist']
WEBNN_FEATURE = 'WebMachineLearningNeuralNetwork'

SYSTEM_NAMES = ['google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser', 'microsoft-edge']
SYSTEM_PATHS = [
    '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
    '/Applications/Chromium.app/Contents/MacOS/Chromium',
    'C:/Program Files/Google/Chrome/Application/chrome.exe',
    'C:/Program Files (x86)/Google/Chrome/Application/chrome.exe',
]


class BrowserMissing(RuntimeError):
    """No browser was found; the message says what to do."""


@dataclass(frozen=True)
class BrowserProgram:
    """A browser's program and what it needs around it. libraries: folders for LD_LIBRARY_PATH; environment: more variables."""

    path: Path
    origin: str
    libraries: list[Path] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def find_browser(playwright_path: str | None = None) -> BrowserProgram:
    """The browser to use. playwright_path: where Playwright would look for its own; BrowserMissing if there is none at all."""
    chosen = os.environ.get('EDGEFLOW_BROWSER')
    if chosen:
        if not Path(chosen).is_file():
            raise BrowserMissing(f'EDGEFLOW_BROWSER is {chosen!r}, and no such file exists; set it to the path of a Chrome or Chromium')
        return BrowserProgram(Path(chosen), 'EDGEFLOW_BROWSER')
    if sys.platform == 'linux' and platform.machine() == 'x86_64' and (PACKAGE / 'bin').is_dir():
        return unpack_chromium()
    if playwright_path and Path(playwright_path).is_file():
        return BrowserProgram(Path(playwright_path), 'playwright')
    for found in [*(shutil.which(name) for name in SYSTEM_NAMES), *SYSTEM_PATHS]:
        if found and Path(found).is_file():
            return BrowserProgram(Path(found), 'system')
    raise BrowserMissing(
        'no browser found. On Linux (x86-64) `npm ci` brings one; elsewhere run `.venv/bin/playwright install chromium`, '
        'install Chrome, or set EDGEFLOW_BROWSER to the path of a Chrome or Chromium'
    )


def unpack_chromium() -> BrowserProgram:
    """The Chromium of @sparticuz/chromium, unpacked under .browser/ once for each version of the package."""
    version = json.loads((PACKAGE / 'package.json').read_text())['version']
    target = UNPACKED / version
    stamp = target / 'complete'
    with locked(UNPACKED / 'lock'):
        if not stamp.exists():
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir(parents=True)
            for archive in ('al2023', 'swiftshader', 'fonts'):
                packed = (PACKAGE / 'bin' / f'{archive}.tar.br').read_bytes()
                with tarfile.open(fileobj=io.BytesIO(brotli.decompress(packed))) as tar:
                    tar.extractall(target if archive != 'fonts' else target / 'fonts', filter='data')
            _decompress(PACKAGE / 'bin' / 'chromium.br', target / 'chromium')
            (target / 'chromium').chmod(0o755)
            _write_fonts_conf(target)
            stamp.touch()
    return BrowserProgram(
        target / 'chromium', f'@sparticuz/chromium {version}', [target, target / 'lib'], {'FONTCONFIG_FILE': str(target / 'fonts.conf')}
    )


def _decompress(source: Path, target: Path) -> None:
    decompressor = brotli.Decompressor()
    with source.open('rb') as packed, target.open('wb') as out:
        while chunk := packed.read(1 << 20):
            out.write(decompressor.process(chunk))
    if not decompressor.is_finished():
        raise BrowserMissing(f'{source} is cut off; remove node_modules and run npm ci')


def _write_fonts_conf(target: Path) -> None:
    """The package's fonts beside the system's: a bare machine has no fonts and no /etc/fonts at all."""
    (target / 'fonts.conf').write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        f'  <dir>{target / "fonts"}</dir>\n  <dir>/usr/share/fonts</dir>\n  <cachedir>{target / "fontconfig-cache"}</cachedir>\n'
        '</fontconfig>\n'
    )


def launch_options(playwright: Playwright, *, webgpu: bool = True, webnn: bool = True, headless: bool = True, extra: list[str] | None = None) -> dict:
    """Keyword arguments for `playwright.chromium.launch`."""
    program = find_browser(playwright.chromium.executable_path)
    args = [*QUIET_ARGS, *(WEBGPU_ARGS if webgpu else []), *(extra or [])]
    if webnn:
        args.append(f'--enable-features={WEBNN_FEATURE}')
    environment = {**os.environ, **program.environment}
    if program.libraries:
        paths = [str(path) for path in program.libraries]
        environment['LD_LIBRARY_PATH'] = os.pathsep.join([*filter(None, [os.environ.get('LD_LIBRARY_PATH')]), *paths])
    return {'executable_path': str(program.path), 'args': args, 'env': environment, 'headless': headless}


@contextmanager
def open_browser(**options: object) -> Iterator[Browser]:
    """A started browser, closed on leaving. options: those of launch_options."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**launch_options(playwright, **options))
        try:
            yield browser
        finally:
            browser.close()


PROBE = """async () => {
  const adapter = await navigator.gpu?.requestAdapter();
  const webgpu = adapter ? `${adapter.info.vendor} ${adapter.info.architecture} ${adapter.info.description}`.trim() : 'none';
  let webnn = 'none';
  if (navigator.ml) webnn = await navigator.ml.createContext().then(() => 'context made', e => `no context: ${e.message}`);
  return { webgpu, features: adapter ? [...adapter.features].sort().join(' ') : '', webnn, storage: 'indexedDB' in self,
           threads: navigator.hardwareConcurrency, isolated: crossOriginIsolated };
}"""


def main() -> None:
    from toolchain.serve import Server

    with Server({'/': ROOT / 'tests' / 'browser' / 'pages'}) as server, open_browser() as browser:
        page = browser.new_page()
        page.goto(server.url('/blank.html'))
        print(f'Chromium {browser.version} ({find_browser().origin})')
        for name, value in page.evaluate(PROBE).items():
            print(f'  {name}: {value}')


if __name__ == '__main__':
    main()
