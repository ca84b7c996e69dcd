"""The connections of a transfer: one, more where the server is slow for one, each at work on a stretch of the chunks.

Each takes half of what the busiest has before it; a connection that reaches what another has taken ends. So a fast server sees
one request, a slow one as many as there are connections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import (
    call_later, free_headers, new_abort_controller, new_deferred, now, on_abort, random_bytes, sleep, start_task,
)
from edgeflow.host.port import AbortController, Deferred, Response
from edgeflow.store.answers import accept
from edgeflow.store.chunks import MISSING, Chunks
from edgeflow.store.course import Course
from edgeflow.store.ranges import backoff
from edgeflow.store.transfer_records import Lane, Piece, is_cut_off, source_headers

ENDLESS = 1 << 40
# A connection that gives so many bytes a ms, while it is waited for, needs no others beside it. It is slow when it was so several
# times in a row: a machine that is busy at the moment is not made faster by more connections, on the contrary.
FAST_RATE = 50000.0
SLOW_TIMES = 2


class Connections:
    """lanes: those that are open."""

    def __init__(self, course: Course, chunks: Chunks) -> None:
        self.course: Course = course
        self.chunks: Chunks = chunks
        self.lanes: list[Lane] = []
        self._idle: Deferred = new_deferred()
        self._failures: int = 0
        self._allowed: int = 1
        self._received: int = 0
        self._waited: float = 0.0
        self._slow: int = 0

    def bytes_here(self) -> int:
        """Bytes that have arrived, unfinished chunks included."""
        total = self.chunks.loaded
        for lane in self.lanes:
            total += lane.partial
        return total

    async def download(self) -> None:
        """Bring in what is missing. The course says how it ended, unless that is an error."""
        self._idle = new_deferred()
        self.course.failure = None
        self._failures = 0
        self._watch_anew()
        self._slow = 0
        self._allowed = self.course.source.limits.connections
        try:
            self._add_lane()
            await self._idle.result()
        finally:
            self.course.stop.abort()
        if self.course.failure is not None and not self.course.changed and not self.course.absent:
            self.course.check_wanted()
            await self.chunks.written()
            raise self.course.failure

    def _add_lane(self) -> None:
        lane = Lane()
        self.lanes.append(lane)
        start_task(lambda: self._work(lane))

    async def _work(self, lane: Lane) -> None:
        try:
            while self._claim(lane):
                await self._request(lane)
        except Exception as error:
            self.course.fail(error)
        self.lanes = [other for other in self.lanes if other is not lane]
        if len(self.lanes) == 0:
            self._idle.resolve(None)

    def _claim(self, lane: Lane) -> bool:
        """Give a connection something to do: what it had, a gap that nobody works on, or half of another's; False if there is nothing."""
        if lane.leaving or self.course.stopped() or self.chunks.all_here():
            return False
        if self.chunks.record.size is None or self.course.streaming:
            lane.next = 0
            lane.end = ENDLESS
            return self.lanes[0] is lane
        if lane.next < lane.end and lane.next < len(self.chunks.states) and self.chunks.states[lane.next] == MISSING:
            return True
        lane.next = 0
        lane.end = 0
        start = 0
        while start < len(self.chunks.states) and (self.chunks.states[start] != MISSING or self._owned(start)):
            start += 1
        if start < len(self.chunks.states):
            end = start + 1
            while end < len(self.chunks.states) and self.chunks.states[end] == MISSING and not self._owned(end):
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
        headers = source_headers(self.course.source.url)
        known = self.chunks.record.size is not None
        if self.course.ranged:
            start = lane.next * self.chunks.record.chunk_size if known else 0
            last = '' if not known or lane.end >= len(self.chunks.states) else str(lane.end * self.chunks.record.chunk_size - 1)
            headers['Range'] = f'bytes={start}-{last}'
            # Encoded ranges could not be put together; browsers say this themselves.
            headers['Accept-Encoding'] = 'identity'
            if known and self.chunks.record.validator != '' and free_headers(self.course.source.url):
                headers['If-Range'] = self.chunks.record.validator
        controller = new_abort_controller()
        stop_listening = on_abort(self.course.stop.signal, lambda: controller.abort())
        lane.stalled = False
        lane.partial = 0
        stop_watching = self._watch(lane, controller)
        response: Response | None = None
        try:
            # A browser's HTTP cache hands out one answer at a time for an address, and would keep the bytes a second time.
            mode = 'no-store' if self.course.ranged and env.http_cache == 'default' else env.http_cache
            response = await self.chunks.fetch(headers, controller.signal, mode)
            lane.heard = now()
            accepted = await accept(response, lane, len(self.lanes) == 1, self.course, self.chunks)
            self.course.tell()
            if accepted:
                await self._read(response, lane)
        except EdgeflowError as error:
            lane.listening = False
            if not self.course.stopped():
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
        limit = self.course.source.limits.stall_timeout
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
            limit = self.course.source.limits.stall_timeout
            error = EdgeflowError('http', f'{self.course.source.url}: expected bytes, got none for {limit:.0f} ms', {'url': self.course.source.url})
        elif error.code != 'http' or not passing:
            raise error
        known = self.chunks.record.size is not None
        self._failures += 1
        limits = self.course.source.limits
        if self._failures > (limits.retries if self.course.answered else (limits.retries + 2) // 3):
            raise error
        if len(self.lanes) > 1:
            # The server may not want so many at once; another connection takes over.
            self._failures -= 1
            lane.leaving = True
            lane.end = lane.next
            self._allowed = len(self.lanes) - 1
            return
        self._allowed = limits.connections
        self._watch_anew()
        delay = backoff(self._failures, limits.backoff, random_bytes(1)[0] / 255)
        asked = error.details.get('retryAfter')
        if isinstance(asked, (int, float)):
            delay = max(delay, asked)
        until = now() + delay
        while now() < until and not self.course.stopped():
            await sleep(min(50.0, until - now()))
        if self.chunks.record.validator == '' and (self.chunks.loaded > 0 or known):
            # Nothing tells whether the next answer would be of the same version.
            self.course.last = error
            self.course.change()

    async def _read(self, response: Response, lane: Lane) -> None:
        """Take chunks out of the body until the lane's end."""
        index = 0 if self.course.streaming else lane.next

        def count(size: int) -> None:
            time = now()
            lane.partial += size
            self._received += size
            self._waited += (time - lane.heard) / len(self.lanes)
            lane.heard = time
            self._grow()
            self.course.tell()

        while index < lane.end and not self.course.stopped():
            known = self.chunks.record.size is not None
            if known and index >= len(self.chunks.states):
                break
            want = self.chunks.record.length(index) if known else self.chunks.record.chunk_size
            lane.partial = 0
            more = lane.end - index - 1 if known else 0
            piece = await self.chunks.take(response, want, more, count)
            lane.partial = 0
            if piece.size < want and not known:
                await self._end_stream(lane, index, piece)
                return
            self._check_length(piece.size, want)
            if index >= len(self.chunks.states):
                self.chunks.states.append(MISSING)
            await self._keep(lane, index, piece)
            index += 1
            lane.next = index

    async def _keep(self, lane: Lane, index: int, piece: Piece) -> None:
        if self.chunks.states[index] != MISSING or self.course.stopped():
            await self.chunks.drop(piece)
            return
        # While it waits for the store, its silence says nothing.
        lane.listening = False
        self._failures = 0
        await self.chunks.keep(index, piece)
        lane.heard = now()
        lane.listening = True

    def _check_length(self, got: int, want: int) -> None:
        if got != want:
            raise EdgeflowError(
                'http', f'{self.course.source.url}: expected {want} bytes more, got {got}: the body is cut off',
                {'url': self.course.source.url, 'expected': want, 'got': got})

    async def _end_stream(self, lane: Lane, index: int, piece: Piece) -> None:
        """A body of unknown length is over: that is the file's size."""
        size = index * self.chunks.record.chunk_size + piece.size
        url = self.course.source.url
        total = self.chunks.total
        # An answer that broke off later has brought more.
        least = len(self.chunks.states) * self.chunks.record.chunk_size
        if size < least or (total is not None and is_cut_off(size, total)):
            expected = least if total is None else max(least, total)
            raise EdgeflowError(
                'http', f'{url}: expected {expected} bytes, got {size}: the body is cut off', {'url': url, 'expected': expected, 'got': size})
        self.chunks.check_size(size)
        self.chunks.record = replace(self.chunks.record, size=size)
        self.chunks.total = size
        while len(self.chunks.states) < self.chunks.record.count():
            self.chunks.states.append(MISSING)
        if piece.size > 0:
            await self._keep(lane, index, piece)
        self.chunks.complete = True

    def _watch_anew(self) -> None:
        self._received = 0
        self._waited = 0.0

    def _grow(self) -> None:
        """Open more connections if they are worth it."""
        limits = self.course.source.limits
        ranged = self.course.ranged and not self.course.streaming and self.chunks.record.validator != ''
        size = self.chunks.record.size
        if self._waited <= limits.watch or size is None or not ranged:
            return
        rate = self._received / self._waited
        self._watch_anew()
        self._slow = 0 if rate > FAST_RATE else self._slow + 1
        allowed = self._allowed if self._slow >= SLOW_TIMES else 1
        if self.chunks.verification.active and self.chunks.files is None:
            allowed = 1
        if len(self.lanes) < allowed and (size - self.bytes_here()) / rate > limits.worth:
            for _ in range(allowed - len(self.lanes)):
                self._add_lane()
