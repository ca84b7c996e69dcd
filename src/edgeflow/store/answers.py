"""Whether an answer is what a connection asked for, and what its headers tell of the file."""

from __future__ import annotations

from dataclasses import replace

from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import start_task
from edgeflow.host.port import Response
from edgeflow.store.chunks import Chunks
from edgeflow.store.course import Course
from edgeflow.store.ranges import content_range, is_sha256, plain_encoding, retry_after, validator, whole_number
from edgeflow.store.transfer_records import Lane


async def accept(response: Response, lane: Lane, alone: bool, course: Course, chunks: Chunks) -> bool:
    """Whether the body is what the lane is to read. alone: there is no other connection. 'http', 'checksum'."""
    status = response.status
    url = course.source.url
    if status == 404 or status == 410:
        course.absent = True
        course.stop.abort()
        return False
    found = content_range(response.header('content-range'))
    if status == 416:
        if found is not None and found.size == 0 and chunks.loaded == 0:
            await chunks.plan(0, '')
            chunks.complete = True
            return False
        if chunks.record.size is not None:
            course.change()
            return False
        course.ranged = False
        return False
    if status < 200 or status > 299:
        details: dict[str, object] = {'url': url, 'status': status}
        wait = retry_after(response.header('retry-after'))
        if wait is not None:
            details['retryAfter'] = wait
        hint = ' (a model that is private or gated, or whose name is wrong)' if status == 401 or status == 403 else ''
        raise EdgeflowError('http', f'{url}: expected status 200, got {status}{hint}', details)
    tag = validator(response.header('etag'), response.header('last-modified'))
    course.answered = True
    if status == 206 and course.ranged:
        start = lane.next * chunks.record.chunk_size
        usable = found is not None and found.start == start and plain_encoding(response.header('content-encoding'))
        if not usable or found is None:
            if chunks.record.size is None:
                course.ranged = False
                return False
            raise EdgeflowError('http', f'{url}: expected the bytes from {start} on, got another range', {'url': url})
        if chunks.record.size is None:
            await chunks.plan(found.size, tag)
            _learn(response, course, chunks)
            lane.end = len(chunks.states)
        elif found.size != chunks.record.size or tag != chunks.record.validator:
            course.change()
            return False
        return True
    return await _accept_whole(response, tag, alone, course, chunks)


async def _accept_whole(response: Response, tag: str, alone: bool, course: Course, chunks: Chunks) -> bool:
    """The body is the whole file, from its first byte on."""
    length = whole_number(response.header('content-length')) if plain_encoding(response.header('content-encoding')) else None
    if chunks.record.size is None and len(chunks.states) == 0:
        chunks.check_size(length)
        chunks.total = length
        chunks.record = replace(chunks.record, validator=tag)
        if chunks.files is not None:
            files = chunks.files
            start_task(lambda: chunks.write_record(files))
    elif tag == '' or tag != chunks.record.validator:
        course.change()
        return False
    elif not alone:
        raise EdgeflowError('http', f'{course.source.url}: expected a part of the file, got the whole', {'url': course.source.url})
    _learn(response, course, chunks)
    course.streaming = True
    return True


def _learn(response: Response, course: Course, chunks: Chunks) -> None:
    """The hub tells the SHA-256 of large files (Git LFS) as their ETag. Another host's ETag may be any other digest."""
    if course.source.sha256 != '' or not course.source.url.startswith(env.remote_host):
        return
    linked = response.header('x-linked-etag')
    own = response.header('etag') if response.url.startswith(env.remote_host) else None
    text = linked if linked is not None else own
    digest = '' if text is None else text.strip().removeprefix('W/').strip('"')
    if is_sha256(digest) and chunks.loaded == 0:
        course.source = replace(course.source, sha256=digest)
        chunks.verification.begin(True)
