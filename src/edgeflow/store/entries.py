"""Files in a key-value store: a record for each file, and its chunks, which belong to one version of it.

A record names the generation of its chunks. A new version gets a new generation, so that bytes of two versions can never
meet; what an interrupted write leaves behind has no record and is swept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    epoch_ms, json_parse, json_text, new_deferred, open_store, random_bytes, start_task, utf8_decode,
    utf8_encode, warn,
)
from edgeflow.host.port import AbortSignal, Bytes, Deferred, KeyValueStore, Response
from edgeflow.store.transfer_records import Piece

RECORD = 'file/'
CHUNK = 'chunk/'


@dataclass(frozen=True)
class FileRecord:
    """What is stored of one file. size: None until known. validator: see ranges.validator(). sha256: '' unless it was checked.

    complete: all chunks are stored. absent: the server had no such file. used: when it was last asked for, in ms since 1970.
    """

    url: str
    generation: str
    chunk_size: int
    size: int | None = None
    validator: str = ''
    sha256: str = ''
    complete: bool = False
    used: float = 0.0
    absent: bool = False

    def count(self) -> int:
        """How many chunks there are; 0 while the size is unknown."""
        return 0 if self.size is None else (self.size + self.chunk_size - 1) // self.chunk_size

    def length(self, index: int) -> int:
        """Bytes of one chunk of a file of known size."""
        size = 0 if self.size is None else self.size
        return min(self.chunk_size, size - index * self.chunk_size)


def new_record(url: str, chunk_size: int) -> FileRecord:
    """The record of a file of which nothing is known."""
    letters = [f'{byte:02x}' for byte in list_bytes(random_bytes(8))]
    return FileRecord(url, ''.join(letters), chunk_size, used=epoch_ms())


def list_bytes(data: Bytes) -> list[int]:
    """The bytes as numbers."""
    return [data[i] for i in range(len(data))]


class FileStore:
    """Files by their address."""

    def __init__(self, base: Deferred) -> None:
        self._opening: Deferred = base
        self._base: KeyValueStore | None = None
        self._sweeping: Deferred | None = None

    async def base(self) -> KeyValueStore:
        """The store behind it, once it is open. 'platform' if there is none."""
        if self._base is None:
            self._base = cast('KeyValueStore', await self._opening.result())
        return self._base

    async def find(self, url: str) -> FileRecord | None:
        """The record of a file, None if there is none that can be read."""
        base = await self.base()
        data = await base.get(RECORD + url)
        return None if data is None else read_record(url, data)

    async def write(self, record: FileRecord) -> None:
        """Put a record in place of the one that was there. 'quota-exceeded'."""
        fields: dict[str, object] = {
            'generation': record.generation, 'chunk': record.chunk_size, 'size': record.size, 'validator': record.validator,
            'sha256': record.sha256, 'complete': record.complete, 'used': record.used,
            'absent': record.absent,
        }
        base = await self.base()
        await base.put(RECORD + record.url, utf8_encode(json_text(fields)))

    async def chunks(self, record: FileRecord) -> list[int]:
        """Which chunks are stored."""
        prefix = CHUNK + record.generation + '/'
        base = await self.base()
        return [int(key[len(prefix):]) for key in await base.keys(prefix)]

    async def read(self, record: FileRecord, index: int) -> Bytes | None:
        """The bytes of a chunk; None if it is not there or has another length than it must have."""
        base = await self.base()
        data = await base.get(chunk_key(record, index))
        return data if data is not None and len(data) == record.length(index) else None

    async def place(self, record: FileRecord, index: int) -> object | None:
        """Where a chunk is, for threads that can read it there; None if they cannot."""
        base = await self.base()
        return await base.place(chunk_key(record, index))

    async def put(self, record: FileRecord, index: int, piece: Piece) -> None:
        """Store a chunk. 'quota-exceeded'."""
        key = chunk_key(record, index)
        if piece.draft is not None:
            await piece.draft.keep(key)
        elif piece.data is not None:
            base = await self.base()
            await base.put(key, piece.data)

    async def fetch(self, url: str, headers: dict[str, str], signal: AbortSignal, cache: str) -> Response | None:
        """KeyValueStore.fetch()."""
        base = await self.base()
        return await base.fetch(url, headers, signal, cache)

    async def drop(self, record: FileRecord) -> None:
        """Forget a file; its record goes first, so that no moment shows it with chunks missing."""
        base = await self.base()
        await base.delete(RECORD + record.url)
        await self.drop_chunks(record)

    async def drop_chunks(self, record: FileRecord) -> None:
        """Forget the bytes of one version of a file."""
        base = await self.base()
        await base.delete_all(CHUNK + record.generation + '/')

    async def records(self) -> list[FileRecord]:
        """All files, those unused for longest first."""
        found: list[FileRecord] = []
        base = await self.base()
        for key in await base.keys(RECORD):
            record = await self.find(key[len(RECORD):])
            if record is not None:
                found.append(record)
        return sorted(found, key=lambda record: record.used)

    async def stored(self, record: FileRecord) -> int:
        """Bytes of a file that are stored."""
        if record.complete and record.size is not None:
            return record.size
        total = 0
        for index in await self.chunks(record):
            total += record.length(index) if record.size is not None else record.chunk_size
        return total

    async def clear(self) -> None:
        """Forget everything."""
        base = await self.base()
        await base.delete_all(RECORD)
        await base.delete_all(CHUNK)

    async def sweep(self) -> None:
        """Delete chunks that belong to no record: once a visit."""
        if self._sweeping is not None:
            return
        sweeping = new_deferred()
        self._sweeping = sweeping
        try:
            base = await self.base()
            # In this order: a record is written before its chunks.
            keys = await base.keys(CHUNK)
            known: set[str] = set([record.generation for record in await self.records()])
            for key in keys:
                if key[len(CHUNK):].split('/')[0] not in known:
                    await base.delete(key)
        finally:
            sweeping.resolve(None)

    async def evict(self, wanted: int, budget: int, keep: str) -> None:
        """Drop the files that were unused for longest until `wanted` bytes more fit `budget`; never the file `keep`."""
        rows: list[FileRecord] = await self.records()
        sizes: list[int] = []
        total = wanted
        for record in rows:
            sizes.append(await self.stored(record))
            total += sizes[-1] if record.url != keep else 0
        for i in range(len(rows)):
            if total <= budget:
                return
            if rows[i].url != keep:
                total -= sizes[i]
                await self.drop(rows[i])

    async def evict_one(self, keep: str) -> bool:
        """Drop the file that was unused for longest, other than `keep`; whether there was one."""
        for record in await self.records():
            if record.url != keep:
                await self.drop(record)
                return True
        return False

    async def close(self) -> None:
        if self._sweeping is not None:
            await self._sweeping.result()
        base = await self.base()
        await base.close()


def chunk_key(record: FileRecord, index: int) -> str:
    """Where a chunk is stored."""
    return f'{CHUNK}{record.generation}/{index:08d}'


def read_record(url: str, data: Bytes) -> FileRecord | None:
    """A record as write() wrote it, None for anything else: a later version's, or what somebody else put there."""
    try:
        fields = json_parse(utf8_decode(data))
    except ValueError:
        return None
    if not isinstance(fields, dict):
        return None
    generation = fields.get('generation')
    chunk = fields.get('chunk')
    size = fields.get('size')
    used = fields.get('used')
    valid = isinstance(generation, str) and isinstance(chunk, int) and (size is None or isinstance(size, int)) and isinstance(used, (int, float))
    if not valid:
        return None
    return FileRecord(url, cast(str, generation), cast(int, chunk), size, text_of(fields, 'validator'), text_of(fields, 'sha256'),
                      fields.get('complete') is True, cast(float, used),
                      fields.get('absent') is True)


