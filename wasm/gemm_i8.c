// Products of 8-bit integers with the arithmetic around them; panel_i8.h says how.
#include "panel_i8.h"

enum { MOST_BLOCK_ROWS = 192, BLOCK_BYTES = 196608, NEAR_ROWS = 3 };

// Packed B, of which a tile brings near what is at `ahead`, by stores of what is there (gemm_f32.c says why): `lines` holds the first of every 64
// bytes. In a step it comes `pace` bytes further.
typedef struct {
  uint8_t *b;
  const uint8_t *lines;
  unsigned ahead, pace;
} Near;

// c[R, 8] = c * 128 (if `again`) + a[R, k] @ b[k, 8]; rows of a lie lda bytes apart. quads: K / 4.
SIMD void tile(const unsigned R, const unsigned split, const unsigned step, const int b_first, const uint8_t *a, int lda, const uint8_t *b, int quads, int again,
               int32_t *c, Near near) {
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
  near.pace *= step / 2;
#pragma clang loop unroll(disable)
  for (; i >= step; i -= step) {
    if (R >= NEAR_ROWS) {
      *(volatile uint8_t *)(near.b + (near.ahead & ~(CACHE_LINE - 1u))) = near.lines[near.ahead / CACHE_LINE];
      near.ahead += near.pace;
    }
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

#define TILE(order, R, split, step, b_first)                                                                                  \
  static __attribute__((noinline)) void order##_##R(const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c,     \
                                                    uint8_t *all, const uint8_t *lines, unsigned ahead, unsigned pace) {              \
    tile(R, split, step, b_first, a, lda, b, quads, b_first && again, c, (Near){all, lines, ahead, pace});                          \
  }
TILE(a_first, 1, 4, 4, 0)
TILE(a_first, 2, 2, 2, 0)
TILE(a_first, 3, 1, 2, 0)
TILE(a_first, 4, 1, 2, 0)
#ifdef __wasm_relaxed_simd__
TILE(b_first, 1, 4, 4, 1)
TILE(b_first, 2, 2, 2, 1)
TILE(b_first, 3, 1, 2, 1)
TILE(b_first, 4, 1, 2, 1)
TILE(b_first, 5, 1, 4, 1)
TILE(b_first, 6, 1, 4, 1)

static __attribute__((noinline)) void wide(const uint8_t *a, int lda, const uint8_t *b, size_t panel, int quads, int32_t *c, size_t c_panel) {
  static const int32_t zeros[PANEL];
  wide_tile(1, (const char *)a, (size_t)lda, (const char *)b, panel, quads, zeros, 0, c, PANEL, c_panel);
}
#endif

typedef void (*Tile)(const uint8_t *, int, const uint8_t *, int, int, int32_t *, uint8_t *, const uint8_t *, unsigned, unsigned);
static const Tile a_first[] = {a_first_1, a_first_2, a_first_3, a_first_4};
#ifdef __wasm_relaxed_simd__
static const Tile b_first[] = {b_first_1, b_first_2, b_first_3, b_first_4, b_first_5, b_first_6};
#endif
// Rows of a tile. A CPU without a dot product of whole bytes needs registers for the parts.
enum { MOST_ROWS = 4, MOST_ROWS_WHOLE = 6 };

// All rows of one panel. What `near` is ahead, up to `end`, is brought near by the way (near_pace()).
static void panel_rows(const Tile *tiles, int most, int rows, const uint8_t *a, int lda, const uint8_t *b, int quads, int again,
                       int32_t *c, Near near, unsigned end) {
  unsigned pace = 0, now = 0;
  if (near.ahead < end) pace = near_pace(rows, most, &now);
  const unsigned stretch = pace * ((unsigned)quads / 2);
  if (!pace) near.ahead = 0;
  while (rows > 0) {
    const int r = next_rows(rows, most);
    tiles[r - 1](a, lda, b, quads, again, c, near.b, near.lines, near.ahead, now);
    rows -= r;
    a += (size_t)r * lda;
    c += r * PANEL;
    if (now) near.ahead += stretch;
    now = near.ahead + stretch <= end ? pace : 0;
    if (pace && near.ahead == end) near.ahead--;  // a tile that goes no further stays at a line that there is
  }
  // What a whole number of steps leaves.
  FEW for (unsigned line = near.ahead / CACHE_LINE; pace && line * CACHE_LINE < end; line++) near.b[line * CACHE_LINE] = near.lines[line];
}

typedef struct {
  const uint8_t *a, *a_zp;
  uint8_t *b;
  const uint8_t *b_zp;
  int a_type, b_type, a_zp_count, b_zp_count;
  int M, N, K;
  uint8_t *scratch;
} Product;

// What A becomes: of every row the sum of A - zero point and the zero point, as uint8, then the planes that the panels need.
typedef struct {
  int32_t *sums, *zero_points;
  int whole;  // all panels are
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
  rows.whole = forms[WHOLE];  // all panels are, or none
  const v128_t first_flip = wasm_i8x16_splat(rows.whole ? 0 : -128);
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
    rows.sums[m] = (int32_t)((uint32_t)wasm_i32x4_extract_lane(sums, 0) + (uint32_t)wasm_i32x4_extract_lane(sums, 1) - (uint32_t)K * (uint32_t)zero);
    rows.zero_points[m] = zero;
  }
  return rows;
}

