"""What holds memory: every living tensor, model and scope is counted here, and models give way when memory runs short.

The ledger refers to nothing strongly. A resource in a scope is held by that scope; one without a scope, in the root
scope, lives as long as its user refers to it, and the garbage collector's word takes it out of the count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from edgeflow.backends.contract import MemoryUse
from edgeflow.env import env
from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import current_scope, watch_collection, weak_reference
from edgeflow.host.port import CollectionWatch, WeakReference
from edgeflow.runtime.leaks import Birth, detection

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar('T')


@dataclass(frozen=True)
class MemoryArea:
    """One kind of memory. size: bytes now. count: the tensors or models that hold them. peak: the most bytes so far."""

    size: int
    count: int
    peak: int


@dataclass(frozen=True)
class ModelMemory:
    """What one model holds, in bytes; all 0 after it has given way to others.

    name: of its file or repository. device: where it runs. total: everything, unused parts included.
    weights, arena, plans: parts of it. running: how many of its runs are under way.
    """

    name: str
    device: str
    total: int
    weights: int
    arena: int
    plans: int
    running: int


@dataclass(frozen=True)
class MemoryStats:
    """What memory_stats() gives.

    host: the tensors. wasm, gpu: the models there. peak: the most bytes of all three together so far.
    tensors, scopes: how many live. models: all that live, the least recently used first.
    """

    host: MemoryArea
    wasm: MemoryArea
    gpu: MemoryArea
    peak: int
    tensors: int
    scopes: int
    models: list[ModelMemory]


class Owner(Protocol):
    """What resources belong to: a scope. None stands for the root scope."""

    @property
    def disposed(self) -> bool: ...

    def adopt(self, ticket: Ticket, resource: Resource) -> None: ...

    def forget(self, number: int) -> None: ...


@dataclass
class Ticket:
    """What is known of a resource without referring to it.

    birth: None unless leaks were being detected. watched: the garbage collector is asked about it. freed: dispose() was called.
    inside: of a scope, the tickets of what it holds, by number.
    """

    number: int
    kind: str
    size: int
    birth: Birth | None = None
    watched: bool = False
    freed: bool = False
    inside: dict[int, Ticket] | None = None


@dataclass
class Hold:
    """A living resource's ties: its ticket and its owner."""

    ticket: Ticket
    owner: Owner | None


class Resource:
    """What belongs to a memory scope and is freed once: a tensor, a model, a scope."""

    def __init__(self) -> None:
        self._hold: Hold | None = None

    def dispose(self) -> None:
        """Free it. Doing it twice is no error; using it afterwards is EdgeflowError 'disposed'."""
        hold = self._hold
        if hold is None:
            return
        self._hold = None
        end(self, hold)
        self._free()

    @property
    def disposed(self) -> bool:
        """Whether it was freed."""
        return self._hold is None

    def number(self) -> int:
        """Internal: the ledger's number of a living resource."""
        return 0 if self._hold is None else self._hold.ticket.number

    def _begin(self, kind: str, size: int) -> None:
        """The last act of making it: from here on it is counted, and belongs to the scope that is entered."""
        self._hold = begin(self, kind, size)

    def _free(self) -> None:
        """Let go of what it holds. Each kind has its own."""

    def _label(self) -> str:
        """How leak reports call it."""
        return ''


class Area:
    """The running numbers of one kind of memory."""

    def __init__(self) -> None:
        self.size: int = 0
        self.count: int = 0
        self.peak: int = 0

    def add(self, size: int, count: int) -> None:
        """Count more, or with negative numbers less."""
        self.size = self.size + size
        self.count = self.count + count
        if self.size > self.peak:
            self.peak = self.size
        if size > 0:
            ledger.note_peak()

    def record(self) -> MemoryArea:
        return MemoryArea(self.size, self.count, self.peak)


