// Methods of list, dict and set on receivers whose type was not proven, and the functions over iterables.
// A receiver of no built-in type gets the method of that name called.
import { $cmp, $eq, $isDict as isDict, $isList as isList, $isSet as isSet, $isView as isView, $iter } from './core.js';
import { $raise, IndexError, KeyError, StopAsyncIteration, StopIteration, ValueError } from './errors.js';
import { $m_find } from './text.js';

export const $m_append = (x, item) => isList(x) ? void x.push(item) : x.append(item);
export const $m_extend = (x, items) => {
  if (!isList(x)) return x.extend(items);
  for (const item of isList(items) ? items.slice() : $iter(items)) x.push(item);
};
export const $m_insert = (x, i, item) => isList(x) ? void x.splice(i, 0, item) : x.insert(i, item);
export const $m_pop = (x, k, otherwise) => {
  if (isList(x)) {
    const at = k === undefined ? x.length - 1 : k < 0 ? k + x.length : k;
    if (!(at >= 0 && at < x.length)) $raise(new IndexError(x.length ? 'pop index out of range' : 'pop from empty list'));
    return at === x.length - 1 ? x.pop() : x.splice(at, 1)[0];
  }
  if (isDict(x)) {
    if (x.has(k)) {
      const value = x.get(k);
      x.delete(k);
      return value;
    }
    if (otherwise === undefined) $raise(new KeyError(k));
    return otherwise;
  }
  if (isSet(x)) {
    if (x.size === 0) $raise(new KeyError('pop from an empty set'));
    const [first] = x;
    x.delete(first);
    return first;
  }
  return x.pop(k, otherwise);
};
const found = (at, message = 'value is not in list') => at < 0 ? $raise(new ValueError(message)) : at;
export const $listIndex = (x, item, from, to) => {
  const start = from == null ? 0 : from < 0 ? Math.max(0, from + x.length) : from;
  return found(x.findIndex((other, i) => i >= start && (to == null || i < to) && $eq(other, item)));
};
export const $m_index = (x, item, from, to) => {
  if (isList(x)) return $listIndex(x, item, from, to);
  if (typeof x === 'string' || isView(x)) return found($m_find(x, item, from, to), typeof x === 'string' ? 'substring not found' : undefined);
  return x.index(item, from, to);
};
export const $listRemove = (x, item) => void x.splice($listIndex(x, item), 1);
export const $m_remove = (x, item) => {
  if (isList(x)) $listRemove(x, item);
  else if (isSet(x)) {
    if (!x.delete(item)) $raise(new KeyError(item));
  } else return x.remove(item);
};
export const $m_reverse = (x) => isList(x) ? void x.reverse() : x.reverse();
export const $m_clear = (x) => {
  if (isList(x)) x.length = 0;
  else return x.clear();
};
export const $m_copy = (x) => isList(x) || isView(x) ? x.slice() : isDict(x) ? new Map(x) : isSet(x) ? new Set(x) : x.copy();
export const $m_count = (x, item) => {
  if (typeof x === 'string') return item === '' ? x.length + 1 : x.split(item).length - 1;
  if (isList(x)) return x.reduce((n, other) => n + ($eq(other, item) ? 1 : 0), 0);
  return x.count(item);
};
export const $m_sort = (x, key, reverse) => {
  const items = $sorted(x, key, reverse);
  for (let i = 0; i < items.length; i++) x[i] = items[i];
};

export const $words = (text) => text.split(' ');
export const $optionNames = (options) => Object.keys(options ?? {});
export const $emptyDict = () => new Map();
/** A dict whose keys are words: a literal that takes less room than one of pairs. */
export const $dict = (keys, ...values) => {
  const map = new Map();
  keys.split(' ').forEach((key, i) => map.set(key, values[i]));
  return map;
};
export function $m_get(x, k, otherwise = null) {
  if (!isDict(x)) return arguments.length > 2 ? x.get(k, otherwise) : x.get(k);
  const value = x.get(k);
  return value === undefined ? otherwise : value;
}
export const $m_items = (x) => isDict(x) ? [...x] : x.items();
export const $m_keys = (x, ...rest) => isDict(x) ? [...x.keys()] : x.keys(...rest);
export const $m_values = (x, ...rest) => isDict(x) ? [...x.values()] : x.values(...rest);
export const $m_setdefault = (x, k, otherwise = null) => {
  if (!isDict(x)) return x.setdefault(k, otherwise);
  if (!x.has(k)) x.set(k, otherwise);
  return x.get(k);
};
export const $dictUpdate = (x, other) => {
  for (const [k, v] of other) x.set(k, v);
};
export const $setUpdate = (x, items) => {
  for (const item of $iter(items)) x.add(item);
};
export function $m_update(x, other) {
  if (isDict(x)) $dictUpdate(x, other);
  else if (isSet(x)) $setUpdate(x, other);
  else return x.update(...[...arguments].slice(1));
}
export const $m_popitem = (x) => {
  if (x.size === 0) $raise(new KeyError('popitem(): dictionary is empty'));
  const last = [...x].at(-1);
  x.delete(last[0]);
  return last;
};
export const $pairs = (x) => isDict(x) ? x : [...$iter(x)];

