// What the dense kernels share among themselves.
#pragma once
#include "simd_math.h"

enum { ACT_NONE, ACT_RELU, ACT_GELU, ACT_GELU_TANH, ACT_TANH, ACT_SIGMOID, ACT_SILU, ACT_ERF, ACT_EXP, ACT_QUICK_GELU };

enum { PANEL = 8 };  // columns of a packed panel: two vectors of float32
enum { CACHE_LINE = 64 };  // bytes that come from memory together

// For inner loops. The compiler takes WebAssembly to have registers without end and moves loads far ahead; V8 then spills. IN_ORDER
// keeps loads on their side of it, KEEP has a pointer advance by itself instead of being derived from another one.
// (Offsets in inner loops are unsigned: only then does the compiler fold them into the instruction.)
#define IN_ORDER() __asm__ volatile("" ::: "memory")
#define KEEP(pointer) __asm__ volatile("" : "+r"(pointer))
#define KEEP_VECTOR(v) __asm__ volatile("" : "+r"(v)::"memory")
// For loops over what is left: neither unrolled nor made into vectors, which would only be long.
#define FEW _Pragma("clang loop unroll(disable) vectorize(disable)")

#define FLOATS(i) ((float *)(a[i]))
#define BYTES(i) ((uint8_t *)(a[i]))
#define INTS(i) ((int32_t *)(a[i]))
#define REAL(i) (word_float(a[i]))

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline int min_int(int a, int b) { return a < b ? a : b; }
// The rows of the next tile of at most `most`: what is left over makes two middling tiles rather than a full and a thin one.
static inline int next_rows(int left, int most) { return left >= 2 * most ? most : left > most ? ceil_div(left, 2) : left; }
// Tiles of `rows` rows, at most `most` each, bring near what the next panel needs (gemm_f32.c): the bytes that each of them comes further in two steps; 0 if
// they should not. first: of the first one. That leaves it to the others, as it is the one that waits for what is not there yet, unless there is one other
// one only, of 5 rows or more: at once in 4 steps that one would not get to all lines.
static inline unsigned near_pace(int rows, int most, unsigned *first) {
  const unsigned tiles = (unsigned)ceil_div(rows, most), askers = tiles == 2 && rows > 8 ? tiles : tiles - 1;
  const unsigned pace = askers > 0 && tiles <= 16 ? (CACHE_LINE / askers + 15) & ~15u : 0;
  *first = askers == tiles ? pace : 0;
  return pace;
}
static inline int round_panel(int n) { return ceil_div(n, PANEL) * PANEL; }

#ifdef __wasm_relaxed_simd__
enum { WIDE_ROWS = 2, WIDE_PANELS = 3 };

// Of `rows` (none of fewer than `least`), those that wide tiles take: what is left then are tiles of 6 rows and at most one of 5.
static inline int wide_rows(int rows, int least) {
  const int left = rows % 6;
  return rows < least || left == 5 ? 0 : (left + 1) & ~1;
}

// c = start + a @ b for two rows of three panels. One step is a float, or four bytes (`integers`), of each row and of each of a panel's 8 columns.
// In bytes: lda, panel (from one to the next); in elements of 4 bytes: start_panel, c_panel, ldc. start is one row.
SIMD void wide_tile(const int integers, const char *a, size_t lda, const char *b, size_t panel, int steps, const void *start, size_t start_panel,
                    void *c, size_t ldc, size_t c_panel) {
  enum { VECTORS = 2 * WIDE_PANELS };
  v128_t sums[VECTORS][WIDE_ROWS];
  const char *row[] = {a, a + lda}, *from[] = {b, b + panel, b + 2 * panel};
  UNROLL for (unsigned v = 0; v < VECTORS; v++) {
    sums[v][0] = sums[v][1] = wasm_v128_load((const int32_t *)start + v / 2 * start_panel + v % 2 * 4u);
  }
#pragma clang loop unroll(disable)
  for (; steps > 0; steps--) {
    const v128_t x[] = {wasm_v128_load32_splat(row[0]), wasm_v128_load32_splat(row[1])};
    UNROLL for (unsigned v = 0; v < VECTORS; v++) {
      const v128_t y = wasm_v128_load(from[v / 2] + v % 2 * 16u);
      UNROLL for (unsigned r = 0; r < WIDE_ROWS; r++) {
        sums[v][r] = integers ? wasm_i32x4_relaxed_dot_i8x16_i7x16_add(y, x[r], sums[v][r]) : madd(x[r], y, sums[v][r]);
        KEEP_VECTOR(sums[v][r]);
      }
    }
    UNROLL for (unsigned i = 0; i < WIDE_PANELS; i++) {
      from[i] += 32;
      KEEP(from[i]);
    }
    UNROLL for (unsigned r = 0; r < WIDE_ROWS; r++) {
      row[r] += 4;
      KEEP(row[r]);
    }
  }
  UNROLL for (unsigned v = 0; v < VECTORS; v++) {
    UNROLL for (unsigned r = 0; r < WIDE_ROWS; r++) wasm_v128_store((int32_t *)c + v / 2 * c_panel + r * ldc + v % 2 * 4u, sums[v][r]);
  }
}
#else
enum { WIDE_PANELS = 1 };
#endif

// x[rows, columns] = act(x), rows ld apart.
void activate(int activation, float *x, int rows, int columns, int ld);

// c = act(alpha * c + bias) + residual over [rows, columns]; bias and residual may be 0.
void finish_tile(float *c, int ldc, int rows, int columns, float alpha, const float *bias, const float *residual, int ldr,
                 int activation);

// out[rows, columns <= 8] = edge[rows, 8] + residual (may be 0, may be out).
void store_edge(const float *edge, float *out, int ldc, int rows, int columns, const float *residual, int ldr);

// dst = panels of src[k * row_stride + n * column_stride].
void pack_panels(const float *src, float *dst, int K, int N, int row_stride, int column_stride);

typedef struct {
  const float *a;  // [M, K], rows lda apart, contiguous columns
  const float *b;  // packed panels
  float *c;
  const float *bias, *residual;  // may be 0
  int M, N, K, lda, ldc, ldr;
  float alpha;
  int activation;
  int panel;  // rows of a whole panel, of which K are used; 0: K
  const char *lines;  // the first bytes of b's lines, which are written anew to bring them near; 0: b is near, or is not only read
  const word *parts;  // parts, units, unit: so many sums over K are made, the i-th from row units * i / parts * unit of B on, and added one by one; 0: one
} Gemm;

void gemm_packed(const Gemm *g);

// exp(x - max) of n floats in place of the given; returns the sum. The rows are no longer than the memory they lie in.
float exp_row(const float *x, float *y, int n, float max);
float max_row(const float *x, int n);
void scale_row(float *x, int n, float factor);
