"""Programs of Debian for the nightly tests, unpacked under .browser/ with the libraries that the machine lacks: `apt-get download` and
`dpkg-deb -x` need no root."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.browser import UNPACKED, BrowserMissing
from toolchain.stamp import locked

LIBRARIES = 'usr/lib/x86_64-linux-gnu'


def unpack(name: str, packages: list[str], finish: Callable[[Path], None] = lambda root: None) -> Path:
    """The folder with the packages and what they depend on, in .browser/NAME, made once. finish: what is done to it then. BrowserMissing elsewhere."""
    folder = UNPACKED / name
    root = folder / 'root'
    with locked(UNPACKED / f'{name}-lock'):
        if not (folder / 'complete').exists():
            if not shutil.which('apt-get') or not shutil.which('dpkg-deb'):
                raise BrowserMissing(f'{name} comes from Debian; this is another system')
            shutil.rmtree(folder, ignore_errors=True)
            root.mkdir(parents=True)
            with tempfile.TemporaryDirectory(dir=folder) as debs:
                subprocess.run(['apt-get', 'download', '-qq', *missing_packages(packages)], cwd=debs, check=True, stderr=subprocess.DEVNULL)
                for deb in Path(debs).glob('*.deb'):
                    subprocess.run(['dpkg-deb', '-x', str(deb), str(root)], check=True)
            finish(root)
            (folder / 'complete').touch()
    return root


def missing_packages(packages: list[str]) -> list[str]:
    """The packages and all that they depend on, without what is installed."""
    told = subprocess.run(['apt-get', '-s', '-qq', '--no-install-recommends', 'install', *packages], capture_output=True, text=True, check=True).stdout
    return sorted(line.split()[1] for line in told.splitlines() if line.startswith('Inst '))


def variables(root: Path) -> dict[str, str]:
    """What programs in an unpacked folder need to find their libraries and data."""
    library = root / LIBRARIES
    folders = [library, *sorted(path for path in library.iterdir() if path.is_dir()), root / 'lib/x86_64-linux-gnu']
    return {'LD_LIBRARY_PATH': os.pathsep.join(map(str, folders)), 'XDG_DATA_DIRS': os.pathsep.join([str(root / 'usr/share'), '/usr/share'])}


@contextmanager
def running(command: list[str], environment: dict[str, str], folder: Path | None = None) -> Iterator[subprocess.Popen]:
    """A program, ended on leaving."""
    program = subprocess.Popen(command, env={**os.environ, **environment}, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(20)
        except subprocess.TimeoutExpired:
            program.kill()
