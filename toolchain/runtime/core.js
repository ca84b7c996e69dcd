// Truth, equality, order, membership, length, iteration: what every Python value answers.
import { $raise, IndexError, KeyError, ValueError } from './errors.js';
import { $repr } from './text.js';

// -- types: short names, and calls that V8 inlines ---------------------------------------------------------------------

export const $isList = Array.isArray;
export const $isView = ArrayBuffer.isView;
export const $isDict = (x) => x instanceof Map;
export const $isSet = (x) => x instanceof Set;
export const $isBytes = (x) => x instanceof Uint8Array;
export const $isError = (x) => x instanceof Error;
export const $isStr = (x) => typeof x === 'string';
export const $isNumber = (x) => typeof x === 'number';
export const $isBool = (x) => typeof x === 'boolean';
export const $isFunction = (x) => typeof x === 'function';

// -- truth, equality, order --------------------------------------------------------------------------------------------

export const $truthy = (x) => {
  if (!x) return x !== x;
  if (typeof x !== 'object') return true;
  if ($isList(x) || $isView(x)) return x.length > 0;
  if ($isDict(x) || $isSet(x)) return x.size > 0;
  if (x.__bool__) return x.__bool__();
  return x.__len__ ? x.__len__() > 0 : true;
};

/**
 * What the compiler wrote down about a dataclass, null for other objects: its name ('-' before it if it is compared by
 * identity; '' for one that users never see, which prints without its fields), a flag for each field, and their names in Python.
 * No value at all: each own property is a field like any other.
 * The constructor sets the fields first and in this order, so they are the first of the object's own properties.
 */
export const $record = (x) => {
  const type = x.constructor;
  if (typeof type !== 'function' || !(/* @__KEY__ */ '$record' in type)) return null;
  const text = type.$record ?? '', keys = Object.keys(x), [name, flags = text ? '' : '.'.repeat(keys.length), ...names] = text.split(' ');
  return { name: name.replace('-', ''), byValue: name[0] !== '-', flags, names, keys };
};

export const $eq = (a, b) => {
  if (a === b) return true;
  if (a == null || b == null) return a == b;
  if (typeof a !== 'object' || typeof b !== 'object') {
    if (typeof a === 'boolean' || typeof b === 'boolean') return typeof a !== 'string' && typeof b !== 'string' && a == b;
    return false;
  }
  if (a.__eq__) return $truthy(a.__eq__(b));
  if (b.__eq__) return $truthy(b.__eq__(a));
  if ($isList(a) || $isView(a)) {
    if ($isList(a) ? !$isList(b) : !$isView(b)) return false;
    return a.length === b.length && a.every((item, i) => $eq(item, b[i]));
  }
  if ($isDict(a)) return $isDict(b) && a.size === b.size && $every(a, ([k, v]) => b.has(k) && $eq(v, b.get(k)));
  if ($isSet(a)) return $isSet(b) && a.size === b.size && $every(a, (k) => b.has(k));
  if (a.constructor === b.constructor) {
    const record = $record(a);
    if (record?.byValue) return [...record.flags].every((flag, i) => '-+!'.includes(flag) || $eq(a[record.keys[i]], b[record.keys[i]]));
  }
  if (a.constructor === Object && b.constructor === Object) {
    const names = Object.keys(a);
    return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && $eq(a[name], b[name]));
  }
  return false;
};

const $every = (items, test) => {
  for (const item of items) if (!test(item)) return false;
  return true;
};

export const $cmp = (a, b) => {
  const kind = typeof a;
  if ($isList(a) && $isList(b)) {
    const n = Math.min(a.length, b.length);
    for (let i = 0; i < n; i++) if (!$eq(a[i], b[i])) return $cmp(a[i], b[i]);
    return a.length - b.length;
  }
  if (kind === 'string' && typeof b === 'string') return a < b ? -1 : a > b ? 1 : 0;
  const number = (x) => typeof x === 'number' || typeof x === 'boolean' || typeof x === 'bigint';
  if (number(a) && number(b)) return a < b ? -1 : a > b ? 1 : a == b ? 0 : NaN;
  if ($isView(a) && $isView(b)) return $cmp([...a], [...b]);
  $raise(new TypeError(`'<' not supported between ${$repr(a)} and ${$repr(b)}`));
};

export const $len = (x) => {
  if (typeof x === 'string' || $isList(x) || $isView(x)) return x.length;
  if ($isDict(x) || $isSet(x)) return x.size;
  if (x != null && x.__len__) return x.__len__();
  $raise(new TypeError(`${$repr(x)} has no len()`));
};

export const $contains = (container, x) => {
  if (typeof container === 'string') return container.includes(x);
  if ($isDict(container) || $isSet(container)) return container.has(x);
  if (container.__contains__) return $truthy(container.__contains__(x));
  for (const item of container) if ($eq(item, x)) return true;
  return false;
};

export const $iter = (x) => {
  if ($isDict(x)) return x.keys();
  if (x == null || !x[Symbol.iterator]) $raise(new TypeError(`${$repr(x)} is not iterable`));
  return x;
};

