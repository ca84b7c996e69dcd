"""WebGPU in browsers, in pages and workers. JS only. See host/port.py for the contract."""

from __future__ import annotations

from collections.abc import Callable

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes, GpuDevice


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


# Buffers for reading back are kept for the next run of the same size. A creation that fails says so to an error scope, later: so all
# that is made between watch() and settled() is looked at there.
__pragma__('js', r'''
import { isSoftware } from './browser_devices.js';
import { SHADERS } from './shaders.js';

const LIMITS = [
  'maxStorageBufferBindingSize', 'maxBufferSize', 'maxComputeWorkgroupStorageSize', 'maxStorageBuffersPerShaderStage',
  'maxComputeInvocationsPerWorkgroup', 'maxComputeWorkgroupSizeX', 'maxComputeWorkgroupsPerDimension',
];
const SCOPES = ['out-of-memory', 'validation', 'internal'];
const TYPES = { u: 'uniform', r: 'read-only-storage', w: 'storage' };
const MOST_SPARE = 4;
const kernels = new Map(), words = [];

const know = more => {
  for (const [name, text] of more) {
    if (name) kernels.set(name, text);
    else text.split('?').forEach((word, i, all) => { if (i) words[all[0].charCodeAt() + i - 1] = word; });
  }
};
know(SHADERS);

const WIDE = { int64: BigInt64Array, bool: Uint8Array, uint8: Uint8Array, uint16: Uint16Array, int8: Int8Array, int16: Int16Array, int4: Int8Array, uint4: Uint8Array };

// A typed array needs its own alignment.
const aligned = (data, kind) => new kind(data.byteOffset % kind.BYTES_PER_ELEMENT ? data.slice().buffer : data.buffer,
  data.byteOffset % kind.BYTES_PER_ELEMENT ? 0 : data.byteOffset, data.length / kind.BYTES_PER_ELEMENT);

// Touched while the GPU works: the first touch of memory takes longer than copying to it.
const memoryOf = async pieces => pieces.map(({ size }) => new Uint8Array(size).fill(0));

class Device {
  constructor(adapter, raw, features, onLost) {
    const { vendor, architecture, description, subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = adapter.info;
    this.raw = raw;
    this.features = features;
    this.name = [vendor, architecture, description].filter(Boolean).join(' ');
    this.software = isSoftware(adapter);
    this.subgroupSize = subgroupMinSize ?? 0;
    // The smallest was the fastest on an H100.
    const shapes = [...(subgroupMatrixConfigs ?? [])].filter(c => c.componentType === 'f16' && c.resultComponentType === 'f32').map(({ M, N, K }) => [M, N, K])
      .filter(shape => subgroupMinSize === 32 && subgroupMaxSize === 32 && shape.every(size => 32 % size === 0));
    this.matrix = shapes.sort((a, b) => a[0] * a[1] * a[2] - b[0] * b[1] * b[2])[0] ?? [];
    this.lost = false;
    this.layouts = new Map();
    this.spare = [];
    // Of commands that a plan has run: what is recorded of them for the next time, if anything is.
    this.recorded = new WeakMap();
    raw.lost.then(info => {
      this.lost = true;
      onLost(info.message || info.reason);
    });
  }

  limit(name) {
    return this.raw.limits[name];
  }

  buffer(size, uniform = false) {
    return this.raw.createBuffer({ size, usage: 8 | (uniform ? 64 : 128 | 4) });
  }

  free(buffer) {
    buffer.destroy();
  }

  write(buffer, offset, data, again) {
    const size = data.length & ~3;
    if (again && size >> 20 && !(size >> 26)) {
      // From 1 MB on, a buffer that stays mapped for the next data of this size: writeBuffer() takes new memory each time. One of 64 MB would stay too long.
      let staging = this.map;
      if (staging?.size === size) this.map = null;
      else staging = this.raw.createBuffer({ size, usage: 2 | 4, mappedAtCreation: true });
      new Uint8Array(staging.getMappedRange()).set(data.subarray(0, size));
      staging.unmap();
      this.submit([{ source: { buffer: staging, offset: 0, size }, target: { buffer, offset } }]);
      // Where this fails, the device is lost.
      staging.mapAsync(2).then(() => {
        this.map?.destroy();
        this.map = staging;
      }, () => {});
    } else this.raw.queue.writeBuffer(buffer, offset, data, 0, size);
    if (size < data.length) this.raw.queue.writeBuffer(buffer, offset + size, Uint8Array.of(...data.subarray(size), 0, 0, 0), 0, 4);
  }

  layout(forms) {
    let layout = this.layouts.get(forms);
    if (!layout) {
      const entries = [...forms].map((form, binding) => ({ binding, visibility: 4, buffer: { type: TYPES[form] } }));
      const group = this.raw.createBindGroupLayout({ entries });
      layout = { group, pipeline: this.raw.createPipelineLayout({ bindGroupLayouts: [group] }) };
      this.layouts.set(forms, layout);
    }
    return layout;
  }

  async pipeline(label, code, constants, forms) {
    const module = this.raw.createShaderModule({ label, code });
    try {
      return await this.raw.createComputePipelineAsync({
        label, layout: this.layout(forms).pipeline, compute: { module, entryPoint: 'main', constants: Object.fromEntries(constants) },
      });
    } catch (error) {
      await this.toldLost();
      const { messages } = await module.getCompilationInfo();
      throw _fail('internal', `${label} does not compile: ${[error.message, ...messages.map(m => `${m.lineNum}: ${m.message}`)].join('\n')}`);
    }
  }

  group(forms, pieces) {
    const entries = pieces.map(({ buffer, offset, size }, binding) => ({ binding, resource: { buffer, offset, size } }));
    return this.raw.createBindGroup({ layout: this.layout(forms).group, entries });
  }

  watch() {
    for (const filter of SCOPES) this.raw.pushErrorScope(filter);
  }

  async settled() {
    let errors;
    try {
      errors = await Promise.all(SCOPES.map(() => this.raw.popErrorScope()));
    } catch (error) {
      throw this.gone();
    }
    if (errors.some(Boolean)) await this.toldLost();
    if (this.lost) throw this.gone();
    if (errors[2]) throw _fail('out-of-memory', `the GPU refused memory: ${errors[2].message}`);
    const error = errors[1] ?? errors[0];
    if (error) throw _fail('internal', `the GPU refused a command: ${error.message}`);
  }

  encode(commands) {
    const encoder = this.raw.createCommandEncoder();
    let pass = null, last;
    for (const { pipeline, group, groups, source, target } of commands) {
      if (pipeline) {
        pass ??= encoder.beginComputePass();
        if (pipeline !== last) pass.setPipeline(last = pipeline);
        pass.setBindGroup(0, group);
        pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
      } else {
        pass?.end();
        pass = last = null;
        encoder.copyBufferToBuffer(source.buffer, source.offset, target.buffer, target.offset, source.size);
      }
    }
    pass?.end();
    return encoder;
  }

  submit(commands) {
    this.raw.queue.submit([this.encode(commands).finish()]);
  }

  async run(commands, reads) {
    const total = reads.reduce((sum, piece) => sum + piece.size, 0);
    this.watch();
    const ready = this.recorded.get(commands), encoder = this.encode(ready ? [] : commands);
    let staging = null, mapped = null, at = 0;
    if (total) {
      const i = this.spare.findIndex(buffer => buffer.size === total);
      staging = i < 0 ? this.raw.createBuffer({ size: total, usage: 1 | 8 }) : this.spare.splice(i, 1)[0];
      for (const { buffer, offset, size } of reads) {
        if (size) encoder.copyBufferToBuffer(buffer, offset, staging, at, size);
        at += size;
      }
    }
    this.raw.queue.submit(ready ? [ready, encoder.finish()] : [encoder.finish()]);
    // It may fail for the same reason as the rest, which settled() tells better.
    const mapping = staging?.mapAsync(1).then(() => { mapped = staging.getMappedRange(); }, () => {});
    // What comes again is recorded while the GPU works, so that the next run only submits it.
    if (commands.length) this.recorded.set(commands, this.recorded.has(commands) ? this.encode(commands).finish() : null);
    try {
      const [, results] = await Promise.all([this.settled(), memoryOf(reads)]);
      await mapping;
      if (total && !mapped) await this.toldLost();
      if (this.lost) throw this.gone();
      if (total && !mapped) throw _fail('internal', 'the results cannot be read from the GPU');
      at = 0;
      for (const part of results) {
        part.set(new Uint8Array(mapped, at, part.length));
        at += part.length;
      }
      return results;
    } finally {
      if (mapped) {
        staging.unmap();
        this.spare.push(staging);
        if (this.spare.length > MOST_SPARE) this.spare.shift().destroy();
      } else {
        staging?.destroy();
      }
    }
  }

  /** 'device-lost' if that is why something failed: a device that is lost refuses first and tells afterwards. */
  async toldLost() {
    if (!this.lost) await new Promise(resolve => setTimeout(resolve, 20));
    if (this.lost) throw this.gone();
  }

  gone() {
    return _fail('device-lost', 'the GPU device was lost');
  }

  destroy() {
    this.raw.destroy();
  }
}
''')