export const $m_add = (x, ...items) => x.add(...items);
export const $m_discard = (x, item) => isSet(x) ? void x.delete(item) : x.discard(item);
export const $m_union = (x, ...others) => new Set([x, ...others].flatMap((other) => [...$iter(other)]));
export const $m_intersection = (x, other) => {
  const kept = new Set($iter(other));
  return new Set([...x].filter((item) => kept.has(item)));
};
export const $m_difference = (x, other) => {
  const dropped = new Set($iter(other));
  return new Set([...x].filter((item) => !dropped.has(item)));
};
export const $m_symmetricDifference = (x, other) => $m_union($m_difference(x, other), $m_difference(new Set($iter(other)), x));
export const $m_issubset = (x, other) => $m_difference(x, other).size === 0;
export const $m_issuperset = (x, other) => [...$iter(other)].every((item) => x.has(item));
export const $m_isdisjoint = (x, other) => $m_intersection(x, other).size === 0;

/** Generators: close() ends them; other objects have a method of that name. */
export const $m_close = (x) => x.close ? x.close() : void x.return();
export const $m_aclose = (x) => x.aclose ? x.aclose() : x.return();

// -- over iterables ----------------------------------------------------------------------------------------------------

export const $sorted = (items, key, reverse) => {
  const order = (a, b) => (typeof a === 'number' && typeof b === 'number' ? a - b : $cmp(a, b));
  const sign = reverse ? -1 : 1;
  if (!key) return [...$iter(items)].sort((a, b) => sign * order(a, b));
  return Array.from($iter(items), (item) => [key(item), item]).sort((a, b) => sign * order(a[0], b[0])).map((pair) => pair[1]);
};

const extreme = (items, key, otherwise, sign, name) => {
  let best, bestKey, any = false;
  for (const item of $iter(items)) {
    const value = key ? key(item) : item;
    if (!any || (typeof value === 'number' && typeof bestKey === 'number' ? sign * (value - bestKey) < 0 : sign * $cmp(value, bestKey) < 0)) {
      best = item;
      bestKey = value;
    }
    any = true;
  }
  if (any) return best;
  if (otherwise === undefined) $raise(new ValueError(`${name}() arg is an empty sequence`));
  return otherwise;
};
export const $min = (items, key, otherwise) => extreme(items, key, otherwise, 1, 'min');
export const $max = (items, key, otherwise) => extreme(items, key, otherwise, -1, 'max');

export const $any = (items, test) => {
  for (const item of items) if (test ? test(item) : isTrue(item)) return true;
  return false;
};
export const $all = (items, test) => {
  for (const item of items) if (!(test ? test(item) : isTrue(item))) return false;
  return true;
};
const isTrue = (x) => {
  if (!x || typeof x !== 'object') return !!x || x !== x;
  const size = isList(x) || isView(x) ? x.length : isDict(x) || isSet(x) ? x.size : x.__len__ ? x.__len__() : 1;
  return size > 0;
};

export function* $enumerate(items, start = 0) {
  let i = start;
  for (const item of $iter(items)) yield [i++, item];
}
export function* $zip(...sources) {
  const iterators = sources.map((source) => $iter(source)[Symbol.iterator]());
  while (iterators.length > 0) {
    const row = [];
    for (const iterator of iterators) {
      const { value, done } = iterator.next();
      if (done) return;
      row.push(value);
    }
    yield row;
  }
}
export function* $zipStrict(...sources) {
  const lists = sources.map((source) => [...$iter(source)]);
  if (lists.some((list) => list.length !== lists[0].length)) $raise(new ValueError('zip() arguments have different lengths'));
  yield* $zip(...lists);
}
export function* $map(f, ...sources) { for (const row of $zip(...sources)) yield f(...row); }
export function* $filter(f, items) { for (const item of $iter(items)) if (isTrue(f ? f(item) : item)) yield item; }
export const $reversed = (x) => typeof x === 'string' ? [...x].reverse() : [...$iter(x)].reverse();
/** [make(0), ..., make(count - 1)] */
export const $listOf = (count, make) => {
  const out = [];
  for (let i = 0; i < count; i++) out.push(make(i));
  return out;
};
export const $range = (from, to, step = 1) => {
  const [start, stop] = to === undefined ? [0, from] : [from, to];
  if (step === 0) $raise(new ValueError('range() arg 3 must not be zero'));
  return $listOf(Math.ceil((stop - start) / step), (i) => start + i * step);
};
export const $next = (iterator, otherwise) => {
  const { value, done } = iterator.next();
  if (!done) return value;
  if (otherwise === undefined) throw new StopIteration();
  return otherwise;
};
export const $anext = async (iterator, otherwise) => {
  const { value, done } = await (iterator.next ? iterator : iterator[Symbol.asyncIterator]()).next();
  if (!done) return value;
  if (otherwise === undefined) throw new StopAsyncIteration();
  return otherwise;
};
