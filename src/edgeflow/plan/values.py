"""What a plan is made of while it is being built: values, pointers to them, steps.

Addresses are known only at the end (plan/link.py), so until then the words of a step hold Pointers.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgeflow.ir.dtype import element_count, held_size
from edgeflow.ir.graph import Node


class Value:
    """A tensor of the plan, with a concrete shape, and where its memory is.

    dtype: as it lies in memory, so never 'float16' or 'bfloat16' (those are held as 'float32'). size: bytes.
    constant: its contents are known while planning and stay the same in every run of the plan.

    A value lies in one of four places:
    - in the memory of another value: `base`, `base_offset` bytes from its start (views, and results made in place);
    - as `literal`: elements known to the planner itself, written behind the plan's tape if a step asks for them;
    - at the fixed `address` of a constant (weights of the model, or constants that this plan computed);
    - else in the arena, at `offset` (-1 until plan/arena.py has placed it).

    half: a weight that is float16 on the GPU. far: it lies on the GPU, and its place is not the arena.
    cache: for past keys or values that lie in a session's pages, their number in CacheLayout.offsets; -1 for all else.
    """

    def __init__(self, number: int, name: str, dtype: str, shape: list[int]) -> None:
        self.number: int = number
        self.name: str = name
        self.dtype: str = dtype
        self.shape: list[int] = shape
        self.size: int = held_size(dtype, element_count(shape))
        self.constant: bool = False
        self.initializer: str = ''
        self.literal: list[int] | None = None
        self.address: int = 0
        self.base: Value | None = None
        self.base_offset: int = 0
        self.offset: int = -1
        self.cache: int = -1
        self.half: bool = False
        self.far: bool = False

    def root(self) -> Value:
        """The value that owns the memory in which this one lies."""
        value: Value = self
        while value.base is not None:
            value = value.base
        return value

    def root_offset(self) -> int:
        """Bytes from the start of root() to the start of this value."""
        value: Value = self
        offset = 0
        while value.base is not None:
            offset = offset + value.base_offset
            value = value.base
        return offset

    def place(self) -> int:
        """Bytes from the start of the arena, for what lies there once plan/arena.py has placed it."""
        return self.root().offset + self.root_offset()

    def count(self) -> int:
        """Number of elements."""
        return element_count(self.shape)


def forget(outputs: list[Value | None]) -> None:
    """What a lowering that gave up said of these is void."""
    for value in outputs:
        if value is not None:
            value.base = None
            value.base_offset = 0
            value.constant = False
            value.literal = None


@dataclass(frozen=True)
class Pointer:
    """The address of `offset` bytes into a value, not known yet."""

    value: Value
    offset: int


Word = int | Pointer


@dataclass
class Step:
    """One kernel call. `words` are the kernel's arguments as its header documents them."""

    kernel: str
    words: list[Word]


@dataclass
class NodeSteps:
    """The steps of one node: what dead-step removal keeps or drops as a whole, and what an error names."""

    node: Node
    outputs: list[Value]
    steps: list[Step]


def at(values: list[Value | None], index: int) -> Value | None:
    """The value at `index`, None when the list ends before it: optional trailing inputs and outputs."""
    return values[index] if index < len(values) else None
