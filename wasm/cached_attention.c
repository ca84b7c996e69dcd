// Attention over a KV cache: new keys and values are appended, then every query of a row sees what the row has cached.
//
// The cache of a row lies either in pages (TABLE: a session's own memory, written in place and never copied), or in the graph's own
// past and present tensors. A page holds PAGE keys of all layers, packed as the matrix product wants its right operand: for a layer
// and head the keys as panels of 8 [PAGE / 8][D][8], the values as panels [round_panel(DV) / 8][PAGE][8].
// The table has 6 words a row, twice the same 3: keys cached so far, how many of the S new ones count, address of the list of their pages;
// first those of the text itself, then those of the encoder's states, which every query sees and to which nothing is appended.
#include "dense.h"

SMALL_CODE

enum { PAGE = 64, QUERY_ROWS = 48, ROW_WORDS = 6 };

// Where each argument word lies.
enum {
  Q, KEY, VALUE, PAST_K, PAST_V, PRESENT_K, PRESENT_V, OUT, MASK, TABLE, LAYER_K, LAYER_V,
  BATCH, HEADS, GROUPS, S, D, DV, P, T,
  Q_B, Q_H, Q_S, Q_D, K_B, K_H, K_S, K_D, V_B, V_H, V_S, V_D, O_B, O_H, O_S, O_D, M_B, M_H, M_S, M_T,
  MASK_TYPE, LENGTHS, COS, SIN, ROTARY, ROTARY_ROWS, INTERLEAVED, SCALE, SOFTCAP, CAUSAL, WINDOW, Q_NORM, K_NORM, EPSILON, GUARD, SCRATCH,
  BIAS, F_B, F_H, F_S, F_T
};

enum { MASK_NONE, MASK_ADDED, MASK_KEEP };

// to = rotary(norm(from)) of one head. Fails where the position is beyond the tables.
static int load_head(const int32_t *a, const float *from, ptrdiff_t step, int n, const float *gamma, int position, float *to) {
  FEW for (int i = 0; i < n; i++) to[i] = from[i * step];
  if (gamma) {
    float sum = 0.0f;
    FEW for (int i = 0; i < n; i++) sum += to[i] * to[i];
    const float f = 1.0f / __builtin_sqrtf(sum / (float)n + REAL(EPSILON));
    FEW for (int i = 0; i < n; i++) to[i] *= f * gamma[i];
  }
  const int half = a[ROTARY];
  if (!half) return 0;
  if ((uint32_t)position >= (uint32_t)a[ROTARY_ROWS]) return ERROR_INDEX;
  const float *c = FLOATS(COS) + (size_t)position * half, *s = FLOATS(SIN) + (size_t)position * half;
  FEW for (int i = 0; i < half; i++) {
    const int low = a[INTERLEAVED] ? 2 * i : i, high = a[INTERLEAVED] ? low + 1 : i + half;
    const float x = to[low], y = to[high];
    to[low] = x * c[i] - y * s[i];
    to[high] = x * s[i] + y * c[i];
  }
  return 0;
}

// Scores of one query to exponentials; returns their sum. `seen`: keys up to here; the rest, up to `n`, becomes 0.
// `type`, `mask`, `step`: what is added to the scores, or says which of them count.
static float exponentials(const int32_t *a, float *x, int type, const char *mask, ptrdiff_t step, int seen, int n) {
  int first = 0;
  if (a[WINDOW] > 0 && seen > a[WINDOW]) first = seen - a[WINDOW];
  FEW for (int i = 0; i < first; i++) x[i] = 0.0f;
  float *from = x + first;
  const int count = seen - first;
  if (a[SOFTCAP]) {
    const float cap = REAL(SOFTCAP);
    scale_row(from, count, REAL(SCALE) / cap);
    activate(ACT_TANH, from, 1, count, count);
    scale_row(from, count, cap);
  } else {
    scale_row(from, count, REAL(SCALE));
  }
  if (type) {
    FEW for (int i = first; i < seen; i++) {
      if (type == MASK_ADDED) {
        x[i] += ((const float *)mask)[i * step];
      } else if (!mask[i * step]) {
        x[i] = -__builtin_inff();
      }
    }
  }
  const float sum = exp_row(from, from, count, max_row(from, count));
  FEW for (int i = seen; i < n; i++) x[i] = 0.0f;
  return sum;
}

