"""Bytes and arrays in browsers and Node: Uint8Array and the other typed arrays. JS only."""

from __future__ import annotations

from edgeflow.errors import EdgeflowError
from edgeflow.host.port import Bytes, NumericArray


def _fail(code: str, message: str) -> EdgeflowError:
    return EdgeflowError(code, message)


def _index_error(message: str) -> IndexError:
    return IndexError(message)


def _value_error(message: str) -> ValueError:
    return ValueError(message)


__pragma__('js', r'''
const Half = globalThis.Float16Array ?? Uint16Array;
const ARRAYS = {
  float32: Float32Array, uint8: Uint8Array, int8: Int8Array, uint16: Uint16Array, int16: Int16Array, int32: Int32Array,
  int64: BigInt64Array, bool: Uint8Array, float16: Half, float64: Float64Array, uint32: Uint32Array, uint64: BigUint64Array,
  bfloat16: Uint16Array, int4: Int8Array, int2: Int8Array,
};
for (const name of ['float8e4m3fn', 'float8e4m3fnuz', 'float8e5m2', 'float8e5m2fnuz', 'float8e8m0', 'float4e2m1', 'uint4', 'uint2']) ARRAYS[name] = Uint8Array;
const DTYPES = {
  Float32Array: 'float32', Uint8Array: 'uint8', Uint8ClampedArray: 'uint8', Int8Array: 'int8', Uint16Array: 'uint16',
  Int16Array: 'int16', Int32Array: 'int32', BigInt64Array: 'int64', Float16Array: 'float16', Float64Array: 'float64',
  Uint32Array: 'uint32', BigUint64Array: 'uint64',
};
const scratch = new DataView(new ArrayBuffer(8));
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function arrayType(dtype) {
  if (!Object.hasOwn(ARRAYS, dtype)) {
    throw _fail('invalid-argument', `arrays hold one of ${Object.keys(ARRAYS).join(', ')}; got dtype '${dtype}'`);
  }
  return ARRAYS[dtype];
}

function allocate(make, what) {
  try {
    return make();
  } catch (error) {
    if (error instanceof RangeError) throw _fail('out-of-memory', `${what} were refused`);
    throw error;
  }
}

function read(data, offset, size, method) {
  if (!(offset >= 0 && offset + size <= data.length)) {
    throw _indexError(`offset ${offset} is outside of ${data.length} bytes`);
  }
  return new DataView(data.buffer, data.byteOffset, data.byteLength)[method](offset, true);
}

function roundEven(x) {
  const whole = Math.floor(x), rest = x - whole;
  return rest > 0.5 || (rest === 0.5 && whole % 2 === 1) ? whole + 1 : whole;
}

// The nearest IEEE 754 binary16, ties to even.
function halfBits(value) {
  const x = Number(value), sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0, size = Math.abs(x);
  if (size !== size) return 0x7E00;
  if (size >= 65520) return sign + 0x7C00;
  if (size < 2 ** -14) return sign + roundEven(size * 2 ** 24);
  scratch.setFloat64(0, size);
  const exponent = (scratch.getUint16(0) >> 4) - 1023;
  return sign + (exponent + 15) * 1024 + roundEven((size / 2 ** exponent - 1) * 1024);
}

function bfloatBits(value) {
  scratch.setFloat32(0, Number(value));
  const bits = scratch.getUint32(0);
  return value !== value ? (bits >>> 16) | 0x40 : (bits + 0x7FFF + ((bits >>> 16) & 1)) / 65536;
}

function wholeBigInt(value) {
  if (typeof value === 'bigint') return value;
  const x = Number(value);
  return Number.isFinite(x) ? BigInt(Math.trunc(x)) : 0n;
}

const CONVERSIONS = {
  bool: value => value ? 1 : 0, bfloat16: bfloatBits, int64: wholeBigInt, uint64: wholeBigInt,
  float16: Half === Uint16Array ? halfBits : Number,
};

function flatten(value, flat) {
  const kind = typeof value;
  if (kind === 'number' || kind === 'boolean') {
    flat.push(value);
    return [];
  }
  if (kind === 'bigint') {
    flat.push(exactNumber(value));
    return [];
  }
  if (arrayDtype(value) !== null) {
    for (const x of arrayList(value)) flat.push(x);
    return [value.length];
  }
  if (!Array.isArray(value)) return null;
  let inner = null;
  for (const item of value) {
    const shape = flatten(item, flat);
    if (shape === null) return null;
    if (inner !== null && inner.join() !== shape.join()) {
      throw _fail('invalid-argument', `nested lists must be rows of one shape; got [${inner}] and [${shape}]`);
    }
    inner = shape;
  }
  return [value.length, ...(inner ?? [])];
}

function exactNumber(x) {
  if (x > 9007199254740991n || x < -9007199254740991n) {
    throw _fail('invalid-argument', `whole numbers are exact from -(2^53 - 1) to 2^53 - 1; got ${x}`);
  }
  return Number(x);
}
''')


# Binary data


def new_bytes(size: int) -> Bytes:
    __pragma__('js', 'return allocate(() => new Uint8Array(size), `${size} bytes`);')


def bytes_of(values: list[int]) -> Bytes:
    __pragma__('js', 'return Uint8Array.from(values);')


