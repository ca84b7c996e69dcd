// Matrix products in float32. B lies in panels of 8 columns; a tile of up to 6 rows x 8 columns of C stays in registers while K
// runs (12 accumulators, two vectors of B and one of A: the 15 registers that V8 gives out on x86-64). Fewer accumulators do not hide the
// latency of their sums, so the rows that are left when 6 are taken at a time make tiles of 2 rows x 24 columns.
#include "dense.h"

#ifdef __wasm_relaxed_simd__
enum { MOST_ROWS = 6 };
#else
enum { MOST_ROWS = 4 };  // a product needs a register of its own
#endif

// c[R, 8] = start + a[R, k] @ b[k, 8]. `split` sums of every split-th k hide the latency of few rows.
// On its way it has brought near, from `ahead` on in steps of `pace` bytes, what the next tiles will need: weights come from memory, and
// a tile that asks for them itself runs at half speed. WebAssembly has no prefetch instruction, and a load that misses holds up what comes
// after it. A store does not; so it stores what is there already: `lines` holds the first byte of each line of memory, by address.
SIMD void tile(const unsigned R, const unsigned split, const unsigned step, const float *a, int lda, const float *b, int k, const float *start, int start_ld,
               float *c, int ldc, unsigned ahead, unsigned pace, const char *lines) {
  v128_t low[8], high[8];
  const float *row[8];
  UNROLL for (unsigned r = 0; r < R; r++) {
    row[r] = a + (size_t)r * (size_t)lda;
    low[r] = wasm_v128_load(start + (size_t)r * (size_t)start_ld);
    high[r] = wasm_v128_load(start + (size_t)r * (size_t)start_ld + 4u);
  }
  UNROLL for (unsigned i = R; i < R * split; i++) low[i] = high[i] = wasm_f32x4_const(0, 0, 0, 0);
  unsigned i = (unsigned)k;
  pace *= step / 2;
#pragma clang loop unroll(disable)
  for (; i >= step; i -= step) {
    *(volatile char *)(ahead & ~(CACHE_LINE - 1u)) = lines[ahead / CACHE_LINE];
    ahead += pace;
    UNROLL for (unsigned u = 0; u < step; u++) {
      v128_t b0 = wasm_v128_load(b + u * PANEL);
      v128_t b1 = wasm_v128_load(b + u * PANEL + 4u);
      UNROLL for (unsigned r = 0; r < R; r++) {
        const unsigned s = (u % split) * R + r;
        v128_t x = wasm_v128_load32_splat(row[r] + u);
        low[s] = madd(x, b0, low[s]);
        high[s] = madd(x, b1, high[s]);
        KEEP_VECTOR(low[s]);
        KEEP_VECTOR(high[s]);
      }
    }
    b += step * PANEL;
    KEEP(b);
    UNROLL for (unsigned r = 0; r < R; r++) {
      row[r] += step;
      KEEP(row[r]);
    }
  }
#pragma clang loop unroll(disable)
  for (; i > 0; i--) {
    v128_t b0 = wasm_v128_load(b);
    v128_t b1 = wasm_v128_load(b + 4u);
    UNROLL for (unsigned r = 0; r < R; r++) {
      v128_t x = wasm_v128_load32_splat(row[r]++);
      low[r] = madd(x, b0, low[r]);
      high[r] = madd(x, b1, high[r]);
    }
    b += PANEL;
  }
  UNROLL for (unsigned s = 1; s < split; s++) {
    UNROLL for (unsigned r = 0; r < R; r++) {
      low[r] = wasm_f32x4_add(low[r], low[s * R + r]);
      high[r] = wasm_f32x4_add(high[r], high[s * R + r]);
    }
  }
  UNROLL for (unsigned r = 0; r < R; r++) {
    wasm_v128_store(c + (size_t)r * (size_t)ldc, low[r]);
    wasm_v128_store(c + (size_t)r * (size_t)ldc + 4u, high[r]);
  }
}

#define TILE(R, split, step)                                                                                                           \
  static __attribute__((noinline)) void tile_##R(const float *a, int lda, const float *b, int k, const float *start, int start_ld, \
                                                 float *c, int ldc, unsigned ahead, unsigned pace, const char *lines) {                            \
    tile(R, split, step, a, lda, b, k, start, start_ld, c, ldc, ahead, pace, lines);                                                            \
  }
