"""What a backend is. `backends/wasm` implements it; backends/choose.py picks one for a model.

A backend takes a graph after all passes and gives an Executable. Its duties:

- **Shapes.** Symbolic dims get their numbers only at run. The executable plans once for each set of input shapes (and
  of wanted outputs), keeps a bounded number of plans and forgets the least recently used.
- **Ops.** All operators are looked up while loading: one that the backend cannot run at all is 'unsupported-op' there,
  not in the first run. What depends on types or shapes may still be refused while planning, with node and reason.
- **Weights.** After load() nothing refers to the graph's TensorData any more: the file's bytes can be freed.
- **Types.** Inputs and outputs have the declared data types. How values lie in memory between is the backend's business.
- **Runs.** run() copies inputs in and outputs out; the results share no memory with the backend. At most `flights` runs at a time
  work on an executable; the caller (runtime/model.py) waits for one to end before it starts one more.
- **Cancelling.** A run that is given a RunControl ends with 'aborted' soon after the control says so, at a step boundary.
  Between its steps it lets go of the thread now and then, so that the caller can say so at all.
- **Errors.** A kernel that finds bad data (an index out of range) is 'run-failed', names the node, and leaves the
  executable usable.
- **End.** dispose() frees everything at once; doing it twice is no error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from edgeflow.host.port import GpuBuffer, NumericArray

# The lane of what runs in this thread.
HERE = 'page'


class Held(Protocol):
    """Numbers of a tensor that lie on a GPU. place: of those executables that can take them there. size: bytes."""

    place: object
    number: int
    size: int

    async def fetch(self) -> Feed:
        """The tensor, brought here. EdgeflowErrors: 'disposed', 'device-lost', 'worker-lost'."""

    def buffer(self) -> GpuBuffer:
        """Where it lies, in the thread that has it. 'disposed' once it was freed."""

    def free(self) -> None: ...


@dataclass(frozen=True)
class Feed:
    """An input or output of one run: the flat numbers of a tensor of `dtype` and `shape`.

    items: of dtype 'string', the texts; of 'sequence', its Feeds; of 'map', Feeds and at last one with the keys; 'none' is an
    optional without an element. held: where the numbers are, if that is not `data`.
    """

    dtype: str
    shape: list[int]
    data: NumericArray
    items: list[object] = field(default_factory=list)
    held: Held | None = None


@dataclass(frozen=True)
class MemoryUse:
    """Bytes that an executable holds. total: all memory it owns, unused parts included. gpu: what of it is on a GPU."""

    total: int
    weights: int
    arena: int
    plans: int
    gpu: int = 0


@dataclass(frozen=True)
class Placement:
    """Where the nodes of a model run: how many on `device`, by operator ('MatMul': 12).

    fallback: those that run on WASM for want of something on the device, and reasons: what that is. Before the first run this is what the
    operators alone tell, afterwards what the last plan does: without what is computed while planning, and without views.
    """

    device: str
    nodes: dict[str, int]
    fallback: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KernelTime:
    """How long one kernel of a run took, in ms. node: what it is for, as errors name it."""

    device: str
    kernel: str
    node: str
    ms: float


class RunControl(Protocol):
    """What a run hears of its caller while it runs. times: where it tells how long each kernel took; None: that is not asked.
    keeps: outputs that a GPU has made stay there."""

    times: list[KernelTime] | None
    keeps: bool

    def cancelled(self) -> bool:
        """Whether the caller no longer wants the result."""

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Call back once when that happens; at once if it has."""


class HelperLink(Protocol):
    """The way to another thread that takes shares of runs."""

    lost: bool


class Executable(Protocol):
    """A model that is ready to run on a device.

    lane: names what works on `flights` runs at a time, for all executables of that lane: a worker, this thread, or a model on a GPU.
    """

    lane: str
    flights: int
    # It takes feeds that are held at this place; None: nowhere but here.
    place: object

    async def run(
        self, feeds: dict[str, Feed], outputs: list[str], control: RunControl | None = None, give: bool = False,
        spare: Callable[[], int] | None = None,
    ) -> dict[str, Feed]:
        """Run with checked inputs, all of them given; the outputs named.

        control: what can cancel the run; None: it runs to its end without a pause. give: the caller gives up the memory of
        the feeds. spare: tells how many idle threads may take shares of it; the results do not depend on that.
        EdgeflowError: 'unsupported-op' and 'invalid-graph' (planning), 'run-failed', 'out-of-memory', 'aborted', 'disposed'
        (while it ran), 'worker-lost', 'platform' (it is to be timed, and the GPU has no clock for that).
        """

    async def describe_plan(self, shapes: dict[str, list[int]], outputs: list[str]) -> str:
        """The steps for inputs of these shapes, as text for tests and for people."""

    def memory(self) -> MemoryUse: ...

    def placement(self) -> Placement: ...

    def lend(self, helpers: list[HelperLink]) -> None:
        """In a worker: the threads that may take shares of the next run."""

    def divisible(self) -> bool:
        """Whether the last run was one that others could have taken shares of."""

    def lost(self) -> bool:
        """Whether the worker or the GPU that held it is gone, so that it cannot run again."""

    def on_loss(self, callback: Callable[[], None]) -> None:
        """In a worker: call back when the GPU is lost."""

    def dispose(self) -> None: ...