async def open_gpu(wanted: list[str], on_lost: Callable[[str], None]) -> GpuDevice | None:
    __pragma__('js', r'''
    const adapter = await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) return null;
    const requiredFeatures = wanted.filter(name => adapter.features.has(name));
    const requiredLimits = Object.fromEntries(LIMITS.map(name => [name, adapter.limits[name]]));
    const raw = await adapter.requestDevice({ requiredFeatures, requiredLimits }).catch(error => { throw _fail('platform', `the GPU gives no device: ${error.message}`); });
    const language = navigator.gpu.wgslLanguageFeatures;
    return new Device(adapter, raw, requiredFeatures.concat(wanted.filter(name => language?.has(name))), onLost);
    ''')


def add_shaders(more: object) -> None:
    """Know these kernels too, a Map as SHADERS is; under '' it has words behind the first one's character (toolchain/shader_words.py)."""
    __pragma__('js', 'know(more);')


def shader_source(name: str) -> str:
    __pragma__('js', r'''
    let text = kernels.get(name), length = 0;
    if (text === undefined) throw _fail('internal', `there is no kernel '${name}'`);
    while (length !== text.length) {
      length = text.length;
      text = text.replace(/[\xa1-\u07ff]/g, word => words[word.charCodeAt()]);
    }
    return text;
    ''')


