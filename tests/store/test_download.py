"""download() in CPython: real sockets, a real sqlite3 file."""

from __future__ import annotations

import asyncio
import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_abort_controller
from edgeflow.store import chunks
from edgeflow.store.cache import cache
from edgeflow.store.downloads import Download, DownloadProgress, download, obtain
from edgeflow.store.entries import close_files, new_record, open_files
from edgeflow.store.transfer_records import Client, Limits, Piece, Source
from tests.store.faults import FaultServer, ServedFile

DATA = random.Random(7).randbytes(200_000)
CHUNK = 16_384
SWIFT = {'chunk_size': CHUNK, 'retry_delay': 1.0, 'stall_timeout': 500.0}
pytestmark = pytest.mark.usefixtures('cache_folder')


def sliced(url: str, connections: int = 4, **source: object) -> Download:
    """A download that opens all its connections at once."""
    limits = Limits(CHUNK, connections, 6, 200.0, 1.0, 0.0, 0.0)
    return Download(Source(url, limits=limits, **source), None, None)


async def test_a_file_comes_whole_and_stays(faults: FaultServer) -> None:
    file = ServedFile(DATA)
    url = faults.add(file)
    heard: list[DownloadProgress] = []
    assert bytes(await download(url, on_progress=heard.append, **SWIFT).bytes()) == DATA
    assert (heard[-1].loaded, heard[-1].total, heard[-1].chunks_done, heard[-1].chunks) == (len(DATA), len(DATA), 13, 13)
    assert file.requests == [('bytes=0-', 206)]
    again = download(url, **SWIFT)
    assert bytes(await again.bytes()) == DATA
    assert len(file.requests) == 1 and again.progress().reused == len(DATA)


