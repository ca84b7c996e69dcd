"""Firefox for the nightly tests: the system's, else Debian's firefox-esr with the libraries that the machine lacks, unpacked under .browser/.

`apt-get download` and `dpkg-deb -x` need no root. EDGEFLOW_FIREFOX names another one. There is no driver: pages report by what they ask the server for.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.browser import UNPACKED, BrowserMissing
from toolchain.stamp import locked

FOLDER = UNPACKED / 'firefox'
PACKAGE = 'firefox-esr'
RELATIONS = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances']


@dataclass(frozen=True)
class Firefox:
    """A Firefox, and the variables that it needs."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_firefox() -> Firefox:
    """The one to use. BrowserMissing where none is there and none can be had."""
    given = os.environ.get('EDGEFLOW_FIREFOX')
    if given:
        return Firefox(Path(given))
    for name in (PACKAGE, 'firefox'):
        found = shutil.which(name)
        if found:
            return Firefox(Path(found))
    if not shutil.which('apt-get') or not shutil.which('dpkg-deb'):
        raise BrowserMissing('no Firefox found: install it, or set EDGEFLOW_FIREFOX to its path')
    return unpack_firefox()


def unpack_firefox() -> Firefox:
    """Debian's package, unpacked once."""
    root = FOLDER / 'root'
    with locked(UNPACKED / 'firefox-lock'):
        if not (FOLDER / 'complete').exists():
            shutil.rmtree(FOLDER, ignore_errors=True)
            root.mkdir(parents=True)
            with tempfile.TemporaryDirectory(dir=FOLDER) as debs:
                subprocess.run(['apt-get', 'download', '-qq', *missing_packages()], cwd=debs, check=True, stderr=subprocess.DEVNULL)
                for deb in Path(debs).glob('*.deb'):
                    subprocess.run(['dpkg-deb', '-x', str(deb), str(root)], check=True)
            (FOLDER / 'complete').touch()
    library = root / 'usr/lib/x86_64-linux-gnu'
    return Firefox(root / 'usr/lib/firefox-esr/firefox-esr', {
        'LD_LIBRARY_PATH': os.pathsep.join(map(str, [library, *sorted(path for path in library.iterdir() if path.is_dir()), root / 'lib/x86_64-linux-gnu'])),
        'XDG_DATA_DIRS': str(root / 'usr/share'),
    })


def missing_packages() -> list[str]:
    """firefox-esr and all that it depends on, without what is installed."""
    listed = subprocess.run(['apt-cache', 'depends', '--recurse', *(f'--no-{name}' for name in RELATIONS), PACKAGE],
                            capture_output=True, text=True, check=True).stdout
    wanted = {line for line in listed.splitlines() if line and not line[0].isspace() and line[0] not in '<|' and ':' not in line}
    known = subprocess.run(['dpkg-query', '-W', '-f', '${Package} ${db:Status-Status}\n'], capture_output=True, text=True, check=True).stdout
    installed = {line.split()[0] for line in known.splitlines() if line.endswith(' installed')}
    return sorted(wanted - installed)


@contextmanager
def open_page(url: str, profile: Path) -> Iterator[subprocess.Popen]:
    """Firefox, without a window, at this address. profile: a folder that keeps what it stores."""
    found = find_firefox()
    profile.mkdir(parents=True, exist_ok=True)
    (profile / 'user.js').write_text('\n'.join(f'user_pref("{name}", {value});' for name, value in {
        'browser.shell.checkDefaultBrowser': 'false', 'datareporting.policy.dataSubmissionEnabled': 'false', 'browser.aboutwelcome.enabled': 'false',
        'app.update.enabled': 'false', 'toolkit.startup.max_resumed_crashes': '-1', 'browser.sessionstore.resume_from_crash': 'false',
        'network.captive-portal-service.enabled': 'false', 'services.settings.server': '"data:,"', 'security.sandbox.content.level': '0',
    }.items()))
    environment = {**os.environ, **found.environment, 'MOZ_HEADLESS': '1', 'HOME': str(profile), 'MOZ_CRASHREPORTER_DISABLE': '1'}
    running = subprocess.Popen([str(found.path), '--headless', '--no-remote', '--profile', str(profile), url], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            running.kill()
