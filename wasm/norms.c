// Normalisations and softmax along rows.
#include "dense.h"

// NaN may be passed over: it shows in the sum of exponentials.
float max_row(const float *x, int n) {
  if (n <= 0) return -__builtin_inff();
  v128_t m = splat(x[0]);
  int i = 0;
  for (; i + 4 <= n; i += 4) m = wasm_f32x4_pmax(m, wasm_v128_load(x + i));
  FEW for (; i < n; i++) m = wasm_f32x4_pmax(m, wasm_v128_load32_splat(x + i));
  return max_f32x4(m);
}

float exp_row(const float *x, float *y, int n, float max) {
  v128_t sum = splat(0), m = splat(max);
  for (int i = 0; i < n; i += 4) {
    v128_t e = exp_f32x4(wasm_f32x4_sub(load_some(x + i, n - i), m));
    if (n - i < 4) {  // lanes past the end do not count
      float last[4] = {0, 0, 0, 0};
      store_part(last, e, n - i);
      e = wasm_v128_load(last);
    }
    if (y) store_some(y + i, e, n - i);
    sum = wasm_f32x4_add(sum, e);
  }
  return sum_f32x4(sum);
}

void scale_row(float *x, int n, float factor) {
  for (int i = 0; i < n; i += 4) store_some(x + i, wasm_f32x4_mul(load_some(x + i, n - i), splat(factor)), n - i);
}

// log(x) for x >= 1 or NaN or infinity: a sum of exponentials of which the largest is 1. Relative to 1e-7 of max(1, log x).
static float log_of_sum(float x) {
  union {
    float f;
    int32_t i;
  } u = {x};
  if (!(x < __builtin_inff())) return x;
  int e = (u.i - 0x3f3504f3) >> 23;  // mantissa in [sqrt(1/2), sqrt(2))
  u.i -= e << 23;
  const double s = ((double)u.f - 1.0) / ((double)u.f + 1.0), t = s * s;
  const double series = 2.0 * s * (1.0 + t * (1.0 / 3 + t * (1.0 / 5 + t * (1.0 / 7 + t * (1.0 / 9)))));
  return (float)(series + e * 0.69314718055994531);
}

// inner == 1 is the usual case; otherwise columns are gathered, 4 at a time, through vectors.
static int softmax(const int32_t *a, int logarithm) {
  const float *X = FLOATS(0);
  float *Y = FLOATS(1);
  const int outer = a[2], n = a[3], inner = a[4];
  if (n <= 0) return 0;
  for (int o = 0; o < outer; o++) {
    const float *x = X + (size_t)o * n * inner;
    float *y = Y + (size_t)o * n * inner;
    if (inner == 1) {
      const float max = max_row(x, n);
      const float sum = exp_row(x, logarithm ? 0 : y, n, max);
      if (!logarithm) {
        scale_row(y, n, 1.0f / sum);
        continue;
      }
      const float log = log_of_sum(sum);
      FEW for (int i = 0; i < n; i++) y[i] = (x[i] - max) - log;
      continue;
    }
    for (int c = 0; c < inner; c += 4) {
      const int part = inner - c;
      v128_t max = load_some(x + c, part), sum = splat(0);
      for (int i = 1; i < n; i++) max = wasm_f32x4_pmax(max, load_some(x + (size_t)i * inner + c, part));
      for (int i = 0; i < n; i++) {
        const size_t at = (size_t)i * inner + c;
        v128_t difference = wasm_f32x4_sub(load_some(x + at, part), max), e = exp_f32x4(difference);
        store_some(y + at, logarithm ? difference : e, part);
        sum = wasm_f32x4_add(sum, e);
      }
      v128_t last = wasm_f32x4_div(splat(1.0f), sum);
      if (logarithm) {
        float sums[4];
        wasm_v128_store(sums, sum);
        FEW for (int i = 0; i < 4; i++) sums[i] = log_of_sum(sums[i]);
        last = wasm_v128_load(sums);
      }
      for (int i = 0; i < n; i++) {
        const size_t at = (size_t)i * inner + c;
        v128_t v = load_some(y + at, part);
        store_some(y + at, logarithm ? wasm_f32x4_sub(v, last) : wasm_f32x4_mul(v, last), part);
      }
    }
  }
  return 0;
}

int k_softmax_f32(const int32_t *a) { return softmax(a, 0); }

int k_log_softmax_f32(const int32_t *a) { return softmax(a, 1); }

