// Elementwise activations, alone or at the end of a matrix product.
#include "dense.h"

v128_t load_part(const float *p, int n) {
  v128_t v = wasm_f32x4_const(0, 0, 0, 0);
  if (n >= 2) {
    v = wasm_v128_load64_zero(p);
    return n == 3 ? wasm_v128_load32_lane(p + 2, v, 2) : v;
  }
  return n == 1 ? wasm_v128_load32_zero(p) : v;
}

void store_part(float *p, v128_t v, int n) {
  if (n >= 2) {
    wasm_v128_store64_lane(p, v, 0);
    if (n == 3) wasm_v128_store32_lane(p + 2, v, 2);
  } else if (n == 1) {
    wasm_v128_store32_lane(p, v, 0);
  }
}

#define ROWS(result)                                                              \
  for (int r = 0; r < rows; r++, x += ld) {                                        \
    for (int i = 0; i < columns; i += 4) {                                         \
      const v128_t v = load_some(x + i, columns - i);                              \
      store_some(x + i, result, columns - i);                                      \
    }                                                                              \
  }                                                                                \
  break;

// Functions of one family differ in what goes in and in what becomes of the result, by these masks: a loop for each would be long.
SIMD v128_t all_if(int condition) { return wasm_i32x4_splat(-condition); }
SIMD v128_t gate(v128_t v, v128_t result, v128_t gelu) {
  const v128_t half = wasm_f32x4_mul(v, splat(0.5f));
  return wasm_v128_bitselect(wasm_f32x4_mul(half, wasm_f32x4_add(result, splat(1.0f))), result, gelu);
}

void activate(int activation, float *x, int rows, int columns, int ld) {
  if (ld == columns) {  // one long row
    columns *= rows;
    rows = rows > 0;
  }
  switch (activation) {
    case ACT_RELU: ROWS(relu_f32x4(v))
    case ACT_EXP: ROWS(exp_f32x4(v))
    case ACT_GELU:
      // Two vectors at a time, with coefficients from memory: V8 makes a constant in three instructions, each time.
      if (rows == 1) {
        const float(*c)[2] = ERF;
        for (; columns >= 8; columns -= 8, x += 8) {
          v128_t e[2], half[2];
          KEEP(c);
          UNROLL for (unsigned v = 0; v < 2; v++) {
            e[v] = wasm_v128_load(x + 4 * v);
            half[v] = wasm_f32x4_mul(e[v], splat(0.5f));
            e[v] = wasm_f32x4_mul(e[v], splat(0.70710678f));
          }
          erf_vectors(e, 2, c);
          UNROLL for (unsigned v = 0; v < 2; v++) wasm_v128_store(x + 4 * v, wasm_f32x4_mul(half[v], wasm_f32x4_add(e[v], splat(1.0f))));
        }
      }
      __attribute__((fallthrough));
    case ACT_ERF: {
      const v128_t gelu = all_if(activation == ACT_GELU), factor = splat(activation == ACT_GELU ? 0.70710678f : 1.0f);
      ROWS(gate(v, erf_f32x4(wasm_f32x4_mul(v, factor)), gelu))
    }
    case ACT_GELU_TANH:
    case ACT_TANH: {
      const v128_t gelu = all_if(activation == ACT_GELU_TANH);
      ROWS(gate(v, tanh_f32x4(wasm_v128_bitselect(gelu_inner_f32x4(v), v, gelu)), gelu))
    }
    case ACT_SIGMOID:
    case ACT_SILU:
    case ACT_QUICK_GELU: {
      const v128_t times = all_if(activation != ACT_SIGMOID), factor = splat(activation == ACT_QUICK_GELU ? 1.702f : 1.0f);
      ROWS(wasm_f32x4_mul(sigmoid_f32x4(wasm_f32x4_mul(v, factor)), wasm_v128_bitselect(v, splat(1.0f), times)))
    }
    default: break;
  }
}

// In pieces that stay in the first-level cache between the addition and the activation.
int k_activation_f32(const int32_t *a) {
  const float *X = FLOATS(1), *bias = FLOATS(2);
  float *Y = FLOATS(3);
  const int n = a[4], period = a[5];
  int column = 0;
  for (int start = 0; start < n;) {
    int size = min_int(n - start, 2048);
    if (bias) size = min_int(size, period - column);
    if (bias) {
      const float *b = bias + column;
      for (int i = 0; i < size; i += 4) {
        const int part = size - i;
        store_some(Y + start + i, wasm_f32x4_add(load_some(X + start + i, part), load_some(b + i, part)), part);
      }
      column = column + size == period ? 0 : column + size;
    } else if (X != Y) {
      copy_bytes(Y + start, X + start, (size_t)size * 4);
    }
    activate(a[0], Y + start, 1, size, size);
    start += size;
  }
  return 0;
}
