// Elementwise activations, alone or at the end of a matrix product.
#include "dense.h"

#define ROWS(function)                                                                  \
  for (int r = 0; r < rows; r++, x += ld) {                                             \
    int i = 0;                                                                          \
    for (; i + 4 <= columns; i += 4) wasm_v128_store(x + i, function(wasm_v128_load(x + i))); \
    if (i < columns) store_part(x + i, function(load_part(x + i, columns - i)), columns - i); \
  }                                                                                     \
  break;

void activate(int activation, float *x, int rows, int columns, int ld) {
  if (ld == columns) {  // one long row
    columns *= rows;
    rows = rows > 0;
  }
  switch (activation) {
    case ACT_RELU: ROWS(relu_f32x4)
    case ACT_GELU: ROWS(gelu_f32x4)
    case ACT_GELU_TANH: ROWS(gelu_tanh_f32x4)
    case ACT_TANH: ROWS(tanh_f32x4)
    case ACT_SIGMOID: ROWS(sigmoid_f32x4)
    case ACT_SILU: ROWS(silu_f32x4)
    case ACT_ERF: ROWS(erf_f32x4)
    case ACT_EXP: ROWS(exp_f32x4)
    case ACT_QUICK_GELU: ROWS(quick_gelu_f32x4)
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
    int i = 0;
    if (bias) {
      const float *b = bias + column;
      for (; i + 4 <= size; i += 4) {
        wasm_v128_store(Y + start + i, wasm_f32x4_add(wasm_v128_load(X + start + i), wasm_v128_load(b + i)));
      }
      for (; i < size; i++) Y[start + i] = X[start + i] + b[i];
      column = column + size == period ? 0 : column + size;
    } else if (X != Y) {
      for (; i + 4 <= size; i += 4) wasm_v128_store(Y + start + i, wasm_v128_load(X + start + i));
      for (; i < size; i++) Y[start + i] = X[start + i];
    }
    activate(a[0], Y + start, 1, size, size);
    start += size;
  }
  return 0;
}
