"""Whether a file has the SHA-256 that it must have: computed chunk by chunk as they come, as far as they come in order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import new_sha256, pause
from edgeflow.host.port import Bytes, Sha256
from edgeflow.store.course import Course
from edgeflow.store.transfer_records import Piece

HASH_SLICE = 1 << 20


class Verification:
    """active: there is a digest to match."""

    def __init__(self, course: Course) -> None:
        self.active: bool = False
        self._course: Course = course
        # None until there is something to add up: its constants are computed, which a page that hashes nothing would do before its first request.
        self._sha: Sha256 | None = None
        self._hashed: int = 0
        self._mismatches: int = 0

    def begin(self, active: bool) -> None:
        """Start anew with the first chunk."""
        self.active = active
        self._sha = new_sha256() if active else None
        self._hashed = 0

    async def take(self, index: int, piece: Piece) -> None:
        """A chunk is here: it counts if it is its turn."""
        sha = self._sha
        if sha is None or index != self._hashed:
            return
        data = piece.data
        if data is not None:
            for start in range(0, len(data), HASH_SLICE):
                sha.update(data[start:start + HASH_SLICE])
                await pause()
        elif piece.draft is not None:
            await piece.draft.hash(sha)
        self._hashed += 1

    async def matches(self, count: int, read: Callable[[int], Awaitable[Bytes | None]]) -> bool:
        """Whether the whole of `count` chunks is what it must be. read: gives those back that came out of turn. 'checksum' the second time it is not."""
        sha = self._sha
        if sha is None:
            return True
        expected = self._course.source.sha256.lower()
        found = ''
        while self._hashed < count and found == '':
            data = await read(self._hashed)
            if data is None:
                found = 'a chunk that cannot be read back'
            else:
                await self.take(self._hashed, Piece(len(data), data))
        if found == '':
            found = sha.hex()
        if found == expected:
            return True
        self._mismatches += 1
        if self._mismatches < 2:
            return False
        url = self._course.source.url
        raise EdgeflowError(
            'checksum', f'{url}: expected bytes with the SHA-256 {expected}, got {found}', {'url': url, 'expected': expected, 'got': found})
