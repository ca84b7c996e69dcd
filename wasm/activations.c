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

// Functions of one family differ in what goes in and in what becomes of the result, by these masks: a loop for each would be long.
SIMD v128_t all_if(int condition) { return wasm_i32x4_splat(-condition); }
SIMD v128_t gate(v128_t v, v128_t result) { return wasm_f32x4_mul(wasm_f32x4_mul(v, splat(0.5f)), wasm_f32x4_add(result, splat(1.0f))); }

#define VECTORS(result)                               \
  FEW for (float *p = at; p < at + 8; p += 4) {       \
    const v128_t v = wasm_v128_load(p);               \
    wasm_v128_store(p, result);                       \
  }                                                   \
  break;

void activate(int activation, float *x, int rows, int columns, int ld) {
  if (ld == columns) {  // one long row
    columns *= rows;
    rows = rows > 0;
  }
  const float(*c)[2] = ERF;
  const v128_t factor = splat(activation == ACT_GELU ? 0.70710678f : activation == ACT_QUICK_GELU ? 1.702f : 1.0f);
  const v128_t gelu = all_if(activation == ACT_GELU_TANH), times = all_if(activation != ACT_SIGMOID);
  for (; rows > 0; rows--, x += ld) {
    for (int i = 0; i < columns; i += 8) {
      float last[8] = {0}, *at = x + i;
      const size_t bytes = (size_t)(columns - i) * 4;
      if (bytes < 32) copy_bytes(at = last, x + i, bytes);
      switch (activation) {
        case ACT_RELU: VECTORS(relu_f32x4(v))
        case ACT_EXP: VECTORS(exp_f32x4(v))
        // Two vectors at a time, with coefficients from memory: V8 makes a constant in three instructions, wherever it is used.
        case ACT_GELU:
        case ACT_ERF: {
          v128_t given[2], e[2];
          KEEP(c);
          UNROLL for (unsigned v = 0; v < 2; v++) {
            given[v] = wasm_v128_load(at + 4 * v);
            e[v] = wasm_f32x4_mul(given[v], factor);
          }
          erf_vectors(e, 2, c);
          if (activation == ACT_GELU) {
            UNROLL for (unsigned v = 0; v < 2; v++) e[v] = gate(given[v], e[v]);
          }
          UNROLL for (unsigned v = 0; v < 2; v++) wasm_v128_store(at + 4 * v, e[v]);
          break;
        }
        case ACT_GELU_TANH:
        case ACT_TANH:
          FEW for (float *p = at; p < at + 8; p += 4) {
            const v128_t v = wasm_v128_load(p), t = tanh_f32x4(wasm_v128_bitselect(gelu_inner_f32x4(v), v, gelu));
            wasm_v128_store(p, wasm_v128_bitselect(gate(v, t), t, gelu));
          }
          break;
        case ACT_SIGMOID:
        case ACT_SILU:
        case ACT_QUICK_GELU: VECTORS(wasm_f32x4_mul(sigmoid_f32x4(wasm_f32x4_mul(v, factor)), wasm_v128_bitselect(v, splat(1.0f), times)))
        default: return;
      }
      if (bytes < 32) copy_bytes(x + i, at, bytes);
    }
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
