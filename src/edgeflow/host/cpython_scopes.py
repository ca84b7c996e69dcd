"""Memory scopes, garbage collection and call stacks in CPython. CPython only."""

from __future__ import annotations

import asyncio
import inspect
import traceback
import weakref
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

PACKAGE = str(Path(__file__).resolve().parents[1])

# Each thread and each asyncio task has entered scopes of its own.
_entered: ContextVar[tuple[object, ...]] = ContextVar('edgeflow_scopes', default=())


def current_scope() -> Any:
    scopes = _entered.get()
    return scopes[-1] if scopes else None


def enter_scope(scope: object, on_await: Callable[[], None]) -> None:
    _entered.set((*_entered.get(), scope))


def leave_scope(scope: object) -> None:
    scopes = list(_entered.get())
    if scope in scopes:
        scopes.reverse()
        scopes.remove(scope)
        scopes.reverse()
        _entered.set(tuple(scopes))


def on_using(scope: object, enter: Callable[[], None], leave: Callable[[], None]) -> None:
    """Python says `with`."""


def when_done(value: object, after: Callable[[], None]) -> Any:
    if not inspect.isawaitable(value):
        return None
    return _finished(value, after)


async def _finished(value: Awaitable[object], after: Callable[[], None]) -> object:
    try:
        return await value
    finally:
        after()


class _Watch:
    """host.port.CollectionWatch."""

    def __init__(self, callback: Callable[[object], None]) -> None:
        self._callback = callback
        self._references: dict[int, weakref.ref] = {}

    def watch(self, target: object, held: object) -> None:
        key = id(target)

        def collected(_: weakref.ref) -> None:
            if self._references.pop(key, None) is not None:
                self._callback(held)

        self._references[key] = weakref.ref(target, collected)

    def forget(self, target: object) -> None:
        self._references.pop(id(target), None)


def watch_collection(callback: Callable[[object], None]) -> _Watch:
    return _Watch(callback)


class _Reference:
    """host.port.WeakReference."""

    def __init__(self, target: object) -> None:
        try:
            self._reference: Callable[[], Any] = weakref.ref(target)
        except TypeError:  # bytes, for one
            self._reference = lambda: None

    def deref(self) -> Any:
        return self._reference()


def weak_reference(target: object) -> _Reference:
    return _Reference(target)


def call_stack() -> str:
    frames = traceback.extract_stack()[:-1]
    outside = [frame for frame in frames if not frame.filename.startswith(PACKAGE)]
    return ''.join(traceback.format_list(outside or frames)).rstrip()


def call_later(ms: float, callback: Callable[[], None]) -> Callable[[], None]:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return lambda: None
    return loop.call_later(ms / 1000.0, callback).cancel