// What the sums of a panel lack to be exact products.
typedef struct {
  v128_t by_sum[2];  // times the row's sum
#ifdef __wasm_relaxed_simd__
  v128_t by_zero[2];  // times offset - the row's zero point
  int offset;  // A as the tile saw it was A - offset
#endif
} Lack;

// c[count, 8] = the sums of rows m... with one panel.
static void multiply(const Product *p, const Rows *rows, int m, int count, unsigned panel, int32_t *c) {
  const int quads = ceil_div(p->K, 4);
  const size_t at = (size_t)m * rows->ld;
  const unsigned bytes = (unsigned)packed_bytes(p->K), next = (panel + 1) * bytes, all = (unsigned)ceil_div(p->N, PANEL) * bytes;
  const Near near = {p->b, p->b + all, next, 0};
  const unsigned end = next < all ? next + bytes : 0;
  const uint8_t *b = p->b + panel * bytes;
#ifdef __wasm_relaxed_simd__
  const Header *head = (const Header *)b;
  b += HEADER;
  if (head->form == WHOLE) {
    panel_rows(b_first, MOST_ROWS_WHOLE, count, rows->first + at, rows->ld, b, quads, 0, c, near, end);
  } else if (head->form == WIDE) {
    panel_rows(b_first, MOST_ROWS, count, rows->second + at, rows->ld, b, quads, 0, c, near, end);
    panel_rows(b_first, MOST_ROWS, count, rows->third + at, rows->ld, b, quads, 1, c, near, 0);
  } else {
    panel_rows(a_first, MOST_ROWS, count, rows->first + at, rows->ld, b, quads, 0, c, near, end);
    for (int i = 0; i < head->outliers; i++) {
      const uint32_t code = head->outlier[i];
      const int more = (int)(code & 255), column = (int)(code >> 8 & 7);
      const int8_t *x = (const int8_t *)rows->first + at + (code >> 11);
      for (int r = 0; r < count; r++) c[r * PANEL + column] += more * x[(size_t)r * rows->ld];
    }
  }
#else
  panel_rows(a_first, MOST_ROWS, count, rows->first + at, rows->ld, b + HEADER, quads, 0, c, near, end);
#endif
}

static int zero_point(const Product *p, int n) { return p->b_type == U8 ? p->b_zp[n] : (int8_t)p->b_zp[n]; }

static Lack lack_of(const Product *p, int n) {
  const Header *head = (const Header *)(p->b + (size_t)(n / PANEL) * packed_bytes(p->K));
  v128_t zeros[2];
  if (p->b_zp && p->b_zp_count > 1) {
    int32_t each[PANEL] = {0};
    FEW for (int i = 0; i < min_int(PANEL, p->N - n); i++) each[i] = zero_point(p, n + i);
    zeros[0] = wasm_v128_load(each);
    zeros[1] = wasm_v128_load(each + 4);
  } else {
    zeros[0] = zeros[1] = wasm_i32x4_splat(p->b_zp ? zero_point(p, 0) : 0);
  }
  return (Lack){
      {wasm_i32x4_sub(wasm_v128_load(head->shift), zeros[0]), wasm_i32x4_sub(wasm_v128_load(head->shift + 4), zeros[1])},
#ifdef __wasm_relaxed_simd__
      {wasm_v128_load(head->column_sum), wasm_v128_load(head->column_sum + 4)},
      head->form == NARROW ? 128 : 0,
#endif
  };
}

// Half a row of exact products.
SIMD v128_t exact(const int32_t *c, const Lack *lack, unsigned half, const Rows *rows, int row) {
  v128_t x = wasm_i32x4_add(wasm_v128_load(c + half * 4u), wasm_i32x4_mul(lack->by_sum[half], wasm_i32x4_splat(rows->sums[row])));
#ifdef __wasm_relaxed_simd__
  x = wasm_i32x4_add(x, wasm_i32x4_mul(lack->by_zero[half], wasm_i32x4_splat(lack->offset - rows->zero_points[row])));
#endif
  return x;
}

