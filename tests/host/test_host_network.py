"""fetch and whole files over real sockets: every way an answer can be good or bad."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import tracemalloc
import warnings
from pathlib import Path

import pytest
from tests.host.server import BODY, TEXT, Server, serving

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import fetch, load_asset, new_abort_controller, on_abort
from edgeflow.store.files import Wanted, find_file, load_file, load_files
from edgeflow.store.progress import Progress, ProgressEvent


class Heard:
    """Progress of one test, with all that it told."""

    def __init__(self) -> None:
        self.events: list[ProgressEvent] = []
        self.progress = Progress(self.events.append)

    def statuses(self) -> list[str]:
        return [event.status for event in self.events]


async def load(url: str, heard: Heard | None = None, signal: object = None) -> bytes:
    return bytes(await load_file(url, 'f', (heard or Heard()).progress, signal))


async def failure(url: str, signal: object = None) -> EdgeflowError:
    with pytest.raises(EdgeflowError) as e:
        await load(url, None, signal)
    return e.value


@pytest.mark.parametrize('path', ['/plain', '/chunked', '/no-length', '/redirect'])
async def test_bodies_arrive_whole(server: Server, path: str) -> None:
    assert await load(server.address + path) == BODY


async def test_progress_counts_decoded_bytes(server: Server) -> None:
    heard = Heard()
    assert await load(server.address + '/plain', heard) == BODY
    assert heard.statuses()[:2] == ['initiate', 'download']
    assert heard.statuses()[-1] == 'done'
    assert set(heard.statuses()[2:-1]) == {'progress'}
    assert heard.events[1].total == len(BODY)
    loaded = [event.loaded for event in heard.events]
    assert loaded == sorted(loaded)
    assert heard.events[-1].loaded == heard.events[-1].total == len(BODY)


async def test_gzip_has_no_total_until_the_end(server: Server) -> None:
    heard = Heard()
    assert await load(server.address + '/gzip', heard) == TEXT
    assert heard.events[1].status == 'download' and heard.events[1].total is None
    assert heard.events[-1].total == len(TEXT)


async def test_empty_body(server: Server) -> None:
    assert await load(server.address + '/empty') == b''


async def test_404_is_a_missing_file(server: Server) -> None:
    error = await failure(server.address + '/nothing/here.json')
    assert error.code == 'file-missing'
    assert error.details['url'] == server.address + '/nothing/here.json'
    assert server.address + '/nothing/here.json' in error.message
    assert await find_file(server.address + '/nothing', 'f', Heard().progress, None) is None


@pytest.mark.parametrize('status', [400, 401, 403, 500, 503])
async def test_other_statuses(server: Server, status: int) -> None:
    error = await failure(f'{server.address}/status/{status}')
    assert error.code == 'http'
    assert error.details['status'] == status
    assert ('private or gated' in error.message) == (status in (401, 403))


@pytest.mark.parametrize('path', ['/cut', '/chunked-cut', '/reset', '/loop'])
async def test_broken_answers(server: Server, path: str) -> None:
    error = await failure(server.address + path)
    assert error.code == 'http'
    assert path in error.message


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(('127.0.0.1', 0))
        error = await failure(f'http://127.0.0.1:{reserved.getsockname()[1]}/')
    assert error.code == 'http'


async def test_no_such_host_and_no_address() -> None:
    assert (await failure('http://nosuch.invalid/')).code == 'http'
    assert (await failure('http://')).code == 'http'


async def test_an_announced_size_that_no_memory_holds(server: Server) -> None:
    assert (await failure(server.address + '/huge')).code == 'out-of-memory'


async def test_headers_are_sent_and_read(server: Server) -> None:
    answer = await fetch(server.address + '/echo', {'X-Test': 'hello'}, None)
    assert answer.header('CONTENT-length') == '5'
    assert answer.header('x-absent') is None
    assert bytes(await answer.body()) == b'hello'
    redirected = await fetch(server.address + '/redirect', {}, None)
    assert redirected.url == server.address + '/plain'
    await redirected.cancel()


@pytest.mark.parametrize('path', ['/slow', '/silent'])
async def test_abort_while_waiting(server: Server, path: str) -> None:
    controller = new_abort_controller()
    asyncio.get_running_loop().call_later(0.1, controller.abort)
    start = time.monotonic()
    error = await failure(server.address + path, controller.signal)
    assert error.code == 'aborted'
    assert time.monotonic() - start < 5


async def test_abort_from_another_thread(server: Server) -> None:
    controller = new_abort_controller()
    threading.Timer(0.1, controller.abort).start()
    assert (await failure(server.address + '/slow', controller.signal)).code == 'aborted'


async def test_an_aborted_signal_sends_nothing(server: Server) -> None:
    controller = new_abort_controller()
    controller.abort()
    assert (await failure(server.address + '/plain', controller.signal)).code == 'aborted'
    assert server.requests == []
    called: list[int] = []
    on_abort(controller.signal, lambda: called.append(1))
    assert called == [1]


async def test_a_cancelled_task_is_cancelled_not_aborted(server: Server) -> None:
    task = asyncio.create_task(load(server.address + '/slow', None, new_abort_controller().signal))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_listening_ends() -> None:
    controller = new_abort_controller()
    called: list[int] = []
    stop = on_abort(controller.signal, lambda: called.append(1))
    stop()
    stop()
    on_abort(controller.signal, lambda: called.append(2))
    controller.abort()
    controller.abort()
    assert called == [2]


async def test_files_load_at_once_and_in_order(server: Server) -> None:
    heard = Heard()
    names = ['/plain', '/gzip', '/nothing', '/chunked']
    wanted = [Wanted(server.address + name, name, name == '/nothing') for name in names]
    loaded = await load_files(wanted, heard.progress, None)
    assert [None if data is None else bytes(data) for data in loaded] == [BODY, TEXT, None, BODY]
    assert heard.statuses()[:4] == ['initiate'] * 4
    assert heard.events[-1].loaded_all == heard.events[-1].total_all == 2 * len(BODY) + len(TEXT)


async def test_one_failure_ends_the_other_transfers(server: Server) -> None:
    wanted = [Wanted(server.address + '/slow', 'slow'), Wanted(server.address + '/status/500', 'bad')]
    start = time.monotonic()
    with pytest.raises(EdgeflowError) as e:
        await load_files(wanted, Heard().progress, None)
    assert e.value.code == 'http'
    assert time.monotonic() - start < 5


async def test_abort_of_several_files(server: Server) -> None:
    controller = new_abort_controller()
    wanted = [Wanted(server.address + '/slow', 'a'), Wanted(server.address + '/silent', 'b')]
    asyncio.get_running_loop().call_later(0.1, controller.abort)
    with pytest.raises(EdgeflowError) as e:
        await load_files(wanted, Heard().progress, controller.signal)
    assert e.value.code == 'aborted'
    assert controller.signal._callbacks == []


async def test_a_callback_that_raises_ends_the_load(server: Server) -> None:
    def refuse(event: ProgressEvent) -> None:
        if event.status == 'progress':
            raise RuntimeError('the page is gone')

    with warnings.catch_warnings():
        warnings.simplefilter('error')
        with pytest.raises(RuntimeError, match='the page is gone'):
            await load_file(server.address + '/plain', 'f', Progress(refuse), None)
        gc.collect()


async def test_a_known_length_takes_one_buffer(tmp_path: Path) -> None:
    size = 32_000_000
    (tmp_path / 'weights').write_bytes(bytes(size))
    with serving(tmp_path) as server:
        await load(server.address + '/weights')  # what is allocated once stays out of the count
        server.root = None
        await find_file(server.address + '/x', 'f', Heard().progress, None)
        server.root = tmp_path
        tracemalloc.start()
        data = await load_file(server.address + '/weights', 'f', Heard().progress, None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert len(data) == size
    # The server in this process reads the file into memory too.
    assert peak < 2.15 * size


async def test_files_from_disk(tmp_path: Path) -> None:
    (tmp_path / 'ü f.bin').write_bytes(BODY)
    heard = Heard()
    assert await load(str(tmp_path / 'ü f.bin'), heard) == BODY
    assert heard.statuses() == ['initiate', 'download', 'progress', 'done']
    assert await load((tmp_path / 'ü f.bin').as_uri()) == BODY
    error = await failure(str(tmp_path / 'none'))
    assert error.code == 'file-missing' and str(tmp_path / 'none') in error.message
    assert (await failure(str(tmp_path))).code == 'file-missing'
    assert (await failure(str(tmp_path / 'ü f.bin' / 'x'))).code == 'file-missing'


async def test_assets_come_from_a_location(server: Server, tmp_path: Path) -> None:
    (tmp_path / 'a.wasm').write_bytes(b'asm')
    assert bytes(await load_asset('a.wasm', str(tmp_path))) == b'asm'
    assert bytes(await load_asset('plain', server.address + '/')) == BODY
    assert bytes(await load_asset('plain', server.address)) == BODY
    for location in [str(tmp_path), server.address + '/', None]:
        with pytest.raises(EdgeflowError) as e:
            await load_asset('none.wasm', location)
        assert e.value.code == 'file-missing'
        assert 'none.wasm' in e.value.message
