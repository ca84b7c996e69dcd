// Products of 8-bit integers, exact in int32 (modulo 2^32, as ONNX MatMulInteger), with the arithmetic around them.
//
// A is taken as uint8 (int8 is shifted by 128, its zero point too), B as int8 or uint8. A packed panel of B holds 8 columns, K filled
// up to a multiple of 4 with zeros: a header of 256 bytes, then 32 bytes for every 4 k. With w the values as stored, w + shift the
// values meant, and z the zero points:
//     sum (a - za) (w + shift - zb) = sum a w - za sum w + (shift - zb) (sum a - K za)
//
// The relaxed binary uses i32x4.relaxed_dot_i8x16_i7x16_add_s, which is exact, and the same on every CPU, if its second operand is
// 0..127: the sum of two products is at most 2 * 128 * 127 < 2^15. A panel is stored in one of two ways:
//   narrow  each column's values lie in a range of 127 (or a few outliers stick out and are added one by one): B is the second operand,
//           A - 128 the first. Weights quantised with reduce_range are like this.
//   wide    B is the first operand, and A is the second in two passes, a / 128 and a % 128.
// The other binary uses i32x4.dot_i16x8_s on A - za and on B, widened as it is loaded.
#include "dense.h"

enum { HEADER = 256, MOST_OUTLIERS = 40, MOST_BLOCK_ROWS = 192, BLOCK_BYTES = 196608 };

typedef struct {
  int32_t column_sum[PANEL];  // of the stored values; the simple binary has no use for it
  int32_t shift[PANEL];
  int32_t wide;
  int32_t outliers;
  uint32_t outlier[MOST_OUTLIERS];  // k << 11 | column << 8 | what the stored value lacks
} Header;

_Static_assert(sizeof(Header) <= HEADER, "header");

static int packed_bytes(int K) { return HEADER + 32 * ceil_div(K, 4); }

// Where value k of column c of a panel lies.
static int place(int k, int c) {
#ifdef __wasm_relaxed_simd__
  return (k / 4) * 32 + c * 4 + k % 4;
#else
  return (k / 2) * 16 + c * 2 + k % 2;
#endif
}

// The weights of one panel, as int8.
typedef struct {
  const uint8_t *src;
  int columns, row_stride, column_stride;
  int flip;  // 128 turns uint8 into int8
} Source;

static int weight(const Source *p, int k, int c) {
  return (int8_t)(p->src[(ptrdiff_t)k * p->row_stride + (ptrdiff_t)c * p->column_stride] ^ p->flip);
}

// Row k of 8 columns that lie side by side.
SIMD v128_t weights(const Source *p, int k) {
  return wasm_v128_xor(wasm_v128_load64_zero(p->src + (ptrdiff_t)k * p->row_stride), wasm_i8x16_splat((int8_t)p->flip));
}

// A value as it is stored: less the shift of its column; what a narrow panel cannot hold becomes an outlier.
static uint8_t stored(Header *head, int w, int k, int c) {
  w -= head->shift[c];
  head->column_sum[c] += w;
  if (w > 127) {
    head->outlier[head->outliers++] = (uint32_t)k << 11 | (uint32_t)c << 8 | (uint32_t)(w - 127);
    w = 127;
  }
  return (uint8_t)w;
}

#ifdef __wasm_relaxed_simd__
// Shift every column to begin at 0, unless too many values then exceed 127.
static void choose_form(Header *head, const Source *p, int K, int fast) {
  int8_t low[16] = {0}, high[16] = {0};
  int outliers = 0;
  if (fast) {
    v128_t least = wasm_i8x16_splat(127), most = wasm_i8x16_splat(-128);
    for (int k = 0; k < K; k++) {
      const v128_t w = weights(p, k);
      least = wasm_i8x16_min(least, w);
      most = wasm_i8x16_max(most, w);
    }
    wasm_v128_store(low, least);
    wasm_v128_store(high, most);
  }
  FEW for (int c = 0; c < p->columns; c++) {
    if (!fast) {
      low[c] = 127;
      high[c] = -128;
      FEW for (int k = 0; k < K; k++) {
        const int w = weight(p, k, c);
        if (w < low[c]) low[c] = (int8_t)w;
        if (w > high[c]) high[c] = (int8_t)w;
      }
    }
    if (high[c] - low[c] <= 127) continue;
    FEW for (int k = 0; k < K && outliers <= MOST_OUTLIERS; k++) outliers += weight(p, k, c) - low[c] > 127;
  }
  head->wide = outliers > MOST_OUTLIERS || K >= 1 << 21;
  if (head->wide) return;
  FEW for (int c = 0; c < p->columns; c++) head->shift[c] = low[c];
}
#endif