// A session sees what was cached, and of the new tokens those before: this says whether the graph's own mask means just that. Its
// columns are the P places of a past, of which the last ones count, then the S new tokens. Of an encoder all that is cached is seen.
static int check_mask(const int32_t *a, int b, int past, int fresh) {
  const int first = fresh ? a[P] - past : 0, rows = fresh ? fresh : a[S];
  for (int i = 0; i < rows * (a[M_H] ? a[HEADS] : 1); i++) {
    const int s = i % rows, seen = fresh ? past + s + 1 : past;
    const ptrdiff_t at = (ptrdiff_t)b * a[M_B] + (ptrdiff_t)(i / rows) * a[M_H] + (ptrdiff_t)s * a[M_S] + (ptrdiff_t)first * a[M_T];
    FEW for (int t = 0; t < seen; t++) {
      const ptrdiff_t place = at + (ptrdiff_t)t * a[M_T];
      if (a[MASK_TYPE] == MASK_ADDED ? FLOATS(MASK)[place] != 0.0f : !BYTES(MASK)[place]) return ERROR_MASK;
    }
  }
  return 0;
}

int k_cached_attention(const int32_t *a) {
  const int s = a[S], d = a[D], dv = a[DV], dv8 = round_panel(dv), heads = a[HEADS] / a[GROUPS], t = a[T], ld = round_panel(t), m = heads * s;
  const int32_t *row = INTS(TABLE);
  // Scratch: queries, scores, results, then one head, or the packed keys and values of a cache that is no table.
  float *queries = FLOATS(SCRATCH), *scores = queries + (size_t)m * d, *results = scores + (size_t)min_int(m, QUERY_ROWS) * ld;
  float *head = results + (size_t)min_int(m, QUERY_ROWS) * dv8, *packed_k = head + round_panel(d), *packed_v = packed_k + (size_t)ld * d;
  const int page = row ? PAGE : t;
  for (int b = 0; b < a[BATCH]; b++, row += ROW_WORDS) {
    int past = a[P], fresh = s;
    if (a[TABLE]) {
      past = row[0];
      fresh = row[1];
      if (a[MASK_TYPE]) {
        const int code = check_mask(a, b, past, fresh);
        if (code) return code;
      }
    } else if (a[LENGTHS]) {
      past = s == t ? 0 : INTS(LENGTHS)[b] + 1 - s;
      if (past < 0 || past > a[P]) return ERROR_VALUE;
    }
    const int all = past + fresh;
    for (int g = 0; g < a[GROUPS]; g++) {
      float *present_k = 0, *present_v = 0;
      if (!a[TABLE]) {
        const size_t to = (size_t)(b * a[GROUPS] + g) * t, from = (size_t)(b * a[GROUPS] + g) * a[P];
        present_k = FLOATS(PRESENT_K) + to * d;
        present_v = FLOATS(PRESENT_V) + to * dv;
        fill_bytes(present_k, 0, (size_t)t * d * 4);
        fill_bytes(present_v, 0, (size_t)t * dv * 4);
        copy_bytes(present_k, FLOATS(PAST_K) + from * d, (size_t)past * d * 4);
        copy_bytes(present_v, FLOATS(PAST_V) + from * dv, (size_t)past * dv * 4);
      }
      const size_t keys_at = (size_t)g * PAGE * d, values_at = (size_t)g * PAGE * dv8;
#define PAGE_K(i) ((float *)(((const int32_t *)row[2])[i] + a[LAYER_K]) + keys_at)
#define PAGE_V(i) ((float *)(((const int32_t *)row[2])[i] + a[LAYER_V]) + values_at)
      for (int i = 0; i < fresh; i++) {
        const float *k = FLOATS(KEY) + (ptrdiff_t)b * a[K_B] + (ptrdiff_t)g * a[K_H] + (ptrdiff_t)i * a[K_S];
        const float *v = FLOATS(VALUE) + (ptrdiff_t)b * a[V_B] + (ptrdiff_t)g * a[V_H] + (ptrdiff_t)i * a[V_S];
        const int at = past + i;
        const int code = load_head(a, k, a[K_D], d, FLOATS(K_NORM), at, a[TABLE] ? head : present_k + (size_t)at * d);
        if (code) return code;
        if (a[TABLE]) {
          const int place = at % PAGE;
          float *to_k = PAGE_K(at / PAGE) + place / PANEL * (PANEL * d) + place % PANEL, *to_v = PAGE_V(at / PAGE) + place * PANEL;
          FEW for (int j = 0; j < d; j++) to_k[j * PANEL] = head[j];
          FEW for (int j = 0; j < dv; j++) to_v[j / PANEL * (PAGE * PANEL) + j % PANEL] = v[j * a[V_D]];
        } else {
          FEW for (int j = 0; j < dv; j++) present_v[(size_t)at * dv + j] = v[j * a[V_D]];
        }
      }
      for (int i = 0; i < m; i++) {
        const float *q = FLOATS(Q) + (ptrdiff_t)b * a[Q_B] + (ptrdiff_t)(g * heads + i / s) * a[Q_H] + (ptrdiff_t)(i % s) * a[Q_S];
        const int code = load_head(a, q, a[Q_D], d, FLOATS(Q_NORM), past + i % s, queries + (size_t)i * d);
        if (code) return code;
      }
      if (!a[TABLE]) {
        pack_panels(present_k, packed_k, d, t, 1, d);
        pack_panels(present_v, packed_v, t, dv, dv, 1);
      }
      const int pages = a[TABLE] ? ceil_div(all, PAGE) : 1;
      for (int at = 0; at < m; at += QUERY_ROWS) {
        const int rows = min_int(QUERY_ROWS, m - at);
        for (int p = 0; p < pages; p++) {
          const Gemm qk = {queries + (size_t)at * d, a[TABLE] ? PAGE_K(p) : packed_k, scores + p * PAGE, 0, 0, rows,
                           a[TABLE] ? min_int(PAGE, round_panel(all - p * PAGE)) : page, d, d, ld, 0, 1.0f, ACT_NONE, 0, 0, 0};
          gemm_packed(&qk);
        }
        float sums[QUERY_ROWS];
        for (int r = 0; r < rows; r++) {
          const int query = (at + r) % s, h = g * heads + (at + r) / s;
          const int seen = fresh && (a[CAUSAL] || a[TABLE]) ? min_int(past + query + 1, all) : all;
          // With a table the mask is that of a causal decoder, which check_mask() has seen; a bias by distance comes by itself.
          const int32_t *m_b = a + (a[TABLE] ? F_B : M_B);
          const int type = !a[TABLE] ? a[MASK_TYPE] : a[BIAS] ? MASK_ADDED : MASK_NONE;
          const ptrdiff_t place = (ptrdiff_t)b * m_b[0] + (ptrdiff_t)h * m_b[1] + (ptrdiff_t)query * m_b[2] + (a[TABLE] ? a[P] - past : 0) * m_b[3];
          const char *mask = (const char *)(a[TABLE] ? a[BIAS] : a[MASK]) + (type == MASK_ADDED ? 4 * place : place);
          sums[r] = exponentials(a, scores + (size_t)r * ld, type, mask, m_b[3], seen, a[TABLE] ? pages * PAGE : page);
        }
        for (int p = 0; p < pages; p++) {
          const Gemm pv = {scores + p * PAGE, a[TABLE] ? PAGE_V(p) : packed_v, results, 0, p ? results : 0, rows, dv8, page,
                           ld, dv8, dv8, 1.0f, ACT_NONE, 0, 0, 0};
          gemm_packed(&pv);
        }
        for (int r = 0; r < rows; r++) {
          const int query = (at + r) % s, h = g * heads + (at + r) / s;
          float *out = FLOATS(OUT) + (ptrdiff_t)b * a[O_B] + (ptrdiff_t)h * a[O_H] + (ptrdiff_t)query * a[O_S];
          // GUARD: the graph makes 0 of the NaN of a query that sees nothing.
          const float f = a[GUARD] && !(sums[r] > 0.0f) ? 0.0f : 1.0f / sums[r];
          FEW for (int i = 0; i < dv; i++) out[i * a[O_D]] = f == 0.0f ? 0.0f : results[(size_t)r * dv8 + i] * f;
        }
      }
    }
  }
  return 0;
}

