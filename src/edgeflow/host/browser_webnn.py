"""WebNN in browsers, in pages and workers. JS only. See host/port.py for the contract."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import NnContext


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _refused(message: str) -> EdgeflowError:
    return EdgeflowError('unsupported-op', message)


# Methods of WebNN whose names would otherwise keep ours from being shortened (docs/python-subset.md).
CONSTANT = 'constant'
DISPATCH = 'dispatch'
SHAPE = 'shape'

# That a context is lost may show in an error before it shows in `lost`. What a builder refuses is a TypeError.
__pragma__('js', r'''
import { arrayView } from './browser_arrays.js';

const described = (dataType, dims) => ({ dataType, [SHAPE]: dims });

class Sketch {
  constructor(context) {
    this.context = context;
    this.raw = context.guarded(() => new MLGraphBuilder(context.raw));
  }

  declare(name, dataType, dims) {
    return this.context.guarded(() => this.raw.input(name, described(dataType, dims)));
  }

  embed(dataType, dims, data) {
    return this.context.guarded(() => this.raw[CONSTANT](described(dataType, dims), arrayView(dataType, data)));
  }

  call(name, given, options) {
    const { raw } = this;
    if (!raw[name]) throw _refused(`WebNN has no ${name} here`);
    const made = this.context.guarded(() => raw[name](...given, Object.fromEntries(options)));
    return Array.isArray(made) ? made : [made];
  }

  dims(operand) {
    return [...operand[SHAPE]];
  }

  async build(named) {
    try {
      return await this.raw.build(Object.fromEntries(named));
    } catch (error) {
      throw this.context.failure(error);
    }
  }
}

class Context {
  constructor(raw, onLost) {
    this.raw = raw;
    this.lost = false;
    raw.lost.then(info => {
      this.lost = true;
      onLost(info.message);
    });
  }

  failure(error) {
    if (this.lost || /context is lost/i.test(error.message)) {
      this.lost = true;
      return _fail('device-lost', 'the WebNN context was lost');
    }
    return error instanceof TypeError ? _refused(error.message) : _fail('internal', `WebNN fails: ${error.message}`);
  }

  guarded(work) {
    try {
      return work();
    } catch (error) {
      throw this.failure(error);
    }
  }

  sketch() {
    return new Sketch(this);
  }

  async buffer(dataType, dims) {
    try {
      return await this.raw.createTensor({ ...described(dataType, dims), readable: true, writable: true });
    } catch (error) {
      const failed = this.failure(error);
      throw failed.code === 'internal' ? _fail('out-of-memory', failed.message) : failed;
    }
  }

  free(buffer) {
    buffer.destroy();
  }

  write(buffer, data) {
    this.guarded(() => this.raw.writeTensor(buffer, data));
  }

  submit(built, from, into) {
    this.guarded(() => this.raw[DISPATCH](built, Object.fromEntries(from), Object.fromEntries(into)));
  }

  async read(buffers) {
    try {
      return (await Promise.all(buffers.map(buffer => this.raw.readTensor(buffer)))).map(data => new Uint8Array(data));
    } catch (error) {
      throw this.failure(error);
    }
  }

  destroy() {
    this.raw.destroy();
  }
}
''')


async def open_webnn(device_type: str, on_lost: Callable[[str], None]) -> NnContext | None:
    __pragma__('js', r'''
    const api = globalThis.navigator?.ml;
    if (!api || !globalThis.MLGraphBuilder) return null;
    const options = deviceType ? { deviceType, accelerated: deviceType !== 'cpu' } : {};
    const raw = await api.createContext(options).catch(() => null);
    return raw && new Context(raw, onLost);
    ''')
