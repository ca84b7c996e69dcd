// Products of 8-bit integers with the arithmetic around them; panel_i8.h says how.
#include "panel_i8.h"

enum { MOST_BLOCK_ROWS = 192, BLOCK_BYTES = 196608 };

// c[R, 8] = c * 128 (if `again`) + a[R, k] @ b[k, 8]; rows of a lie lda bytes apart. quads: K / 4.
SIMD void tile(const unsigned R, const unsigned split, const int b_first, const uint8_t *a, int lda, const uint8_t *b, int quads, int again,
               int32_t *c) {
  v128_t low[8], high[8];
  UNROLL for (unsigned i = 0; i < R * split; i++) low[i] = high[i] = wasm_i32x4_const(0, 0, 0, 0);
  if (again) {
    UNROLL for (unsigned r = 0; r < R; r++) {
      low[r] = wasm_i32x4_shl(wasm_v128_load(c + r * PANEL), 7);
      high[r] = wasm_i32x4_shl(wasm_v128_load(c + r * PANEL + 4u), 7);
    }
  }
  const uint8_t *row[8];
  UNROLL for (unsigned r = 0; r < R; r++) row[r] = a + (size_t)r * (size_t)lda;
  unsigned i = (unsigned)quads;
#ifdef __wasm_relaxed_simd__
  enum { BYTES_A = 4 };
#define STEP(u, s)                                                                                  \
  {                                                                                                 \
    const v128_t b0 = wasm_v128_load(b + (u) * 32u), b1 = wasm_v128_load(b + (u) * 32u + 16u);        \
    UNROLL for (unsigned r = 0; r < R; r++) {                                                       \
      const v128_t x = wasm_v128_load32_splat(row[r] + (u) * 4u);                                   \
      low[(s) * R + r] = b_first ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(b0, x, low[(s) * R + r])  \
                                 : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, b0, low[(s) * R + r]); \
      high[(s) * R + r] = b_first ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(b1, x, high[(s) * R + r])\
                                  : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, b1, high[(s) * R + r]); \
      KEEP_VECTOR(low[(s) * R + r]);                                                                \
      KEEP_VECTOR(high[(s) * R + r]);                                                               \
    }                                                                                               \
  }
#else
  enum { BYTES_A = 8 };
#define STEP(u, s)                                                                                                     \
  UNROLL for (unsigned p = 0; p < 2; p++) {                                                                            \
    const v128_t b0 = wasm_i16x8_load8x8(b + (u) * 32u + p * 16u), b1 = wasm_i16x8_load8x8(b + (u) * 32u + p * 16u + 8u); \
    UNROLL for (unsigned r = 0; r < R; r++) {                                                                          \
      const v128_t x = wasm_v128_load32_splat(row[r] + (u) * 8u + p * 4u);                                             \
      low[(s) * R + r] = wasm_i32x4_add(low[(s) * R + r], wasm_i32x4_dot_i16x8(x, b0));                                \
      high[(s) * R + r] = wasm_i32x4_add(high[(s) * R + r], wasm_i32x4_dot_i16x8(x, b1));                              \
      KEEP_VECTOR(low[(s) * R + r]);                                                                                   \
      KEEP_VECTOR(high[(s) * R + r]);                                                                                  \
    }                                                                                                                  \
  }
#endif
  const unsigned step = split > 2 ? split : 2;
#pragma clang loop unroll(disable)
  for (; i >= step; i -= step) {
    UNROLL for (unsigned u = 0; u < step; u++) STEP(u, u % split)
    b += step * 32;
    KEEP(b);
    UNROLL for (unsigned r = 0; r < R; r++) {
      row[r] += step * BYTES_A;
      KEEP(row[r]);
    }
  }
#pragma clang loop unroll(disable)
  for (; i > 0; i--) {
    STEP(0u, 0u)
    b += 32;
    UNROLL for (unsigned r = 0; r < R; r++) row[r] += BYTES_A;
  }
  UNROLL for (unsigned s = 1; s < split; s++) {
    UNROLL for (unsigned r = 0; r < R; r++) {
      low[r] = wasm_i32x4_add(low[r], low[s * R + r]);
      high[r] = wasm_i32x4_add(high[r], high[s * R + r]);
    }
  }
  UNROLL for (unsigned r = 0; r < R; r++) {
    wasm_v128_store(c + r * PANEL, low[r]);
    wasm_v128_store(c + r * PANEL + 4u, high[r]);
  }
}

