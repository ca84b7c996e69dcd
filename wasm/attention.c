// Attention in one kernel. For a block of queries of one head: scores = Q K^T by the packed matrix product, softmax of whole rows
// (so NaN and fully masked rows come out as the separate operators would give them), then scores times packed V.
#include "dense.h"

enum { QUERY_ROWS = 48 };

// Where each argument word lies.
enum {
  Q, KEY, VALUE, MASK, OUT, BATCH, HEADS, S, T, D, DV, GROUP,
  Q_B, Q_H, Q_S, Q_D, K_B, K_H, K_T, K_D, V_B, V_H, V_T, V_D, O_B, O_H, O_S, O_D, M_B, M_H, M_S, M_T,
  MASK_TYPE, FILL, SCALE, SOFTCAP, CAUSAL, CAUSAL_OFFSET, SCRATCH
};

enum { MASK_NONE, MASK_ADDED, MASK_KEEP, MASK_DROP, MASK_ADD_WHERE_FALSE };

static void mask_row(float *x, int n, const int32_t *a, ptrdiff_t at) {
  const ptrdiff_t step = a[M_T];
  const float fill = REAL(FILL);
  if (a[MASK_TYPE] == MASK_ADDED) {
    const float *mask = FLOATS(MASK) + at;
    int i = 0;
    if (step == 1) {
      for (; i + 4 <= n; i += 4) wasm_v128_store(x + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(mask + i)));
    }
    for (; i < n; i++) x[i] += mask[i * step];
    return;
  }
  const uint8_t *mask = BYTES(MASK) + at;
  if (a[MASK_TYPE] == MASK_ADD_WHERE_FALSE) {
    for (int i = 0; i < n; i++) {
      if (!mask[i * step]) x[i] += fill;
    }
    return;
  }
  const int drop = a[MASK_TYPE] == MASK_DROP;
  for (int i = 0; i < n; i++) {
    if ((mask[i * step] != 0) == drop) x[i] = fill;
  }
}

// One row of scores to probabilities; `query` is the row's number in the sequence.
static void probabilities(float *x, const int32_t *a, int b, int h, int query) {
  const int n = a[T];
  int seen = n;
  if (a[SOFTCAP]) {
    const float cap = REAL(SOFTCAP);
    scale_row(x, n, 1.0f / cap);
    activate(ACT_TANH, x, 1, n, n);
    scale_row(x, n, cap);
  }
  if (a[MASK_TYPE]) mask_row(x, n, a, (ptrdiff_t)b * a[M_B] + (ptrdiff_t)h * a[M_H] + (ptrdiff_t)query * a[M_S]);
  if (a[CAUSAL]) {
    seen = query + a[CAUSAL_OFFSET] + 1;
    seen = seen < 0 ? 0 : min_int(seen, n);
    for (int i = seen; i < n; i++) x[i] = -__builtin_inff();
    if (seen == 0) seen = n;  // nothing to see: NaN, as softmax gives it
  }
  const float sum = exp_row(x, x, seen, max_row(x, seen));
  scale_row(x, seen, 1.0f / sum);
  for (int i = seen; i < n; i++) x[i] = 0.0f;
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
            for (int i = 0; i < d; i++) queries[(size_t)r * d + i] = from[(ptrdiff_t)r * a[Q_S] + (ptrdiff_t)i * a[Q_D]];
          }
          from = queries;
          ldq = d;
        }
        Gemm qk = {from, keys, scores, 0, 0, rows, t, d, ldq, t8, 0, REAL(SCALE), ACT_NONE};
        gemm_packed(&qk);
        for (int r = 0; r < rows; r++) probabilities(scores + (size_t)r * t8, a, b, h, row + r);
        float *to = out + (ptrdiff_t)row * a[O_S];
        const int direct = a[O_D] == 1;
        Gemm pv = {scores, values, direct ? to : results, 0, 0, rows, dv, t, t8, direct ? a[O_S] : dv8, 0, 1.0f, ACT_NONE};
        gemm_packed(&pv);
        if (direct) continue;
        for (int r = 0; r < rows; r++) {
          for (int i = 0; i < dv; i++) to[(ptrdiff_t)r * a[O_S] + (ptrdiff_t)i * a[O_D]] = results[(size_t)r * dv8 + i];
        }
      }
    }
  }
  return 0;
}
