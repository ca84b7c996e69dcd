"""One file on its way: from the store as far as it is there, the rest over one or several connections, chunk by chunk.

A transfer begins with one request for everything that is missing. Where the server is slow for one connection, more are
opened, each of which takes half of what the busiest has before it; a connection that reaches what another has taken ends.
So a fast server sees one request, a slow one as many as there are connections.

Two versions never mix: every answer must have the size and the validator of the first, else all begins anew under another
generation. A server that does not take ranges, or hides what they need, is read in one stream.

This file is one thing, a state machine; what headers mean is in ranges.py, what is stored in entries.py, who shares a
transfer in downloads.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgeflow.env import HTTP_CACHE_MODES, env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    call_later, fetch, free_headers, gather, held_size, new_abort_controller, new_deferred, new_sha256, now, on_abort, pause,
    random_bytes, signal_aborted, sleep, start_task, warn, with_lock,
)
from edgeflow.host.port import AbortController, Bytes, Deferred, HeldBody, Response, Sha256
from edgeflow.options import check_choice
from edgeflow.store.entries import FileRecord, FileStore, begin_files, new_record, touched
from edgeflow.store.ranges import (
    backoff, content_range, is_sha256, plain_encoding, retry_after, validator, whole_number,
)
from edgeflow.store.transfer_records import Client, Lane, Source, copied, is_cut_off, source_headers

MISSING = 0
HERE = 1
STORED = 2

ENDLESS = 1 << 40
MOST_BYTES = 1 << 40
MOST_RESTARTS = 4
# Writes under way beside the network: enough to keep the store busy, few enough to bound what waits in memory.
MOST_WRITES = 3
# Of what the platform holds, none waits in this thread's memory.
MOST_HELD_WRITES = 24
PARALLEL_READS = 4
HASH_SLICE = 1 << 20
# A connection that gives so many bytes a ms needs no others beside it.
FAST_RATE = 100000.0
# Whole chunks go to the store past this thread where they take about a fifth of a second or less.
HELD_RATE = 20000.0
# A network that is faster than the store: chunks that a model waits for are stored later. Both only for files of more than 16 MB.
BEHIND_RATE = 160000.0
LARGE_FILE = 1 << 24
FILL_DELAY = 1500.0


class Transfer:
    """The file of one Source on its way to its clients. delivered, ended: resolve with whether there is such a file."""

    def __init__(self, source: Source, clients: list[Client]) -> None:
        self.source: Source = source
        self.clients: list[Client] = clients
        self.record: FileRecord = new_record(source.url, source.limits.chunk_size)
        self.states: list[int] = []
        self.lanes: list[Lane] = []
        self.total: int | None = None
        self.loaded: int = 0
        self.reused: int = 0
        self.delivered: Deferred = new_deferred()
        self.ended: Deferred = new_deferred()
        self.began: bool = False
        self._files: FileStore | None = None
        self._stop: AbortController = new_abort_controller()
        self._given_up: bool = False
        self._over: bool = False
        self._ranged: bool = source.ranged
        self._streaming: bool = False
        self._complete: bool = False
        self._absent: bool = False
        self._known_absent: bool = False
        self._changed: bool = False
        self._failure: Exception | None = None
        self._failures: int = 0
        self._answered: bool = False
        self._allowed: int = source.limits.connections
        self._first_byte: float = 0.0
        self._received: int = 0
        self._held: bool = False
        self._writes: int = 0
        self._written: Deferred = new_deferred()
        self._idle: Deferred = new_deferred()
        self._sha: Sha256 | None = None
        self._hashed: int = 0
        self._mismatches: int = 0
        self._fresh: str = source.fresh
        self._last: EdgeflowError | None = None

    # Seen from outside

    def start(self) -> None:
        """Begin, beside the caller."""
        start_task(self._run)

    def open_to_more(self) -> bool:
        """Whether another client would still be given chunks."""
        return not self._given_up and not self._over

    def abort(self) -> None:
        """Nobody waits any more: keep what is stored, end the connections."""
        self._given_up = True
        self._stop.abort()

    def answered(self) -> bool:
        """Whether the file is known to be there."""
        return self._answered

    def bytes_here(self) -> int:
        """Bytes that have arrived, unfinished chunks included."""
        total = self.loaded
        for lane in self.lanes:
            total += lane.partial
        return total

    def join(self, client: Client) -> None:
        """One more waits for the file; what has passed already is not given to it."""
        client.generation = self.record.generation
        self.clients.append(client)

    def leave(self, client: Client) -> None:
        """A client wants the file no more; the last one ends the transfer."""
        self.clients = [other for other in self.clients if other is not client]
        if len(self.clients) == 0:
            self.abort()

    def chunk_map(self) -> list[int]:
        """For every chunk: 0 missing, 1 on its way, 2 here."""
        shown = [2 if state != MISSING else 0 for state in self.states]
        for lane in self.lanes:
            if lane.next < len(shown) and shown[lane.next] == 0 and lane.partial > 0:
                shown[lane.next] = 1
        return shown

    # The whole

    async def _run(self) -> None:
        try:
            check_choice(env.http_cache, HTTP_CACHE_MODES, 'env.http_cache')
            self._files = begin_files()
            if self._files is None or not self.source.ranged:
                await self._attempts()
            else:
                await with_lock('edgeflow file ' + self.source.url, self._stop.signal, self._attempts)
            self.ended.resolve(not self._absent)
        except Exception as error:
            self._over = True
            if self._known_absent and not self._answered and isinstance(error, EdgeflowError) and error.code == 'http':
                self.delivered.resolve(False)
                self.ended.resolve(False)
            self.delivered.reject(error)
            self.ended.reject(error)

    async def _attempts(self) -> None:
        for _ in range(MOST_RESTARTS):
            self._changed = False
            if await self._attempt():
                return
            self._stop = new_abort_controller()
            if self._given_up:
                break
        self._check_wanted()
        if self._last is not None:
            raise self._last
        raise EdgeflowError('http', f'{self.source.url}: the file kept changing while it was fetched', {'url': self.source.url})

    async def _attempt(self) -> bool:
        """Bring the file in; False if all has to begin anew."""
        await self._begin()
        if not self._all_here():
            await self._download()
        if self._changed:
            await self._forget()
            return False
        if self._absent:
            await self._forget()
            if self._files is not None and not self.source.ranged:
                self.record = replace(self.record, absent=True, complete=True, size=0)
                await self._write_record(self._files)
            self.delivered.resolve(False)
            return True
        self._check_wanted()
        if not await self._verify():
            await self._forget()
            return False
        self._over = True
        self.delivered.resolve(True)
        await self._settle()
        return True

    def _check_wanted(self) -> None:
        if self._given_up:
            raise EdgeflowError('aborted', f'loading {self.source.url} was cancelled through its signal', {'url': self.source.url})

    async def _begin(self) -> None:
        """Start from what is stored."""
        self._check_wanted()
        expected = self.source.sha256
        self._sha = new_sha256() if expected != '' else None
        self._hashed = 0
        files = self._files
        record = None if files is None else await files.find(self.source.url)
        if record is not None and record.absent:
            # It may be there by now; this counts only if the network is off.
            self._known_absent = True
            record = None
        if record is not None and files is not None:
            known = record.size is not None and (self.source.size is None or self.source.size == record.size)
            usable = known and (record.validator != '' or record.complete) and self._fresh != 'anew'
            if usable and self._fresh == 'check' and record.complete:
                usable = await self._is_current(record)
            self._fresh = 'reuse'
            if not usable:
                await files.drop(record)
                record = None
        self._take_record(new_record(self.source.url, self.source.limits.chunk_size) if record is None else touched(record))
        if record is None or files is None:
            return
        self.total = record.size
        self.states = [MISSING] * record.count()
        for index in await files.chunks(record):
            if index < len(self.states):
                self.states[index] = STORED
        self._answered = True
        if self._sha is not None and record.complete and record.sha256 == expected:
            self._sha = None
        await self._deliver_stored(record, files)
        self._complete = record.size == 0
        self._tell()

    def _take_record(self, record: FileRecord) -> None:
        self.record = record
        self.loaded = 0
        self.states = []
        self.began = True
        for client in self.clients:
            if client.generation != record.generation:
                if len(client.received) > 0:
                    client.received = set()
                    client.on_reset()
                client.generation = record.generation

    async def _deliver_stored(self, record: FileRecord, files: FileStore) -> None:
        """Give the clients what is stored; a chunk that cannot be read is missing."""
        queue: list[int] = []
        for index in range(len(self.states)):
            wanted = self._lacking(index)
            if self._wanting() and not wanted:
                self.states[index] = max(self.states[index], HERE)
            if self.states[index] == STORED and wanted:
                queue.append(index)
            elif self.states[index] != MISSING:
                self.loaded += record.length(index)

        async def read_some() -> None:
            while len(queue) > 0 and not self._given_up:
                index = queue.pop(0)
                data = await files.read(record, index)
                if data is None:
                    self.states[index] = MISSING
                else:
                    self.loaded += len(data)
                    self._deliver(index, data)
                    self._tell()

        self.reused = self.loaded
        self._tell()
        await gather([read_some() for _ in range(PARALLEL_READS)])
        self._check_wanted()
        self.reused = self.loaded

    def _lacking(self, index: int) -> bool:
        for client in self.clients:
            if client.on_chunk is not None and index not in client.received:
                return True
        return False

    async def _is_current(self, record: FileRecord) -> bool:
        """Whether the server's file is still the one that is stored, by the answer to a request for its first byte."""
        headers = source_headers(self.source.url)
        headers['Range'] = 'bytes=0-0'
        response = await fetch(self.source.url, headers, self._stop.signal, 'no-store')
        await response.cancel()
        if response.status >= 400 and response.status != 416:
            return False
        found = content_range(response.header('content-range'))
        size = found.size if found is not None else whole_number(response.header('content-length'))
        tag = validator(response.header('etag'), response.header('last-modified'))
        return tag == record.validator and (response.status == 200 and tag != '' or size == record.size)

    async def _forget(self) -> None:
        """Drop this version of the file, and start another."""
        while self._writes > 0:
            await self._wait_write()
        if self._files is not None:
            await self._files.drop(self.record)
        self._streaming = False
        self._complete = False
        self.total = None

    def _all_here(self) -> bool:
        if self._complete:
            return True
        return self.record.size is not None and MISSING not in self.states

    async def _verify(self) -> bool:
        """Whether the whole has the digest it must have; the second failure is an error."""
        sha = self._sha
        if sha is None:
            return True
        while self._writes > 0:
            await self._wait_write()
        while self._hashed < len(self.states):
            data = None if self._files is None else await self._files.read(self.record, self._hashed)
            if data is None:
                return self._mismatch('a chunk that cannot be read back')
            await self._hash(sha, data)
        found = sha.hex()
        if found == self.source.sha256.lower():
            return True
        return self._mismatch(found)

    def _mismatch(self, found: str) -> bool:
        self._mismatches += 1
        if self._mismatches < 2:
            return False
        start_task(self._forget)
        raise EdgeflowError(
            'checksum', f'{self.source.url}: expected bytes with the SHA-256 {self.source.sha256}, got {found}',
            {'url': self.source.url, 'expected': self.source.sha256, 'got': found})

    async def _hash(self, sha: Sha256, data: Bytes) -> None:
        for start in range(0, len(data), HASH_SLICE):
            sha.update(data[start:start + HASH_SLICE])
            await pause()
        self._hashed += 1

    async def _settle(self) -> None:
        """Finish writing; the record says whether all is stored."""
        while self._writes > 0:
            await self._wait_write()
        files = self._files
        if files is None:
            return
        stored = True
        for state in self.states:
            stored = stored and state == STORED
        if self._failure is not None:
            raise self._failure
        self.record = replace(self.record, complete=stored, sha256=self.source.sha256 if stored and self.source.sha256 != '' else self.record.sha256)
        await self._write_record(files)
        if not stored and self.record.validator != '':
            url = self.source.url
            call_later(FILL_DELAY, lambda: fill(url))

    # Connections

    async def _download(self) -> None:
        self._idle = new_deferred()
        self._failure = None
        self._failures = 0
        self._received = 0
        self._allowed = self.source.limits.connections
        try:
            self._add_lane()
            await self._idle.result()
        finally:
            self._stop.abort()
        if self._failure is not None and not self._changed and not self._absent:
            self._check_wanted()
            while self._writes > 0:
                await self._wait_write()
            raise self._failure

    def _add_lane(self) -> None:
        lane = Lane()
        self.lanes.append(lane)
        start_task(lambda: self._work(lane))

    async def _work(self, lane: Lane) -> None:
        try:
            while self._claim(lane):
                await self._request(lane)
        except Exception as error:
            self._fail(error)
        self.lanes = [other for other in self.lanes if other is not lane]
        if len(self.lanes) == 0:
            self._idle.resolve(None)

    def _fail(self, error: Exception) -> None:
        if self._failure is None:
            self._failure = error
        self._stop.abort()

    def _stopped(self) -> bool:
        return signal_aborted(self._stop.signal)

    def _claim(self, lane: Lane) -> bool:
        """Give a connection something to do: what it had, a gap that nobody works on, or half of another's; False if there is nothing."""
        if lane.leaving or self._stopped() or self._all_here():
            return False
        if self.record.size is None or self._streaming:
            lane.next = 0
            lane.end = ENDLESS
            return self.lanes[0] is lane
        if lane.next < lane.end and lane.next < len(self.states) and self.states[lane.next] == MISSING:
            return True
        lane.next = 0
        lane.end = 0
        start = 0
        while start < len(self.states) and (self.states[start] != MISSING or self._owned(start)):
            start += 1
        if start < len(self.states):
            end = start + 1
            while not self._held and end < len(self.states) and self.states[end] == MISSING and not self._owned(end):
                end += 1
            lane.next = start
            lane.end = end
            return True
        busiest = lane
        for other in self.lanes:
            if other.end - other.next > busiest.end - busiest.next:
                busiest = other
        if busiest.end - busiest.next < 2:
            return False
        middle = busiest.next + (busiest.end - busiest.next + 1) // 2
        lane.next = middle
        lane.end = busiest.end
        busiest.end = middle
        return True

    def _owned(self, index: int) -> bool:
        for lane in self.lanes:
            if lane.next <= index < lane.end:
                return True
        return False

    async def _request(self, lane: Lane) -> None:
        """One request and its answer. What can be tried again is waited for here, the rest raised."""
        headers = source_headers(self.source.url)
        known = self.record.size is not None
        lane.single = self._held and self._ranged and known and lane.end - lane.next == 1
        if self._ranged:
            start = lane.next * self.record.chunk_size if known else 0
            last = '' if not known or lane.end >= len(self.states) else str(lane.end * self.record.chunk_size - 1)
            headers['Range'] = f'bytes={start}-{last}'
            # Encoded ranges could not be put together; browsers say this themselves.
            headers['Accept-Encoding'] = 'identity'
            if known and self.record.validator != '' and free_headers(self.source.url):
                headers['If-Range'] = self.record.validator
        controller = new_abort_controller()
        stop_listening = on_abort(self._stop.signal, lambda: controller.abort())
        lane.stalled = False
        lane.partial = 0
        stop_watching = self._watch(lane, controller)
        response: Response | None = None
        try:
            # A browser's HTTP cache hands out one answer at a time for an address, and would keep the bytes a second time.
            mode = 'no-store' if self._ranged and env.http_cache == 'default' else env.http_cache
            response = await fetch(self.source.url, headers, controller.signal, mode)
            lane.heard = now()
            accepted = await self._accept(response, lane)
            self._tell()
            if accepted:
                await self._read(response, lane)
        except EdgeflowError as error:
            lane.listening = False
            if not self._stopped():
                await self._retry(lane, error)
        finally:
            lane.listening = False
            lane.partial = 0
            stop_listening()
            stop_watching()
            if response is not None:
                await response.cancel()

    def _watch(self, lane: Lane, controller: AbortController) -> Callable[[], None]:
        """Give the connection up when nothing is heard of it for stall_timeout."""
        limit = self.source.limits.stall_timeout
        lane.heard = now()
        lane.listening = True
        timers: list[Callable[[], None]] = []

        def check() -> None:
            silent = now() - lane.heard if lane.listening else 0.0
            if silent >= limit:
                lane.stalled = True
                controller.abort()
            else:
                timers[0] = call_later(limit - silent, check)

        timers.append(call_later(limit, check))
        return lambda: timers[0]()

    async def _retry(self, lane: Lane, error: EdgeflowError) -> None:
        """Wait before the next attempt; raise what no attempt will mend."""
        status = error.details.get('status')
        passing = status is None or status in [408, 425, 429, 500, 502, 503, 504]
        if lane.stalled:
            limit = self.source.limits.stall_timeout
            error = EdgeflowError('http', f'{self.source.url}: expected bytes, got none for {limit:.0f} ms', {'url': self.source.url})
        elif error.code != 'http' or not passing:
            raise error
        known = self.record.size is not None
        self._failures += 1
        limits = self.source.limits
        if self._failures > (limits.retries if self._answered else (limits.retries + 2) // 3):
            raise error
        if len(self.lanes) > 1:
            # The server may not want so many at once; another connection takes over.
            self._failures -= 1
            lane.leaving = True
            lane.end = lane.next
            self._allowed = len(self.lanes) - 1
            return
        self._allowed = limits.connections
        self._received = 0
        delay = backoff(self._failures, limits.backoff, random_bytes(1)[0] / 255)
        asked = error.details.get('retryAfter')
        if isinstance(asked, (int, float)):
            delay = max(delay, asked)
        until = now() + delay
        while now() < until and not self._stopped():
            await sleep(min(50.0, until - now()))
        if self.record.validator == '' and (self.loaded > 0 or known):
            # Nothing tells whether the next answer would be of the same version.
            self._last = error
            self._change()

    def _change(self) -> None:
        """The file is another than before: begin anew."""
        self._changed = True
        self._stop.abort()

    async def _accept(self, response: Response, lane: Lane) -> bool:
        """Whether the body is what the lane is to read."""
        status = response.status
        url = self.source.url
        if status == 404 or status == 410:
            self._absent = True
            self._stop.abort()
            return False
        found = content_range(response.header('content-range'))
        if status == 416:
            if found is not None and found.size == 0 and self.loaded == 0:
                await self._plan(0, '')
                self._complete = True
                return False
            if self.record.size is not None:
                self._change()
                return False
            self._ranged = False
            return False
        if status < 200 or status > 299:
            details: dict[str, object] = {'url': url, 'status': status}
            wait = retry_after(response.header('retry-after'))
            if wait is not None:
                details['retryAfter'] = wait
            hint = ' (a model that is private or gated, or whose name is wrong)' if status == 401 or status == 403 else ''
            raise EdgeflowError('http', f'{url}: expected status 200, got {status}{hint}', details)
        tag = validator(response.header('etag'), response.header('last-modified'))
        self._answered = True
        if status == 206 and self._ranged:
            start = lane.next * self.record.chunk_size
            usable = found is not None and found.start == start and plain_encoding(response.header('content-encoding'))
            if not usable or found is None:
                if self.record.size is None:
                    self._ranged = False
                    return False
                raise EdgeflowError('http', f'{url}: expected the bytes from {start} on, got another range', {'url': url})
            if self.record.size is None:
                await self._plan(found.size, tag)
                self._learn(response)
                lane.end = len(self.states)
            elif found.size != self.record.size or tag != self.record.validator:
                self._change()
                return False
            return True
        return await self._accept_whole(response, tag)

    async def _accept_whole(self, response: Response, tag: str) -> bool:
        """The body is the whole file, from its first byte on."""
        length = whole_number(response.header('content-length')) if plain_encoding(response.header('content-encoding')) else None
        if self.record.size is None and len(self.states) == 0:
            self._check_size(length)
            self.total = length
            self.record = replace(self.record, validator=tag)
            if self._files is not None:
                files = self._files
                start_task(lambda: self._write_record(files))
        elif tag == '' or tag != self.record.validator:
            self._change()
            return False
        elif len(self.lanes) > 1:
            raise EdgeflowError('http', f'{self.source.url}: expected a part of the file, got the whole', {'url': self.source.url})
        self._learn(response)
        self._streaming = True
        return True

    def _learn(self, response: Response) -> None:
        """The hub tells the SHA-256 of large files (Git LFS) as their ETag. Another host's ETag may be any other digest."""
        if self.source.sha256 != '' or not self.source.url.startswith(env.remote_host):
            return
        linked = response.header('x-linked-etag')
        own = response.header('etag') if response.url.startswith(env.remote_host) else None
        text = linked if linked is not None else own
        digest = '' if text is None else text.strip().removeprefix('W/').strip('"')
        if is_sha256(digest) and self.loaded == 0:
            self.source = replace(self.source, sha256=digest)
            self._sha = new_sha256()

    def _check_size(self, size: int | None) -> None:
        url = self.source.url
        if size is not None and size > MOST_BYTES:
            raise EdgeflowError('out-of-memory', f'{url}: {size} bytes are more than can be loaded', {'url': url, 'size': size})
        if size is not None and self.source.size is not None and size != self.source.size:
            raise EdgeflowError('checksum', f'{url}: expected {self.source.size} bytes, got {size}', {'url': url, 'expected': self.source.size, 'got': size})

    async def _plan(self, size: int, tag: str) -> None:
        """The size is known: lay out the chunks, and make room for them."""
        self._check_size(size)
        self.record = replace(self.record, size=size, validator=tag)
        self.total = size
        self.states = [MISSING] * self.record.count()
        files = self._files
        if files is None:
            return
        budget = env.cache_budget
        if budget is not None:
            if size > budget:
                self._no_room(EdgeflowError('quota-exceeded', f'{self.source.url} has {size} bytes, env.cache_budget is {budget}', {'size': size, 'budget': budget}))
                return
            await files.evict(size, budget, self.source.url)
        start_task(lambda: self._write_record(files))

    async def _write_record(self, files: FileStore) -> None:
        self._writes += 1
        try:
            await files.write(self.record)
        except EdgeflowError as error:
            self._no_room(error)
        self._end_write()

    # Chunks

    async def _read(self, response: Response, lane: Lane) -> None:
        """Take chunks out of the body until the lane's end."""
        index = 0 if self._streaming else lane.next

        def count(size: int) -> None:
            if self._received == 0:
                self._first_byte = now()
            lane.partial += size
            lane.heard = now()
            self._received += size
            self._grow()
            self._tell()

        while index < lane.end and not self._stopped():
            known = self.record.size is not None
            if known and index >= len(self.states):
                break
            want = self.record.length(index) if known else self.record.chunk_size
            lane.partial = 0
            began = now()
            if lane.single:
                held = await response.held_body()
                self._check_length(held_size(held), want)
                await self._keep_held(lane, index, held, want)
            else:
                data = await response.take(want, count)
                lane.partial = 0
                if len(data) < want and not known:
                    await self._end_stream(lane, index, data, began)
                    return
                self._check_length(len(data), want)
                if index >= len(self.states):
                    self.states.append(MISSING)
                if self.states[index] == MISSING and not self._stopped():
                    await self._keep(lane, index, data, began)
            index += 1
            lane.next = index
            if self._held and not self._streaming:
                lane.end = min(lane.end, index)

    def _check_length(self, got: int, want: int) -> None:
        if got != want:
            raise EdgeflowError(
                'http', f'{self.source.url}: expected {want} bytes more, got {got}: the body is cut off',
                {'url': self.source.url, 'expected': want, 'got': got})

    async def _end_stream(self, lane: Lane, index: int, data: Bytes, began: float) -> None:
        """A body of unknown length is over: that is the file's size."""
        size = index * self.record.chunk_size + len(data)
        url = self.source.url
        if self.total is not None and is_cut_off(size, self.total):
            raise EdgeflowError('http', f'{url}: expected {self.total} bytes, got {size}: the body is cut off', {'url': url, 'expected': self.total, 'got': size})
        self._check_size(size)
        self.record = replace(self.record, size=size)
        self.total = size
        while len(self.states) < self.record.count():
            self.states.append(MISSING)
        if len(data) > 0 and self.states[index] == MISSING:
            await self._keep(lane, index, data, began)
        self._complete = True

    def _grow(self) -> None:
        """Open more connections if they are worth it; let whole chunks pass by this thread if it only watches them."""
        limits = self.source.limits
        elapsed = now() - self._first_byte
        size = self.record.size
        large = self.total is not None and self.total > LARGE_FILE
        storing = large and self._sha is None and self._files is not None and not self._wanting()
        if elapsed <= (min(limits.watch, 5.0) if storing and self._received >= self.record.chunk_size else limits.watch) or size is None or self._streaming or self.record.validator == '' or not self._ranged:
            return
        rate = self._received / elapsed
        allowed = 1 if rate > FAST_RATE else self._allowed
        if storing:
            self._held = rate > HELD_RATE * max(1, len(self.lanes))
            if self._held:
                allowed = min(2, self._allowed)
        elif self._sha is not None and self._files is None:
            allowed = 1
        if len(self.lanes) < allowed and (size - self.bytes_here()) / rate > limits.worth:
            for _ in range(allowed - len(self.lanes)):
                self._add_lane()

    def _wanting(self) -> bool:
        for client in self.clients:
            if client.on_chunk is not None:
                return True
        return False

    async def _keep(self, lane: Lane, index: int, data: Bytes, began: float) -> None:
        """A chunk is here: hash it if it is its turn, store it, hand it on."""
        lane.listening = False
        size = len(data)
        sha = self._sha
        if sha is not None and index == self._hashed:
            await self._hash(sha, data)
        self.states[index] = HERE
        self.loaded += size
        self._failures = 0
        files = self._files
        behind = self._wanting() and sha is None and self.total is not None and self.total > LARGE_FILE
        if files is not None and not (behind and self._all_take() and size > (now() - began) * BEHIND_RATE):
            while self._writes >= MOST_WRITES:
                await self._wait_write()
            record = self.record
            start_task(lambda: self._write(files, record, index, data))
        self._deliver(index, data)
        self._tell()
        lane.heard = now()
        lane.listening = True

    def _all_take(self) -> bool:
        """Whether every client takes bytes, so that none waits for the store."""
        for client in self.clients:
            if client.on_chunk is None:
                return False
        return True

    async def _keep_held(self, lane: Lane, index: int, held: HeldBody, size: int) -> None:
        lane.listening = False
        files = self._files
        if files is None or self._wanting():
            # Somebody has joined who wants the bytes: fetch the chunk again, in a form that has them.
            self._held = False
            return
        self.states[index] = HERE
        self.loaded += size
        self._received += size
        self._failures = 0
        while self._writes >= MOST_HELD_WRITES:
            await self._wait_write()
        record = self.record
        start_task(lambda: self._write(files, record, index, held))
        self._grow()
        self._tell()
        lane.listening = True

    def _deliver(self, index: int, data: Bytes) -> None:
        """Hand a chunk to all that want it; the last may move its memory, the others get copies."""
        wanting: list[Client] = []
        for client in self.clients:
            if client.on_chunk is not None and index not in client.received:
                wanting.append(client)
        for i in range(len(wanting)):
            client = wanting[i]
            client.received.add(index)
            if client.on_chunk is not None:
                client.on_chunk(index * self.record.chunk_size, data if i == len(wanting) - 1 else copied(data))

    def _tell(self) -> None:
        for client in self.clients:
            client.on_progress(self)

    async def _write(self, files: FileStore, record: FileRecord, index: int, data: Bytes | HeldBody) -> None:
        self._writes += 1
        try:
            await files.put(record, index, data)
            if record.generation == self.record.generation and index < len(self.states):
                self.states[index] = STORED
        except EdgeflowError as error:
            if error.code == 'quota-exceeded':
                await self._full(files, record, index, data, error)
            else:
                self._no_room(error)
        self._end_write()

    def _end_write(self) -> None:
        self._writes -= 1
        written = self._written
        self._written = new_deferred()
        written.resolve(None)

    async def _wait_write(self) -> None:
        await self._written.result()

    async def _full(self, files: FileStore, record: FileRecord, index: int, data: Bytes | HeldBody, error: EdgeflowError) -> None:
        """No room: other files give way; without any, this one is not kept."""
        try:
            while self._files is not None and await files.evict_one(record.url):
                if held_size(data) != record.length(index):
                    # Its memory has moved on with a client; it is fetched once more later.
                    return
                await files.put(record, index, data)
                self.states[index] = STORED
                return
        except EdgeflowError as again:
            self._no_room(again)
            return
        self._no_room(error)

    def _no_room(self, error: EdgeflowError) -> None:
        """Go on without the store, unless somebody asked for the file to be stored."""
        files = self._files
        if files is None:
            return
        self._files = None
        record = self.record
        start_task(lambda: drop_quietly(files, record))
        if not self._all_take():
            self._fail(error)
            return
        warn(f'edgeflow: {self.source.url} is not kept for later: {error.message}')
        if self._sha is not None:
            # Chunks out of turn can no longer be read back to be hashed: one connection, from the start.
            self._change()


async def drop_quietly(files: FileStore, record: FileRecord) -> None:
    """Free what a file took; where even that fails, the sweep of a later visit does it."""
    try:
        await files.drop(record)
    except EdgeflowError as error:
        warn(f'edgeflow: {error.message}')


def fill(url: str) -> None:
    """Store what passed too fast to be stored, now that its model runs."""
    transfer = Transfer(Source(url), [Client(None, lambda transfer: None, lambda: None)])
    transfer.start()
