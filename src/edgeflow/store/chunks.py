"""The chunks of a file that is on its way: which are here, handing them to clients, storing and hashing them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    fetch, forget_spare_memory, gather, new_deferred, reuse_memory_of, start_task, warn,
)
from edgeflow.host.port import AbortSignal, Bytes, Deferred, Response
from edgeflow.store.course import Course
from edgeflow.store.entries import FileRecord, FileStore, new_record
from edgeflow.store.transfer_records import Client, Piece, copied
from edgeflow.store.verification import Verification

MISSING = 0
HERE = 1
STORED = 2

MOST_BYTES = 1 << 40
# Writes under way beside the network: enough to keep the store busy, few enough to bound what waits in memory.
MOST_WRITES = 6
PARALLEL_READS = 4


class Chunks:
    """record: what is known of the file; states: MISSING, HERE or STORED for every chunk; files: where they are stored, if anywhere.

    total, loaded, reused: bytes of the whole (None while unknown), of those that are here, of those that were here before.
    complete: all is here, though the chunks may not tell.
    """

    def __init__(self, course: Course, clients: list[Client]) -> None:
        self.course: Course = course
        self.clients: list[Client] = clients
        self.record: FileRecord = new_record(course.source.url, course.source.limits.chunk_size)
        self.states: list[int] = []
        self.files: FileStore | None = None
        self.total: int | None = None
        self.loaded: int = 0
        self.reused: int = 0
        self.complete: bool = False
        self.verification: Verification = Verification(course)
        self._writes: int = 0
        self._owed: int = 0
        self._reading: int = 0
        # Whether there is a client that cannot read files, and has to be given what comes.
        self._gives: bool = False
        self._written: Deferred = new_deferred()

    def take_record(self, record: FileRecord) -> None:
        """Begin with a record, whose version may be another than clients have heard of."""
        self.record = record
        self.loaded = 0
        self.states = []
        for client in self.clients:
            if client.generation != record.generation:
                if len(client.received) > 0:
                    client.received = set()
                    client.on_reset()
                client.generation = record.generation

    async def deliver_stored(self, record: FileRecord, files: FileStore) -> None:
        """Give the clients what is stored; a chunk that cannot be read is missing."""
        queue: list[int] = []
        for index in range(len(self.states)):
            wanted = len(self._takers(index)) > 0
            if self.wanting() and not wanted:
                self.states[index] = max(self.states[index], HERE)
            if self.states[index] == STORED and wanted:
                queue.append(index)
            elif self.states[index] != MISSING:
                self.loaded += record.length(index)

        async def read_some() -> None:
            while len(queue) > 0 and not self.course.given_up:
                index = queue.pop(0)
                if not await self._give_place(index, record.length(index), await files.place(record, index)):
                    data = await files.read(record, index)
                    if data is None:
                        self.states[index] = MISSING
                        continue
                    self._deliver(index, data)
                    await self._room()
                self.loaded += record.length(index)
                self.course.tell()

        self.reused = self.loaded
        self.course.tell()
        await gather([read_some() for _ in range(PARALLEL_READS)])
        self.course.check_wanted()
        self.reused = self.loaded

    async def _give_place(self, index: int, size: int, place: object | None) -> bool:
        """Let the only client that wants a stored chunk read it where it is; whether it did."""
        takers = self._takers(index)
        if len(takers) != 1 or takers[0].on_place is None:
            return False
        if place is None or not await takers[0].on_place(index * self.record.chunk_size, size, place):
            return False
        takers[0].received.add(index)
        return True

    def _takers(self, index: int) -> list[Client]:
        """The clients that are to be given a chunk."""
        return [client for client in self.clients if client.on_chunk is not None and index not in client.received]

    def wanting(self) -> bool:
        """Whether a client takes bytes."""
        for client in self.clients:
            if client.on_chunk is not None:
                return True
        return False

    def _all_take(self) -> bool:
        """Whether every client takes bytes, so that none waits for the store."""
        for client in self.clients:
            if client.on_chunk is None:
                return False
        return True

    def safe(self, index: int) -> bool:
        """Whether a chunk is where it was to come: in the store if that is all that anybody waits for."""
        return self.states[index] == STORED or self.states[index] == HERE and (self.files is None or self.wanting())

    def all_here(self) -> bool:
        """Whether nothing is missing."""
        if self.complete:
            return True
        return self.record.size is not None and MISSING not in self.states

    def check_size(self, size: int | None) -> None:
        """'checksum' for another size than the file must have, 'out-of-memory' for one beyond all."""
        url = self.course.source.url
        expected = self.course.source.size
        if size is not None and size > MOST_BYTES:
            raise EdgeflowError('out-of-memory', f'{url}: {size} bytes are more than can be loaded', {'url': url, 'size': size})
        if size is not None and expected is not None and size != expected:
            raise EdgeflowError('checksum', f'{url}: expected {expected} bytes, got {size}', {'url': url, 'expected': expected, 'got': size})

    async def plan(self, size: int, tag: str) -> None:
        """The size is known: lay out the chunks, and make room for them."""
        self.check_size(size)
        self.record = replace(self.record, size=size, validator=tag)
        self.total = size
        self.states = [MISSING] * self.record.count()
        files = self.files
        if files is None:
            return
        budget = env.cache_budget
        if budget is not None:
            if size > budget:
                text = f'{self.course.source.url} has {size} bytes, env.cache_budget is {budget}'
                self._no_room(EdgeflowError('quota-exceeded', text, {'size': size, 'budget': budget}))
                return
            await files.evict(size, budget, self.course.source.url)
        start_task(lambda: self.write_record(files))
        start_task(lambda: quietly(files.sweep))

    async def fetch(self, headers: dict[str, str], signal: AbortSignal, cache: str) -> Response:
        """Ask for the file, or a part of it; by the store's own thread, if it has one and chunks are worth a file."""
        source = self.course.source
        files = self.files
        response: Response | None = None
        if files is not None and source.ranged and source.limits.chunk_size >= source.limits.small:
            response = await files.fetch(source.url, headers, signal, cache)
        return await fetch(source.url, headers, signal, cache) if response is None else response

    async def take(self, response: Response, size: int, more: int, on_bytes: Callable[[int], None]) -> Piece:
        """The next `size` bytes of an answer, fewer where it ends. more: how many chunks of it are likely to follow."""
        if self.files is not None and size >= self.course.source.limits.small:
            draft = await response.store(size, on_bytes, self._gives and self.wanting(), more)
            if draft is not None:
                return Piece(draft.size, draft.data, None if draft.place is None else draft)
        data = await response.take(size, on_bytes)
        return Piece(len(data), data)

    async def drop(self, piece: Piece) -> None:
        """A piece that is not needed."""
        if piece.draft is not None:
            await piece.draft.drop()

    async def keep(self, index: int, piece: Piece) -> None:
        """A chunk is here: hash it if it is its turn, store it, hand it on."""
        await self.verification.take(index, piece)
        self.states[index] = HERE
        self.loaded += piece.size
        self.course.tell()
        while self._writes >= MOST_WRITES:
            await self._wait_write()
        files = self.files
        data = piece.data
        if data is not None and piece.draft is None and (files is None or piece.size < self.course.source.limits.small):
            if files is not None:
                self._begin_write(files, index, Piece(piece.size, copied(data)), False)
            self._deliver(index, data)
        else:
            self._begin_write(files, index, piece, True)
        await self._room()

    def _begin_write(self, files: FileStore | None, index: int, piece: Piece, owed: bool) -> None:
        record = self.record
        self._writes += 1
        self._owed += 1 if owed else 0
        start_task(lambda: self._write(files, record, index, piece, owed))

    async def handed_on(self) -> None:
        """Wait until the clients have all that is here."""
        while self._owed > 0:
            await self._wait_write()

    async def _room(self) -> None:
        """Wait until the clients have taken in most of what they were given."""
        for client in self.clients:
            if client.room is not None:
                await client.room()

    def _deliver(self, index: int, data: Bytes) -> None:
        """Hand a chunk to all that want it; the last may move its memory, the others get copies."""
        takers = self._takers(index)
        for i in range(len(takers)):
            take = takers[i].on_chunk
            takers[i].received.add(index)
            if take is not None:
                take(index * self.record.chunk_size, data if i == len(takers) - 1 else copied(data))
        if len(takers) == 0:
            reuse_memory_of(data)

    async def _write(self, files: FileStore | None, record: FileRecord, index: int, piece: Piece, owed: bool) -> None:
        """Store a chunk; if it is yet owed to the clients, hand it on then."""
        stored = False
        try:
            if files is not None:
                await self._put(files, record, index, piece)
                stored = True
                if record.generation == self.record.generation and index < len(self.states):
                    self.states[index] = STORED
                    self.course.tell()
        except EdgeflowError as error:
            self._no_room(error)
        self._end_write()
        if owed:
            try:
                if record.generation == self.record.generation:
                    await self._hand_on(index, piece)
                if not stored:
                    await self.drop(piece)
            except EdgeflowError as error:
                self.course.fail(error)
            self._owed -= 1
            self._wake()

    async def _put(self, files: FileStore, record: FileRecord, index: int, piece: Piece) -> None:
        """Store a chunk. Where there is no room other files give way."""
        while True:
            try:
                await files.put(record, index, piece)
                return
            except EdgeflowError as error:
                if error.code != 'quota-exceeded' or self.files is None or not await files.evict_one(record.url):
                    raise

    async def _hand_on(self, index: int, piece: Piece) -> None:
        """Give a chunk to the clients, who read it themselves where it is in a file."""
        data = piece.data
        if data is None and piece.draft is not None and len(self._takers(index)) > 0:
            while self._reading >= PARALLEL_READS:
                await self._wait_write()
            self._reading += 1
            try:
                if not await self._give_place(index, piece.size, piece.draft.place):
                    self._gives = True
                    data = await piece.draft.read()
            finally:
                self._reading -= 1
        if data is not None:
            self._deliver(index, data)

    def _no_room(self, error: EdgeflowError) -> None:
        """Go on without the store, unless somebody asked for the file to be stored."""
        files = self.files
        if files is None:
            return
        self.files = None
        record = self.record

        async def drop() -> None:
            await self.written()
            await files.drop(record)

        start_task(lambda: quietly(drop))
        if not self._all_take():
            self.course.fail(error)
            return
        warn(f'edgeflow: {self.course.source.url} is not kept for later: {error.message}')
        if self.verification.active:
            # Chunks out of turn can no longer be read back to be hashed: one connection, from the start.
            self.course.change()

    async def write_record(self, files: FileStore) -> None:
        """Store what is known of the file."""
        self._writes += 1
        try:
            await files.write(self.record)
        except EdgeflowError as error:
            self._no_room(error)
        self._end_write()

    def _end_write(self) -> None:
        self._writes -= 1
        self._wake()

    def _wake(self) -> None:
        written = self._written
        self._written = new_deferred()
        written.resolve(None)

    async def written(self) -> None:
        """Wait for all that is being written, and handed on from where it was written."""
        while self._writes + self._owed > 0:
            await self._wait_write()

    async def _wait_write(self) -> None:
        await self._written.result()

    async def verify(self) -> bool:
        """Whether the whole has the digest it must have; the second failure is an error."""
        files = self.files
        record = self.record

        async def read(index: int) -> Bytes | None:
            await self.written()
            return None if files is None else await files.read(record, index)

        try:
            return await self.verification.matches(len(self.states), read)
        except EdgeflowError:
            await quietly(self.forget)
            raise

    async def settle(self) -> None:
        """Finish writing; the record says whether all is stored."""
        await self.written()
        forget_spare_memory()
        files = self.files
        if files is None:
            return
        stored = True
        for state in self.states:
            stored = stored and state == STORED
        if self.course.failure is not None:
            raise self.course.failure
        digest = self.course.source.sha256
        self.record = replace(self.record, complete=stored, sha256=digest if stored and digest != '' else self.record.sha256)
        await self.write_record(files)

    async def forget(self) -> None:
        """Drop this version of the file, and start another."""
        await self.written()
        if self.files is not None:
            await self.files.drop(self.record)
        self.course.streaming = False
        self.complete = False
        self.total = None


async def quietly(free: Callable[[], Awaitable[None]]) -> None:
    """Free room; where even that fails, a later visit tries again."""
    try:
        await free()
    except EdgeflowError as error:
        warn(f'edgeflow: {error.message}')
