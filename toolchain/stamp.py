"""Knowing that nothing changed: a step is done again only when the contents of its inputs differ from last time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolchain.paths import BUILD


def fingerprint(inputs: Iterable[Path], salt: str = '') -> str:
    """A digest of names and contents; salt stands for what is no file, such as a command line."""
    digest = hashlib.sha256(salt.encode())
    for path in sorted(inputs):
        digest.update(str(path).encode() + b'\0' + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def when_changed(name: str, inputs: Iterable[Path], outputs: Iterable[Path], work: Callable[[], None], salt: str = '') -> bool:
    """Do the work unless all outputs exist and inputs and salt are those of the last time it succeeded. True: it was done."""
    stamp = BUILD / 'stamps' / name
    now = fingerprint(inputs, salt)
    if stamp.exists() and stamp.read_text() == now and all(path.exists() for path in outputs):
        return False
    stamp.unlink(missing_ok=True)
    work()
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.write_text(now)
    return True


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes out of the same work (on systems without flock: no lock)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('w') as handle:
        try:
            import fcntl
        except ImportError:
            yield
            return
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
