// A plain read of memory, to be set beside the bandwidth of a step that reads weights: what the machine gives at most.
#include <stddef.h>
#include <wasm_simd128.h>

// Pages that nothing was written to may all be one page of zeros, which a cache holds.
void fill(float *at, size_t count) {
  for (size_t i = 0; i < count; i++) at[i] = (float)(i & 255);
}

// `count` is a multiple of 32. The sum, so that no read can be left out.
float read_all(const float *at, size_t count) {
  v128_t sums[8];
  for (int j = 0; j < 8; j++) sums[j] = wasm_f32x4_splat(0);
  for (const float *end = at + count; at < end; at += 32)
    for (int j = 0; j < 8; j++) sums[j] = wasm_f32x4_add(sums[j], wasm_v128_load(at + 4 * j));
  for (int j = 1; j < 8; j++) sums[0] = wasm_f32x4_add(sums[0], sums[j]);
  return wasm_f32x4_extract_lane(sums[0], 0) + wasm_f32x4_extract_lane(sums[0], 1) + wasm_f32x4_extract_lane(sums[0], 2) + wasm_f32x4_extract_lane(sums[0], 3);
}