enum { EDGE = WIDE_PANELS * MOST_BLOCK_ROWS * PANEL };

// The sums of rows m... with the panels from column n on, one after the other in c; returns how many panels.
static int multiply_some(const Product *p, const Rows *rows, int m, int count, int n, int32_t *c) {
  const int first = n / PANEL;
  int panels = 1, aside = 0;
#ifdef __wasm_relaxed_simd__
  if (rows->whole && p->N - n > (WIDE_PANELS - 1) * PANEL) aside = wide_rows(count, MOST_ROWS_WHOLE);
  if (aside) panels = WIDE_PANELS;
#endif
  for (int i = 0; i < panels; i++) multiply(p, rows, m, count - aside, (unsigned)(first + i), c + (size_t)i * count * PANEL);
#ifdef __wasm_relaxed_simd__
  const size_t bytes = (size_t)packed_bytes(p->K);
  const uint8_t *b = p->b + (size_t)first * bytes;
  for (int r = count - aside; r < count; r += WIDE_ROWS) {
    wide(rows->first + (size_t)(m + r) * rows->ld, rows->ld, b + HEADER, bytes, ceil_div(p->K, 4), c + r * PANEL, (size_t)count * PANEL);
  }
#endif
  return panels;
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
  int32_t edge[EDGE];
  const int block = block_rows(K);
  for (int m = 0; m < M; m += block) {
    const int count = min_int(block, M - m);
    for (int n = 0; n < N;) {
      const int32_t *c = edge;
      for (int panels = multiply_some(&p, &rows, m, count, n, edge); panels > 0; panels--, n += PANEL, c += count * PANEL) {
        const int columns = min_int(PANEL, N - n), straight = columns == PANEL && !a[16];
        const Lack lack = lack_of(&p, n);
        v128_t scale[2], some_bias[2];
        UNROLL for (int half = 0; half < 2; half++) {
          const int at = n + half * 4;
          scale[half] = wasm_f32x4_mul(splat(a_scale), a[7] > 1 ? load_some(b_scale + at, N - at) : splat(b_scale[0]));
          some_bias[half] = bias ? load_some(bias + at, N - at) : splat(-0.0f);
        }
        const size_t at = (size_t)m * N + n;
        float *values = straight ? FLOATS(12) + at : (float *)c;
        const float *more = residual ? residual + at : 0, *added = straight ? more : 0;
        for (int r = 0; r < count; r++) {
          float *to = values + (size_t)r * (straight ? N : PANEL);
          UNROLL for (unsigned half = 0; half < 2; half++) {
            v128_t x = wasm_f32x4_convert_i32x4(exact(c + r * PANEL, &lack, half, &rows, m + r));
            x = wasm_f32x4_add(wasm_f32x4_mul(x, scale[half]), some_bias[half]);
            if (added) x = wasm_f32x4_add(x, wasm_v128_load(added + half * 4u));
            wasm_v128_store(to + half * 4u, x);
          }
          if (added) added += N;
        }
        if (straight) continue;
        if (a[16]) activate(a[16], values, count, PANEL, PANEL);
        store_edge(values, FLOATS(12) + at, N, count, columns, more, N);
      }
    }
  }
  return 0;
}

int k_matmul_integer(const int32_t *a) {
  const int M = a[9], N = a[10], K = a[11];
  const Product p = {BYTES(0), BYTES(2), BYTES(4), BYTES(6), a[1], a[5], a[3], a[7], M, N, K, BYTES(12)};
  const Rows rows = prepare(&p);
  int32_t edge[EDGE];
  const int block = block_rows(K);
  for (int m = 0; m < M; m += block) {
    const int count = min_int(block, M - m);
    for (int n = 0; n < N;) {
      const int32_t *c = edge;
      for (int panels = multiply_some(&p, &rows, m, count, n, edge); panels > 0; panels--, n += PANEL) {
        const int columns = min_int(PANEL, N - n);
        const Lack lack = lack_of(&p, n);
        for (int r = 0; r < count; r++, c += PANEL) {
          int32_t row[PANEL];
          UNROLL for (unsigned half = 0; half < 2; half++) wasm_v128_store(row + half * 4u, exact(c, &lack, half, &rows, m + r));
          FEW for (int i = 0; i < columns; i++) INTS(8)[(size_t)(m + r) * N + n + i] = row[i];
        }
      }
    }
  }
  return 0;
}