async def test_what_is_not_stored_comes_in_smaller_chunks(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DATA * 25
    assert [(await sized(faults, data)).chunks, (await sized(faults, data, chunk_size=CHUNK)).chunks] == [2, 306]
    monkeypatch.setattr(env, 'cache', False)
    assert [(await sized(faults, data)).chunks, (await sized(faults, data, chunk_size=CHUNK)).chunks] == [3, 306]


async def sized(faults: FaultServer, data: bytes, **options: int) -> DownloadProgress:
    """How a download of `data` ends."""
    loading = download(faults.add(ServedFile(data)), **options)
    assert bytes(await loading.bytes()) == data
    await loading.done()
    return loading.progress()


async def test_slow_servers_get_more_connections(faults: FaultServer) -> None:
    file = ServedFile(DATA, rate=400_000)
    assert bytes(await sliced(faults.add(file)).bytes()) == DATA
    assert 4 <= file.most_connections <= 8
    ranges = [asked for asked, status in file.requests]
    assert ranges[0] == 'bytes=0-' and len(set(ranges)) == len(ranges) and file.sent < 1.5 * len(DATA)


async def test_after_an_abort_only_the_rest_is_fetched(faults: FaultServer) -> None:
    file = ServedFile(DATA, rate=400_000)
    url = faults.add(file)
    controller = new_abort_controller()

    def stop(progress: DownloadProgress) -> None:
        if progress.chunks_done >= 5:
            controller.abort()

    with pytest.raises(EdgeflowError) as e:
        await download(url, on_progress=stop, signal=controller.signal, **SWIFT).done()
    assert e.value.code == 'aborted'
    await asyncio.sleep(0.1)
    files = await open_files()
    stored = len(await files.chunks(await files.find(url)))
    assert stored >= 5
    file.rate = None
    file.requests.clear()
    file.headers.clear()
    rest = download(url, **SWIFT)
    assert bytes(await rest.bytes()) == DATA
    assert rest.progress().reused == stored * CHUNK
    assert file.requests == [(f'bytes={stored * CHUNK}-', 206)]
    assert file.headers[0]['If-Range'] == file.validator_headers()['ETag']


async def test_pause_and_resume(faults: FaultServer) -> None:
    file = ServedFile(DATA, rate=400_000)
    held = download(faults.add(file), **SWIFT)
    while held.progress().chunks_done < 3:
        await asyncio.sleep(0.01)
    held.pause()
    await asyncio.sleep(0.15)
    assert file.connections == 0 and held.paused
    before = held.progress().loaded
    await asyncio.sleep(0.1)
    assert held.progress().loaded <= before and held.progress().connections == 0
    file.rate = None
    held.resume()
    assert bytes(await held.bytes()) == DATA


async def test_resumed_before_the_connections_have_ended(faults: FaultServer) -> None:
    for wait in [0.0, 0.02]:
        held = download(faults.add(ServedFile(DATA, rate=400_000)), **SWIFT)
        await asyncio.sleep(wait)
        held.pause()
        held.resume()
        assert bytes(await held.bytes()) == DATA


async def test_a_signal_ends_a_download_that_was_paused_and_resumed(faults: FaultServer) -> None:
    stop = new_abort_controller()
    held = download(faults.add(ServedFile(DATA, rate=400_000)), signal=stop.signal, **SWIFT)
    await asyncio.sleep(0.02)
    held.pause()
    held.resume()
    stop.abort()
    with pytest.raises(EdgeflowError, match='cancelled through its signal'):
        await held.done()


async def test_a_file_that_changed_begins_anew(faults: FaultServer) -> None:
    for validators in ['etag', 'modified']:
        file = ServedFile(DATA, [['cut', 500], ['change', 0]], validators)
        got = bytes(await download(faults.add(file), **SWIFT).bytes())
        assert got == file.versions[1] != DATA


async def test_without_a_validator_nothing_is_put_together(faults: FaultServer) -> None:
    for validators in ['none', 'weak']:
        file = ServedFile(DATA, [['cut', 500]], validators)
        assert bytes(await sliced(faults.add(file)).bytes()) == DATA
        assert [asked for asked, _ in file.requests] == ['bytes=0-', 'bytes=0-'] and file.most_connections == 1


@pytest.mark.parametrize('schedule', [
    [['status', 0], ['status', 1]], [['stall', 300]], [['reset', 400], ['cut', 999]], [['ignore-range', 0]], [['gzip', 0]], [['redirect', 0]],
    [['wrong-range', 0]], [['refuse', 0]], [['long', 5]], [['drip', 0]], [['cut', 500], ['ignore-range', 0]], [['short', 900]],
], ids=str)
async def test_faults_that_pass(faults: FaultServer, schedule: list[list]) -> None:
    for _ in range(2):
        file = ServedFile(DATA, list(schedule))
        assert bytes(await download(faults.add(file), **SWIFT).bytes()) == DATA


@pytest.mark.parametrize('shape', ['no ranges', 'encoded', 'empty', 'one chunk', 'whole chunks'])
async def test_servers_of_every_kind(faults: FaultServer, shape: str) -> None:
    data = {'empty': b'', 'one chunk': DATA[:CHUNK], 'whole chunks': DATA[:3 * CHUNK]}.get(shape, DATA)
    file = ServedFile(data, ranges=shape != 'no ranges', encoded=shape == 'encoded')
    url = faults.add(file)
    assert bytes(await download(url, **SWIFT).bytes()) == data
    count = len(file.requests)
    assert bytes(await download(url, **SWIFT).bytes()) == data
    assert len(file.requests) == count


@pytest.mark.parametrize('kept', [True, False], ids=['stored', 'not stored'])
async def test_a_body_of_unknown_length_is_not_shorter_than_what_has_come_of_it(
    faults: FaultServer, kept: bool, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(env, 'cache', kept)
    data = DATA[:3 * CHUNK]
    file = ServedFile(data, [['long', 0], ['short', 8], ['short', 999]], encoded=True)
    loading = download(faults.add(file), **SWIFT)
    assert bytes(await loading.bytes()) == data
    assert [status for _, status in file.requests] == [200] * 4
    assert loading.progress().total == len(data)


async def test_errors_have_codes(faults: FaultServer) -> None:
    with pytest.raises(EdgeflowError) as e:
        await download(faults.origin + '/none', **SWIFT).done()
    assert e.value.code == 'file-missing'
    with pytest.raises(EdgeflowError) as e:
        await download(faults.add(ServedFile(DATA, [['status', 5]])), **SWIFT).done()
    assert e.value.code == 'http' and e.value.details['status'] == 403
    with pytest.raises(EdgeflowError) as e:
        await download(faults.add(ServedFile(DATA, [['status', 1]] * 20)), **SWIFT).done()
    assert e.value.code == 'http' and e.value.details['status'] == 500
    with pytest.raises(EdgeflowError) as e:
        await download(faults.add(ServedFile(DATA)), size=5, **SWIFT).done()
    assert e.value.code == 'checksum' and 'expected 5 bytes, got 200000' in e.value.message
    with pytest.raises(EdgeflowError) as e:
        download('http://x/', sha256='abc')
    assert e.value.code == 'invalid-argument'
    with pytest.raises(EdgeflowError) as e:
        download('http://x/', connections=0)
    assert e.value.code == 'invalid-argument'


async def test_a_known_digest_is_checked(faults: FaultServer) -> None:
    digest = hashlib.sha256(DATA).hexdigest()
    once = ServedFile(DATA, [['corrupt', 500]])
    assert bytes(await download(faults.add(once), sha256=digest, **SWIFT).bytes()) == DATA
    always = faults.add(ServedFile(DATA, [['corrupt', 500]] * 9))
    with pytest.raises(EdgeflowError) as e:
        await download(always, sha256=digest, **SWIFT).done()
    assert e.value.code == 'checksum' and digest in e.value.message
    files = await open_files()
    assert await files.find(always) is None
    parallel = ServedFile(DATA, rate=400_000)
    assert bytes(await sliced(faults.add(parallel), sha256=digest).bytes()) == DATA


async def test_two_callers_share_one_download(faults: FaultServer) -> None:
    file = ServedFile(DATA, rate=2_000_000)
    url = faults.add(file)
    both = [download(url, **SWIFT), download(url, **SWIFT)]
    assert [bytes(await one.bytes()) for one in both] == [DATA, DATA]
    assert len(file.requests) == 1


async def test_a_shared_download_outlives_the_one_that_leaves(faults: FaultServer) -> None:
    file = ServedFile(DATA, rate=1_000_000)
    url = faults.add(file)
    controller = new_abort_controller()
    first = download(url, signal=controller.signal, **SWIFT)
    second = download(url, **SWIFT)
    await asyncio.sleep(0.05)
    controller.abort()
    with pytest.raises(EdgeflowError):
        await first.done()
    assert bytes(await second.bytes()) == DATA
    assert len(file.requests) == 1


async def test_without_a_cache_it_stays_in_memory(faults: FaultServer, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, 'cache', False)
    digest = hashlib.sha256(DATA).hexdigest()
    assert bytes(await download(faults.add(ServedFile(DATA)), **SWIFT).bytes()) == DATA
    assert bytes(await sliced(faults.add(ServedFile(DATA, rate=900_000)), sha256=digest).bytes()) == DATA
    assert not cache_folder.exists()


async def test_a_budget_makes_old_files_give_way(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, 'cache_budget', 500_000)
    urls = [faults.add(ServedFile(DATA)) for _ in range(4)]
    for url in urls:
        await download(url, **SWIFT).done()
        await asyncio.sleep(0.002)
    files = await open_files()
    assert [record.url for record in await files.records()] == urls[2:]
    monkeypatch.setattr(env, 'cache_budget', 100_000)
    with pytest.raises(EdgeflowError) as e:
        await download(faults.add(ServedFile(DATA)), **SWIFT).done()
    assert e.value.code == 'quota-exceeded' and '100000' in e.value.message


@pytest.mark.parametrize('small', [0, CHUNK + 1])
async def test_what_a_model_takes_is_stored_too(faults: FaultServer, small: int) -> None:
    """Whoever takes a chunk may do with its memory what they like: it is stored before, or was copied."""
    file = ServedFile(DATA)
    source = Source(faults.add(file), limits=Limits(CHUNK, small=small))
    got: dict[int, bytes] = {}

    def take(start: int, data: memoryview) -> None:
        got[start] = bytes(data)
        data[:] = bytes(len(data))

    assert await obtain(source, Client(take, lambda transfer: None, lambda: None), None)
    assert b''.join(got[start] for start in sorted(got)) == DATA
    while not await cache.has(source.url):
        await asyncio.sleep(0.01)
    assert bytes(await download(source.url, **SWIFT).bytes()) == DATA
    assert len(file.requests) == 1


async def test_a_client_without_room_holds_the_network_up_and_the_store(faults: FaultServer) -> None:
    url = faults.add(ServedFile(DATA, rate=4_000_000))
    for _ in range(2):
        got: dict[int, bytes] = {}
        taken = [0]
        most = 0

        async def room() -> None:
            while len(got) > taken[0]:
                await asyncio.sleep(0.003)
                taken[0] += 1

        def take(start: int, data: memoryview) -> None:
            nonlocal most
            got[start] = bytes(data)
            most = max(most, len(got) - taken[0])

        limits = Limits(CHUNK, 1, small=0)
        assert await obtain(Source(url, limits=limits), Client(take, lambda transfer: None, lambda: None, room), None)
        assert b''.join(got[start] for start in sorted(got)) == DATA
        assert most <= chunks.MOST_WRITES + chunks.PARALLEL_READS
        await download(url, **SWIFT).done()


async def test_what_counts_as_here_is_stored(faults: FaultServer) -> None:
    url = faults.add(ServedFile(DATA, rate=4_000_000))
    held = download(url, **SWIFT)
    shown = 0
    while shown < 13:
        await asyncio.sleep(0.002)
        shown = held.chunk_map().count(2)
        files = await open_files()
        record = await files.find(url)
        assert shown == 0 or len(await files.chunks(record)) >= shown
    await held.done()


async def test_what_an_interrupted_write_left_is_swept(faults: FaultServer) -> None:
    url = faults.add(ServedFile(DATA))
    await download(url, **SWIFT).done()
    files = await open_files()
    lost = new_record('http://gone/file.bin', CHUNK)
    await files.put(replace(lost, size=5), 0, Piece(5, memoryview(bytearray(5))))
    await close_files()
    await download(faults.add(ServedFile(DATA)), **SWIFT).done()
    files = await open_files()
    while await files.chunks(lost):
        await asyncio.sleep(0.01)
    assert len(await files.chunks(await files.find(url))) == 13


async def test_a_token_stays_with_the_hub(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = faults.add(ServedFile(DATA)).replace('127.0.0.1', 'localhost')
    own = faults.add(ServedFile(DATA))
    path = '/hub/gated.bin'
    faults.redirects[path] = elsewhere
    monkeypatch.setattr(env, 'remote_host', faults.origin)
    monkeypatch.setattr(env, 'access_token', 'hf_secret')
    for url in [own, faults.origin + path, elsewhere + '?direct']:
        faults.seen.clear()
        assert bytes(await download(url, **SWIFT).bytes()) == DATA
        for _, headers in faults.seen:
            at_hub = not headers['Host'].startswith('localhost')
            assert headers.get('Authorization') == ('Bearer hf_secret' if at_hub else None)


async def test_the_hub_s_lfs_digest_is_checked(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, 'remote_host', faults.origin + '/')
    good = ServedFile(DATA, extra={'X-Linked-Etag': f'"{hashlib.sha256(DATA).hexdigest()}"'})
    assert bytes(await download(faults.add(good), **SWIFT).bytes()) == DATA
    bad = ServedFile(DATA, extra={'X-Linked-Etag': f'"{hashlib.sha256(b"other").hexdigest()}"'})
    with pytest.raises(EdgeflowError) as e:
        await download(faults.add(bad), **SWIFT).done()
    assert e.value.code == 'checksum'
