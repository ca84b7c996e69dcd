"""Workers of browsers and Node. JS only.

A worker runs the file that the page runs; its name says that it is one of ours (in Node: its argument). From another
origin it is started through a blob that loads that file. An application's bundler knows the file by the form
`new URL('./edgeflow.js', import.meta.url)` and puts a copy of it beside the application.

A worker that ends by itself says nothing to its page. So it takes a lock of its name (Web Locks, where there are any) and
the page waits for the same lock: it gets it when the worker is gone.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


# edgeflowClassic is defined by toolchain/bundle.py.
__pragma__('js', r'''
import { nodeModule } from './browser_io.js';

const MARK = 'edgeflow worker ';
const CLASSIC = typeof edgeflowClassic === 'boolean' && edgeflowClassic;

// The file that this code is in; where a bundler has put it into another, the copy that the bundler made of it.
function ownAddress() {
  const here = import.meta.url;
  if (CLASSIC || here.startsWith('blob:')) return here;
  const beside = new URL('./edgeflow.js', import.meta.url).href;
  return here.split(/[?#]/)[0] === beside ? here : beside;
}

function scriptAddress(address) {
  const base = globalThis.document?.baseURI ?? globalThis.location.href;
  const url = new URL(address, base);
  if (url.protocol === 'blob:' || url.protocol === 'data:' || url.origin === location.origin) return [url.href, () => {}];
  const code = CLASSIC ? `importScripts(${JSON.stringify(url.href)});` : `import ${JSON.stringify(url.href)};`;
  const blob = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  return [blob, () => URL.revokeObjectURL(blob)];
}

function pageWorker(address, name) {
  const [script, loaded] = scriptAddress(address);
  const worker = new Worker(script, { type: CLASSIC ? 'classic' : 'module', name });
  worker.addEventListener('message', loaded, { once: true });
  worker.addEventListener('error', loaded, { once: true });
  return worker;
}

function locks() {
  return globalThis.navigator?.locks ?? null;
}
''')


def default_workers() -> int:
    __pragma__('js', r'''
    const page = typeof document === 'object' && typeof Worker === 'function';
    return page ? Math.max(1, navigator.hardwareConcurrency || 1) : 0;
    ''')


def spawn_worker(address: str | None) -> WorkerThread:
    parts = _start_worker(address)
    return WorkerThread(parts[0], parts[1])


class WorkerThread:
    """host.port.WorkerHandle over a worker of the browser or a worker thread of Node."""

    def __init__(self, worker: object, name: str) -> None:
        self._worker = worker
        self._name = name

    def post(self, message: object, transfer: list[object]) -> None:
        _post(self._worker, message, transfer)

    def on_message(self, callback: Callable[[object], None]) -> None:
        _listen(self._worker, callback)

    def on_error(self, callback: Callable[[str], None]) -> None:
        _listen_for_end(self._worker, self._name, callback)

    def hold(self, busy: bool) -> None:
        _hold(self._worker, busy)

    def terminate(self) -> None:
        _terminate(self._worker)


def _start_worker(address: str | None) -> list[object]:
    __pragma__('js', r'''
    const threads = nodeModule('worker_threads');
    const name = MARK + Array.from(crypto.getRandomValues(new Uint32Array(3)), word => word.toString(36)).join('');
    const script = address ?? ownAddress();
    try {
      return [threads ? new threads.Worker(new URL(script), { argv: [MARK], execArgv: [] }) : pageWorker(script, name), name];
    } catch (error) {
      throw _fail('platform', `no worker can be started from ${script}: ${error.message}`);
    }
    ''')


def _post(target: object, message: object, transfer: list[object]) -> None:
    __pragma__('js', 'target.postMessage(message, transfer);')


def _listen(target: object, callback: Callable[[object], None]) -> None:
    __pragma__('js', r'''
    if (target.on) target.on('message', callback);
    else target.addEventListener('message', event => callback(event.data));
    ''')


def _listen_for_end(worker: object, name: str, callback: Callable[[str], None]) -> None:
    __pragma__('js', r'''
    if (worker.on) {
      worker.on('error', error => callback(String(error?.message ?? error)));
      worker.on('exit', code => callback(`it ended with code ${code}`));
      return;
    }
    worker.addEventListener('error', event => {
      event.preventDefault();
      callback(event.message || 'its script could not be loaded');
    });
    worker.addEventListener('messageerror', () => callback('a message could not be read'));
    worker.addEventListener('message', ({ data }) => {
      if (data instanceof Map && data.get('kind') === 'settled') locks()?.request(name, () => callback('it ended by itself')).catch(() => {});
    });
    ''')


def _hold(worker: object, busy: bool) -> None:
    __pragma__('js', r'''
    if (busy) worker.ref?.();
    else worker.unref?.();
    ''')


def _terminate(worker: object) -> None:
    __pragma__('js', 'worker.terminate();')


# In the worker


class Port:
    """host.port.WorkerPort."""

    def __init__(self, scope: object) -> None:
        self._scope = scope

    def post(self, message: object, transfer: list[object]) -> None:
        _post(self._scope, message, transfer)

    def on_message(self, callback: Callable[[object], None]) -> None:
        _listen(self._scope, callback)

    async def settle(self) -> None:
        await _take_lock(self._scope)


def worker_port() -> Port | None:
    scope = _worker_scope()
    return None if scope is None else Port(scope)


def _worker_scope() -> object | None:
    __pragma__('js', r'''
    const process = globalThis.process;
    if (process?.versions?.node) {
      if (process.argv?.[2] !== MARK) return null;
      const threads = nodeModule('worker_threads');
      return threads.isMainThread ? null : threads.parentPort;
    }
    const worker = typeof WorkerGlobalScope === 'function' && globalThis instanceof WorkerGlobalScope;
    return worker && String(globalThis.name).startsWith(MARK) ? globalThis : null;
    ''')


async def _take_lock(scope: object) -> None:
    __pragma__('js', r'''
    const all = scope === globalThis ? locks() : null;
    if (all === null) return;
    await new Promise(resolve => {
      all.request(scope.name, () => {
        resolve();
        return new Promise(() => {});
      }).catch(resolve);
    });
    ''')


# Channels between threads


class ChannelPort:
    """host.port.MessagePort."""

    def __init__(self, end: object) -> None:
        self._end = end

    def post(self, message: object, transfer: list[object]) -> None:
        _post(self._end, message, transfer)

    def on_message(self, callback: Callable[[object], None]) -> None:
        _listen(self._end, callback)
        _start(self._end)

    def close(self) -> None:
        _close(self._end)


def new_channel() -> list[object]:
    __pragma__('js', r'''
    const channel = new MessageChannel();
    return [channel.port1, channel.port2];
    ''')


def open_port(end: object) -> ChannelPort:
    return ChannelPort(end)


def _start(end: object) -> None:
    __pragma__('js', 'end.start();')


def _close(end: object) -> None:
    __pragma__('js', 'end.close();')


# Memory that moves


def own_bytes(data: Bytes, give: bool) -> Bytes:
    __pragma__('js', r'''
    const alone = data.byteLength === data.buffer.byteLength && data.buffer instanceof ArrayBuffer;
    return give && alone ? data : new Uint8Array(data);
    ''')


def bytes_memory(data: Bytes) -> object:
    __pragma__('js', 'return data.buffer;')
