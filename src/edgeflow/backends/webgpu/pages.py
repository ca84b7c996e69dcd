"""The memory of sessions' keys and values on the GPU: wasm.pages.Pages for kernels in WGSL.

All pages lie in one buffer, the pool, of pairs of elements: two float16 in a word if the model's past is float16, else two float32. A page holds
PAGE tokens of all layers: for a layer and head the keys as pairs [width / 2][PAGE], so that neighbouring threads read neighbouring tokens, and the
values [PAGE][width / 2]. The table has the 6 words of a row that wasm/cached_attention.c has, with places of lists within the table itself, and
behind the rows these lists: where in the pool each page begins, in pairs. CacheLayout.offsets are in pairs, too.

Buffers are made and copied in realize(), within a run, where errors are looked for.
"""

from __future__ import annotations

from edgeflow.backends.wasm.pages import MOST_ROWS, PAGE, ROW_WORDS, WORD, PageList, PastInput, TableRow
from edgeflow.backends.webgpu.builder import ROUND
from edgeflow.backends.webgpu.memory import POOL, TABLE, GpuMemory
from edgeflow.host.platform import new_bytes, write_i32s
from edgeflow.host.port import GpuBuffer, GpuCommand, GpuDevice, GpuPiece
from edgeflow.plan.builder import CacheLayout
from edgeflow.plan.values import Value

# The token that a step chose, for the next one, which may be submitted before it is read.
CHOSEN = '#chosen'
FIRST_PAGES = 4
FIRST_TABLE = 1024
# No number that a plan gives.
POOL_NUMBER = -1073741824