static void pack_panel(const Source *p, uint8_t *dst, int K) {
  Header *head = (Header *)dst;
  uint8_t *to = dst + HEADER;
  const int fast = p->columns == PANEL && p->column_stride == 1;
  int k = 0;
  fill_bytes(dst, 0, (size_t)packed_bytes(K));
#ifdef __wasm_relaxed_simd__
  choose_form(head, p, K, fast);
#endif
  if (fast) {
    uint8_t shifts[16];
    for (int c = 0; c < 16; c++) shifts[c] = (uint8_t)head->shift[c % PANEL];
    const v128_t shift = wasm_v128_load(shifts);
    v128_t sum0 = wasm_i32x4_const(0, 0, 0, 0), sum1 = sum0;
    for (; k + 4 <= K; k += 4) {
      const v128_t r0 = wasm_i8x16_sub(weights(p, k), shift), r1 = wasm_i8x16_sub(weights(p, k + 1), shift);
      const v128_t r2 = wasm_i8x16_sub(weights(p, k + 2), shift), r3 = wasm_i8x16_sub(weights(p, k + 3), shift);
      v128_t low = wasm_i8x16_shuffle(r0, r1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      v128_t high = wasm_i8x16_shuffle(r2, r3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#ifdef __wasm_relaxed_simd__
      const v128_t pairs = low;
      low = wasm_i16x8_shuffle(pairs, high, 0, 8, 1, 9, 2, 10, 3, 11);
      high = wasm_i16x8_shuffle(pairs, high, 4, 12, 5, 13, 6, 14, 7, 15);
      // In a narrow panel a byte with its highest bit set is 128 or more: an outlier, left to the slow way.
      if (!head->wide && wasm_i8x16_bitmask(wasm_v128_or(low, high))) {
        FEW for (int i = 0; i < 4 * PANEL; i++) {
          const int row = k + i / PANEL, c = i % PANEL;
          to[place(row, c)] = stored(head, weight(p, row, c), row, c);
        }
        continue;
      }
      sum0 = wasm_i32x4_add(sum0, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(low)));
      sum1 = wasm_i32x4_add(sum1, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(high)));
#endif
      wasm_v128_store(to + k * PANEL, low);
      wasm_v128_store(to + k * PANEL + 16, high);
    }
    wasm_v128_store(head->column_sum, wasm_i32x4_add(sum0, wasm_v128_load(head->column_sum)));
    wasm_v128_store(head->column_sum + 4, wasm_i32x4_add(sum1, wasm_v128_load(head->column_sum + 4)));
  }
  FEW for (; k < K; k++) {
    FEW for (int c = 0; c < p->columns; c++) to[place(k, c)] = stored(head, weight(p, k, c), k, c);
  }
  FEW for (int c = 0; c < p->columns; c++) head->shift[c] += p->flip;
}

int k_pack_i8(const int32_t *a) {
  const uint8_t *src = BYTES(0);
  uint8_t *dst = BYTES(1);
  const int K = a[2], N = a[3];
  for (int n = 0; n < N; n += PANEL, dst += packed_bytes(K)) {
    const Source source = {src + (ptrdiff_t)n * a[5], min_int(PANEL, N - n), a[4], a[5], a[6] == U8 ? 128 : 0};
    pack_panel(&source, dst, K);
  }
  return 0;
}

// c[R, 8] = c * 128 (if `again`) + a[R, k] @ b[k, 8]; rows of a lie lda bytes apart. quads: K / 4.
SIMD void tile(const unsigned R, const unsigned split, const int wide, const uint8_t *a, int lda, const uint8_t *b, int quads, int again,
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
      low[(s) * R + r] = wide ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(b0, x, low[(s) * R + r])     \
                              : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, b0, low[(s) * R + r]);    \
      high[(s) * R + r] = wide ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(b1, x, high[(s) * R + r])   \
                               : wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, b1, high[(s) * R + r]);  \
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

#ifdef __wasm_relaxed_simd__
#define TILE(R, split)                                                                                                        \
  static __attribute__((noinline)) void narrow_##R(const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c) { \
    tile(R, split, 0, a, lda, b, quads, 0, c);                                                                                \
  }                                                                                                                           \
  static __attribute__((noinline)) void wide_##R(const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c) { \
    tile(R, split, 1, a, lda, b, quads, again, c);                                                                            \
  }
#else
#define TILE(R, split)                                                                                                        \
  static __attribute__((noinline)) void narrow_##R(const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c) { \
    tile(R, split, 0, a, lda, b, quads, 0, c);                                                                                \
  }
