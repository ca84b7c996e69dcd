"""Memory scopes, garbage collection and call stacks in browsers and Node. JS only."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.host.port import CollectionWatch, WeakReference

__pragma__('js', r'''
const entered = [];

function leave(scope) {
  const i = entered.lastIndexOf(scope);
  if (i >= 0) entered.splice(i, 1);
  return i >= 0;
}

class Watch {
  constructor(callback) {
    this.registry = typeof FinalizationRegistry === 'function' ? new FinalizationRegistry(callback) : null;
  }
  watch(target, held) { this.registry?.register(target, held, target); }
  forget(target) { this.registry?.unregister(target); }
}
''')


def current_scope() -> object:
    __pragma__('js', 'return entered.length > 0 ? entered[entered.length - 1] : null;')


# A microtask runs only when no synchronous code does: a scope that is still entered then was held across an `await`.
def enter_scope(scope: object, on_await: Callable[[], None]) -> None:
    __pragma__('js', r'''
    entered.push(scope);
    queueMicrotask(() => { if (leave(scope)) onAwait(); });
    ''')


def leave_scope(scope: object) -> None:
    __pragma__('js', 'leave(scope);')


# `using` reads the method that it will call when it is declared, and `await using` reads Symbol.asyncDispose instead.
def on_using(scope: object, enter: Callable[[], None], leave: Callable[[], None]) -> None:
    __pragma__('js', r'''
    Object.defineProperty(scope, Symbol.dispose ?? '@@dispose', { get() { enter(); return leave; } });
    ''')


def when_done(value: object, after: Callable[[], None]) -> object:
    __pragma__('js', "return typeof value?.then === 'function' ? Promise.resolve(value).finally(after) : null;")


def watch_collection(callback: Callable[[object], None]) -> CollectionWatch:
    __pragma__('js', 'return new Watch(callback);')


def weak_reference(target: object) -> WeakReference:
    __pragma__('js', 'return new WeakRef(target);')


def call_stack() -> str:
    __pragma__('js', r'''
    const lines = String(new Error().stack).split('\n');
    return lines.slice(lines[0].startsWith('Error') ? 2 : 1).join('\n');
    ''')


def call_later(ms: float, callback: Callable[[], None]) -> Callable[[], None]:
    __pragma__('js', r'''
    const timer = setTimeout(callback, ms);
    timer.unref?.();
    return () => clearTimeout(timer);
    ''')