// X [B, H, S, D] by strides, turned by the angles of its positions: RoFormer, arXiv:2104.09864.
int k_rotary(const int32_t *a) {
  const int half = a[15], interleaved = a[16], d = a[5];
  const int64_t *positions = (const int64_t *)a[12];
  for (int b = 0; b < a[2]; b++) {
    for (int s = 0; s < a[4]; s++) {
      const int64_t position = a[17] ? positions[b * a[4] + s] : positions[0] + s;
      if (position < 0 || position >= a[18]) return ERROR_INDEX;
      const float *c = FLOATS(13) + (size_t)position * half, *sine = FLOATS(14) + (size_t)position * half;
      for (int h = 0; h < a[3]; h++) {
        const float *x = FLOATS(0) + (ptrdiff_t)b * a[6] + (ptrdiff_t)h * a[7] + (ptrdiff_t)s * a[8];
        float *y = FLOATS(1) + (ptrdiff_t)b * a[9] + (ptrdiff_t)h * a[10] + (ptrdiff_t)s * a[11];
        FEW for (int i = 0; i < half; i++) {
          const int low = interleaved ? 2 * i : i, high = interleaved ? low + 1 : i + half;
          const float u = x[low], v = x[high];
          y[low] = u * c[i] - v * sine[i];
          y[high] = u * sine[i] + v * c[i];
        }
        FEW for (int i = 2 * half; i < d; i++) y[i] = x[i];
      }
    }
  }
  return 0;
}