class Ledger:
    """All numbers of this page, worker or process."""

    def __init__(self) -> None:
        self.numbers: int = 0
        self.host: Area = Area()
        self.wasm: Area = Area()
        self.gpu: Area = Area()
        self.peak: int = 0
        self.scopes: int = 0
        # In the order of use: the least recently used first.
        self.models: dict[int, ModelEntry] = {}
        self.watch: CollectionWatch | None = None

    def note_peak(self) -> None:
        total = self.host.size + self.wasm.size + self.gpu.size
        if total > self.peak:
            self.peak = total


ledger = Ledger()


class Evictable(Protocol):
    """A model that can give up its memory and take it again when it is used next."""

    def evict(self) -> bool:
        """Free the memory, if it can be had again. Called only while no run is under way."""

    def lost(self) -> bool:
        """Whether the memory is gone, with the worker that held it."""


class ModelEntry:
    """A model's line in the ledger; kept by the model, or by the proxy of a model elsewhere.

    The model says when runs begin and end, and what it holds whenever that may have changed.
    """

    def __init__(self, number: int, name: str, device: str, model: Evictable) -> None:
        self.number: int = number
        self.name: str = name
        self.device: str = device
        self.running: int = 0
        self.use: MemoryUse = MemoryUse(0, 0, 0, 0)
        self.largest: int = 0
        self._model: WeakReference = weak_reference(model)
        ledger.models[number] = self

    def begin_run(self) -> None:
        """The model is in use, and the most recently used one."""
        self.running = self.running + 1
        if ledger.models.pop(self.number, None) is not None:
            ledger.models[self.number] = self

    def end_run(self) -> None:
        self.running = self.running - 1

    def update(self, use: MemoryUse) -> None:
        """What the model holds now. Others give way if that is beyond the budget."""
        grown = use.total - self.use.total
        ledger.gpu.add(use.gpu - self.use.gpu, change(use.gpu, self.use.gpu))
        ledger.wasm.add(grown - use.gpu + self.use.gpu, change(use.total - use.gpu, self.use.total - self.use.gpu))
        self.use = use
        self.largest = max(self.largest, use.total)
        if grown > 0:
            self.begin_run()
            try:
                evict_beyond_budget(0)
            finally:
                self.end_run()

    def evict(self) -> bool:
        """Make the model give up its memory. False if it is in use, cannot, or holds none."""
        if self.running > 0 or self.use.total == 0:
            return False
        model = cast('Evictable | None', self._model.deref())
        if model is None or not model.evict():
            return False
        self.update(MemoryUse(0, 0, 0, 0))
        return True

    def notice_loss(self) -> None:
        """Models do not hear of it when their worker ends; they tell when they are asked."""
        model = cast('Evictable | None', self._model.deref())
        if model is not None and model.lost():
            self.update(MemoryUse(0, 0, 0, 0))

    def remove(self) -> None:
        """The model is gone."""
        self.update(MemoryUse(0, 0, 0, 0))
        ledger.models.pop(self.number, None)


def change(size: int, before: int) -> int:
    """How many more hold memory, if one that held `before` bytes now holds `size`."""
    return (1 if size > 0 else 0) - (1 if before > 0 else 0)


def current_owner() -> Owner | None:
    """The scope that synchronous code is in; None: the root scope."""
    scope: Owner | None = current_scope()
    return None if scope is None or scope.disposed else scope


def begin(resource: Resource, kind: str, size: int) -> Hold:
    """Count a new resource and give it to the current scope."""
    ledger.numbers = ledger.numbers + 1
    ticket = Ticket(ledger.numbers, kind, size)
    count(ticket, 1)
    detecting = detection()
    if detecting is not None:
        ticket.birth = detecting.born(ticket.number, kind, resource._label(), size)
    owner = current_owner()
    hold = Hold(ticket, owner)
    if owner is not None:
        owner.adopt(ticket, resource)
    if owner is None or detecting is not None:
        watch(resource, hold)
    return hold


