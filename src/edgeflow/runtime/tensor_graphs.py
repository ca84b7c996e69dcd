"""The machine of the tensor operations: graphs of a node or a few, planned once for each set of shapes (backends/wasm/operations.py)."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.backends.contract import Feed
from edgeflow.backends.wasm.operations import Operations, Sketch, start_operations
from edgeflow.runtime.memory import ModelEntry, with_room
from edgeflow.runtime.tensor import Tensor


class TensorGraphs:
    """Runs graphs, and keeps the machine's line in the ledger."""

    def __init__(self, operations: Operations) -> None:
        self._operations: Operations = operations
        self._entry: ModelEntry = ModelEntry(0, 'tensor operations', 'wasm', self)
        self._entry.update(operations.memory())

    def evict(self) -> bool:
        """memory.Evictable: synchronous operations could not come back."""
        return False

    def lost(self) -> bool:
        """memory.Evictable: they are in this thread."""
        return False

    def run(self, key: str, feeds: list[Feed], dtype: str, draw: Callable[[Sketch], str]) -> Tensor:
        """Run the graph that `draw` writes down (Operations.run) and give its result as a new tensor."""
        result = self._operations.run(key, feeds, dtype, draw)
        if self._operations.memory_size() != self._entry.use.total:
            self._entry.update(self._operations.memory())
        return Tensor(result.dtype, result.shape, result.data)


async def start_graphs() -> Operations:
    """The machine. EdgeflowError 'platform', 'http', 'file-missing', 'out-of-memory'."""
    return await with_room(0, start_operations)
