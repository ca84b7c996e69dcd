"""Memory scopes: leaving one frees the tensors and models that belong to it, save what `keep` has moved to its parent.

Synchronous code enters a scope (Python's `with`, JS's `using`, with_memory_scope), and what it makes then belongs to the
scope. Browsers carry no context across `await`, so asynchronous code enters nothing: there a resource belongs to a scope
because the scope made it or was told of it (scope.tensor, scope.run, scope.track), and scopes cannot mix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from edgeflow.errors import EdgeflowError
from edgeflow.host.platform import enter_scope, leave_scope, on_using, to_dict, warn, when_done
from edgeflow.host.port import AbortSignal, NumericArray
from edgeflow.options import public
from edgeflow.runtime.memory import Resource, Ticket, move
from edgeflow.runtime.model import Model
from edgeflow.runtime.tensor import Tensor, tensor

if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar('T')


@dataclass
class _Warned:
    across_await: bool = False


_warned = _Warned()


class MemoryScope(Resource):
    """Holds tensors, models and inner scopes, and frees them together. Made by memory_scope() and with_memory_scope().

    Its methods raise EdgeflowError 'disposed' once it has ended; what they were given is freed then, so that work which
    ends too late leaves nothing behind.
    """

    def __init__(self, parent: MemoryScope | None) -> None:
        super().__init__()
        self._held: dict[int, Resource] = {}
        self._unnamed: dict[int, Resource] | None = None
        self._begin('scope', 0)
        hold = self._hold
        if hold is not None:
            hold.ticket.inside = {}
        if parent is not None:
            parent.track(self)

    @property
    def size(self) -> int:
        """How many tensors, models and inner scopes belong to it."""
        return len(self._held)

    def track(self, value: T) -> T:
        """Make a tensor, a model, a scope, or a list or mapping of them belong to this scope, whatever it belonged to; gives it back.

        EdgeflowError 'invalid-argument' for anything else, 'disposed' for what was freed.
        """
        found = living(value)
        if self.disposed:
            for resource in found:
                resource.dispose()
            raise ended()
        level: MemoryScope | None = self
        while level is not None:
            for resource in found:
                if resource is level:
                    raise EdgeflowError('invalid-argument', 'a scope cannot belong to itself or to a scope inside it', {})
            level = level._parent()
        for resource in found:
            move(resource, self)
            if self._unnamed is not None and resource._hold is not None:
                self._unnamed.pop(resource._hold.ticket.number, None)
        return value

    def keep(self, value: T) -> T:
        """Move a tensor, a model, or a list or mapping of them to the parent scope, so that it outlives this one; gives it back."""
        found = living(value)
        if self.disposed:
            raise ended()
        owner = self._parent()
        for resource in found:
            move(resource, owner)
        return value

    def tensor(
        self, data: float | bool | list[object] | NumericArray, shape: list[int] | None = None,
        dtype: Literal[
            'float32', 'float16', 'float64', 'bfloat16', 'int8', 'int16', 'int32', 'int64',
            'uint8', 'uint16', 'uint32', 'uint64', 'bool',
        ] | None = None,
    ) -> Tensor:
        """tensor() in this scope."""
        return self.track(tensor(data, shape, dtype))

    @public
    async def run(
        self, model: Model, inputs: dict[str, Tensor | list[Tensor] | None], *, outputs: list[str] | None = None,
        priority: Literal['low', 'normal', 'high', 'critical'] = 'normal', signal: AbortSignal | None = None,
        deadline: float | None = None, transfer: bool = False, location: Literal['host', 'gpu'] = 'host',
    ) -> dict[str, Tensor]:
        """model.run(), whose options these are, with the outputs in this scope."""
        return self.track(await model.run(
            inputs, outputs=outputs, priority=priority, signal=signal, deadline=deadline, transfer=transfer, location=location))

    def scope(self) -> MemoryScope:
        """A new scope inside this one: it ends with this one at the latest, and what it keeps comes here."""
        if self.disposed:
            raise ended()
        return new_scope(self)

    def adopt(self, ticket: Ticket, resource: Resource) -> None:
        """Internal: memory.Owner."""
        self._held[ticket.number] = resource
        if self._unnamed is not None:
            self._unnamed[ticket.number] = resource
        hold = self._hold
        if hold is not None and hold.ticket.inside is not None:
            hold.ticket.inside[ticket.number] = ticket

    def forget(self, number: int) -> None:
        """Internal: memory.Owner."""
        self._held.pop(number, None)
        hold = self._hold
        if hold is not None and hold.ticket.inside is not None:
            hold.ticket.inside.pop(number, None)

    def enter(self) -> None:
        """Internal: what synchronous code makes from here on belongs to this scope."""
        enter_scope(self, held_across_await)

    def leave(self) -> None:
        """Internal: the end of enter()."""
        leave_scope(self)

    def note_unnamed(self) -> None:
        """Internal: from here on remember what comes to belong to it without being named."""
        self._unnamed = {}

    def give_back(self) -> None:
        """Internal: let the parent have what was not named since note_unnamed()."""
        unnamed = self._unnamed
        self._unnamed = None
        if unnamed is not None:
            owner = self._parent()
            for resource in unnamed.values():
                move(resource, owner)

    def _parent(self) -> MemoryScope | None:
        hold = self._hold
        return None if hold is None else cast('MemoryScope | None', hold.owner)

    def _free(self) -> None:
        leave_scope(self)
        failures: list[Exception] = []
        held = list(self._held.values())
        held.reverse()
        self._held = {}
        for resource in held:
            try:
                resource.dispose()
            except Exception as error:
                failures.append(error)
        if len(failures) > 0:
            raise failures[0]

    def __enter__(self) -> MemoryScope:
        if self.disposed:
            raise ended()
        self.enter()
        return self

    def __exit__(self, *details: object) -> None:
        self.dispose()

    async def __aenter__(self) -> MemoryScope:
        if self.disposed:
            raise ended()
        return self

    async def __aexit__(self, *details: object) -> None:
        self.dispose()


def memory_scope() -> MemoryScope:
    """A new scope inside the current one; dispose() ends it, and so does the end of the block that it is made for:

    `with memory_scope() as scope:` and `async with memory_scope() as scope:` in Python, `using scope = memoryScope()` and
    `await using scope = memoryScope()` in JS. What synchronous code makes in a `with` or `using` block belongs to the scope
    without being named. Where there is an `await` in the block, take the asynchronous form, and make tensors through the scope.
    """
    return new_scope(None)


def with_memory_scope(work: Callable[[MemoryScope], T]) -> T:
    """Call `work` with a new scope, and give what it gives; the scope ends with it, failed or not.

    If `work` is synchronous, all that it makes belongs to the scope. If it is asynchronous (await the result then), the
    scope ends when it does, and holds what was made or tracked through it. What is given back must be kept: scope.keep(x).
    """
    scope = MemoryScope(None)
    waiting: Any = None
    scope.note_unnamed()
    scope.enter()
    try:
        result = work(scope)
        waiting = when_done(result, lambda: scope.dispose())
    finally:
        scope.leave()
        if waiting is None:
            scope.dispose()
    if waiting is None:
        return result
    scope.give_back()
    return waiting


def new_scope(parent: MemoryScope | None) -> MemoryScope:
    """A scope for `using` as well."""
    scope = MemoryScope(parent)
    on_using(scope, lambda: scope.enter(), lambda: scope.dispose())
    return scope


def living(value: object) -> list[Resource]:
    """The resources in a value: itself, or the items of a list or mapping."""
    found: list[Resource] = []
    items: list[object] = []
    if isinstance(value, Resource):
        items = [value]
    elif isinstance(value, (list, tuple)):
        items = list(value)
    else:
        items = list(to_dict(value).values())
    for item in items:
        if not isinstance(item, Resource):
            raise EdgeflowError(
                'invalid-argument', 'expected a tensor, a model, a scope, or a list or mapping of them; got something else', {})
        if item.disposed:
            raise EdgeflowError('disposed', f'expected a living tensor, model or scope; this one ({item._label()}) was disposed', {})
        found.append(item)
    return found


def held_across_await() -> None:
    """A synchronous block has been left by an `await`; said once."""
    if not _warned.across_await:
        _warned.across_await = True
        warn('edgeflow: a synchronous memory scope was held across an await; what is made after it is not tracked. '
             'Use `await using` (in Python: `async with`) and scope.track')


def ended() -> EdgeflowError:
    return EdgeflowError('disposed', 'expected a living memory scope; this one has ended', {})
