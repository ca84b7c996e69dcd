"""Choosing among many logits, in loops over typed arrays; see host/port.py. JS only."""

from __future__ import annotations

from edgeflow.host.port import NumericArray

__pragma__('js', r'''
// 2^-k, 2^-(j/32) by square roots, which round alike everywhere, and ln 2 / 32 in two parts; the same as in cpython_logits.
const POWERS = Float64Array.from({ length: 1024 }, (_, k) => 2 ** -k);
const ROOTS = new Float64Array(32).fill(1);
for (let bit = 16, root = Math.sqrt(0.5); bit >= 1; bit /= 2, root = Math.sqrt(root)) {
  for (let j = 0; j < 32; ++j) if (j & bit) ROOTS[j] *= root;
}
const STEPS = 46.16624130844683, STEP_HIGH = 0.021660849390173098, STEP_LOW = 2.325192846878874e-12;
const BUCKETS = 1024;
''')


def highest(array: NumericArray) -> int:
    __pragma__('js', r'''
    let best = -1, top = -Infinity;
    for (let i = 0; i < array.length; ++i) {
      const x = array[i];
      if (x > top) {
        top = x;
        best = i;
      }
    }
    return best;
    ''')


# The operations and their order are those of cpython_logits: + and * round alike everywhere, Math.exp does not.
def exp_weights(array: NumericArray, top: float, temperature: float) -> NumericArray:
    __pragma__('js', r'''
    const weights = new Float64Array(array.length);
    for (let i = 0; i < array.length; ++i) {
      const x = (array[i] - top) / temperature;
      if (!(x > -700)) continue;
      const m = Math.floor(0.5 - x * STEPS), r = x + m * STEP_HIGH + m * STEP_LOW;
      weights[i] = (((((r / 120 + 1 / 24) * r + 1 / 6) * r + 0.5) * r + 1) * r + 1) * ROOTS[m & 31] * POWERS[m >> 5];
    }
    return weights;
    ''')


def weight_sum(weights: NumericArray) -> float:
    __pragma__('js', r'''
    let sum = 0;
    for (let i = 0; i < weights.length; ++i) sum += weights[i];
    return sum;
    ''')


def draw(weights: NumericArray, goal: float) -> int:
    __pragma__('js', r'''
    let sum = 0, last = 0;
    for (let i = 0; i < weights.length; ++i) {
      if (weights[i] > 0) {
        sum += weights[i];
        last = i;
        if (sum > goal) break;
      }
    }
    return last;
    ''')


# A histogram finds the bucket in which the goal is reached, then one of that bucket, until few are left to be sorted.
# Of few keys to be counted, each of as many blocks as four times that has its greatest; that many of these bound the search.
def cut(keys: NumericArray, weights: NumericArray | None, goal: float) -> float:
    __pragma__('js', r'''
    let items = null, count = keys.length, rest = goal, floor = -Infinity;
    const width = Math.floor(count / goal / 4);
    if (weights === null && width > 8) {
      const tops = new Float64Array(Math.ceil(count / width)).fill(-Infinity);
      for (let b = 0; b < tops.length; ++b) {
        let top = -Infinity;
        for (let i = b * width, end = Math.min(i + width, count); i < end; ++i) if (keys[i] > top) top = keys[i];
        tops[b] = top;
      }
      floor = tops.sort()[tops.length - Math.ceil(goal)];
      if (floor > -Infinity) {
        items = atLeast(keys, floor);
        count = items.length;
      }
    }
    const sums = new Float64Array(BUCKETS);
    for (;;) {
      let low = Infinity, high = -Infinity;
      for (let i = 0; i < count; ++i) {
        const x = keys[items === null ? i : items[i]];
        if (x > high) high = x;
        if (x < low && x > -Infinity) low = x;
      }
      if (!(low < high)) return high;
      const scale = (BUCKETS - 1) / (high - low);
      if (items !== null && (count <= 256 || scale === Infinity)) {
        for (const i of items.subarray(0, count).sort((a, b) => keys[b] - keys[a] || a - b)) {
          rest -= weights === null ? 1 : weights[i];
          if (rest <= 0) return keys[i];
        }
        return low;
      }
      sums.fill(0);
      for (let i = 0; i < count; ++i) {
        const item = items === null ? i : items[i], x = keys[item];
        if (x >= low) sums[Math.floor((high - x) * scale)] += weights === null ? 1 : weights[item];
      }
      let b = 0;
      while (b < BUCKETS && rest > sums[b]) rest -= sums[b++];
      if (b === BUCKETS) return low;
      let kept = 0;
      const left = items ?? new Int32Array(count);
      for (let i = 0; i < count; ++i) {
        const item = items === null ? i : items[i], x = keys[item];
        if (x >= low && Math.floor((high - x) * scale) === b) left[kept++] = item;
      }
      items = left;
      count = kept;
    }
    ''')


def at_least(keys: NumericArray, threshold: float) -> NumericArray:
    __pragma__('js', r'''
    const found = new Int32Array(keys.length);
    let count = 0;
    for (let i = 0; i < keys.length; ++i) if (keys[i] >= threshold) found[count++] = i;
    return found.slice(0, count);
    ''')


def take(array: NumericArray, indices: NumericArray) -> NumericArray:
    __pragma__('js', r'''
    const taken = new array.constructor(indices.length);
    for (let i = 0; i < indices.length; ++i) taken[i] = array[indices[i]];
    return taken;
    ''')


def typical_keys(array: NumericArray, weights: NumericArray, top: float, temperature: float) -> NumericArray:
    __pragma__('js', r'''
    const total = weightSum(weights), keys = new Float64Array(weights.length);
    let mean = 0;
    for (let i = 0; i < keys.length; ++i) if (weights[i] > 0) mean += weights[i] / total * ((array[i] - top) / temperature);
    for (let i = 0; i < keys.length; ++i) keys[i] = weights[i] > 0 ? -Math.abs((array[i] - top) / temperature - mean) : -Infinity;
    return keys;
    ''')