// y = (v - mean(v)) / sqrt(mean((v - mean)^2) + eps) * gamma + beta; without `centre` the mean is taken as 0.
static void norm_row(const float *v, float *y, const float *gamma, const float *beta, int n, float epsilon, int centre) {
  int i;
  float mean = 0.0f;
  if (centre) {
    v128_t sums[4] = {splat(0), splat(0), splat(0), splat(0)};
    for (i = 0; i + 16 <= n; i += 16) {
      UNROLL for (unsigned j = 0; j < 4; j++) sums[j] = wasm_f32x4_add(sums[j], wasm_v128_load(v + i + 4u * j));
    }
    FEW for (; i < n; i += 4) sums[0] = wasm_f32x4_add(sums[0], load_some(v + i, n - i));
    mean = sum_f32x4(wasm_f32x4_add(wasm_f32x4_add(sums[0], sums[1]), wasm_f32x4_add(sums[2], sums[3]))) / (float)n;
  }
  const v128_t m = splat(mean);
  v128_t squares[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (i = 0; i + 16 <= n; i += 16) {
    UNROLL for (unsigned j = 0; j < 4; j++) {
      v128_t d = wasm_f32x4_sub(wasm_v128_load(v + i + 4u * j), m);
      squares[j] = madd(d, d, squares[j]);
    }
  }
  float variance = sum_f32x4(wasm_f32x4_add(wasm_f32x4_add(squares[0], squares[1]), wasm_f32x4_add(squares[2], squares[3])));
  FEW for (; i < n; i++) variance += (v[i] - mean) * (v[i] - mean);
  const v128_t f = splat(1.0f / __builtin_sqrtf(variance / (float)n + epsilon));
#define NORMALISE(load, store)                                    \
  {                                                               \
    v128_t d = wasm_f32x4_mul(wasm_f32x4_sub(load(v + i), m), f); \
    if (gamma) d = wasm_f32x4_mul(d, load(gamma + i));            \
    if (beta) d = wasm_f32x4_add(d, load(beta + i));              \
    store(y + i, d);                                              \
  }
  for (i = 0; i + 4 <= n; i += 4) NORMALISE(wasm_v128_load, wasm_v128_store)
  if (i < n) {
#define LOAD(p) load_part(p, n - i)
#define STORE(p, value) store_part(p, value, n - i)
    NORMALISE(LOAD, STORE)
  }
}

static int norm(const int32_t *a, int centre) {
  const int rows = a[7], n = a[8], skip_rows = a[9];
  const float *x = FLOATS(0), *bias = FLOATS(2);
  float *y = FLOATS(5), *sum = FLOATS(6);
  int skip_row = 0;
  for (int r = 0; r < rows; r++, x += n, y += n) {
    const float *skip = a[1] ? FLOATS(1) + (size_t)skip_row * n : 0;
    if (++skip_row == skip_rows) skip_row = 0;
    const float *v = x;
    if (skip || bias || sum) {
      float *to = sum ? sum : y;
      int i = 0;
#define ADD(load, store)                                      \
  {                                                           \
    v128_t s = load(x + i);                                   \
    if (skip) s = wasm_f32x4_add(s, load(skip + i));          \
    if (bias) s = wasm_f32x4_add(s, load(bias + i));          \
    store(to + i, s);                                         \
  }
      for (; i + 4 <= n; i += 4) ADD(wasm_v128_load, wasm_v128_store)
      if (i < n) ADD(LOAD, STORE)
      v = to;
      if (sum) sum += n;
    }
    norm_row(v, y, FLOATS(3), FLOATS(4), n, REAL(10), centre);
  }
  return 0;
}

int k_layer_norm_f32(const int32_t *a) { return norm(a, 1); }

int k_rms_norm_f32(const int32_t *a) { return norm(a, 0); }

int k_embed_norm_f32(const int32_t *a) {
  float *Y = FLOATS(14), *sums = FLOATS(15);
  const int rows = a[16], n = a[17], period = a[18];
  for (int r = 0; r < rows; r++) {
    float *to = (sums ? sums : Y) + (size_t)r * n;
    fill_bytes(to, 0, (size_t)n * 4);
    for (int t = 0; t < 3; t++) {
      const int32_t *w = a + 4 * t;
      if (!w[2]) continue;
      const int at = t == 1 ? r % period : r;
      int64_t id = t == 1 ? at : 0;
      if (w[0]) id = w[1] == 7 ? ((const int64_t *)w[0])[at] : ((const int32_t *)w[0])[at];
      if (id < 0) id += w[3];
      if (id < 0 || id >= w[3]) return ERROR_INDEX;
      const float *row = (const float *)w[2] + (size_t)id * n;
      for (int i = 0; i < n; i += 4) {
        store_some(to + i, wasm_f32x4_add(load_some(to + i, n - i), load_some(row + i, n - i)), n - i);
      }
    }
    if (Y) norm_row(to, Y + (size_t)r * n, FLOATS(12), FLOATS(13), n, REAL(19), 1);
  }
  return 0;
}

int k_pool_tokens(const int32_t *a) {
  const float *x = FLOATS(0), *mask = FLOATS(1);
  float *y = FLOATS(2);
  const int s = a[4], w = a[5], flags = a[6];
  for (int b = a[3]; b > 0; b--, x += (size_t)s * w, mask += s, y += w) {
    int first = 0, count = 0;
    FEW for (int r = s - 1; r >= 0; r--) {
      if (mask[r] != 0.0f) {
        first = r;
        count++;
      }
    }
    const int from = flags & 1 ? first : 0, to = flags & 1 ? first + 1 : s;
    const v128_t divisor = wasm_f64x2_splat(flags & 1 || !count ? 1 : count);
    for (int i = 0; i < w; i += 4) {
      v128_t low = wasm_f64x2_const(0, 0), high = low;
#pragma clang loop unroll(disable)
      for (int r = from; r < to; r++) {
        if (mask[r] == 0.0f && !(flags & 1)) continue;
        const v128_t v = load_some(x + (size_t)r * w + i, w - i);
        low = wasm_f64x2_add(low, wasm_f64x2_promote_low_f32x4(v));
        high = wasm_f64x2_add(high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(v, v, 2, 3, 0, 1)));
      }
      low = wasm_f32x4_demote_f64x2_zero(wasm_f64x2_div(low, divisor));
      high = wasm_f32x4_demote_f64x2_zero(wasm_f64x2_div(high, divisor));
      store_some(y + i, wasm_i32x4_shuffle(low, high, 0, 1, 4, 5), w - i);
    }
    if (flags & 2) {
      double squares = 0;
      FEW for (int i = 0; i < w; i++) squares += (double)y[i] * y[i];
      const double length = squares > 0 ? __builtin_sqrt(squares) : 1;
      FEW for (int i = 0; i < w; i++) y[i] = (float)(y[i] / length);
    }
  }
  return 0;
}
