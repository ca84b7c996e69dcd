"""What callers hear while files load, and how a body's length is judged."""

from __future__ import annotations

from edgeflow.store.transfer import is_cut_off
from edgeflow.store.progress import Progress, ProgressEvent


def test_events_of_two_files() -> None:
    heard: list[ProgressEvent] = []
    progress = Progress(lambda event: heard.append(event))
    progress.initiate('a')
    progress.initiate('b')
    progress.download('a', 10)
    progress.advance('a', 4)
    progress.download('b', None)
    progress.advance('b', 3)
    progress.done('b')
    progress.advance('a', 6)
    progress.done('a')
    progress.ready()
    assert heard == [
        ProgressEvent('initiate', 'a', 0, None, 0, None),
        ProgressEvent('initiate', 'b', 0, None, 0, None),
        ProgressEvent('download', 'a', 0, 10, 0, None),
        ProgressEvent('progress', 'a', 4, 10, 4, None),
        ProgressEvent('download', 'b', 0, None, 4, None),
        ProgressEvent('progress', 'b', 3, None, 7, None),
        ProgressEvent('done', 'b', 3, 3, 7, 13),
        ProgressEvent('progress', 'a', 10, 10, 13, 13),
        ProgressEvent('done', 'a', 10, 10, 13, 13),
        ProgressEvent('ready', '', 13, 13, 13, 13),
    ]


def test_a_file_is_initiated_once() -> None:
    heard: list[ProgressEvent] = []
    progress = Progress(lambda event: heard.append(event))
    progress.initiate('a')
    progress.initiate('a')
    assert len(heard) == 1


def test_a_total_that_proves_wrong_is_dropped() -> None:
    heard: list[ProgressEvent] = []
    progress = Progress(lambda event: heard.append(event))
    progress.initiate('a')
    progress.download('a', 2)
    progress.advance('a', 3)
    assert heard[2] == ProgressEvent('progress', 'a', 3, None, 3, None)


def test_no_callback() -> None:
    progress = Progress(None)
    progress.initiate('a')
    progress.download('a', 1)
    progress.advance('a', 1)
    progress.done('a')
    progress.ready()


def test_cut_off_bodies() -> None:
    assert not is_cut_off(100, 100)
    assert not is_cut_off(2, 22)
    assert not is_cut_off(200, 100)
    assert is_cut_off(0, 100)
    assert is_cut_off(999_000 - 65, 1_000_000)
    assert not is_cut_off(999_000 - 64, 1_000_000)
