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
#define UNROLL _Pragma("clang loop unroll(full)")

#define FLOATS(i) ((float *)(a[i]))
#define BYTES(i) ((uint8_t *)(a[i]))
#define INTS(i) ((int32_t *)(a[i]))
#define REAL(i) (word_float(a[i]))

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }
static inline int min_int(int a, int b) { return a < b ? a : b; }
// The rows of the next tile of at most `most`: what is left over makes two middling tiles rather than a full and a thin one.
static inline int next_rows(int left, int most) { return left >= 2 * most ? most : left > most ? ceil_div(left, 2) : left; }
static inline int round_panel(int n) { return ceil_div(n, PANEL) * PANEL; }

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
} Gemm;

void gemm_packed(const Gemm *g);

// exp(x - max) of n floats in place of the given; returns the sum. The rows are no longer than the memory they lie in.
float exp_row(const float *x, float *y, int n, float max);
float max_row(const float *x, int n);
void scale_row(float *x, int n, float factor);
