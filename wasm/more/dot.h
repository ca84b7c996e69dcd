// The inner product of two rows.
#pragma once
#include "../dense.h"

static inline float dot(const float *x, const float *y, int n) {
  v128_t sums[4] = {splat(0), splat(0), splat(0), splat(0)};
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    UNROLL for (int j = 0; j < 4; j++) sums[j] = wasm_f32x4_add(sums[j], wasm_f32x4_mul(wasm_v128_load(x + i + 4 * j), wasm_v128_load(y + i + 4 * j)));
  }
  v128_t sum = wasm_f32x4_add(wasm_f32x4_add(sums[0], sums[1]), wasm_f32x4_add(sums[2], sums[3]));
  float total = wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) + wasm_f32x4_extract_lane(sum, 2) + wasm_f32x4_extract_lane(sum, 3);
  FEW for (; i < n; i++) total += x[i] * y[i];
  return total;
}
