"""The WASM machine of one model: its instance, heap and arena; runs steps at once while planning, and whole tapes.

Memory: [the binary's data and stack | weights | arena, constants and tapes of plans]. The arena is one block shared by
all plans of the model, as large as the largest plan needs. When it has to move, plans linked to its old place are
relinked as they run (executable.py).
"""

from __future__ import annotations

from typing import cast

from edgeflow.backends.wasm.memory import Heap
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import array_bytes, array_ints, array_list, array_of, array_view, copy_bytes, own_bytes, utf8_decode, write_i32s
from edgeflow.host.port import Bytes, WasmInstance
from edgeflow.ir.dtype import DTYPE_CODES, ITEM_BITS
from edgeflow.plan.builder import StepBuilder
from edgeflow.plan.link import WORD, link
from edgeflow.plan.values import Step, Value

FIRST_TAPE_BYTES = 16384
NAMES_LIMIT = 16384

# Texts for the codes of wasm/errors.h.
FAILURES: dict[int, str] = {
    1: 'an index is out of range', 2: 'an integer is divided by zero', 3: 'the kernel lacks this data type or operation',
    4: 'a value that the operator does not allow', 5: 'the tape names no kernel', 6: 'the attention mask is not that of a plain causal decoder',
}


class WasmEngine:
    """Owns the WASM memory of one model."""

    def __init__(self, instance: WasmInstance) -> None:
        self.instance = instance
        self.kernels: dict[str, int] = read_kernel_names(instance)
        self.heap: Heap = Heap(instance, instance.global_value('__heap_base'))
        self.arena_address: int = 0
        self.arena_size: int = 0
        self._tape_address: int = 0
        self._tape_size: int = 0

    def upload(self, address: int, data: Bytes) -> None:
        """Copy bytes into WASM memory."""
        copy_bytes(self.instance.view(address, len(data)), 0, data)

    def write_words(self, address: int, words: list[int]) -> None:
        """Write int32 words into WASM memory."""
        write_i32s(self.instance.view(address, len(words) * WORD), 0, words)

    def view(self, address: int, size: int) -> Bytes:
        """WASM memory itself; valid until something is allocated."""
        return self.instance.view(address, size)

    def ensure_arena(self, size: int) -> None:
        """Make the arena at least `size` bytes; its contents are lost if it moves."""
        if size <= self.arena_size:
            return
        if self.arena_size > 0:
            self.heap.free(self.arena_address)
            self.arena_size = 0
        self.arena_address = self.heap.allocate(size)
        self.arena_size = size

    def run_tape(self, address: int, words: int) -> int:
        """Run a tape; 0, or step index * 256 + a code of FAILURES."""
        return self.instance.call('run_tape', [address, words])

    def run_steps(self, steps: list[Step], what: str) -> None:
        """Run steps whose values all have addresses, now. 'run-failed' names `what`."""
        if len(steps) == 0:
            return
        tape = link(steps, self.kernels, [])
        size = len(tape.words) * WORD
        if size > self._tape_size:
            if self._tape_size > 0:
                self.heap.free(self._tape_address)
            self._tape_size = max(size, FIRST_TAPE_BYTES)
            self._tape_address = self.heap.allocate(self._tape_size)
        for i in tape.tape_words:
            tape.words[i] = tape.words[i] + self._tape_address
        self.write_words(self._tape_address, tape.words)
        code = self.run_tape(self._tape_address, tape.step_words)
        if code != 0:
            raise failure(code, what, steps[code // 256].kernel)

    def place(self, value: Value) -> None:
        """Give a value memory of its own in the heap, where it stays until freed: a constant."""
        value.address = self.heap.allocate(value.size)
        value.constant = True

    def run_now(self, b: StepBuilder, what: str) -> None:
        """Run the steps that `b` holds, with its scratch memory placed for the time."""
        for value in b.scratches:
            self.place(value)
        try:
            self.run_steps(b.steps, what)
        finally:
            for value in b.scratches:
                self.heap.free(value.address)

    def read_bytes(self, value: Value) -> Bytes:
        """The memory of a constant; a view, valid until something is allocated."""
        root = value.root()
        if root.address == 0:
            raise EdgeflowError('platform', f"the plain contents of '{root.name}' are not in memory", {'name': root.name})
        return self.instance.view(root.address + value.root_offset(), value.size)

    def read_ints(self, value: Value) -> list[int]:
        """The elements of a constant of an integer type or bool (floats are cut off)."""
        literal = value.root().literal
        if literal is not None:
            start = value.root_offset() * 8 // ITEM_BITS[value.dtype]
            return literal[start:start + value.count()]
        if value.size == 0:
            return []
        return array_ints(array_view(_plain(value.dtype), self.read_bytes(value)))

    def read_floats(self, value: Value) -> list[float]:
        """The elements of a constant of any numeric type."""
        if value.root().literal is not None:
            numbers = self.read_ints(value)
            if value.dtype == 'float32' and value.root().dtype == 'int32':
                # A literal holds reals as their bits.
                return array_list(array_view('float32', array_bytes(array_of('int32', numbers))))
            return cast('list[float]', numbers)
        if value.size == 0:
            return []
        return array_list(array_view(_plain(value.dtype), self.read_bytes(value)))


def convert_step(b: StepBuilder, source: Value, target: Value) -> None:
    """The step that converts `source` to the dtype of `target`."""
    b.step('cast', [DTYPE_CODES[source.dtype], DTYPE_CODES[target.dtype], b.pointer(source), b.pointer(target), target.count()])


def failure(code: int, what: str, kernel: str) -> EdgeflowError:
    """The error for what run_tape gave."""
    reason = FAILURES.get(code % 256, f'code {code % 256}')
    return EdgeflowError('run-failed', f'{what} failed: {reason} (kernel {kernel})',
                         {'what': what, 'kernel': kernel, 'reason': reason, 'code': code % 256})


def read_kernel_names(instance: WasmInstance) -> dict[str, int]:
    """Numbers of the kernels by name, from the binary's own table; then of those that were added."""
    address = instance.call('kernel_names', [])
    data = own_bytes(instance.view(address, min(NAMES_LIMIT, instance.memory_size() - address)), False)
    for i in range(1, len(data)):
        if data[i] == 0 and data[i - 1] == 0:
            names = utf8_decode(data[0:i - 1]).split('\0') + instance.added()
            return {names[k]: k for k in range(len(names))}
    raise EdgeflowError('platform', 'the list of kernels in the WASM binary has no end', {})


def _plain(dtype: str) -> str:
    """bool is stored as one byte 0 or 1."""
    return 'uint8' if dtype == 'bool' else dtype
