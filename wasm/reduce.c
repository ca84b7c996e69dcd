// Reductions, and kernels that work along one axis: arg_reduce, cumulate, top_k.
#include "elements.h"
#include "math64.h"

enum { R_SUM, R_MEAN, R_MAX, R_MIN, R_PROD, R_L1, R_L2, R_SUM_SQUARE, R_LOG_SUM, R_LOG_SUM_EXP };

// In one loop around the cases: short.
#define FOLD(EXPRESSION) \
  s = (EXPRESSION);      \
  break

// Fold n values into one accumulator (step 0) or into n (step 1). Eight sums at a time, so that they are both fast and exact.
static void fold_f64(int op, double *acc, const double *x, int n, int step, const double *shift) {
  double s = acc[0];
  int i = 0;
  const int sums = op <= R_MEAN || op == R_LOG_SUM;
  if (sums && step) {
    for (; i < n; i++) acc[i] += x[i];
  } else if (sums) {
    v128_t p = wasm_f64x2_splat(0), q = p;
#pragma clang loop unroll_count(4)
    for (; i + 4 <= n; i += 4) {
      p = wasm_f64x2_add(p, wasm_v128_load(x + i));
      q = wasm_f64x2_add(q, wasm_v128_load(x + i + 2));
    }
    p = wasm_f64x2_add(p, q);
    s += wasm_f64x2_extract_lane(p, 0) + wasm_f64x2_extract_lane(p, 1);
  }
  _Pragma("clang loop unroll(disable) vectorize(disable)") for (; i < n; i++) {
    const double v = x[i];
    if (step) s = acc[i];
    switch (op) {
      case R_MAX: FOLD(v > s || v != v ? v : s);
      case R_MIN: FOLD(v < s || v != v ? v : s);
      case R_PROD: FOLD(s * v);
      case R_L1: FOLD(s + __builtin_fabs(v));
      case R_L2: case R_SUM_SQUARE: FOLD(s + v * v);
      case R_LOG_SUM_EXP: FOLD(s + exp_f64(v - shift[step ? i : 0]));
      default: FOLD(s + v);
    }
    if (step) acc[i] = s;
  }
  if (!step) acc[0] = s;
}

SMALL_CODE

static void fold_i64(int op, int is_unsigned, int64_t *acc, const int64_t *x, int n, int step) {
  int64_t s = acc[0];
  const int64_t flip = is_unsigned ? INT64_MIN : 0;
  _Pragma("clang loop unroll(disable) vectorize(disable)") for (int i = 0; i < n; i++) {
    const int64_t v = x[i];
    if (step) s = acc[i];
    switch (op) {
      case R_MAX: FOLD((v ^ flip) > (s ^ flip) ? v : s);
      case R_MIN: FOLD((v ^ flip) < (s ^ flip) ? v : s);
      case R_PROD: FOLD((int64_t)((uint64_t)s * (uint64_t)v));
      case R_L1: FOLD((int64_t)((uint64_t)s + (uint64_t)(v < 0 && !is_unsigned ? -(uint64_t)v : (uint64_t)v)));
      case R_L2: case R_SUM_SQUARE: FOLD((int64_t)((uint64_t)s + (uint64_t)v * (uint64_t)v));
      default: FOLD((int64_t)((uint64_t)s + (uint64_t)v));
    }
    if (step) acc[i] = s;
  }
  if (!step) acc[0] = s;
}

// The bounds of an integer type, as they travel in an int64.
static int64_t bound(int type, int largest) {
  int bits = item_size(type) * 8;
  int is_unsigned = type == U8 || type == U16 || type == U32 || type == U64 || type == BOOL;
  if (type == BOOL) return largest;
  if (is_unsigned) return largest ? (int64_t)(~0ull >> (64 - bits)) : 0;
  return largest ? (int64_t)(~0ull >> (65 - bits)) : -(int64_t)(~0ull >> (65 - bits)) - 1;
}

static double finish_f64(int op, double s, double shift, double count) {
  switch (op) {
    case R_MEAN: return s / count;
    case R_L2: return __builtin_sqrt(s);
    case R_LOG_SUM: return log_f64(s);
    case R_LOG_SUM_EXP: return log_f64(s) + shift;
    default: return s;
  }
}

static int64_t finish_i64(int op, int type, int64_t s, int64_t count) {
  double real = type == U64 ? (double)(uint64_t)s : (double)s;
  switch (op) {
    case R_MEAN: return count == 0 ? 0 : type == U64 ? (int64_t)((uint64_t)s / (uint64_t)count) : s / count;
    case R_L2: return __builtin_wasm_trunc_saturate_s_i64_f64(__builtin_sqrt(real));
    case R_LOG_SUM: return __builtin_wasm_trunc_saturate_s_i64_f64(log_f64(real));
    default: return s;
  }
}