#define TILE(order, R, split, b_first)                                                                                        \
  static __attribute__((noinline)) void order##_##R(const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c) { \
    tile(R, split, b_first, a, lda, b, quads, b_first && again, c);                                                           \
  }
TILE(a_first, 1, 4, 0)
TILE(a_first, 2, 2, 0)
TILE(a_first, 3, 1, 0)
TILE(a_first, 4, 1, 0)
#ifdef __wasm_relaxed_simd__
TILE(b_first, 1, 4, 1)
TILE(b_first, 2, 2, 1)
TILE(b_first, 3, 1, 1)
TILE(b_first, 4, 1, 1)
TILE(b_first, 5, 1, 1)
TILE(b_first, 6, 1, 1)
#endif

typedef void (*Tile)(const uint8_t *, int, const uint8_t *, int, int, int32_t *);
static const Tile a_first[] = {a_first_1, a_first_2, a_first_3, a_first_4};
#ifdef __wasm_relaxed_simd__
static const Tile b_first[] = {b_first_1, b_first_2, b_first_3, b_first_4, b_first_5, b_first_6};
#endif
// Rows of a tile. A CPU without a dot product of whole bytes needs registers for the parts.
enum { MOST_ROWS = 4, MOST_ROWS_WHOLE = 6 };

static void panel_rows(const Tile *tiles, int most, int rows, const uint8_t *a, int lda, const uint8_t *b, int quads, int again,
                       int32_t *c) {
  while (rows > 0) {
    const int r = next_rows(rows, most);
    tiles[r - 1](a, lda, b, quads, again, c);
    rows -= r;
    a += (size_t)r * lda;
    c += r * PANEL;
  }
}

typedef struct {
  const uint8_t *a, *a_zp, *b, *b_zp;
  int a_type, b_type, a_zp_count, b_zp_count;
  int M, N, K;
  uint8_t *scratch;
} Product;

// What A becomes: row sums, then the planes that the panels need.
typedef struct {
  int32_t *sums, *zero_points;  // of every row, as uint8
  uint8_t *first, *second, *third;
  int ld;
} Rows;

