"""The cache of files between visits, as users see it."""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import persist_storage, storage_room
from edgeflow.store.entries import FileStore, open_files


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache. size: None while unknown; stored: bytes of it that are there; complete: whether that is all.

    used: when it was last asked for, in ms since 1970.
    """

    url: str
    size: int | None
    stored: int
    complete: bool
    used: float


@dataclass(frozen=True)
class StorageRoom:
    """Bytes that the platform lets this site use and that it uses, by its own count; None where it does not say."""

    used: int | None
    allowed: int | None


class Cache:
    """The files that download(), preload(), loadModel() and pipeline() have kept. env.cache and env.cacheBudget say what is kept."""

    async def list(self) -> list[CachedFile]:
        """All files, those unused for longest first."""
        files = await self._files()
        found: list[CachedFile] = []
        if files is not None:
            for record in await files.records():
                if not record.absent:
                    found.append(CachedFile(record.url, record.size, await files.stored(record), record.complete, record.used))
        return found

    async def size(self) -> int:
        """Bytes of all files."""
        total = 0
        for file in await self.list():
            total += file.stored
        return total

    async def has(self, url: str) -> bool:
        """Whether the whole file at this address is there."""
        files = await self._files()
        record = None if files is None else await files.find(url)
        return record is not None and record.complete and not record.absent

    async def delete(self, url: str) -> bool:
        """Forget a file, whole or in part; whether there was one."""
        files = await self._files()
        record = None if files is None else await files.find(url)
        if files is None or record is None:
            return False
        await files.drop(record)
        return True

    async def clear(self) -> None:
        """Forget all files."""
        files = await self._files()
        if files is not None:
            await files.clear()

    async def persist(self) -> bool:
        """Ask the browser not to clear this site's data when room is short; whether it grants that."""
        return await persist_storage()

    async def room(self) -> StorageRoom:
        """How much the platform lets this site store."""
        room = await storage_room()
        return StorageRoom(room[0], room[1])

    async def _files(self) -> FileStore | None:
        try:
            return await open_files()
        except EdgeflowError:
            return None


cache = Cache()