def move(resource: Resource, owner: Owner | None) -> None:
    """Give a living resource to another owner."""
    hold = resource._hold
    if hold is None or hold.owner is owner:
        return
    if hold.owner is not None:
        hold.owner.forget(hold.ticket.number)
    hold.owner = owner
    if owner is not None:
        owner.adopt(hold.ticket, resource)
    elif not hold.ticket.watched:
        watch(resource, hold)


def end(resource: Resource, hold: Hold) -> None:
    """Count a resource no more: it is being freed."""
    ticket = hold.ticket
    ticket.freed = True
    if hold.owner is not None:
        hold.owner.forget(ticket.number)
    if ticket.watched and ledger.watch is not None:
        ledger.watch.forget(resource)
    if ticket.birth is not None:
        detecting = detection()
        if detecting is not None:
            detecting.freed(ticket.number)
    count(ticket, -1)


def watch(resource: Resource, hold: Hold) -> None:
    """Ask the garbage collector to tell of it."""
    if ledger.watch is None:
        ledger.watch = watch_collection(collected)
    hold.ticket.watched = True
    ledger.watch.watch(resource, hold.ticket)


def collected(held: object) -> None:
    """The garbage collector has taken a resource that nobody freed; with a scope went all that it held."""
    ticket = cast(Ticket, held)
    if ticket.freed:
        return
    count(ticket, -1)
    if ticket.inside is not None:
        for inner in ticket.inside.values():
            if not inner.watched:
                collected(inner)
    if ticket.birth is not None:
        detecting = detection()
        if detecting is not None:
            detecting.collected(ticket.birth)


def count(ticket: Ticket, sign: int) -> None:
    """Put a resource into the numbers (1), or take it out (-1)."""
    if ticket.kind == 'tensor':
        ledger.host.add(sign * ticket.size, sign)
    elif ticket.kind == 'tensor on the GPU':
        ledger.gpu.add(sign * ticket.size, sign)
    elif ticket.kind == 'scope':
        ledger.scopes = ledger.scopes + sign
    elif sign < 0:
        entry = ledger.models.get(ticket.number)
        if entry is not None:
            entry.remove()


def memory_stats() -> MemoryStats:
    """Bytes and counts of what lives now, and their peaks."""
    models: list[ModelMemory] = []
    for entry in ledger.models.values():
        entry.notice_loss()
        use = entry.use
        models.append(ModelMemory(entry.name, entry.device, use.total, use.weights, use.arena, use.plans, entry.running))
    return MemoryStats(
        ledger.host.record(), ledger.wasm.record(), ledger.gpu.record(), ledger.peak, ledger.host.count, ledger.scopes, models)


def evict_least_recent() -> bool:
    """Free the memory of the idle model that was not used for longest. False if there is none."""
    for entry in list(ledger.models.values()):
        held = entry.use.total
        entry.notice_loss()
        if (held > 0 and entry.use.total == 0) or entry.evict():
            return True
    return False


def evict_beyond_budget(wanted: int) -> bool:
    """Evict models until `wanted` more bytes fit env.memory_budget; whether they do."""
    while env.memory_budget is not None and ledger.wasm.size + ledger.gpu.size + wanted > env.memory_budget:
        if not evict_least_recent():
            return False
    return True


async def with_room(wanted: int, make: Callable[[], Awaitable[T]]) -> T:
    """make(), which takes about `wanted` bytes more; idle models give way, first to the budget, then to what the platform has.

    EdgeflowError 'out-of-memory' when there is none left to give way.
    """
    if wanted > 0 and not evict_beyond_budget(wanted):
        held = ledger.wasm.size + ledger.gpu.size
        raise EdgeflowError(
            'out-of-memory', f'env.memory_budget is {env.memory_budget} bytes; models in use hold {held}, and {wanted} more are needed',
            {'budget': env.memory_budget, 'held': held, 'wanted': wanted})
    while True:
        try:
            return await make()
        except EdgeflowError as error:
            if error.code != 'out-of-memory' or not evict_least_recent():
                raise