static Rows prepare(const Product *p) {
  const int M = p->M, K = p->K, K4 = ceil_div(K, 4) * 4, flip = p->a_type == 3 ? 128 : 0;
  Rows rows;
  rows.sums = (int32_t *)p->scratch;
  rows.zero_points = rows.sums + M;
  rows.first = (uint8_t *)(rows.zero_points + M);
#ifdef __wasm_relaxed_simd__
  rows.ld = K4;
  rows.second = rows.first + (size_t)M * K4;
  rows.third = rows.second + (size_t)M * K4;
  int forms[3] = {0};
  for (int n = 0; n < p->N; n += PANEL) forms[((const Header *)(p->b + (size_t)(n / PANEL) * packed_bytes(K)))->form] = 1;
  const v128_t first_flip = wasm_i8x16_splat(forms[WHOLE] ? 0 : -128);  // all panels are whole, or none
#else
  rows.ld = 2 * K4;
#endif
  const v128_t flips = wasm_i8x16_splat((int8_t)flip);
  for (int m = 0; m < M; m++) {
    const uint8_t *from = p->a + (size_t)m * K;
    const int zero = p->a_zp ? p->a_zp[p->a_zp_count > 1 ? m : 0] ^ flip : flip;
    v128_t sums = wasm_i32x4_const(0, 0, 0, 0);
    for (int k = 0; k < K4; k += 16) {
      uint8_t part[16];
      const int left = K - k, size = min_int(16, K4 - k);
      v128_t x;
      if (left >= 16) {
        x = wasm_v128_xor(wasm_v128_load(from + k), flips);
      } else {
        FEW for (int i = 0; i < 16; i++) part[i] = i < left ? from[k + i] ^ flip : 0;
        x = wasm_v128_load(part);
      }
      sums = wasm_i32x4_add(sums, wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(x)));
#ifdef __wasm_relaxed_simd__
      v128_t planes[3] = {wasm_v128_xor(x, first_flip), wasm_u8x16_shr(x, 7), wasm_v128_and(x, wasm_i8x16_splat(127))};
      for (int plane = forms[NARROW] | forms[WHOLE] ? 0 : 1; plane < (forms[WIDE] ? 3 : 1); plane++) {
        uint8_t *to = rows.first + ((size_t)plane * M + m) * K4 + k;
        if (size == 16) {
          wasm_v128_store(to, planes[plane]);
        } else {
          for (int i = 0; i < size; i += 4, planes[plane] = wasm_i32x4_shuffle(planes[plane], planes[plane], 1, 2, 3, 0)) {
            wasm_v128_store32_lane(to + i, planes[plane], 0);
          }
        }
      }
#else
      const v128_t zeros = wasm_i16x8_splat((int16_t)zero);
      v128_t low = wasm_i16x8_sub(wasm_u16x8_extend_low_u8x16(x), zeros);
      v128_t high = wasm_i16x8_sub(wasm_u16x8_extend_high_u8x16(x), zeros);
      uint8_t *to = rows.first + (size_t)m * rows.ld + 2 * k;
      if (size == 16) {
        wasm_v128_store(to, low);
        wasm_v128_store(to + 16, high);
      } else {
        wasm_v128_store64_lane(to, low, 0);
        if (size >= 8) wasm_v128_store64_lane(to + 8, low, 1);
        if (size >= 12) wasm_v128_store64_lane(to + 16, high, 0);
      }
#endif
    }
    sums = wasm_i32x4_add(sums, wasm_i32x4_shuffle(sums, sums, 2, 3, 0, 1));
    rows.sums[m] = wasm_i32x4_extract_lane(sums, 0) + wasm_i32x4_extract_lane(sums, 1);
    rows.zero_points[m] = zero;
  }
  return rows;
}

// c[count, 8] = the exact product of rows m... with one panel.
static void multiply(const Product *p, const Rows *rows, int m, int count, int panel, int32_t *c) {
  const int K = p->K, quads = ceil_div(K, 4);
  const uint8_t *b = p->b + (size_t)panel * packed_bytes(K);
  const Header *head = (const Header *)b;
  b += HEADER;
  const size_t at = (size_t)m * rows->ld;
#ifdef __wasm_relaxed_simd__
  int offset = 0;  // A as the tile saw it was A - offset
  if (head->form == WHOLE) {
    panel_rows(b_first, MOST_ROWS_WHOLE, count, rows->first + at, rows->ld, b, quads, 0, c);
  } else if (head->form == WIDE) {
    panel_rows(b_first, MOST_ROWS, count, rows->second + at, rows->ld, b, quads, 0, c);
    panel_rows(b_first, MOST_ROWS, count, rows->third + at, rows->ld, b, quads, 1, c);
  } else {
    panel_rows(a_first, MOST_ROWS, count, rows->first + at, rows->ld, b, quads, 0, c);
    offset = 128;
    for (int i = 0; i < head->outliers; i++) {
      const uint32_t code = head->outlier[i];
      const int more = (int)(code & 255), column = (int)(code >> 8 & 7);
      const int8_t *x = (const int8_t *)rows->first + at + (code >> 11);
      for (int r = 0; r < count; r++) c[r * PANEL + column] += more * x[(size_t)r * rows->ld];
    }
  }
#else
  panel_rows(a_first, MOST_ROWS, count, rows->first + at, rows->ld, b, quads, 0, c);
#endif
  int32_t lacking[PANEL];
  FEW for (int i = 0; i < PANEL; i++) {
    const int n = panel * PANEL + i;
    int zero = 0;
    if (p->b_zp && n < p->N) {
      const uint8_t *z = p->b_zp + (p->b_zp_count > 1 ? n : 0);
      zero = p->b_type == 2 ? *z : (int8_t)*z;
    }
    lacking[i] = head->shift[i] - zero;
  }
  const v128_t low = wasm_v128_load(lacking), high = wasm_v128_load(lacking + 4);
  for (int r = 0; r < count; r++, c += PANEL) {
    const int zero = rows->zero_points[m + r];
    const v128_t a_sum = wasm_i32x4_splat((int32_t)((uint32_t)rows->sums[m + r] - (uint32_t)K * (uint32_t)zero));
    v128_t c0 = wasm_i32x4_add(wasm_v128_load(c), wasm_i32x4_mul(low, a_sum));
    v128_t c1 = wasm_i32x4_add(wasm_v128_load(c + 4), wasm_i32x4_mul(high, a_sum));
#ifdef __wasm_relaxed_simd__
    const v128_t z = wasm_i32x4_splat(offset - zero);
    c0 = wasm_i32x4_add(c0, wasm_i32x4_mul(wasm_v128_load(head->column_sum), z));
    c1 = wasm_i32x4_add(c1, wasm_i32x4_mul(wasm_v128_load(head->column_sum + 4), z));
#endif
    wasm_v128_store(c, c0);
    wasm_v128_store(c + 4, c1);
  }
}