class GpuPages:
    """Gives out pages, and writes the table."""

    def __init__(self, device: GpuDevice, memory: GpuMemory, pasts: list[PastInput]) -> None:
        self._device: GpuDevice = device
        self._memory: GpuMemory = memory
        self.pasts: list[PastInput] = pasts
        self.names: dict[str, int] = {}
        self.offsets: list[int] = []
        half = all([past.half for past in pasts])
        # Bytes of a pair.
        self._pair: int = WORD if half else 2 * WORD
        # Of the two kinds, by `fixed`, in pairs: the size of a page, and the pages that nobody has.
        self._sizes: list[int] = [0, 0]
        self._free: list[list[int]] = [[], []]
        self._end: int = 0
        self.used: int = 0
        # How many sessions have a page, by where it begins.
        self._owners: dict[int, int] = {}
        # Pages to be copied: from, to, pairs.
        self._copies: list[list[int]] = []
        self._words: list[int] = []
        self._old: GpuBuffer | None = None
        self._old_size: int = 0
        for past in pasts:
            self.names[past.name] = len(self.offsets)
            kind = 1 if past.fixed else 0
            self.offsets.append(self._sizes[kind])
            self._sizes[kind] = self._sizes[kind] + PAGE * past.heads * ((past.width + 1) // 2)
        self.table: Value = _constant(0, TABLE, 'int32')
        self.pool: Value = _constant(POOL_NUMBER, POOL, 'float32')
        self.pool.half = half

    def layout(self, capacity: int) -> CacheLayout:
        """For a plan with so many places of tokens."""
        return CacheLayout(self.table, self.names, self.offsets, capacity, self.pool)

    def resize(self, held: PageList, tokens: int) -> None:
        """Let a session have pages for so many tokens, no fewer and no more."""
        wanted = (tokens + PAGE - 1) // PAGE
        while len(held.pages) > wanted:
            self._let_go(held.pages.pop(), held.fixed)
        while len(held.pages) < wanted:
            held.pages.append(self._take(held.fixed))

    def share(self, held: PageList) -> PageList:
        """The pages of a session for another one that begins with the same tokens."""
        for page in held.pages:
            self._owners[page] = self._owners[page] + 1
        return PageList(held.fixed, list(held.pages))

    def own(self, held: PageList, tokens: int) -> None:
        """Let a session of so many tokens write behind them: a page that is not full is copied if others have it too."""
        last = tokens // PAGE
        if last < len(held.pages) and self._owners[held.pages[last]] > 1:
            page = self._take(held.fixed)
            self._copies.append([held.pages[last], page, self._sizes[1 if held.fixed else 0]])
            self._let_go(held.pages[last], held.fixed)
            held.pages[last] = page

    def free(self, held: PageList) -> None:
        """Take back all that a session has."""
        self.resize(held, 0)

    def write_table(self, rows: list[TableRow]) -> None:
        """Say whose run the next one is."""
        words: list[int] = []
        lists: list[int] = []
        for row in rows:
            words.extend([row.length, row.fresh, MOST_ROWS * ROW_WORDS + len(lists)])
            lists.extend(row.held.pages)
            words.extend([row.states, 0, MOST_ROWS * ROW_WORDS + len(lists)])
            lists.extend(row.fixed.pages)
        words.extend([0] * (MOST_ROWS * ROW_WORDS - len(words)))
        self._words = words + lists

    def lacks(self) -> bool:
        """Whether realize() has more to do than to write the table."""
        whole = self._memory.whole
        return self._end * self._pair > whole.get(POOL, 0) or len(self._words) * WORD > whole.get(TABLE, 0) or len(self._copies) > 0

    def realize(self) -> None:
        """Make the buffers as large as is needed now, copy what is to be copied, and write the table."""
        held = self._memory.whole.get(POOL, 0)
        if self._end * self._pair > held:
            size = self._pair * max(self._end, FIRST_PAGES * max(self._sizes[0], self._sizes[1]))
            # Twice as large where the device binds so much.
            size = max(size, min(2 * held, self._device.limit('maxStorageBufferBindingSize') // 16 * 16))
            grown = self._device.buffer(size)
            if held > 0:
                self._old = self._memory.weights[POOL]
                self._old_size = held
                self._device.submit([GpuCommand(None, None, [], GpuPiece(self._old, 0, held), GpuPiece(grown, 0, held))])
            self._memory.set_whole(POOL, grown, size)
        size = self._memory.whole.get(TABLE, 0)
        if len(self._words) * WORD > size:
            if size > 0:
                self._device.free(self._memory.weights[TABLE])
            else:
                self._memory.set_whole(CHOSEN, self._device.buffer(ROUND), ROUND)
            size = max(2 * size, WORD * max(FIRST_TABLE, len(self._words)))
            self._memory.set_whole(TABLE, self._device.buffer(size), size)
        data = new_bytes(len(self._words) * WORD)
        write_i32s(data, 0, self._words)
        self._device.write(self._memory.weights[TABLE], 0, data)
        if len(self._copies) > 0:
            self._copy(self._memory.weights[POOL])

    def settle(self, good: bool) -> None:
        """What realize() made is there, or is not."""
        old = self._old
        self._old = None
        if old is None:
            return
        if good:
            self._device.free(old)
        else:
            self._device.free(self._memory.weights[POOL])
            self._memory.set_whole(POOL, old, self._old_size)

    def _copy(self, pool: GpuBuffer) -> None:
        """No buffer can be copied to itself."""
        commands: list[GpuCommand] = []
        between: list[GpuBuffer] = []
        for copy in self._copies:
            size = copy[2] * self._pair
            buffer = self._device.buffer(size)
            between.append(buffer)
            commands.append(GpuCommand(None, None, [], GpuPiece(pool, copy[0] * self._pair, size), GpuPiece(buffer, 0, size)))
            commands.append(GpuCommand(None, None, [], GpuPiece(buffer, 0, size), GpuPiece(pool, copy[1] * self._pair, size)))
        self._device.submit(commands)
        for buffer in between:
            self._device.free(buffer)
        self._copies = []

    def _take(self, fixed: bool) -> int:
        kind = 1 if fixed else 0
        if len(self._free[kind]) > 0:
            page = self._free[kind].pop()
        else:
            page = self._end
            self._end = self._end + self._sizes[kind]
        self._owners[page] = 1
        self.used = self.used + self._pair * self._sizes[kind]
        return page

    def _let_go(self, page: int, fixed: bool) -> None:
        kind = 1 if fixed else 0
        self._owners[page] = self._owners[page] - 1
        if self._owners[page] == 0:
            self._owners.pop(page)
            self._free[kind].append(page)
            self.used = self.used - self._pair * self._sizes[kind]


def _constant(number: int, name: str, dtype: str) -> Value:
    """A buffer that is bound as a whole, as large as it then is."""
    value = Value(number, name, dtype, [1])
    value.constant = True
    value.initializer = name
    return value