typedef struct {
  int op, type;
  const void *x;
  int rank;  // of the reduced dims
  const word *dims, *strides;
} Reduction;

// Fold everything that is reduced into acc[0..m): m outputs whose first elements lie `stride` apart from `base` on.
static void fold_all(const Reduction *r, int op, int base, int stride, int m, double *acc, const double *shift) {
  double buffer[BLOCK];
  int real = is_float(r->type);
  Walk w;
  if (!walk_begin(&w, r->rank, r->dims, 1, r->strides)) return;
  int n = r->dims[r->rank - 1], s = r->strides[r->rank - 1];
  do {
    int at = base + w.offset[0];
    if (stride) {
      for (int j = 0; j < n; j++, at += s) {
        if (real) {
          fold_f64(op, acc, view_f64(r->type, r->x, at, stride, m, buffer), m, 1, shift);
        } else {
          fold_i64(op, r->type == U64, (int64_t *)acc, view_i64(r->type, r->x, at, stride, m, (int64_t *)buffer), m, 1);
        }
      }
    } else {
      for (int j = 0; j < n; j += BLOCK) {
        int k = n - j < BLOCK ? n - j : BLOCK;
        if (real) {
          fold_f64(op, acc, view_f64(r->type, r->x, at + j * s, s, k, buffer), k, 0, shift);
        } else {
          fold_i64(op, r->type == U64, (int64_t *)acc, view_i64(r->type, r->x, at + j * s, s, k, (int64_t *)buffer), k, 0);
        }
      }
    }
  } while (walk_next(&w));
}

// m outputs, of which the first is number `at_y`.
static void reduce_block(const Reduction *r, int base, int stride, int m, void *y, int at_y, double count) {
  double acc[BLOCK], shift[BLOCK];
  int64_t *whole = (int64_t *)acc;
  int real = is_float(r->type), op = r->op;
  if (op == R_LOG_SUM_EXP) {
    for (int i = 0; i < m; i++) shift[i] = -__builtin_inf();
    fold_all(r, R_MAX, base, stride, m, shift, shift);
    for (int i = 0; i < m; i++) {
      if (__builtin_fabs(shift[i]) == __builtin_inf()) shift[i] = 0;
    }
  }
  double first = op == R_MAX ? -__builtin_inf() : op == R_MIN ? __builtin_inf() : op == R_PROD ? 1 : 0;
  int64_t first_whole = op == R_MAX ? bound(r->type, 0) : op == R_MIN ? bound(r->type, 1) : op == R_PROD ? 1 : 0;
  for (int i = 0; i < m; i++) {
    if (real) {
      acc[i] = first;
    } else {
      whole[i] = first_whole;
    }
  }
  fold_all(r, op, base, stride, m, acc, shift);
  for (int i = 0; i < m; i++) {
    if (real) {
      acc[i] = finish_f64(op, acc[i], shift[i], count);
    } else {
      whole[i] = finish_i64(op, r->type, whole[i], (int64_t)count);
    }
  }
  if (real) {
    store_f64(r->type, y, at_y, m, acc);
  } else {
    store_i64(r->type, y, at_y, m, whole);
  }
}

KERNEL(reduce) {
  int kept = a[4], reduced = a[5];
  void *y = (void *)a[3];
  const word *dims = a + 6, *strides = dims + kept;
  Reduction r = {a[0], a[1], (const void *)a[2], reduced, strides + kept, strides + kept + reduced};
  double count = 1;
  for (int i = 0; i < reduced; i++) count *= r.dims[i];
  Walk w;
  if (!walk_begin(&w, kept, dims, 1, strides)) return 0;
  int n = dims[kept - 1], s = strides[kept - 1], at = 0;
  // Along the kept dim by vectors if it is the tighter one in memory.
  int across = s != 0 && s < r.strides[reduced - 1] && n > 1;
  do {
    int step = across ? BLOCK : 1;
    for (int i = 0; i < n; i += step) {
      int m = n - i < step ? n - i : step;
      reduce_block(&r, w.offset[0] + i * s, across ? s : 0, m, y, at, count);
      at += m;
    }
  } while (walk_next(&w));
  return 0;
}

// Integers that order as the elements do: NaN above all, -0 with 0; turned around where the least is wanted (NaN stays on top).
static void load_keys(int type, const void *x, int index, int stride, int n, int least, int64_t *keys) {
  if (is_float(type)) {
    double buffer[BLOCK];
    load_f64(type, x, index, stride, n, buffer);
    for (int i = 0; i < n; i++) {
      union {
        double d;
        int64_t i;
      } u = {(least ? -buffer[i] : buffer[i]) + 0.0};
      keys[i] = buffer[i] != buffer[i] ? INT64_MAX : u.i < 0 ? (int64_t)(0x8000000000000000ull - (uint64_t)u.i) : u.i;
    }
    return;
  }
  load_i64(type, x, index, stride, n, keys);
  for (int i = 0; i < n; i++) {
    if (type == U64) keys[i] ^= INT64_MIN;
    if (least) keys[i] = ~keys[i];
  }
}

