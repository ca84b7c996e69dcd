"""Tasks, results that come later, stacks of errors in browsers and Node. JS only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

# Timers wait at least 4 ms once they are nested, messages do not.
__pragma__('js', r'''
let channel = null;
let waiting = [];

function waitForMessage(resolve) {
  if (channel === null) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => {
      const woken = waiting;
      waiting = [];
      // Node counts a listening port as a reason to live, which only a waiting pause is.
      channel.port1.unref?.();
      for (const wake of woken) wake();
    };
  }
  channel.port1.ref?.();
  waiting.push(resolve);
  if (waiting.length === 1) channel.port2.postMessage(0);
}
''')


async def pause() -> None:
    __pragma__('js', 'await new Promise(waitForMessage);')


def start_task(work: Callable[[], Awaitable[object]]) -> None:
    __pragma__('js', 'work();')


class Deferred:
    """host.port.Deferred."""

    def __init__(self, parts: list[object]) -> None:
        self._promise: object = parts[0]
        self._resolve: Callable[[object], None] = parts[1]
        self._reject: Callable[[Exception], None] = parts[2]

    def resolve(self, value: object) -> None:
        self._resolve(value)

    def reject(self, error: Exception) -> None:
        self._reject(error)

    async def result(self) -> object:
        return await self._promise


def _parts() -> list[object]:
    __pragma__('js', r'''
    let resolve, reject;
    const promise = new Promise((resolved, rejected) => { resolve = resolved; reject = rejected; });
    promise.catch(() => {});
    return [promise, resolve, reject];
    ''')


def new_deferred() -> Deferred:
    return Deferred(_parts())


def readable_stream(pull: Callable[[], Awaitable[object]], cancel: Callable[[], Awaitable[None]]) -> object:
    __pragma__('js', r'''
    return new ReadableStream({
      async pull(controller) {
        const item = await pull();
        if (item == null) controller.close();
        else controller.enqueue(item);
      },
      cancel: () => cancel(),
    }, { highWaterMark: 0 });
    ''')


def error_stack(error: Exception) -> str:
    __pragma__('js', "return String(error?.stack ?? '');")


def set_error_stack(error: Exception, stack: str) -> None:
    __pragma__('js', 'error.stack = stack;')
