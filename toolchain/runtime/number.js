// Integer arithmetic beyond 32 bits, Python's rounding and number parsing.
import { $raise, OverflowError, ValueError, ZeroDivisionError } from './errors.js';
import { $fixed, $repr } from './text.js';
import { $eq, $isList, $isNumber, $isStr, $isView, $iter } from './core.js';

export const $floordiv = (a, b) => {
  if (b == 0) $raise(new ZeroDivisionError('integer division or modulo by zero'));
  return Math.floor(a / b);
};

export const $mod = (a, b) => {
  if (b == 0) $raise(new ZeroDivisionError('integer modulo by zero'));
  const rest = a % b;
  return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
};

export const $divmod = (a, b) => {
  return [$floordiv(a, b), $mod(a, b)];
};

export const $add = (a, b) => {
  return $isList(a) ? a.concat(b) : $isView(a) ? joined(a, b) : a + b;
};

const joined = (a, b) => {
  const all = new a.constructor(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
};

export const $iadd = (a, b) => {
  if (!$isList(a)) return $add(a, b);
  for (const item of $iter(b)) a.push(item);
  return a;
};

/** [x] * n */
export const $filled = (x, n) => new Array(Math.max(0, +n)).fill(x);

export const $mul = (a, b) => {
  if ($isNumber(a) && $isNumber(b)) return a * b;
  if ($isStr(b) || $isList(b)) [a, b] = [b, a];
  if ($isStr(a)) return a.repeat(Math.max(0, b));
  if ($isList(a)) {
    if (a.length === 1) return $filled(a[0], b);
    const out = [];
    for (let i = 0; i < b; i++) for (const item of a) out.push(item);
    return out;
  }
  if ($isView(a)) {
    const out = new a.constructor(a.length * Math.max(0, b));
    for (let i = 0; i < b; i++) out.set(a, i * a.length);
    return out;
  }
  return a * b;
};

export const $shl = (a, n) => {
  return a * 2 ** n;
};

export const $shr = (a, n) => {
  return Math.floor(a / 2 ** n);
};

const isSmall = (a, b) => (a | 0) === a && (b | 0) === b;
const isFlag = (a, b) => typeof a === 'boolean' && typeof b === 'boolean';

export const $and = (a, b) => {
  return isSmall(a, b) ? a & b : isFlag(a, b) ? a && b : Number(BigInt(a) & BigInt(b));
};

export const $or = (a, b) => {
  return isSmall(a, b) ? a | b : isFlag(a, b) ? a || b : Number(BigInt(a) | BigInt(b));
};

export const $xor = (a, b) => {
  return isSmall(a, b) ? a ^ b : isFlag(a, b) ? a !== b : Number(BigInt(a) ^ BigInt(b));
};

export const $isInt = (x) => {
  return Number.isInteger(x) || typeof x === 'boolean';
};

export const $int = (x, base) => {
  if ($isStr(x)) {
    const text = x.trim().replace(/([0-9a-zA-Z])_(?=[0-9a-zA-Z])/g, '$1');
    const radix = base ?? 10;
    const digits = text.replace(/^[+-]/, '').replace(radix === 16 ? /^0x/i : radix === 2 ? /^0b/i : radix === 8 ? /^0o/i : /^$/, '').toLowerCase();
    const valid = digits !== '' && [...digits].every((c) => parseInt(c, 36) < radix);
    if (!valid) $raise(new ValueError(`invalid literal for int() with base ${radix}: ${$repr(x)}`));
    const value = parseInt(digits, radix);
    return text[0] === '-' ? -value : value;
  }
  if (typeof x === 'bigint' || typeof x === 'boolean') return Number(x);
  if (x == null || typeof x !== 'number') $raise(new TypeError(`int() argument must be a string or a number, not ${$repr(x)}`));
  if (x !== x) $raise(new ValueError('cannot convert float NaN to integer'));
  if (x === Infinity || x === -Infinity) $raise(new OverflowError('cannot convert float infinity to integer'));
  return Math.trunc(x);
};

export const $float = (x) => {
  if (typeof x !== 'string') {
    if (x == null || typeof x === 'object') $raise(new TypeError(`float() argument must be a string or a number, not ${$repr(x)}`));
    return Number(x);
  }
  const text = x.trim().toLowerCase().replace(/(\d)_(?=\d)/g, '$1');
  const special = /^([+-]?)(inf|infinity|nan)$/.exec(text);
  if (special) return special[2] === 'nan' ? NaN : special[1] === '-' ? -Infinity : Infinity;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(text)) $raise(new ValueError(`could not convert string to float: ${$repr(x)}`));
  return Number(text);
};

export const $round = (x, digits) => {
  if (digits == null) {
    if (x !== x) $raise(new ValueError('cannot convert float NaN to integer'));
    const low = Math.floor(x);
    const rest = x - low;
    return rest < 0.5 || rest === 0.5 && low % 2 === 0 ? low : low + 1;
  }
  if (!Number.isFinite(x)) return x;
  if (digits >= 0) return Number($fixed(x, digits));
  const unit = 10 ** -digits;
  return $round(x / unit) * unit;
};