KERNEL(arg_reduce) {
  int type = a[0], outer = a[3], n = a[4], inner = a[5], least = a[6] & 1, last = a[6] >> 1 & 1;
  const void *x = (const void *)a[1];
  int64_t *y = (int64_t *)a[2], keys[BLOCK];
  for (int o = 0; o < outer * inner; o++) {
    int base = o / inner * n * inner + o % inner, best = 0;
    int64_t key = INT64_MIN;
    for (int i = 0; i < n; i += BLOCK) {
      int m = n - i < BLOCK ? n - i : BLOCK;
      load_keys(type, x, base + i * inner, inner, m, least, keys);
      for (int j = 0; j < m; j++) {
        if (keys[j] > key || (last && keys[j] == key)) {
          key = keys[j];
          best = i + j;
        }
      }
    }
    y[o] = best;
  }
  return 0;
}

KERNEL(cumulate) {
  int type = a[0], outer = a[3], n = a[4], inner = a[5], exclusive = a[6] & 1, backwards = a[6] & 2, product = a[6] & 4;
  const void *x = (const void *)a[1];
  void *y = (void *)a[2];
  for (int o = 0; o < outer * inner; o++) {
    int at = o / inner * n * inner + o % inner, step = inner;
    if (backwards) {
      at += (n - 1) * inner;
      step = -inner;
    }
    double sum = product ? 1 : 0, v;
    int64_t whole_sum = product ? 1 : 0, whole;
    for (int i = 0; i < n; i++, at += step) {
      if (is_float(type)) {
        load_f64(type, x, at, 1, 1, &v);
        double next = product ? sum * v : sum + v;
        store_f64(type, y, at, 1, exclusive ? &sum : &next);
        sum = next;
      } else {
        load_i64(type, x, at, 1, 1, &whole);
        int64_t next = (int64_t)(product ? (uint64_t)whole_sum * (uint64_t)whole : (uint64_t)whole_sum + (uint64_t)whole);
        store_i64(type, y, at, 1, exclusive ? &whole_sum : &next);
        whole_sum = next;
      }
    }
  }
  return 0;
}

typedef struct {
  int64_t key;
  int index;
} Entry;

// Whether p ranks after q: a smaller key, or the same further back.
static int after(const Entry *p, const Entry *q) { return p->key < q->key || (p->key == q->key && p->index > q->index); }

// Let heap[i] sink until no entry below it ranks after it: the last of all is at the top.
static void sink(Entry *heap, int i, int size) {
  Entry moved = heap[i];
  for (;;) {
    int child = 2 * i + 1;
    if (child >= size) break;
    if (child + 1 < size && after(&heap[child + 1], &heap[child])) child++;
    if (!after(&heap[child], &moved)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = moved;
}

KERNEL(top_k) {
  int type = a[0], outer = a[4], n = a[5], inner = a[6], k = a[7], least = !a[8], item = item_size(type);
  const uint8_t *x = (const uint8_t *)a[1];
  uint8_t *values = (uint8_t *)a[2];
  int64_t *indices = (int64_t *)a[3], keys[BLOCK];
  Entry *heap = (Entry *)a[9];
  if (k == 0) return 0;
  for (int o = 0; o < outer * inner; o++) {
    int base = o / inner * n * inner + o % inner, size = 0;
    for (int i = 0; i < n; i += BLOCK) {
      int m = n - i < BLOCK ? n - i : BLOCK;
      load_keys(type, x, base + i * inner, inner, m, least, keys);
      for (int j = 0; j < m; j++) {
        Entry entry = {keys[j], i + j};
        if (size < k) {
          heap[size++] = entry;
          if (size == k) {
            for (int p = k / 2 - 1; p >= 0; p--) sink(heap, p, k);
          }
        } else if (after(&heap[0], &entry)) {
          heap[0] = entry;
          sink(heap, 0, k);
        }
      }
    }
    // Heap sort: the last goes to the end.
    for (int p = k - 1; p > 0; p--) {
      Entry entry = heap[0];
      heap[0] = heap[p];
      heap[p] = entry;
      sink(heap, 0, p);
    }
    int to = o / inner * k * inner + o % inner;
    for (int p = 0; p < k; p++) {
      int at = to + p * inner;
      if (indices) indices[at] = heap[p].index;
      if (values) copy_block(values + at * item, x + (base + heap[p].index * inner) * item, item);
    }
  }
  return 0;
}

END_SMALL_CODE
