"""Random schedules of faults over real sockets: a download ends with the very bytes of one version, or with a typed error."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.store import downloads
from edgeflow.store.downloads import Download, DownloadProgress
from edgeflow.store.entries import close_files
from edgeflow.store.transfer_records import Limits, Source
from tests.store.faults import KINDS, FaultServer, ServedFile

CODES = {'http', 'checksum', 'aborted'}
FAULTS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 999)).map(list), max_size=7)


@st.composite
def cases(draw: st.DrawFn) -> dict:
    """A file, a server's manners, its faults, and moments at which the visitor leaves and comes back."""
    schedule = draw(FAULTS)
    return {
        'size': draw(st.sampled_from([0, 1, 999, 1000, 4096, 5000, 20_000, 33_333])),
        'chunk': draw(st.sampled_from([1000, 1024, 4096, 50_000])),
        'connections': draw(st.integers(1, 4)),
        'small': draw(st.sampled_from([0, 0, 2000, 100_000])),
        'schedule': schedule,
        'validators': draw(st.sampled_from(['etag', 'etag', 'modified', 'weak', 'none'])),
        'ranges': draw(st.sampled_from([True, True, True, False])),
        'encoded': draw(st.sampled_from([False, False, False, True])),
        'digest': draw(st.booleans()) or any(kind == 'corrupt' for kind, _ in schedule),
        'leaves': draw(st.lists(st.integers(0, 40_000), max_size=2)),
    }


def served(case: dict) -> ServedFile:
    data = random.Random(case['size']).randbytes(case['size'])
    return ServedFile(data, [list(fault) for fault in case['schedule']], case['validators'], case['ranges'], encoded=case['encoded'])


async def visit(url: str, case: dict, digest: str, leave: int | None) -> tuple[str, bytes]:
    """('', the bytes), or the code of the error; leaves when that many bytes are there."""
    controller = new_abort_controller()

    def hear(progress: DownloadProgress) -> None:
        if leave is not None and progress.loaded >= leave:
            controller.abort()

    # Stalls are noticed after 60 ms: beside other work on the machine a shorter silence would be taken for one.
    limits = Limits(case['chunk'], case['connections'], 6, 60.0, 1.0, 0.0, 0.0, case['small'])
    one = Download(Source(url, sha256=digest, limits=limits), hear, controller.signal)
    try:
        return '', bytes(await one.bytes())
    except EdgeflowError as error:
        return error.code, b''


async def all_visits(url: str, case: dict, digest: str) -> list[tuple[str, bytes]]:
    found = []
    for leave in [*case['leaves'], None]:
        found.append(await visit(url, case, digest, leave))
        while downloads._running:
            await asyncio.sleep(0.001)
        await close_files()
    return found


def judge(file: ServedFile, case: dict, digest: str, code: str, got: bytes) -> None:
    """The rule: right bytes or a typed error."""
    if code:
        assert code in CODES
        return
    # A length that is too short cannot be told from a shorter file where the server does not say the size otherwise.
    allowed = list(file.versions)
    if digest:
        allowed = [data for data in allowed if hashlib.sha256(data).hexdigest() == digest]
    short = any(kind == 'short' for kind, _ in case['schedule']) and not digest
    assert got in allowed or (short and any(data.startswith(got) for data in file.versions)), 'wrong bytes'


def test_right_bytes_or_a_typed_error(faults: FaultServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[[str], None]) -> None:
    monkeypatch.setenv('EDGEFLOW_CACHE', str(tmp_path / 'cache'))
    outcomes: Counter[str] = Counter()

    @settings(max_examples=max(300, settings().max_examples))
    @given(cases())
    def check(case: dict) -> None:
        file = served(case)
        digest = hashlib.sha256(file.data).hexdigest() if case['digest'] else ''
        for code, got in asyncio.run(all_visits(faults.add(file), case, digest)):
            judge(file, case, digest, code, got)
            outcomes[code or 'right bytes'] += 1

    check()
    say('fault schedules in CPython: ' + ', '.join(f'{count} {name}' for name, count in outcomes.most_common()))
    assert outcomes['right bytes'] >= 250