TILE(1, 4, 4)
TILE(2, 2, 2)
TILE(3, 1, 2)
TILE(4, 1, 2)
#ifdef __wasm_relaxed_simd__
TILE(5, 1, 4)
TILE(6, 1, 4)

static __attribute__((noinline)) void wide(const float *a, int lda, const float *b, size_t panel, int k, const float *start, size_t start_panel,
                                           float *c, int ldc, size_t c_panel) {
  wide_tile(0, (const char *)a, (size_t)lda * 4, (const char *)b, panel * 4, k, start, start_panel, c, (size_t)ldc, c_panel);
}
#endif

static char idle_line[CACHE_LINE] __attribute__((aligned(CACHE_LINE)));

// All rows of one panel. What is wanted next, from `ahead` up to `end`, is brought near by the way; lines 0: nothing is.
static void panel_rows(int M, const float *a, int lda, const float *b, int k, const float *start, int start_ld, float *c, int ldc,
                       const float *next, const float *end, const char *lines) {
  unsigned ahead = (unsigned)next, pace = 0, now = 0;
  if (lines && ahead + (unsigned)k * PANEL * 4 <= (unsigned)end) pace = near_pace(M, MOST_ROWS, &now);
  if (!pace) {
    ahead = (unsigned)idle_line;
    lines = idle_line - ahead / CACHE_LINE;
  }
  const unsigned stretch = pace * ((unsigned)k / 2);
  while (M > 0) {
    int rows = next_rows(M, MOST_ROWS);
    switch (rows) {
      case 1: tile_1(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
      case 2: tile_2(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
      case 3: tile_3(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
      case 4: tile_4(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
#ifdef __wasm_relaxed_simd__
      case 5: tile_5(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
      default: tile_6(a, lda, b, k, start, start_ld, c, ldc, ahead, now, lines); break;
#endif
    }
    if (now) ahead += stretch;
    now = ahead + stretch <= (unsigned)end ? pace : 0;
    if (ahead == (unsigned)end) ahead--;  // a tile that goes no further stays at a line that there is
    M -= rows;
    a += (size_t)rows * lda;
    start += (size_t)rows * start_ld;
    c += (size_t)rows * ldc;
  }
}

enum { BLOCK_K = 512, BLOCK_FLOATS = 65536, MOST_BLOCK_ROWS = 192 };

static const float zeros[PANEL];

void store_edge(const float *edge, float *out, int ldc, int rows, int columns, const float *residual, int ldr) {
  for (int r = 0; r < rows; r++, edge += PANEL, out += ldc) {
    v128_t low = wasm_v128_load(edge), high = wasm_v128_load(edge + 4);
    if (columns == PANEL) {
      if (residual) {
        low = wasm_f32x4_add(low, wasm_v128_load(residual));
        high = wasm_f32x4_add(high, wasm_v128_load(residual + 4));
        residual += ldr;
      }
      wasm_v128_store(out, low);
      wasm_v128_store(out + 4, high);
      continue;
    }
    FEW for (int i = 0; i < columns; i++) out[i] = residual ? edge[i] + residual[i] : edge[i];
    if (residual) residual += ldr;
  }
}

// Where the i-th of the sums over K, which are added one after the other, begins.
static int part_start(const Gemm *g, int i) {
  const word *parts = g->parts;
  return !parts || i == parts[0] ? g->K : parts[1] * i / parts[0] * parts[2];
}

// How long the pieces are in which K passes, so that their part of A stays near: as long as each other, since each brings near what the next one needs.
static int piece_length(int k) {
  const int pieces = ceil_div(k, BLOCK_K);
  return pieces > 1 ? (ceil_div(k, pieces) + 3) & ~3 : k;
}

void gemm_packed(const Gemm *g) {
  const int M = g->M, N = g->N, K = g->K, panel = g->panel ? g->panel : K, parts = g->parts ? g->parts[0] : 1;
  // Rows taken together: their part of A should stay in the second-level cache while all panels pass.
  int block = panel > 0 ? BLOCK_FLOATS / panel / 12 * 12 : M;
  block = block < 24 ? 24 : block > MOST_BLOCK_ROWS ? MOST_BLOCK_ROWS : block;
  float edge[WIDE_PANELS * MOST_BLOCK_ROWS * PANEL];
  float bias_edge[PANEL];
  const int plain = g->alpha == 1.0f;
  const size_t panel_floats = (size_t)panel * PANEL;
  const float *end = g->b + (size_t)(ceil_div(N, PANEL) - 1) * panel_floats + (size_t)K * PANEL;
  const char *lines = g->lines ? g->lines - (unsigned)g->b / CACHE_LINE : 0;
  for (int m = 0; m < M; m += block) {
    const int rows = min_int(block, M - m);
    for (int n = 0, panels; n < N; n += panels * PANEL) {
      int aside = 0;
      panels = 1;
#ifdef __wasm_relaxed_simd__
      // Of few rows none: wide tiles bring nothing near.
      if (N - n >= WIDE_PANELS * PANEL) aside = wide_rows(rows, 2 * MOST_ROWS);
      if (aside) panels = WIDE_PANELS;
#endif
      const int columns = min_int(panels * PANEL, N - n);
      float *out = g->c + (size_t)m * g->ldc + n;
      const float *bias = g->bias ? g->bias + n : 0;
      if (bias && columns < PANEL) {
        FEW for (int i = 0; i < PANEL; i++) bias_edge[i] = i < columns ? bias[i] : 0.0f;
        bias = bias_edge;
      }
      const float *residual = g->residual ? g->residual + (size_t)m * g->ldr + n : 0;
      int ldr = g->ldr;
      for (int p = 0, low = 0, high; p < parts; p++, low = high) {
        high = part_start(g, p + 1);
        const int depth = high - low, length = piece_length(depth);
        const float *a = g->a + (size_t)m * g->lda + low, *b = g->b + (size_t)n * (size_t)panel + (size_t)low * PANEL;
        const int straight = plain && !g->activation && !residual && columns >= PANEL;
        float *c = straight ? out : edge;
        const int ldc = straight ? g->ldc : PANEL;
        const size_t c_panel = straight ? PANEL : (size_t)rows * PANEL;
        const float *start = plain && bias ? bias : zeros;
        const size_t start_panel = start == zeros ? 0 : PANEL;
        for (int i = 0; i < panels; i++) {
          const float *from = b + i * panel_floats, *next = from + panel_floats, *first = start + i * start_panel;
          int first_ld = 0, k = 0;
          do {
            const int piece = min_int(depth - k, length);
            const float *here = from + (size_t)k * PANEL;
            panel_rows(rows - aside, a + k, g->lda, here, piece, first, first_ld, c + i * c_panel, ldc,
                       k + piece < depth ? here + (size_t)piece * PANEL : next, end, lines);
            first = c + i * c_panel;
            first_ld = ldc;
            k += piece;
          } while (k < depth);
        }
#ifdef __wasm_relaxed_simd__
        for (int r = rows - aside; r < rows; r += WIDE_ROWS) {
          wide(a + (size_t)r * g->lda, g->lda, b, panel_floats, depth, start, start_panel, c + (size_t)r * ldc, ldc, c_panel);
        }
#endif
        if (!straight) {
          for (int i = 0; i < panels; i++) {
            float *values = edge + i * c_panel;
            const int at = i * PANEL;
            finish_tile(values, PANEL, rows, PANEL, g->alpha, plain || !bias ? 0 : bias + at, 0, 0, g->activation);
            store_edge(values, out + at, g->ldc, rows, min_int(PANEL, columns - at), residual ? residual + at : 0, ldr);
          }
        }
        residual = out;
        ldr = g->ldc;
        bias = 0;
      }
    }
  }
}

void finish_tile(float *c, int ldc, int rows, int columns, float alpha, const float *bias, const float *residual, int ldr,
                 int activation) {
  if (alpha != 1.0f || bias) {
    for (int r = 0; r < rows; r++) {
      float *row = c + (size_t)r * ldc;
      for (int i = 0; i < columns; i += 4) {
        v128_t x = wasm_f32x4_mul(load_some(row + i, columns - i), splat(alpha));
        if (bias) x = wasm_f32x4_add(x, load_some(bias + i, columns - i));
        store_some(row + i, x, columns - i);
      }
    }
  }
  if (activation) activate(activation, c, rows, columns, ldc);
  if (residual) {
    for (int r = 0; r < rows; r++) {
      float *row = c + (size_t)r * ldc;
      const float *more = residual + (size_t)r * ldr;
      for (int i = 0; i < columns; i += 4) {
        store_some(row + i, wasm_f32x4_add(load_some(row + i, columns - i), load_some(more + i, columns - i)), columns - i);
      }
    }
  }
}

void pack_panels(const float *src, float *dst, int K, int N, int row_stride, int column_stride) {
  for (int n = 0; n < N; n += PANEL, src += (ptrdiff_t)PANEL * column_stride) {
    const int columns = min_int(PANEL, N - n);
    const float *from = src;
    int k = 0;
    if (columns == PANEL && column_stride == 1) {
      for (; k < K; k++, from += row_stride, dst += PANEL) {
        wasm_v128_store(dst, wasm_v128_load(from));
        wasm_v128_store(dst + 4, wasm_v128_load(from + 4));
      }
    } else if (columns == PANEL && row_stride == 1) {
      for (; k + 4 <= K; k += 4, from += 4, dst += 4 * PANEL) {
        for (int half = 0; half < 2; half++) {
          const float *p = from + (ptrdiff_t)half * 4 * column_stride;
          v128_t r0 = wasm_v128_load(p), r1 = wasm_v128_load(p + column_stride);
          v128_t r2 = wasm_v128_load(p + 2 * (ptrdiff_t)column_stride), r3 = wasm_v128_load(p + 3 * (ptrdiff_t)column_stride);
          v128_t t0 = wasm_i32x4_shuffle(r0, r1, 0, 4, 1, 5), t1 = wasm_i32x4_shuffle(r2, r3, 0, 4, 1, 5);
          v128_t t2 = wasm_i32x4_shuffle(r0, r1, 2, 6, 3, 7), t3 = wasm_i32x4_shuffle(r2, r3, 2, 6, 3, 7);
          float *to = dst + half * 4;
          wasm_v128_store(to, wasm_i64x2_shuffle(t0, t1, 0, 2));
          wasm_v128_store(to + PANEL, wasm_i64x2_shuffle(t0, t1, 1, 3));
          wasm_v128_store(to + 2 * PANEL, wasm_i64x2_shuffle(t2, t3, 0, 2));
          wasm_v128_store(to + 3 * PANEL, wasm_i64x2_shuffle(t2, t3, 1, 3));
        }
      }
    }
    for (; k < K; k++, from += row_stride, dst += PANEL) {
      FEW for (int i = 0; i < PANEL; i++) dst[i] = i < columns ? from[(ptrdiff_t)i * column_stride] : 0.0f;
    }
  }
}

int k_pack_f32(const int32_t *a) {
  const unsigned bytes = (unsigned)round_panel(a[3]) * (unsigned)a[2] * 4;
  char *lines = (char *)a[6];
  pack_panels(FLOATS(0), FLOATS(1), a[2], a[3], a[4], a[5]);
  if (lines) {
    FEW for (unsigned i = 0; i < bytes; i += CACHE_LINE) *lines++ = ((const char *)a[1])[i];
  }
  return 0;
}

static int product(const int32_t *a, int panel, const word *parts) {
  Gemm g = {FLOATS(0), FLOATS(1), FLOATS(2), FLOATS(3), FLOATS(4), a[5], a[6], a[7], a[8], a[9], a[10], REAL(11), a[12], panel,
            (const char *)a[13], parts};
  gemm_packed(&g);
  return 0;
}

int k_gemm_f32(const int32_t *a) { return product(a, 0, 0); }
int k_gemm_rows_f32(const int32_t *a) { return product(a, a[14], 0); }
int k_gemm_parts_f32(const int32_t *a) { return product(a, 0, a + 14); }

// A and B as they lie, for so few rows that packing B would cost as much as the product. Columns of C in vectors.
static void thin_product(const float *A, const float *B, float *C, const int32_t *a) {
  const int M = a[5], N = a[6], K = a[7], a_row = a[8], a_col = a[9], b_row = a[10], b_col = a[11], ldc = a[12];
  for (int m = 0; m < M; m++) {
    const float *x = A + (ptrdiff_t)m * a_row;
    float *c = C + (size_t)m * ldc;
    if (b_col == 1) {
      int n = 0;
      for (; n + 16 <= N; n += 16) {
        v128_t s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
        const float *b = B + n;
        for (int k = 0; k < K; k++, b += b_row) {
          v128_t v = wasm_v128_load32_splat(x + (ptrdiff_t)k * a_col);
          s0 = madd(v, wasm_v128_load(b), s0);
          s1 = madd(v, wasm_v128_load(b + 4), s1);
          s2 = madd(v, wasm_v128_load(b + 8), s2);
          s3 = madd(v, wasm_v128_load(b + 12), s3);
        }
        wasm_v128_store(c + n, s0);
        wasm_v128_store(c + n + 4, s1);
        wasm_v128_store(c + n + 8, s2);
        wasm_v128_store(c + n + 12, s3);
      }
      for (; n < N; n += 4) {
        const int part = N - n;
        v128_t s = splat(0);
        const float *b = B + n;
        for (int k = 0; k < K; k++, b += b_row) {
          s = madd(wasm_v128_load32_splat(x + (ptrdiff_t)k * a_col), load_some(b, part), s);
        }
        store_some(c + n, s, part);
      }
    } else {  // b_row == 1 and a_col == 1: dot products
      for (int n = 0; n < N; n++) {
        const float *b = B + (ptrdiff_t)n * b_col;
        v128_t s0 = splat(0), s1 = s0;
        int k = 0;
        for (; k + 8 <= K; k += 8) {
          s0 = madd(wasm_v128_load(x + k), wasm_v128_load(b + k), s0);
          s1 = madd(wasm_v128_load(x + k + 4), wasm_v128_load(b + k + 4), s1);
        }
        float sum = sum_f32x4(wasm_f32x4_add(s0, s1));
        FEW for (; k < K; k++) sum += x[k] * b[k];
        c[n] = sum;
      }
    }
  }
}

int k_matmul_f32(const int32_t *a) {
  const int M = a[5], N = a[6], K = a[7], a_row = a[8], a_col = a[9], b_row = a[10], b_col = a[11], ldc = a[12];
  float *packed = FLOATS(15), *rows = packed + (size_t)round_panel(N) * K;
  const int thin = M <= 3 && (b_col == 1 || (b_row == 1 && a_col == 1));
  const float *packed_from = 0, *rows_from = 0;
  for (int i = 0; i < a[16]; i++) {
    for (int j = 0; j < a[20]; j++) {
      const float *A = FLOATS(0) + (ptrdiff_t)i * a[17] + (ptrdiff_t)j * a[21];
      const float *B = FLOATS(1) + (ptrdiff_t)i * a[18] + (ptrdiff_t)j * a[22];
      const ptrdiff_t place = (ptrdiff_t)i * a[19] + (ptrdiff_t)j * a[23];
      float *C = FLOATS(2) + place;
      const float *residual = a[4] ? FLOATS(4) + place : 0;
      if (thin) {
        thin_product(A, B, C, a);
        finish_tile(C, ldc, M, N, REAL(13), FLOATS(3), residual, ldc, a[14]);
        continue;
      }
      if (packed_from != B) pack_panels(B, packed, K, N, b_row, b_col);
      packed_from = B;
      int lda = a_row;
      if (a_col != 1) {
        if (rows_from != A) {
          for (int m = 0; m < M; m++) {
            FEW for (int k = 0; k < K; k++) rows[(size_t)m * K + k] = A[(ptrdiff_t)m * a_row + (ptrdiff_t)k * a_col];
          }
        }
        rows_from = A;
        A = rows;
        lda = K;
      }
      Gemm g = {A, packed, C, FLOATS(3), residual, M, N, K, lda, ldc, ldc, REAL(13), a[14], 0, 0, 0};
      gemm_packed(&g);
    }
  }
  return 0;
}
