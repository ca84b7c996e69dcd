"""Network, files and cancelling in browsers and Node. JS only.

Node's modules come from process.getBuiltinModule (Node 20.16 and later): bundlers follow `import('node:fs')` and fail.
"""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import AbortController, AbortSignal, Bytes, Draft


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _network_failure(url: str, reason: str) -> EdgeflowError:
    return EdgeflowError('http', f'{url}: expected an answer, got a network failure ({reason})', {'url': url})


def _unreadable(path: str, reason: str) -> EdgeflowError:
    return EdgeflowError('file-missing', f'{path} cannot be read: {reason}', {'path': path})


def node_module(name: str) -> object:
    """A module of Node by name, None in browsers."""
    __pragma__('js', r'''
    const process = globalThis.process;
    return process?.versions?.node && process.getBuiltinModule ? process.getBuiltinModule('node:' + name) : null;
    ''')


__pragma__('js', r'''
export function failedTransfer(url, signal, error) {
  if (signal?.aborted) return _fail('aborted', `${url} was cancelled through its signal`);
  const cause = error?.cause?.code ?? error?.cause?.message;
  return _networkFailure(url, cause ? `${error.message}: ${cause}` : String(error?.message ?? error));
}
''')


# Cancelling


def signal_aborted(signal: AbortSignal | None) -> bool:
    __pragma__('js', 'return signal?.aborted === true;')


def on_abort(signal: AbortSignal | None, callback: Callable[[], None]) -> Callable[[], None]:
    __pragma__('js', r'''
    const stop = () => signal?.removeEventListener('abort', callback);
    if (signal?.aborted) callback();
    else signal?.addEventListener('abort', callback, { once: true });
    return stop;
    ''')


def new_abort_controller() -> AbortController:
    __pragma__('js', 'return new AbortController();')


# Network


async def fetch(url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str = 'default') -> HttpResponse:
    answer = await _fetch(url, headers, signal, cache)
    return HttpResponse(answer, _status(answer), _url(answer, url), signal)


async def _fetch(url: str, headers: dict[str, str], signal: AbortSignal | None, cache: str) -> object:
    __pragma__('js', r'''
    try {
      return await globalThis.fetch(url, { headers: [...headers], signal: signal ?? null, cache });
    } catch (error) {
      throw failedTransfer(url, signal, error);
    }
    ''')


def _status(answer: object) -> int:
    __pragma__('js', 'return answer.status;')


def _url(answer: object, asked: str) -> str:
    __pragma__('js', 'return answer.url || asked;')


class HttpResponse:
    """host.port.Response over the platform's own."""

    def __init__(self, answer: object, status: int, url: str, signal: AbortSignal | None) -> None:
        self._answer = answer
        self._signal = signal
        self._body: object = None
        self.status = status
        self.url = url

    def header(self, name: str) -> str | None:
        return _header(self._answer, name)

    async def take(self, size: int, on_bytes: Callable[[int], None]) -> Bytes:
        if self._body is None:
            self._body = _open_body(self._answer)
        return await _take_part(self._body, _spare(size), on_bytes, self.url, self._signal)

    async def store(self, size: int, on_bytes: Callable[[int], None], give: bool, more: int) -> Draft | None:
        return None

    async def body(self) -> Bytes:
        return await _whole_body(self._answer, self.url, self._signal)

    async def cancel(self) -> None:
        await _cancel(self._answer, self._body)


def _header(answer: object, name: str) -> str | None:
    __pragma__('js', 'return answer.headers.get(name);')


def _open_body(answer: object) -> object:
    """A reader, which fills memory that it is given where the platform's streams can; rest: what it gave too much."""
    __pragma__('js', r'''
    try {
      return { reader: answer.body.getReader({ mode: 'byob' }), inPlace: true, rest: null };
    } catch {
      return { reader: answer.body?.getReader(), inPlace: false, rest: null };
    }
    ''')