/** What `using` and `await using` look for, where the platform knows of them. */
export const $disposeKey = Symbol.dispose ?? '@@dispose';
export const $asyncDisposeKey = Symbol.asyncDispose ?? '@@asyncDispose';

// -- elements --------------------------------------------------------------------------------------------------------

const outOfRange = (what = '') => $raise(new IndexError(what + 'index out of range'));
/** Where in a list an index to assign to is. */
const place = (x, i) => {
  const at = i < 0 ? i + x.length : i;
  return at >= 0 && at < x.length ? at : outOfRange('assignment ');
};

/** Element of a list, string or typed array. at() stays fast however many kinds of arrays come by; x[i] does not. */
export const $item = (x, i) => {
  const value = x.at(i);
  if (value === undefined) outOfRange();
  return value;
};

/** The places that are asked for most. */
export const $first = (x) => $item(x, 0);
export const $second = (x) => $item(x, 1);
export const $third = (x) => $item(x, 2);
export const $last = (x) => $item(x, -1);

export const $byte = (x, i) => {
  const value = x[i < 0 ? i + x.length : i];
  if (value === undefined) outOfRange();
  return value;
};

export const $key = (map, k) => {
  const value = map.get(k);
  if (value === undefined && !map.has(k)) $raise(new KeyError(k));
  return value;
};

export const $get = (map, k) => map.get(k) ?? null;

export const $at = (x, k) => {
  if ($isDict(x)) return $key(x, k);
  return x.__getitem__ ? x.__getitem__(k) : $item(x, k);
};

export const $putItem = (x, i, value) => {
  x[place(x, i)] = value;
};

export const $put = (x, k, value) => {
  if ($isDict(x)) x.set(k, value);
  else if (x.__setitem__) x.__setitem__(k, value);
  else $putItem(x, k, value);
};

export const $del = (x, k) => {
  if ($isDict(x)) {
    if (!x.delete(k)) $raise(new KeyError(k));
  } else if (x.__delitem__) x.__delitem__(k);
  else x.splice(place(x, k), 1);
};

const bound = (i, n, otherwise) => {
  return i == null ? otherwise : i < 0 ? Math.max(0, i + n) : Math.min(i, n);
};

/** x[from:to] */
export const $part = (x, from, to) => {
  const n = x.length, start = bound(from, n, 0), end = Math.max(start, bound(to, n, n));
  return $isView(x) ? x.subarray(start, end) : x.slice(start, end);
};

export const $slice = (x, from, to, step) => {
  const n = x.length;
  if (step == null || step === 1) return $part(x, from, to);
  if (step === 0) $raise(new ValueError('slice step cannot be zero'));
  const picked = [];
  if (step > 0) {
    for (let i = bound(from, n, 0), end = bound(to, n, n); i < end; i += step) picked.push(x[i]);
  } else {
    const start = from == null ? n - 1 : from < 0 ? Math.max(-1, from + n) : Math.min(from, n - 1);
    const end = to == null ? -1 : to < 0 ? Math.max(-1, to + n) : Math.min(to, n - 1);
    for (let i = start; i > end; i += step) picked.push(x[i]);
  }
  return typeof x === 'string' ? picked.join('') : $isView(x) ? x.constructor.from(picked) : picked;
};

export const $setSlice = (x, from, to, values) => {
  const start = bound(from, x.length, 0), end = Math.max(start, bound(to, x.length, x.length));
  if ($isView(x)) {
    const given = $isView(values) ? values : [...$iter(values)];
    if (given.length !== end - start) $raise(new ValueError('slice assignment needs the same size'));
    x.set(given, start);
  } else x.splice(start, end - start, ...$iter(values));
};

export const $unpack = (x, n) => {
  const items = $isList(x) ? x : [...$iter(x)];
  if (items.length !== n) {
    $raise(new ValueError(items.length > n ? `too many values to unpack (expected ${n})` : `not enough values to unpack (expected ${n}, got ${items.length})`));
  }
  return items;
};

export const $unpackStar = (x, before, after) => {
  const items = [...$iter(x)];
  const rest = items.length - after;
  if (rest < before) $raise(new ValueError(`not enough values to unpack (expected at least ${before + after}, got ${items.length})`));
  return [...items.slice(0, before), items.slice(before, rest), ...items.slice(rest)];
};

/** What an attribute of an unproven object gives: a method remembers its object. */
export const $bind = (x, value) => {
  return typeof value === 'function' ? value.bind(x) : value;
};

/** dataclasses.replace */
export const $replace = (x, changes) => {
  const positional = [], options = {}, { flags, keys } = $record(x);
  keys.slice(0, flags.length).forEach((key, i) => {
    const value = key in changes ? changes[key] : x[key];
    if ('*+'.includes(flags[i])) options[key] = value;
    else if (!'~!'.includes(flags[i])) positional.push(value);
  });
  return new x.constructor(...positional, ...(/[*+]/.test(flags) ? [options] : []));
};