export const $sum = (items, start = 0) => {
  let total = start;
  for (const item of $iter(items)) total = $isNumber(total) ? total + Number(item) : $add(total, item);
  return total;
};

export const $hex = (n) => (n < 0 ? '-0x' : '0x') + Math.abs(n).toString(16);
export const $bin = (n) => (n < 0 ? '-0b' : '0b') + Math.abs(n).toString(2);
export const $oct = (n) => (n < 0 ? '-0o' : '0o') + Math.abs(n).toString(8);

export const $fromBytes = (data, order = 'big', signed = false) => {
  const bytes = order === 'big' ? [...data] : [...data].reverse();
  let value = 0n;
  for (const byte of bytes) value = value * 256n + BigInt(byte);
  if (signed && bytes.length > 0 && bytes[0] >= 128) value -= 1n << BigInt(8 * bytes.length);
  return Number(value);
};

export const $m_toBytes = (n, size, order = 'big') => {
  const out = new Uint8Array(size);
  let rest = BigInt(n);
  for (let i = 0; i < size; i++) {
    out[order === 'big' ? size - 1 - i : i] = Number(rest & 255n);
    rest >>= 8n;
  }
  if (rest !== 0n && rest !== -1n) $raise(new OverflowError('int too big to convert'));
  return out;
};

export const $m_bitLength = (n) => n === 0 ? 0 : Math.abs(n).toString(2).length;
export const $m_isInteger = (n) => Number.isInteger(n);

// -- math ------------------------------------------------------------------------------------------------------------

export const $math_sqrt = (x) => {
  if (x < 0) $raise(new ValueError('math domain error'));
  return Math.sqrt(x);
};

export const $math_log = (x, base) => {
  if (x <= 0) $raise(new ValueError('math domain error'));
  return base == null ? Math.log(x) : base === 2 ? Math.log2(x) : base === 10 ? Math.log10(x) : Math.log(x) / Math.log(base);
};

export const $math_pow = (a, b) => a ** b;
export const $math_isinf = (x) => x === Infinity || x === -Infinity;
export const $math_isqrt = (n) => {
  let root = Math.floor(Math.sqrt(n));
  while (root * root > n) root--;
  return root;
};
export const $math_copysign = (x, y) => (y < 0 || Object.is(y, -0)) === (x < 0 || Object.is(x, -0)) ? x : -x;
export const $math_fmod = (a, b) => a % b;
export const $math_radians = (x) => x * Math.PI / 180;
export const $math_degrees = (x) => x * 180 / Math.PI;
export const $math_ldexp = (x, e) => x * 2 ** e;
export const $math_modf = (x) => [x % 1, Math.trunc(x)];
export const $math_frexp = (x) => {
  if (x === 0 || !Number.isFinite(x)) return [x, 0];
  let e = Math.max(-1023, Math.floor(Math.log2(Math.abs(x))) + 1);
  let m = x * 2 ** -e;
  while (Math.abs(m) < 0.5) { m *= 2; e--; }
  while (Math.abs(m) >= 1) { m /= 2; e++; }
  return [m, e];
};
export const $math_floor = Math.floor;
export const $math_abs = Math.abs;
export const $math_min = Math.min;
export const $math_max = Math.max;
export const $math_ceil = (x) => Math.ceil(x);
export const $math_isclose = (a, b, relative = 1e-9, absolute = 0) => {
  return $eq(a, b) || Math.abs(a - b) <= Math.max(relative * Math.max(Math.abs(a), Math.abs(b)), absolute);
};
export const $math_prod = (items, start = 1) => {
  let product = start;
  for (const item of $iter(items)) product *= item;
  return product;
};
export const $math_gcd = (...values) => {
  let result = 0;
  for (const value of values) {
    let a = result, b = Math.abs(value);
    while (b) [a, b] = [b, a % b];
    result = a;
  }
  return result;
};
export const $math_lcm = (...values) => {
  return values.reduce((a, b) => (a === 0 || b === 0 ? 0 : Math.abs(a / $math_gcd(a, b) * b)), 1);
};
export const $math_factorial = (n) => {
  let product = 1;
  for (let i = 2; i <= n; i++) product *= i;
  return product;
};
export const $math_comb = (n, k) => {
  let result = 1;
  for (let i = 1; i <= k; i++) result = result * (n - k + i) / i;
  return k > n ? 0 : Math.round(result);
};
export const $math_fsum = (items) => {
  const partials = [];
  for (let x of $iter(items)) {
    let n = 0;
    for (let y of partials) {
      if (Math.abs(x) < Math.abs(y)) [x, y] = [y, x];
      const high = x + y, low = y - (high - x);
      if (low) partials[n++] = low;
      x = high;
    }
    partials.length = n;
    partials.push(x);
  }
  return partials.reduceRight((a, b) => a + b, 0);
};
/** Error function: series near 0, continued fraction of erfc beyond (Abramowitz and Stegun 7.1.5, 7.1.14). */
export const $math_erf = (x) => {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x, total = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(total) && n < 200; n++) {
      term *= -x * x / n;
      total += term / (2 * n + 1);
    }
    return total * 2 / Math.sqrt(Math.PI);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / ((a + fraction) * Math.sqrt(Math.PI)));
};
