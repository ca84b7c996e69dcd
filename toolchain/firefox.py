"""Firefox for the nightly tests: the system's, else Debian's. EDGEFLOW_FIREFOX names another one. There is no driver: pages report by what they ask
the server for."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolchain.debian import running, unpack, variables

PACKAGE = 'firefox-esr'


@dataclass(frozen=True)
class Firefox:
    """A Firefox, and the variables that it needs."""

    path: Path
    environment: dict[str, str] = field(default_factory=dict)


def find_firefox() -> Firefox:
    """The one to use. BrowserMissing where none is there and none can be had."""
    given = os.environ.get('EDGEFLOW_FIREFOX')
    for found in (given, shutil.which(PACKAGE), shutil.which('firefox')):
        if found:
            return Firefox(Path(found))
    root = unpack('firefox', [PACKAGE])
    return Firefox(root / 'usr/lib/firefox-esr/firefox-esr', variables(root))


@contextmanager
def open_firefox(url: str, profile: Path) -> Iterator[subprocess.Popen]:
    """Firefox, without a window, at this address. profile: a folder that keeps what it stores."""
    found = find_firefox()
    profile.mkdir(parents=True, exist_ok=True)
    (profile / 'user.js').write_text('\n'.join(f'user_pref("{name}", {value});' for name, value in {
        'browser.shell.checkDefaultBrowser': 'false', 'datareporting.policy.dataSubmissionEnabled': 'false', 'browser.aboutwelcome.enabled': 'false',
        'app.update.enabled': 'false', 'toolkit.startup.max_resumed_crashes': '-1', 'browser.sessionstore.resume_from_crash': 'false',
        # Else it opens an address a second time, with a store of its own, for a picture of it.
        'browser.pagethumbnails.capturing_disabled': 'true',
        'network.captive-portal-service.enabled': 'false', 'services.settings.server': '"data:,"', 'security.sandbox.content.level': '0',
    }.items()))
    environment = {**found.environment, 'MOZ_HEADLESS': '1', 'HOME': str(profile), 'MOZ_CRASHREPORTER_DISABLE': '1'}
    with running([str(found.path), '--headless', '--no-remote', '--profile', str(profile), url], environment) as program:
        yield program