# Fresh memory costs more than the bytes that come into it: the system gives it page by page, full of zeros.
__pragma__('js', r'''
const MOST_SPARES = 4;
let spares = [], wanted = 0;

// Detached buffers keep their memory until garbage is collected, if they came from another thread; what is posted to nobody does not.
export function freeMemory(memory) {
  const { port1, port2 } = new MessageChannel();
  port2.close();
  port1.postMessage(0, [memory]);
  port1.close();
}
''')


def reuse_memory_of(data: Bytes) -> None:
    __pragma__('js', r'''
    if (data.byteLength !== data.buffer.byteLength || wanted === 0) return freeMemory(data.buffer);
    wanted--;
    spares.push(data);
    ''')


def forget_spare_memory() -> None:
    __pragma__('js', r'''
    for (const { buffer } of spares) freeMemory(buffer);
    spares = [];
    wanted = 0;
    ''')


def _spare(size: int) -> Bytes:
    __pragma__('js', r'''
    wanted = Math.min(wanted + 1, MOST_SPARES - spares.length);
    const found = spares.findIndex(data => data.length === size);
    return found < 0 ? new Uint8Array(size) : spares.splice(found, 1)[0];
    ''')


async def _take_part(
    body: object, memory: Bytes, on_bytes: Callable[[int], None], url: str, signal: AbortSignal | None,
) -> Bytes:
    # Every read in place detaches the buffer and hands its memory back under another name.
    __pragma__('js', r'''
    const { reader, inPlace } = body, size = memory.length;
    let buffer = memory.buffer, filled = 0;
    while (filled < size) {
      let part = body.rest;
      body.rest = null;
      if (part === null) {
        try {
          const { done, value } = await reader?.read(inPlace ? new Uint8Array(buffer, filled) : undefined) ?? { done: true };
          if (signal?.aborted) throw signal.reason;
          if (inPlace && value) buffer = value.buffer;
          if (done) break;
          part = value;
        } catch (error) {
          throw failedTransfer(url, signal, error);
        }
      }
      if (!inPlace) {
        if (part.length > size - filled) body.rest = part.subarray(size - filled);
        part = part.subarray(0, size - filled);
        new Uint8Array(buffer).set(part, filled);
      }
      filled += part.length;
      onBytes(part.length);
    }
    return new Uint8Array(buffer, 0, filled);
    ''')


async def _whole_body(answer: object, url: str, signal: AbortSignal | None) -> Bytes:
    __pragma__('js', r'''
    try {
      return new Uint8Array(await answer.arrayBuffer());
    } catch (error) {
      throw failedTransfer(url, signal, error);
    }
    ''')


async def _cancel(answer: object, body: object) -> None:
    # A body that has ended or broken cannot be cancelled; there is nothing left to free then.
    __pragma__('js', r'''
    const ended = () => {};
    if (body) await body.reader?.cancel().catch(ended);
    else if (answer.body && !answer.bodyUsed) await answer.body.cancel().catch(ended);
    ''')


# Files


def is_url(source: str) -> bool:
    return source.startswith(('http://', 'https://', 'blob:', 'data:'))


def reads_files() -> bool:
    __pragma__('js', "return nodeModule('fs') !== null;")


async def read_file(path: str) -> Bytes | None:
    __pragma__('js', r'''
    const fs = nodeModule('fs');
    if (fs === null) return null;
    let file;
    try {
      file = await fs.promises.open(path.startsWith('file:') ? new URL(path) : path);
      const data = new Uint8Array((await file.stat()).size);
      let size = 0;
      while (size < data.length) {
        const { bytesRead } = await file.read(data, size, Math.min(data.length - size, 2 ** 30));
        if (bytesRead === 0) break;
        size += bytesRead;
      }
      return data.subarray(0, size);
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes(error.code)) return null;
      if (error instanceof RangeError) throw _fail('out-of-memory', `${path}: ${error.message}`);
      throw _unreadable(path, error.message);
    } finally {
      await file?.close();
    }
    ''')