def ops_named(head: Bytes) -> list[str]:
    """The operators of the nodes (NodeProto.op_type) in the first bytes of an ONNX file, perhaps a few names more, and 'past_key_values' if that is there."""
    __pragma__('js', r'''
    return [...new TextDecoder('latin1').decode(head).matchAll(/"([\x02-\x3f])(?=(\w+))|past_key_values/g)].map(([all, size, name]) => size ? name.slice(0, size.charCodeAt()) : all);
    ''')


def narrowed(dtype: str, data: Bytes) -> Bytes | None:
    __pragma__('js', r'''
    const kind = WIDE[dtype];
    if (!kind) return data;
    if (dtype !== 'int64') return new Uint8Array(Int32Array.from(aligned(data, kind)).buffer);
    // The halves: as little-endian int32 they are the low word, and its sign spread out.
    const halves = aligned(data, Int32Array), words = new Int32Array(halves.length / 2);
    for (let i = 0; i < words.length; i++) {
      const word = halves[2 * i];
      if (halves[2 * i + 1] !== word >> 31) return null;
      words[i] = word;
    }
    return new Uint8Array(words.buffer);
    ''')


def widened(dtype: str, data: Bytes) -> Bytes:
    __pragma__('js', r'''
    const kind = WIDE[dtype];
    if (!kind) return data;
    const words = aligned(data, Int32Array);
    return new Uint8Array((dtype === 'int64' ? kind.from(words, BigInt) : kind.from(words)).buffer);
    ''')
