// Attention in one kernel. For a block of queries of one head: scores = Q K^T by the packed matrix product, softmax of whole rows
// (so NaN and fully masked rows come out as the separate operators would give them), then scores times packed V.
#include "dense.h"

enum { QUERY_ROWS = 48 };

// Where each argument word lies.
enum {
  Q, KEY, VALUE, MASK, OUT, BATCH, HEADS, S, T, D, DV, GROUP,
  Q_B, Q_H, Q_S, Q_D, K_B, K_H, K_T, K_D, V_B, V_H, V_T, V_D, O_B, O_H, O_S, O_D, M_B, M_H, M_S, M_T,
  MASK_TYPE, FILL, SCALE, SOFTCAP, CAUSAL, CAUSAL_OFFSET, GUARD, SCRATCH
};

enum { MASK_NONE, MASK_ADDED, MASK_KEEP, MASK_DROP, MASK_ADD_WHERE_FALSE };

// Masks that are not simply added along contiguous keys.
static void mask_row(float *x, int n, const int32_t *a, ptrdiff_t at) {
  const ptrdiff_t step = a[M_T];
  const int type = a[MASK_TYPE];
  const float fill = REAL(FILL);
  const float *added = FLOATS(MASK) + at;
  const uint8_t *flags = BYTES(MASK) + at;
  FEW for (int i = 0; i < n; i++) {
    if (type == MASK_ADDED) {
      x[i] += added[i * step];
    } else if ((flags[i * step] != 0) == (type == MASK_DROP)) {
      x[i] = type == MASK_ADD_WHERE_FALSE ? x[i] + fill : fill;
    }
  }
}

// One row of products to exponentials; returns their sum (0 if the query sees nothing: then the results are 0 / 0). `query` is the row's number in the sequence.
static float exponentials(float *x, const int32_t *a, int b, int h, int query) {
  const int n = a[T];
  const float scale = REAL(SCALE);
  const ptrdiff_t at = (ptrdiff_t)b * a[M_B] + (ptrdiff_t)h * a[M_H] + (ptrdiff_t)query * a[M_S];
  int seen = n;
  float max;
  if (a[CAUSAL]) {
    seen = query + a[CAUSAL_OFFSET] + 1;
    seen = seen < 0 ? 0 : min_int(seen, n);
  }
  if (a[MASK_TYPE] == MASK_ADDED && a[M_T] == 1 && !a[SOFTCAP]) {
    const float *mask = FLOATS(MASK) + at;
    v128_t most = splat(-__builtin_inff());
    int i = 0;
    for (; i + 4 <= seen; i += 4) {
      const v128_t v = wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(x + i), splat(scale)), wasm_v128_load(mask + i));
      wasm_v128_store(x + i, v);
      most = wasm_f32x4_pmax(most, v);
    }
    FEW for (; i < seen; i++) {
      x[i] = x[i] * scale + mask[i];
      most = wasm_f32x4_pmax(most, splat(x[i]));
    }
    max = max_f32x4(most);
  } else {
    if (a[SOFTCAP]) {
      const float cap = REAL(SOFTCAP);
      scale_row(x, seen, scale / cap);
      activate(ACT_TANH, x, 1, seen, seen);
      scale_row(x, seen, cap);
    } else {
      scale_row(x, seen, scale);
    }
    if (a[MASK_TYPE]) mask_row(x, seen, a, at);
    max = max_row(x, seen);
  }
  const float sum = exp_row(x, x, seen, max);
  FEW for (int i = seen; i < n; i++) x[i] = 0.0f;
  return sum;
}

int k_sdpa_f32(const int32_t *a) {
  const int s = a[S], t = a[T], d = a[D], dv = a[DV];
  const int block = min_int(s, QUERY_ROWS), t8 = round_panel(t), dv8 = round_panel(dv);
  float *keys = FLOATS(SCRATCH), *values = keys + (size_t)t8 * d, *scores = values + (size_t)dv8 * t;
  float *queries = scores + (size_t)block * t8, *results = queries + (size_t)block * d;
  for (int b = 0; b < a[BATCH]; b++) {
    const float *packed_k = 0, *packed_v = 0;
    for (int h = 0; h < a[HEADS]; h++) {
      const int kv = h / a[GROUP];
      const float *q = FLOATS(Q) + (ptrdiff_t)b * a[Q_B] + (ptrdiff_t)h * a[Q_H];
      const float *k = FLOATS(KEY) + (ptrdiff_t)b * a[K_B] + (ptrdiff_t)kv * a[K_H];
      const float *v = FLOATS(VALUE) + (ptrdiff_t)b * a[V_B] + (ptrdiff_t)kv * a[V_H];
      float *out = FLOATS(OUT) + (ptrdiff_t)b * a[O_B] + (ptrdiff_t)h * a[O_H];
      if (k != packed_k) pack_panels(k, keys, d, t, a[K_D], a[K_T]);
      if (v != packed_v) pack_panels(v, values, t, dv, a[V_T], a[V_D]);
      packed_k = k;
      packed_v = v;
      for (int row = 0; row < s; row += block) {
        const int rows = min_int(block, s - row);
        const float *from = q + (ptrdiff_t)row * a[Q_S];
        int ldq = a[Q_S];
        if (a[Q_D] != 1) {
          for (int r = 0; r < rows; r++) {
            FEW for (int i = 0; i < d; i++) queries[(size_t)r * d + i] = from[(ptrdiff_t)r * a[Q_S] + (ptrdiff_t)i * a[Q_D]];
          }
          from = queries;
          ldq = d;
        }
        Gemm qk = {from, keys, scores, 0, 0, rows, t, d, ldq, t8, 0, 1.0f, ACT_NONE, 0, 0, 0};
        gemm_packed(&qk);
        float sums[QUERY_ROWS];
        for (int r = 0; r < rows; r++) sums[r] = exponentials(scores + (size_t)r * t8, a, b, h, row + r);
        float *to = out + (ptrdiff_t)row * a[O_S];
        const int direct = a[O_D] == 1;
        Gemm pv = {scores, values, direct ? to : results, 0, 0, rows, dv, t, t8, direct ? a[O_S] : dv8, 0, 1.0f, ACT_NONE, 0, 0, 0};
        gemm_packed(&pv);
        for (int r = 0; r < rows; r++) {  // there are fewer results than scores: so they are what is divided by the sums
          if (a[GUARD] && !(sums[r] > 0.0f)) {  // the graph makes 0 of a query that sees nothing
            FEW for (int i = 0; i < dv; i++) to[(ptrdiff_t)r * a[O_S] + (ptrdiff_t)i * a[O_D]] = 0.0f;
            continue;
          }
          if (direct) {
            scale_row(to + (ptrdiff_t)r * a[O_S], dv, 1.0f / sums[r]);
            continue;
          }
          FEW for (int i = 0; i < dv; i++) {
            to[(ptrdiff_t)r * a[O_S] + (ptrdiff_t)i * a[O_D]] = results[(size_t)r * dv8 + i] * (1.0f / sums[r]);
          }
        }
      }
    }
  }
  return 0;
}
