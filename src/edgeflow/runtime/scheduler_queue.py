"""A binary heap whose entries know their place, so that any of them can leave in O(log n): nothing stale stays behind."""

from __future__ import annotations

from typing import Any


class Entry:
    """A place in one heap for `owner`. Smaller keys come first, equal keys by `order`."""

    def __init__(self, owner: Any) -> None:
        self.owner: Any = owner
        self.key: float = 0.0
        self.order: int = 0
        self.index: int = -1

    def before(self, other: Entry) -> bool:
        """Whether this entry comes first."""
        return self.key < other.key or (self.key == other.key and self.order < other.order)


class Heap:
    """Entries in the order of (key, order)."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def first(self) -> Entry | None:
        """The entry that comes first, which stays."""
        return self._entries[0] if len(self._entries) > 0 else None

    def entries(self) -> list[Entry]:
        """A copy of all entries, in no particular order."""
        return list(self._entries)

    def put(self, entry: Entry, key: float, order: int) -> None:
        """Insert the entry, or move it if it is here already."""
        if entry.index >= 0:
            if entry.key == key and entry.order == order:
                return
            self.remove(entry)
        entry.key = key
        entry.order = order
        entry.index = len(self._entries)
        self._entries.append(entry)
        self._rise(entry)

    def remove(self, entry: Entry) -> None:
        """Take the entry out; if it is not in the heap, nothing happens."""
        index = entry.index
        if index < 0:
            return
        entry.index = -1
        last = self._entries.pop()
        if last is not entry:
            last.index = index
            self._entries[index] = last
            self._rise(last)
            self._sink(last)

    def _rise(self, entry: Entry) -> None:
        entries = self._entries
        index = entry.index
        while index > 0:
            above = (index - 1) // 2
            parent = entries[above]
            if not entry.before(parent):
                break
            entries[index] = parent
            parent.index = index
            index = above
        entries[index] = entry
        entry.index = index

    def _sink(self, entry: Entry) -> None:
        entries = self._entries
        size = len(entries)
        index = entry.index
        while True:
            below = 2 * index + 1
            if below >= size:
                break
            if below + 1 < size and entries[below + 1].before(entries[below]):
                below += 1
            child = entries[below]
            if not child.before(entry):
                break
            entries[index] = child
            child.index = index
            index = below
        entries[index] = entry
        entry.index = index
