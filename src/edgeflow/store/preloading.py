"""What preload.py offers: models before they are loaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgeflow.backends.choose import choose_device
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import fetch, is_url, new_deferred, reads_files
from edgeflow.host.port import AbortSignal, Deferred
from edgeflow.options import check_choice
from edgeflow.runtime.opening import MODEL, ModelFiles
from edgeflow.store.downloads import obtain, read_chunk
from edgeflow.store.entries import FileStore, open_files
from edgeflow.store.files import missing
from edgeflow.store.hub import check_dtype, choose_dtype, expected_external_files, find_repository, onnx_file, sibling
from edgeflow.store.model_files import beside, load_config
from edgeflow.store.preload import ModelFile, Wish
from edgeflow.store.progress import Progress, ProgressEvent
from edgeflow.store.ranges import content_range, whole_number
from edgeflow.store.transfer import Transfer
from edgeflow.store.transfer_records import Client, Limits, Source, freshness, source_headers

PRIORITIES = ['high', 'normal', 'low']
TEXTS = ['tokenizer.json', 'tokenizer_config.json']


@dataclass(frozen=True)
class _Part:
    name: str
    url: str
    weights: bool = False


@dataclass
class _Waiting:
    rank: int
    turn: Deferred


@dataclass
class _Queue:
    busy: bool = False


_queue = _Queue()
_waiting: list[_Waiting] = []


async def fetch_ahead(wish: Wish, priority: str, on_progress: Callable[[ProgressEvent], None] | None, signal: AbortSignal | None) -> None:
    """preload()."""
    check_choice(priority, PRIORITIES, 'priority')
    progress = Progress(on_progress)
    await _take_turn(PRIORITIES.index(priority))
    try:
        files = await open_files()
        if files is None:
            raise EdgeflowError('platform', 'preload: expected a cache; env.cache is off, or the platform refuses one', {})
        parts = await _parts(wish, progress, signal)
        for part in parts:
            if not await _store(part, priority == 'low', progress, signal) and part.weights:
                raise missing(part.url, part.name)
        weights = parts[-1]
        for name in await _named(files, weights.url):
            part = _Part(beside(weights.name, name), sibling(weights.url, name), True)
            if not await _store(part, priority == 'low', progress, signal):
                raise missing(part.url, part.name)
    finally:
        _end_turn()
    progress.ready()


async def is_here(wish: Wish) -> bool:
    """is_cached()."""
    files = await open_files()
    if files is None:
        return False
    try:
        parts = await _parts(wish, Progress(None), None, True)
    except EdgeflowError as error:
        if error.code == 'file-missing':
            return False
        raise
    weights = parts[-1]
    if not await _complete(files, weights.url):
        return False
    for name in await _named(files, weights.url):
        if not await _complete(files, sibling(weights.url, name)):
            return False
    return True


async def files_of(wish: Wish, signal: AbortSignal | None) -> list[ModelFile]:
    """model_files()."""
    files = await open_files()
    progress = Progress(None)
    found: list[ModelFile] = []
    for part in await _parts(wish, progress, signal):
        record = None if files is None else await files.find(part.url)
        if record is not None and record.complete and not record.absent:
            found.append(ModelFile(part.name, part.url, record.size, True))
            continue
        headers = source_headers(part.url)
        headers['Range'] = 'bytes=0-0'
        response = await fetch(part.url, headers, signal, 'no-store')
        await response.cancel()
        if response.status >= 200 and response.status <= 299:
            whole = content_range(response.header('content-range'))
            size = whole.size if whole is not None else None
            if response.status == 200:
                size = whole_number(response.header('content-length'))
            found.append(ModelFile(part.name, part.url, size, False))
    return found


async def _parts(wish: Wish, progress: Progress, signal: AbortSignal | None, only_stored: bool = False) -> list[_Part]:
    """The files of a model, the .onnx file last. only_stored: 'file-missing' if config.json would have to be fetched."""
    chosen = choose_device(wish.device)
    check_dtype(wish.dtype)
    model = wish.model
    if not isinstance(model, str) or model == '':
        raise EdgeflowError('invalid-argument', 'model: expected the address or id of a model', {})
    path = model.split('#')[0].split('?')[0]
    if path.endswith('.onnx'):
        return [_Part(path.split('/')[-1], model, True)]
    repository = await find_repository(model, wish.revision, progress, signal)
    if reads_files() and not is_url(repository.base):
        raise EdgeflowError('invalid-argument', f"model: expected one that comes over the network, got '{model}'", {'model': model})
    config_url = repository.address('config.json')
    if only_stored:
        files = await open_files()
        record = None if files is None else await files.find(config_url)
        if record is None or not record.complete:
            raise missing(config_url, 'config.json')
    config = await load_config(repository, progress, signal)
    parts = [_Part('config.json', config_url)]
    for name in TEXTS:
        parts.append(_Part(name, repository.address(name)))
    name = onnx_file(wish.file, choose_dtype(wish.dtype, config, wish.file, chosen), wish.subfolder)
    for external in expected_external_files(config, name):
        parts.append(_Part(beside(name, external), sibling(repository.address(name), external)))
    parts.append(_Part(name, repository.address(name), True))
    return parts


async def _store(part: _Part, low: bool, progress: Progress, signal: AbortSignal | None) -> bool:
    """A file into the cache; whether there is one."""
    progress.initiate(part.name)
    told: list[int] = []

    def hear(transfer: Transfer) -> None:
        if transfer.course.answered:
            if len(told) == 0:
                told.append(0)
                progress.download(part.name, transfer.chunks.total)
            progress.reach(part.name, transfer.connections.bytes_here())

    ranged = part.name not in TEXTS and part.name != 'config.json'
    limits = Limits(connections=1) if low else Limits()
    found = await obtain(Source(part.url, ranged, fresh=freshness(), limits=limits), Client(None, hear, lambda: None), signal)
    progress.done(part.name)
    return found


async def _named(files: FileStore, url: str) -> list[str]:
    """The external data files that a stored model names."""
    record = await files.find(url)
    if record is None:
        return []
    model = ModelFiles()
    for index in range(record.count()):
        model.receive(MODEL, index * record.chunk_size, await read_chunk(files, record, index))
    return await model.external_files()


async def _complete(files: FileStore, url: str) -> bool:
    record = await files.find(url)
    return record is not None and record.complete and not record.absent


async def _take_turn(rank: int) -> None:
    if not _queue.busy:
        _queue.busy = True
        return
    waiting = _Waiting(rank, new_deferred())
    at = len(_waiting)
    while at > 0 and _waiting[at - 1].rank > rank:
        at -= 1
    _waiting.insert(at, waiting)
    await waiting.turn.result()


def _end_turn() -> None:
    if len(_waiting) > 0:
        _waiting.pop(0).turn.resolve(None)
    else:
        _queue.busy = False