static int block_rows(int K) {
  const int rows = K > 0 ? BLOCK_BYTES / K / 12 * 12 : MOST_BLOCK_ROWS;
  return rows < 24 ? 24 : min_int(rows, MOST_BLOCK_ROWS);
}

int k_gemm_i8(const int32_t *a) {
  const int M = a[13], N = a[14], K = a[15];
  const Product p = {BYTES(0), BYTES(3), BYTES(4), BYTES(8), a[1], a[5], 1, a[9], M, N, K, BYTES(17)};
  const float a_scale = FLOATS(2)[0], *b_scale = FLOATS(6), *bias = FLOATS(10), *residual = FLOATS(11);
  const Rows rows = prepare(&p);
  int32_t edge[MOST_BLOCK_ROWS * PANEL];
  float *values = (float *)edge;
  const int block = block_rows(K);
  for (int m = 0; m < M; m += block) {
    const int count = min_int(block, M - m);
    for (int n = 0; n < N; n += PANEL) {
      const int columns = min_int(PANEL, N - n);
      multiply(&p, &rows, m, count, n / PANEL, edge);
      float scale[PANEL], some_bias[PANEL];
      FEW for (int i = 0; i < PANEL; i++) {
        scale[i] = i < columns ? a_scale * b_scale[a[7] > 1 ? n + i : 0] : 0.0f;
        some_bias[i] = i < columns && bias ? bias[n + i] : -0.0f;
      }
      const v128_t scale0 = wasm_v128_load(scale), scale1 = wasm_v128_load(scale + 4);
      const v128_t bias0 = wasm_v128_load(some_bias), bias1 = wasm_v128_load(some_bias + 4);
      for (int r = 0; r < count; r++) {
        const v128_t low = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_v128_load(edge + r * PANEL)), scale0);
        const v128_t high = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(wasm_v128_load(edge + r * PANEL + 4)), scale1);
        wasm_v128_store(values + r * PANEL, wasm_f32x4_add(low, bias0));
        wasm_v128_store(values + r * PANEL + 4, wasm_f32x4_add(high, bias1));
      }
      if (a[16]) activate(a[16], values, count, PANEL, PANEL);
      const size_t at = (size_t)m * N + n;
      store_edge(values, FLOATS(12) + at, N, count, columns, residual ? residual + at : 0, N);
    }
  }
  return 0;
}

int k_matmul_integer(const int32_t *a) {
  const int M = a[9], N = a[10], K = a[11];
  const Product p = {BYTES(0), BYTES(2), BYTES(4), BYTES(6), a[1], a[5], a[3], a[7], M, N, K, BYTES(12)};
  const Rows rows = prepare(&p);
  int32_t edge[MOST_BLOCK_ROWS * PANEL];
  const int block = block_rows(K);
  for (int m = 0; m < M; m += block) {
    const int count = min_int(block, M - m);
    for (int n = 0; n < N; n += PANEL) {
      const int columns = min_int(PANEL, N - n);
      multiply(&p, &rows, m, count, n / PANEL, edge);
      for (int r = 0; r < count; r++) {
        FEW for (int i = 0; i < columns; i++) INTS(8)[(size_t)(m + r) * N + n + i] = edge[r * PANEL + i];
      }
    }
  }
  return 0;
}
