"""WebKitGTK for the nightly tests: Debian's MiniBrowser, which draws for GTK's Broadway server, so that it needs no display. There is no driver: pages
report by what they ask the server for."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.debian import LIBRARIES, running, unpack, variables

# libgtk-3-bin: broadwayd.
PACKAGES = ['libwebkit2gtk-4.1-0', 'libgtk-3-bin']
FOLDER = 'webkit2gtk-4.1'
PATIENCE = 20.0


def find_processes_here(root: Path) -> None:
    """Have the library look for its processes in the current folder: it knows them by absolute paths of an installed package. And index the types of
    files if their list was unpacked, too, without which GTK reads no icon."""
    library = (root / LIBRARIES / 'libwebkit2gtk-4.1.so.0').resolve()
    data = library.read_bytes()
    for end in (b'\0', b'/injected-bundle/\0'):
        known = f'/{LIBRARIES}/{FOLDER}'.encode() + end
        if data.count(known) != 1:
            raise RuntimeError(f'{library.name}: expected {known!r} once, found it {data.count(known)} times')
        data = data.replace(known, (f'./{FOLDER}'.encode() + end).ljust(len(known), b'\0'))
    library.write_bytes(data)
    if (root / 'usr/share/mime/packages').is_dir():
        subprocess.run([root / 'usr/bin/update-mime-database', root / 'usr/share/mime'], check=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


@contextmanager
def broadway(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """GTK's server that takes what programs draw."""
    port = free_port()
    with running([str(root / 'usr/bin/broadwayd'), '--address', '127.0.0.1', '--port', str(port), ':0'], environment) as server:
        began = time.monotonic()
        while True:
            try:
                socket.create_connection(('127.0.0.1', port)).close()
                break
            except ConnectionRefusedError:
                if server.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise RuntimeError('broadwayd did not start') from None
                time.sleep(0.05)
        yield


@contextmanager
def open_webkit(url: str, profile: Path) -> Iterator[subprocess.Popen]:
    """WebKitGTK, without a display, at this address. profile: a folder that keeps what it stores."""
    root = unpack('webkit', PACKAGES, find_processes_here)
    profile.mkdir(parents=True, exist_ok=True)
    # By whose path the two find each other, which must be short.
    with tempfile.TemporaryDirectory() as sockets:
        environment = {
            **variables(root), 'HOME': str(profile), 'XDG_RUNTIME_DIR': sockets, 'GDK_BACKEND': 'broadway', 'BROADWAY_DISPLAY': ':0',
            'GIO_MODULE_DIR': str(root / LIBRARIES / 'gio/modules'), 'GSETTINGS_BACKEND': 'memory', 'NO_AT_BRIDGE': '1',
            'WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS': '1',
        }
        with broadway(root, environment), running([f'./{FOLDER}/MiniBrowser', url], environment, root / LIBRARIES) as program:
            yield program
