"""The memory of sessions' keys and values: pages of PAGE tokens, and the table that tells kernels whose pages a run is about.

A page holds all layers. What lies where in it: wasm/cached_attention.c. Sessions that began as one share its pages until they write to them.
The keys and values of an encoder's states lie in pages of their own kind: they are written once a text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edgeflow.backends.wasm.engine import WasmEngine
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import copy_bytes, new_bytes
from edgeflow.ir.graph import Graph, Node
from edgeflow.passes.rename import all_graphs
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.values import Value

PAGE = 64
FLOAT = 4
WORD = 4
ROW_WORDS = 6
MOST_ROWS = 16
FIRST_LIST = 64


@dataclass(frozen=True)
class PastInput:
    """Past keys or values that the graph takes: heads, and the width of one. fixed: those of an encoder's states. half: float16."""

    name: str
    heads: int
    width: int
    values: bool
    fixed: bool = False
    half: bool = False


@dataclass
class PageList:
    """The pages of one session. address: where their addresses lie in memory, `room` of them at most. fixed: for an encoder's states."""

    fixed: bool = False
    pages: list[int] = field(default_factory=list)
    address: int = 0
    room: int = 0


@dataclass(frozen=True)
class TableRow:
    """One session in a run: its tokens so far, how many come to them, its pages; the states of its encoder, and their pages."""

    length: int
    fresh: int
    held: PageList
    states: int
    fixed: PageList


class PageMemory(Protocol):
    """What a decoder needs of Pages, or of what stands for it on another device."""

    pasts: list[PastInput]
    used: int

    def layout(self, capacity: int) -> CacheLayout: ...

    def resize(self, held: PageList, tokens: int) -> None: ...

    def share(self, held: PageList) -> PageList: ...

    def own(self, held: PageList, tokens: int) -> None: ...

    def free(self, held: PageList) -> None: ...

    def write_table(self, rows: list[TableRow]) -> None: ...


class Pages:
    """Gives out pages, and writes the table."""

    def __init__(self, engine: WasmEngine, pasts: list[PastInput]) -> None:
        self._engine = engine
        self.pasts: list[PastInput] = pasts
        self.names: dict[str, int] = {}
        self.offsets: list[int] = []
        # Of the two kinds, by `fixed`.
        self._sizes: list[int] = [0, 0]
        self.used: int = 0
        # How many sessions have a page, by its address.
        self._owners: dict[int, int] = {}
        for past in pasts:
            self.names[past.name] = len(self.offsets)
            kind = 1 if past.fixed else 0
            self.offsets.append(self._sizes[kind])
            width = (past.width + 7) // 8 * 8 if past.values else past.width
            self._sizes[kind] = self._sizes[kind] + FLOAT * PAGE * past.heads * width
        self.table: Value = Value(0, 'sessions', 'int32', [MOST_ROWS, ROW_WORDS])
        engine.place(self.table)

    def layout(self, capacity: int) -> CacheLayout:
        """For a plan with so many places of tokens."""
        return CacheLayout(self.table, self.names, self.offsets, capacity, self.table)

    def _size(self, held: PageList) -> int:
        """Bytes of a page."""
        return self._sizes[1 if held.fixed else 0]

    def resize(self, held: PageList, tokens: int) -> None:
        """Let a session have pages for so many tokens, no fewer and no more."""
        wanted = (tokens + PAGE - 1) // PAGE
        heap = self._engine.heap
        while len(held.pages) > wanted:
            self._let_go(held.pages.pop(), self._size(held))
        if wanted > held.room:
            if held.room > 0:
                heap.free(held.address)
            held.room = max(FIRST_LIST, 2 * wanted)
            held.address = heap.allocate(held.room * WORD)
            self._engine.write_words(held.address, held.pages)
        while len(held.pages) < wanted:
            size = self._size(held)
            page = self._take(size)
            # Places behind the last token are multiplied by 0, so they must be numbers.
            copy_bytes(self._engine.view(page, size), 0, new_bytes(size))
            self._engine.write_words(held.address + len(held.pages) * WORD, [page])
            held.pages.append(page)

    def share(self, held: PageList) -> PageList:
        """The pages of a session for another one that begins with the same tokens."""
        for page in held.pages:
            self._owners[page] = self._owners[page] + 1
        return PageList(held.fixed, list(held.pages))

    def own(self, held: PageList, tokens: int) -> None:
        """Let a session of so many tokens write behind them: a page that is not full is copied if others have it too."""
        last = tokens // PAGE
        if last < len(held.pages) and self._owners[held.pages[last]] > 1:
            size = self._size(held)
            page = self._take(size)
            copy_bytes(self._engine.view(page, size), 0, self._engine.view(held.pages[last], size))
            self._let_go(held.pages[last], size)
            held.pages[last] = page
            self._engine.write_words(held.address + last * WORD, [page])

    def free(self, held: PageList) -> None:
        """Take back all that a session has."""
        self.resize(held, 0)
        if held.room > 0:
            self._engine.heap.free(held.address)
            held.room = 0

    def _take(self, size: int) -> int:
        page = self._engine.heap.allocate(size)
        self._owners[page] = 1
        self.used = self.used + size
        return page

    def _let_go(self, page: int, size: int) -> None:
        self._owners[page] = self._owners[page] - 1
        if self._owners[page] == 0:
            self._owners.pop(page)
            self._engine.heap.free(page)
            self.used = self.used - size

    def write_table(self, rows: list[TableRow]) -> None:
        """Say whose run the next one is."""
        words: list[int] = []
        for row in rows:
            words.extend([row.length, row.fresh, row.held.address, row.states, 0, row.fixed.address])
        self._engine.write_words(self.table.address, words)


def find_pasts(graph: Graph) -> list[PastInput]:
    """The past inputs that attention nodes of the graph read, keys and values in turn.

    EdgeflowError 'unsupported-op' if other inputs of the graph hold past keys or values too: then they do not fit into pages.
    """
    pasts: list[PastInput] = []
    found: set[str] = set()
    for part in all_graphs(graph):
        for node in part.nodes:
            if node.key() != 'edgeflow:CachedAttention' and node.key() != 'com.microsoft:GroupQueryAttention':
                continue
            for i in [3, 4]:
                if node.inputs[i] not in found:
                    past = _past(graph, part, node, i)
                    if past is not None:
                        pasts.append(past)
                        found.add(past.name)
    for info in graph.inputs:
        if info.name.startswith('past') and info.name not in found:
            raise EdgeflowError('unsupported-op', f"the past '{info.name}' is read by more than attention, so it cannot lie in a session's cache",
                                {'name': info.name})
    if len(pasts) == 0:
        raise EdgeflowError('unsupported-op', 'the model takes no past keys and values', {})
    return pasts


def _past(graph: Graph, part: Graph, node: Node, index: int) -> PastInput | None:
    for info in graph.inputs:
        if info.name == node.inputs[index] and info.shape is not None and len(info.shape) == 4:
            heads = info.shape[1]
            width = info.shape[3]
            # Some exporters leave the width open; the norm of a head has it.
            if isinstance(width, str) and len(node.inputs) > 14 and node.inputs[14] in part.initializers:
                width = part.initializers[node.inputs[14]].shape[0]
            if not isinstance(heads, str) and not isinstance(width, str):
                fixed = node.op == 'CachedAttention' and node.inputs[1] == node.inputs[3]
                return PastInput(info.name, heads, width, index == 4, fixed, info.dtype == 'float16')
    return None
