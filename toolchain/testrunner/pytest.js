// What the unit tests use of pytest: raises, approx, fail.
import { AssertionError } from '../runtime/index.js';
import { $eq, $repr, $str } from '../runtime/index.js';

class Raises {
  constructor(types, match) {
    this.types = Array.isArray(types) ? types : [types];
    this.match = match;
    this.value = null;
  }

  __enter__() { return this; }

  __exit__(kind, error) {
    if (error == null) throw new AssertionError(`DID NOT RAISE ${this.types.map((type) => type.name)}`);
    if (!this.types.some((type) => error instanceof type)) return false;
    this.value = error;
    this.type = kind;
    if (this.match != null && !new RegExp(this.match, 'u').test($str(error))) {
      throw new AssertionError(`${$repr($str(error))} does not match ${$repr(this.match)}`);
    }
    return true;
  }
}

export function raises(types, { match = null } = {}) {
  return new Raises(types, match);
}

class Approx {
  constructor(expected, rel, abs) {
    this.expected = expected;
    this.rel = rel;
    this.abs = abs;
  }

  __eq__(actual) {
    const near = (a, b) => {
      if (Array.isArray(b) || ArrayBuffer.isView(b)) return a.length === b.length && [...b].every((item, i) => near(a[i], item));
      if (b instanceof Map) return a.size === b.size && [...b].every(([k, v]) => a.has(k) && near(a.get(k), v));
      if (typeof b !== 'number') return $eq(a, b);
      const tolerance = Math.max(this.abs ?? 1e-12, (this.rel ?? (this.abs == null ? 1e-6 : 0)) * Math.abs(b));
      return a === b || Math.abs(a - b) <= tolerance;
    };
    return near(actual, this.expected);
  }

  __repr__() { return `approx(${$repr(this.expected)})`; }
}

export function approx(expected, { rel = null, abs = null } = {}) {
  return new Approx(expected, rel, abs);
}

export function fail(reason = '') {
  throw new AssertionError(reason);
}

export function param(...values) {
  return values;
}