int k_rotary_halves(const int32_t *a) {
  const float *x = FLOATS(0);
  float *y = FLOATS(3);
  const int d = a[7], half = d / 2;
  for (int b = 0; b < a[4]; b++) {
    for (int h = 0; h < a[5]; h++) {
      for (int s = 0; s < a[6]; s++, x += d, y += d) {
        const float *c = FLOATS(1) + (ptrdiff_t)b * a[8] + (ptrdiff_t)h * a[9] + (ptrdiff_t)s * a[10];
        const float *sine = FLOATS(2) + (ptrdiff_t)b * a[11] + (ptrdiff_t)h * a[12] + (ptrdiff_t)s * a[13];
        int i = 0;
        for (; i + 4 <= half; i += 4) {
          const v128_t u = wasm_v128_load(x + i), v = wasm_v128_load(x + half + i);
          wasm_v128_store(y + i, wasm_f32x4_sub(wasm_f32x4_mul(u, wasm_v128_load(c + i)), wasm_f32x4_mul(v, wasm_v128_load(sine + i))));
          wasm_v128_store(y + half + i, wasm_f32x4_add(wasm_f32x4_mul(v, wasm_v128_load(c + half + i)), wasm_f32x4_mul(u, wasm_v128_load(sine + half + i))));
        }
        FEW for (; i < half; i++) {
          const float u = x[i], v = x[half + i];
          y[i] = u * c[i] - v * sine[i];
          y[half + i] = v * c[half + i] + u * sine[half + i];
        }
      }
    }
  }
  return 0;
}

// Rows of a quantised table, made float32. The table and its zero points: 4 bits packed (low half first), or a byte each.
int k_gather_blocks(const int32_t *a) {
  const int rows = a[6], count = a[7], width = a[8], block = a[9], packed = a[10], is_signed = a[11], zero = a[12], blocks = ceil_div(width, block);
  const uint8_t *table = BYTES(0), *zeros = BYTES(4);
  float *y = FLOATS(5);
  for (int i = 0; i < count; i++, y += width) {
    int64_t row = a[2] == I64 ? ((const int64_t *)a[1])[i] : INTS(1)[i];
    if (row < 0) row += rows;
    if (row < 0 || row >= rows) return ERROR_INDEX;
    const float *scale = FLOATS(3) + (size_t)row * blocks;
#define CODE(p, at, line) (packed ? (p)[(size_t)row * (((line) + 1) / 2) + (at) / 2] >> (at) % 2 * 4 & 15 : (p)[(size_t)row * (line) + (at)])
    for (int k = 0; k < width; k++) {
      int q = CODE(table, k, width), z = zeros ? CODE(zeros, k / block, blocks) : zero;
      if (is_signed) {
        q = (int8_t)q;
        z = (int8_t)z;
      }
      y[k] = (float)(q - z) * scale[k / block];
    }
  }
  return 0;
}

END_SMALL_CODE