def text_of(fields: dict[str, object], name: str) -> str:
    """A field that is a text, '' if it is not."""
    value = fields.get(name)
    return value if isinstance(value, str) else ''


@dataclass
class _Opened:
    files: FileStore | None = None


_opened = _Opened()


def begin_files() -> FileStore | None:
    """The store of this page or process, which may yet be opening; None where env.cache is off."""
    if not env.cache:
        return None
    if _opened.files is None:
        opening = new_deferred()
        _opened.files = FileStore(opening)

        async def start() -> None:
            try:
                opening.resolve(await open_store('files'))
            except EdgeflowError as error:
                warn(f'edgeflow: files are not kept between visits: {error.message}')
                opening.reject(error)

        start_task(start)
    return _opened.files


async def open_files() -> FileStore | None:
    """The store, open; None where env.cache is off or the platform refuses one."""
    files = begin_files()
    try:
        if files is not None:
            await files.base()
        return files
    except EdgeflowError:
        return None


async def close_files() -> None:
    """Let go of the store; the next open_files() opens it anew, or tries to."""
    files = await open_files() if _opened.files is not None else None
    _opened.files = None
    if files is not None:
        await files.close()


def touched(record: FileRecord) -> FileRecord:
    """The record of a file that is used now."""
    return replace(record, used=epoch_ms())
