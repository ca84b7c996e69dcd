"""WebNN in browsers, in pages and workers. JS only. See host/port.py for the contract."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import NnContext


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


# That a context is lost may show in an error before it shows in `lost`. What a builder refuses is a TypeError.
__pragma__('js', r'''
const PARTS = {
  float32: Float32Array, int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, int8: Int8Array, uint8: Uint8Array,
  float16: globalThis.Float16Array ?? Uint16Array,
};

class Graphs {
  constructor(context) {
    this.context = context;
    this.raw = context.guarded(() => new MLGraphBuilder(context.raw));
  }

  declare(name, dataType, shape) {
    return this.context.guarded(() => this.raw.input(name, { dataType, shape }));
  }

  constant(dataType, shape, data) {
    const kind = PARTS[dataType];
    const bytes = data.byteOffset % kind.BYTES_PER_ELEMENT ? data.slice() : data;
    return this.context.guarded(() => this.raw.constant({ dataType, shape }, new kind(bytes.buffer, bytes.byteOffset, bytes.length / kind.BYTES_PER_ELEMENT)));
  }

  call(op, given, options) {
    const { raw } = this;
    if (!raw[op]) throw _fail('unsupported-op', `WebNN has no ${op} here`);
    const made = this.context.guarded(() => raw[op](...given, Object.fromEntries(options)));
    return Array.isArray(made) ? made : [made];
  }

  async build(outputs) {
    try {
      return await this.raw.build(Object.fromEntries(outputs));
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
    return _fail(error instanceof TypeError ? 'unsupported-op' : 'internal', `WebNN refuses it: ${error.message}`);
  }

  guarded(work) {
    try {
      return work();
    } catch (error) {
      throw this.failure(error);
    }
  }

  builder() {
    return new Graphs(this);
  }

  async tensor(dataType, shape) {
    try {
      return await this.raw.createTensor({ dataType, shape, readable: true, writable: true });
    } catch (error) {
      const failed = this.failure(error);
      throw failed.code === 'internal' ? _fail('out-of-memory', failed.message) : failed;
    }
  }

  free(tensor) {
    tensor.destroy();
  }

  write(tensor, data) {
    this.guarded(() => this.raw.writeTensor(tensor, data));
  }

  dispatch(graph, inputs, outputs) {
    this.guarded(() => this.raw.dispatch(graph, Object.fromEntries(inputs), Object.fromEntries(outputs)));
  }

  async read(tensors) {
    try {
      return (await Promise.all(tensors.map(tensor => this.raw.readTensor(tensor)))).map(data => new Uint8Array(data));
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
    const { ml } = globalThis.navigator ?? {};
    if (!ml || !globalThis.MLGraphBuilder) return null;
    const options = deviceType ? { deviceType, accelerated: deviceType !== 'cpu' } : {};
    const raw = await ml.createContext(options).catch(() => null);
    return raw && new Context(raw, onLost);
    ''')