# Memory that was transferred away has length 0, and no view of it can be made.
def as_bytes(value: object) -> Bytes | None:
    __pragma__('js', r'''
    if (ArrayBuffer.isView(value)) {
      const kind = value[Symbol.toStringTag];
      if (kind === 'DataView') return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      if (kind !== 'Uint8Array' && kind !== 'Uint8ClampedArray') return null;
      return value.length === 0 ? new Uint8Array(0) : new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    }
    const tag = Object.prototype.toString.call(value);
    if (tag !== '[object ArrayBuffer]' && tag !== '[object SharedArrayBuffer]') return null;
    return value.byteLength === 0 ? new Uint8Array(0) : new Uint8Array(value);
    ''')


def join_bytes(parts: list[Bytes]) -> Bytes:
    __pragma__('js', r'''
    const whole = newBytes(parts.reduce((size, part) => size + part.length, 0));
    let offset = 0;
    for (const part of parts) {
      whole.set(part, offset);
      offset += part.length;
    }
    return whole;
    ''')


def copy_bytes(target: Bytes, offset: int, source: Bytes) -> None:
    __pragma__('js', r'''
    if (!(offset >= 0 && offset + source.length <= target.length)) {
      throw _indexError(`${source.length} bytes at ${offset} are outside of ${target.length} bytes`);
    }
    target.set(source, offset);
    ''')


def utf8_decode(data: Bytes) -> str:
    __pragma__('js', r'''
    try {
      return utf8.decode(data);
    } catch (error) {
      throw _valueError('the bytes are no UTF-8');
    }
    ''')


def utf8_encode(text: str) -> Bytes:
    __pragma__('js', 'return new TextEncoder().encode(text);')


def read_u32(data: Bytes, offset: int) -> int:
    __pragma__('js', "return read(data, offset, 4, 'getUint32');")


def read_i32(data: Bytes, offset: int) -> int:
    __pragma__('js', "return read(data, offset, 4, 'getInt32');")


def read_i64(data: Bytes, offset: int) -> int:
    __pragma__('js', "return Number(read(data, offset, 8, 'getBigInt64'));")


def read_f32(data: Bytes, offset: int) -> float:
    __pragma__('js', "return read(data, offset, 4, 'getFloat32');")


def read_f64(data: Bytes, offset: int) -> float:
    __pragma__('js', "return read(data, offset, 8, 'getFloat64');")


def float_bits(x: float) -> int:
    __pragma__('js', r'''
    scratch.setFloat32(0, x);
    return scratch.getInt32(0);
    ''')


def write_i32s(data: Bytes, offset: int, words: list[int]) -> None:
    __pragma__('js', r'''
    const start = data.byteOffset + offset;
    if (!(offset >= 0 && offset + words.length * 4 <= data.length)) {
      throw _indexError(`${words.length} words at ${offset} are outside of ${data.length} bytes`);
    }
    if (start % 4 === 0) {
      new Int32Array(data.buffer, start, words.length).set(words);
    } else {
      data.set(arrayBytes(Int32Array.from(words)), offset);
    }
    ''')


# Arrays


def new_array(dtype: str, size: int) -> NumericArray:
    __pragma__('js', r'''
    const type = arrayType(dtype);
    return allocate(() => new type(size), `${size} elements of ${dtype}`);
    ''')


def array_of(dtype: str, values: list) -> NumericArray:
    __pragma__('js', r'''
    const type = arrayType(dtype);
    for (const value of values) {
      const kind = typeof value;
      if (kind !== 'number' && kind !== 'boolean' && kind !== 'bigint') {
        throw _fail('invalid-argument', `values for a ${dtype} array: expected numbers, got ${value === null ? 'null' : kind}`);
      }
    }
    return type.from(values, CONVERSIONS[dtype] ?? Number);
    ''')


def array_view(dtype: str, data: Bytes) -> NumericArray:
    __pragma__('js', r'''
    const type = arrayType(dtype), size = type.BYTES_PER_ELEMENT;
    if (data.length % size !== 0) {
      throw _fail('invalid-argument', `${dtype} data needs a multiple of ${size} bytes; got ${data.length}`);
    }
    const aligned = data.byteOffset % size === 0 ? data : Uint8Array.prototype.slice.call(data);
    return new type(aligned.buffer, aligned.byteOffset, data.length / size);
    ''')


def array_copy(dtype: str, data: Bytes) -> NumericArray:
    __pragma__('js', 'return arrayView(dtype, new Uint8Array(data));')


def array_bytes(array: NumericArray) -> Bytes:
    __pragma__('js', 'return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);')


def array_list(array: NumericArray) -> list:
    __pragma__('js', "return typeof array[0] === 'bigint' ? Array.from(array, exactNumber) : Array.from(array);")


def array_ints(array: NumericArray) -> list[int]:
    __pragma__('js', r'''
    const most = Number.MAX_SAFE_INTEGER;
    return Array.from(array, x => Math.trunc(Math.max(-most, Math.min(most, Number(x)))) || 0);
    ''')


def array_dtype(array: object) -> str | None:
    __pragma__('js', 'return ArrayBuffer.isView(array) ? DTYPES[array[Symbol.toStringTag]] ?? null : null;')


def array_size(array: NumericArray) -> int:
    __pragma__('js', 'return array.length;')


def array_shape(array: NumericArray) -> list[int]:
    __pragma__('js', 'return [array.length];')


def array_flat(array: NumericArray) -> NumericArray:
    __pragma__('js', "return array[Symbol.toStringTag] === 'Uint8ClampedArray' ? arrayBytes(array) : array;")


def plain_list(value: object) -> tuple[list, list[int]] | None:
    __pragma__('js', r'''
    const flat = [], shape = flatten(value, flat);
    return shape === null ? null : [flat, shape];
    ''')