#endif
TILE(1, 4)
TILE(2, 2)
TILE(3, 1)
TILE(4, 1)

typedef void (*Tile)(const uint8_t *, int, const uint8_t *, int, int, int32_t *);
static const Tile narrow_tiles[] = {narrow_1, narrow_2, narrow_3, narrow_4};
#ifdef __wasm_relaxed_simd__
static const Tile wide_tiles[] = {wide_1, wide_2, wide_3, wide_4};
#endif

static void panel_rows(const Tile *tiles, int rows, const uint8_t *a, int lda, const uint8_t *b, int quads, int again, int32_t *c) {
  while (rows > 0) {
    const int r = rows == 5 ? 3 : min_int(rows, 4);
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
  int narrow = 0, wide = 0;
  for (int n = 0; n < p->N; n += PANEL) {
    if (((const Header *)(p->b + (size_t)(n / PANEL) * packed_bytes(K)))->wide) {
      wide = 1;
    } else {
      narrow = 1;
    }
  }
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
      v128_t planes[3] = {wasm_v128_xor(x, wasm_i8x16_splat(-128)), wasm_u8x16_shr(x, 7), wasm_v128_and(x, wasm_i8x16_splat(127))};
      for (int plane = narrow ? 0 : 1; plane < (wide ? 3 : 1); plane++) {
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
  if (head->wide) {
    panel_rows(wide_tiles, count, rows->second + at, rows->ld, b, quads, 0, c);
    panel_rows(wide_tiles, count, rows->third + at, rows->ld, b, quads, 1, c);
  } else {
    panel_rows(narrow_tiles, count, rows->first + at, rows->ld, b, quads, 0, c);
    offset = 128;
    for (int i = 0; i < head->outliers; i++) {
      const uint32_t code = head->outlier[i];
      const int more = (int)(code & 255), column = (int)(code >> 8 & 7);
      const int8_t *x = (const int8_t *)rows->first + at + (code >> 11);
      for (int r = 0; r < count; r++) c[r * PANEL + column] += more * x[(size_t)r * rows->ld];
    }
  }
#else
  panel_rows(narrow_tiles, count, rows->first + at, rows->ld, b, quads, 0, c);
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

SIMD v128_t quantize(v128_t x, v128_t scales, v128_t zeros) {
  x = wasm_f32x4_add(wasm_f32x4_nearest(wasm_f32x4_div(x, scales)), zeros);
  x = wasm_i32x4_trunc_sat_f32x4(x);
  x = wasm_i16x8_narrow_i32x4(x, x);
  return wasm_u8x16_narrow_i16x8(x, x);
}

// Scale and zero point from the range of X with 0 in it; a range of 0 gives scale 1 (as onnxruntime has it: the result is the same).
int k_quantize_dynamic(const int32_t *a) {
  const float *X = FLOATS(0);
  uint8_t *Y = BYTES(1);
  const int n = a[4];
  v128_t low = splat(0), high = low;
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    const v128_t x = wasm_v128_load(X + i);
    low = wasm_f32x4_pmin(low, x);
    high = wasm_f32x4_pmax(high, x);
  }
  if (i < n) {
    const v128_t x = load_part(X + i, n - i);
    low = wasm_f32x4_pmin(low, x);
    high = wasm_f32x4_pmax(high, x);
  }
  float lows[4], highs[4], min = 0.0f, max = 0.0f;
  wasm_v128_store(lows, low);
  wasm_v128_store(highs, high);
  for (int j = 0; j < 4; j++) {
    min = lows[j] < min ? lows[j] : min;
    max = highs[j] > max ? highs[j] : max;
  }
  const float scale = max == min ? 1.0f : (max - min) / 255.0f;
  float zero = __builtin_rintf(0.0f - min / scale);
  zero = zero > 255.0f ? 255.0f : zero > 0.0f ? zero : 0.0f;
  FLOATS(2)[0] = scale;
  BYTES(3)[0] = (uint8_t)zero;
  const v128_t scales = splat(scale), zeros = splat(zero);
  for (i = 0; i + 4 <= n; i += 4) {
    const v128_t x = quantize(wasm_v128_load(X + i), scales, zeros);
    wasm_v128_store32_lane(Y + i, x, 0);
  }
  if (i < n) {
    const uint32_t four = (uint32_t)wasm_i32x4_extract_lane(quantize(load_part(X + i, n - i), scales, zeros), 0);
    FEW for (int j = 0; j < n - i; j++) Y[i + j] = (uint8_t)(four >> (8 * j));
  }
  return 0;
}
