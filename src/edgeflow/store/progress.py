"""What a caller hears while files load."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class ProgressEvent:
    """One step of loading.

    status: 'initiate' (the file is asked for), 'download' (the answer began), 'progress' (bytes came), 'done' (the file is
    here) or 'ready' (everything is loaded and the model can run). file: its name in the model's folder, '' with 'ready'.
    loaded, total: decoded bytes of this file; total is None while unknown. loaded_all, total_all: the same over all
    files asked for so far.
    """

    status: str
    file: str
    loaded: int
    total: int | None
    loaded_all: int
    total_all: int | None


@dataclass
class _FileProgress:
    loaded: int = 0
    total: int | None = None


class Progress:
    """Counts the bytes of all files of one load and tells `callback`, if there is one."""

    def __init__(self, callback: Callable[[ProgressEvent], None] | None) -> None:
        self._callback = callback
        self._files: dict[str, _FileProgress] = {}

    def initiate(self, file: str) -> None:
        """The file is asked for. A load that knows its files says so for all of them first; then total_all is right early."""
        if file not in self._files:
            self._files[file] = _FileProgress()
            self._tell('initiate', file)

    def download(self, file: str, total: int | None) -> None:
        """The answer began; `total` bytes are to come, if that is known."""
        self._files[file].total = total
        self._tell('download', file)

    def advance(self, file: str, count: int) -> None:
        """`count` more bytes are here."""
        state = self._files[file]
        state.loaded += count
        if state.total is not None and state.loaded > state.total:
            state.total = None
        self._tell('progress', file)

    def reach(self, file: str, loaded: int) -> None:
        """`loaded` bytes are here; fewer than before if some were lost with their connection."""
        self.advance(file, loaded - self._files[file].loaded)

    def done(self, file: str) -> None:
        """The whole file is here (or, if it was optional, known to be absent)."""
        state = self._files[file]
        state.total = state.loaded
        self._tell('done', file)

    def ready(self) -> None:
        """Everything is loaded."""
        self._tell('ready', '')

    def _tell(self, status: str, file: str) -> None:
        if self._callback is None:
            return
        loaded_all = 0
        total_all: int | None = 0
        for state in self._files.values():
            loaded_all += state.loaded
            total_all = total_all + state.total if total_all is not None and state.total is not None else None
        loaded = loaded_all
        total = total_all
        if file != '':
            loaded = self._files[file].loaded
            total = self._files[file].total
        self._callback(ProgressEvent(status, file, loaded, total, loaded_all, total_all))
