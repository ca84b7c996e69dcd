"""One file on its way: from the store as far as it is there, the rest over one or several connections, chunk by chunk.

A transfer begins with one request for everything that is missing. Two versions never mix: every answer must have the size and
the validator of the first, else all begins anew under another generation. A server that does not take ranges, or hides what
they need, is read in one stream.

Here is how it begins and ends; connections.py has the network, answers.py what headers mean for it, chunks.py what is here,
entries.py what is stored, downloads.py who shares a transfer.
"""

from __future__ import annotations

from dataclasses import replace

from edgeflow.env import HTTP_CACHE_MODES, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import fetch, new_abort_controller, new_deferred, start_task, with_lock
from edgeflow.host.port import Deferred
from edgeflow.options import check_choice
from edgeflow.store.chunks import MISSING, STORED, Chunks
from edgeflow.store.connections import Connections
from edgeflow.store.course import Course
from edgeflow.store.entries import FileRecord, begin_files, new_record, open_files, touched
from edgeflow.store.ranges import content_range, validator, whole_number
from edgeflow.store.transfer_records import Client, Source, source_headers

MOST_RESTARTS = 4
# Most bytes of a chunk that is not stored: several are in memory beside the whole.
MOST_UNSTORED = 2097152


class Transfer:
    """The file of one Source on its way to its clients. delivered, ended: resolve with whether there is such a file."""

    def __init__(self, source: Source, clients: list[Client]) -> None:
        self.course: Course = Course(source, self._tell)
        self.chunks: Chunks = Chunks(self.course, clients)
        self.connections: Connections = Connections(self.course, self.chunks)
        self.delivered: Deferred = new_deferred()
        self.ended: Deferred = new_deferred()
        self._over: bool = False
        self._known_absent: bool = False
        self._fresh: str = source.fresh

    def start(self) -> None:
        """Begin, beside the caller."""
        start_task(self._run)

    def open_to_more(self) -> bool:
        """Whether another client would still be given chunks."""
        return not self.course.given_up and not self._over

    def abort(self) -> None:
        """Nobody waits any more: keep what is stored, end the connections."""
        self.course.given_up = True
        self.course.stop.abort()

    def join(self, client: Client) -> None:
        """One more waits for the file; what has passed already is not given to it."""
        client.generation = self.chunks.record.generation
        self.chunks.clients.append(client)

    def leave(self, client: Client) -> None:
        """A client wants the file no more; the last one ends the transfer."""
        self.chunks.clients = [other for other in self.chunks.clients if other is not client]
        if len(self.chunks.clients) == 0:
            self.abort()

    def chunk_map(self) -> list[int]:
        """For every chunk: 0 missing, 1 on its way, 2 here."""
        shown = [0 if state == MISSING else 1 for state in self.chunks.states]
        for index in range(len(shown)):
            if self.chunks.safe(index):
                shown[index] = 2
        for lane in self.connections.lanes:
            if lane.next < len(shown) and shown[lane.next] == 0 and lane.partial > 0:
                shown[lane.next] = 1
        return shown

    async def _run(self) -> None:
        try:
            check_choice(env.http_cache, HTTP_CACHE_MODES, 'env.http_cache')
            self.chunks.files = begin_files()
            if self.chunks.files is None or not self.course.source.ranged:
                await self._attempts()
            else:
                await with_lock('edgeflow file ' + self.course.source.url, self.course.stop.signal, self._attempts)
            self.ended.resolve(not self.course.absent)
        except Exception as error:
            self._over = True
            if self._known_absent and not self.course.answered and isinstance(error, EdgeflowError) and error.code == 'http':
                self.delivered.resolve(False)
                self.ended.resolve(False)
            self.delivered.reject(error)
            self.ended.reject(error)

    async def _attempts(self) -> None:
        # What was given up is not over while it is being written: another transfer would fetch that again. Unless the loop itself ends.
        try:
            await self._attempt_some()
        except Exception:
            await self.chunks.written()
            raise
        await self.chunks.written()

    async def _attempt_some(self) -> None:
        for _ in range(MOST_RESTARTS):
            self.course.changed = False
            if await self._attempt():
                return
            self.course.stop = new_abort_controller()
            if self.course.given_up:
                break
        self.course.check_wanted()
        if self.course.last is not None:
            raise self.course.last
        raise EdgeflowError('http', f'{self.course.source.url}: the file kept changing while it was fetched', {'url': self.course.source.url})

    async def _attempt(self) -> bool:
        """Bring the file in; False if all has to begin anew."""
        await self._begin()
        if not self.chunks.all_here():
            await self.connections.download()
        if self.course.changed:
            await self.chunks.forget()
            return False
        if self.course.absent:
            await self.chunks.forget()
            if self.chunks.files is not None and not self.course.source.ranged:
                self.chunks.record = replace(self.chunks.record, absent=True, complete=True, size=0)
                await self.chunks.write_record(self.chunks.files)
            self.delivered.resolve(False)
            return True
        self.course.check_wanted()
        await self.chunks.handed_on()
        if not await self.chunks.verify():
            await self.chunks.forget()
            return False
        self._over = True
        self.delivered.resolve(True)
        await self.chunks.settle()
        return True

    async def _begin(self) -> None:
        """Start from what is stored."""
        self.course.check_wanted()
        expected = self.course.source.sha256
        self.chunks.verification.begin(expected != '')
        if self.chunks.files is not None and await open_files() is None:
            self.chunks.files = None
        files = self.chunks.files
        record = None if files is None else await files.find(self.course.source.url)
        if record is not None and record.absent:
            # It may be there by now; this counts only if the network is off.
            self._known_absent = True
            record = None
        if record is not None and files is not None:
            known = record.size is not None and (self.course.source.size is None or self.course.source.size == record.size)
            usable = known and (record.validator != '' or record.complete) and self._fresh != 'anew'
            if usable and self._fresh == 'check' and record.complete:
                usable = await self._is_current(record)
            self._fresh = 'reuse'
            if not usable:
                await files.drop(record)
                record = None
        size = self.course.source.limits.chunk_size
        self.chunks.take_record(new_record(self.course.source.url, size if files is not None else min(size, MOST_UNSTORED)) if record is None else touched(record))
        if record is None or files is None:
            return
        self.chunks.total = record.size
        self.chunks.states = [MISSING] * record.count()
        for index in await files.chunks(record):
            if index < len(self.chunks.states):
                self.chunks.states[index] = STORED
        self.course.answered = True
        if record.complete and record.sha256 == expected:
            self.chunks.verification.begin(False)
        await self.chunks.deliver_stored(record, files)
        self.chunks.complete = record.size == 0
        self.course.tell()

    async def _is_current(self, record: FileRecord) -> bool:
        """Whether the server's file is still the one that is stored, by the answer to a request for its first byte."""
        headers = source_headers(self.course.source.url)
        headers['Range'] = 'bytes=0-0'
        response = await fetch(self.course.source.url, headers, self.course.stop.signal, 'no-store')
        await response.cancel()
        if response.status >= 400 and response.status != 416:
            return False
        found = content_range(response.header('content-range'))
        size = found.size if found is not None else whole_number(response.header('content-length'))
        tag = validator(response.header('etag'), response.header('last-modified'))
        return tag == record.validator and (response.status == 200 and tag != '' or size == record.size)

    def _tell(self) -> None:
        for client in self.chunks.clients:
            client.on_progress(self)
