// Weights of 2, 4 or 8 bits in blocks along K, as com.microsoft MatMulNBits and MatMulBnb4 define them.
// A packed panel holds 8 columns. For each block: 8 scales, 8 zero points (float32), then for every 32 / bits values of k one 32-bit
// word for each of the 8 columns, the first k in the lowest bits.
#include "dense.h"

int k_pack_nbits(const int32_t *a) {
  const uint8_t *B = BYTES(0), *zp = BYTES(2);
  const float *scales = FLOATS(1);
  uint8_t *dst = BYTES(3);
  const int N = a[4], K = a[5], block = a[6], bits = a[7], kind = a[8];
  const int blocks = ceil_div(K, block), blob = block * bits / 8, zp_bytes = ceil_div(blocks * bits, 8);
  for (int n = 0; n < N; n += PANEL) {
    for (int g = 0; g < blocks; g++) {
      float *head = (float *)dst;
      dst += 64;
      for (int c = 0; c < PANEL; c++) {
        const int column = n + c;
        const int there = column < N;
        head[c] = there ? scales[(size_t)column * blocks + g] : 0.0f;
        float zero = (float)(1 << (bits - 1));
        if (kind == 1 && there) {
          const int bit = g * bits;
          zero = (float)((zp[(size_t)column * zp_bytes + bit / 8] >> (bit % 8)) & ((1 << bits) - 1));
        } else if (kind == 2 && there) {
          zero = FLOATS(2)[(size_t)column * blocks + g];
        }
        head[PANEL + c] = zero;
        const uint8_t *from = B + ((size_t)column * blocks + g) * blob;
        FEW for (int i = 0; i < blob; i++) dst[(i / 4) * 32 + c * 4 + i % 4] = there ? from[i] : 0;
      }
      dst += (size_t)blob * PANEL;
    }
  }
  return 0;
}

// Weights of 8 columns for one k out of the words: 8 floats less the zero points.
SIMD v128_t unpack(v128_t words, int bits, int index, v128_t zero) {
  v128_t q = wasm_v128_and(wasm_u32x4_shr(words, index * bits), wasm_i32x4_splat((1 << bits) - 1));
  return wasm_f32x4_sub(wasm_f32x4_convert_i32x4(q), zero);
}

// c[8] = x[K] @ one panel. Sums of one block are scaled once.
SIMD void row_panel(const int bits, const float *x, const uint8_t *b, int K, int block, float *c) {
  const int per_word = 32 / bits;
  v128_t total0 = splat(0), total1 = total0;
  for (int k = 0; k < K; k += block) {
    const float *head = (const float *)b;
    const v128_t zero0 = wasm_v128_load(head + 8), zero1 = wasm_v128_load(head + 12);
    v128_t s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
    b += 64;
    const uint8_t *words = b;
    const int size = min_int(block, K - k);
    int i = 0;
#pragma clang loop unroll(disable)
    for (; i + per_word <= size; i += per_word, words += 32) {
      const v128_t w0 = wasm_v128_load(words), w1 = wasm_v128_load(words + 16);
UNROLL
      for (int j = 0; j < per_word; j += 2) {
        v128_t even = wasm_v128_load32_splat(x + k + i + j), odd = wasm_v128_load32_splat(x + k + i + j + 1);
        s0 = madd(even, unpack(w0, bits, j, zero0), s0);
        s1 = madd(even, unpack(w1, bits, j, zero1), s1);
        s2 = madd(odd, unpack(w0, bits, j + 1, zero0), s2);
        s3 = madd(odd, unpack(w1, bits, j + 1, zero1), s3);
        KEEP_VECTOR(s0);
        KEEP_VECTOR(s1);
        KEEP_VECTOR(s2);
        KEEP_VECTOR(s3);
      }
    }
    if (i < size) {
      v128_t w0 = wasm_v128_load(words), w1 = wasm_v128_load(words + 16);
#pragma clang loop unroll(disable)
      for (; i < size; i++) {
        v128_t v = wasm_v128_load32_splat(x + k + i);
        s0 = madd(v, unpack(w0, bits, 0, zero0), s0);
        s1 = madd(v, unpack(w1, bits, 0, zero1), s1);
        w0 = wasm_u32x4_shr(w0, bits);
        w1 = wasm_u32x4_shr(w1, bits);
      }
    }
    b += block * bits;
    total0 = madd(wasm_f32x4_add(s0, s2), wasm_v128_load(head), total0);
    total1 = madd(wasm_f32x4_add(s1, s3), wasm_v128_load(head + 4), total1);
  }
  wasm_v128_store(c, total0);
  wasm_v128_store(c + 4, total1);
}

// The whole panel as float32 [blocks * block, 8].
SIMD void widen_panel(const int bits, const uint8_t *b, int blocks, int block, float *to) {
  const int per_word = 32 / bits;
  for (int g = 0; g < blocks; g++) {
    const float *head = (const float *)b;
    const v128_t scale0 = wasm_v128_load(head), scale1 = wasm_v128_load(head + 4);
    const v128_t zero0 = wasm_v128_load(head + 8), zero1 = wasm_v128_load(head + 12);
    b += 64;
    for (int i = 0; i < block; i += per_word, b += 32) {
      const v128_t w0 = wasm_v128_load(b), w1 = wasm_v128_load(b + 16);
UNROLL
      for (int j = 0; j < per_word; j++, to += PANEL) {
        wasm_v128_store(to, wasm_f32x4_mul(unpack(w0, bits, j, zero0), scale0));
        wasm_v128_store(to + 4, wasm_f32x4_mul(unpack(w1, bits, j, zero1), scale1));
      }
    }
  }
}

#define BITS(n)                                                                                              \
  static void row_panel_##n(const float *x, const uint8_t *b, int K, int block, float *c) { row_panel(n, x, b, K, block, c); } \
  static void widen_panel_##n(const uint8_t *b, int blocks, int block, float *to) { widen_panel(n, b, blocks, block, to); }
BITS(2)
BITS(4)
BITS(8)

int k_gemm_nbits(const int32_t *a) {
  const float *A = FLOATS(0), *bias = FLOATS(3), *residual = FLOATS(4);
  const uint8_t *b = BYTES(1);
  float *C = FLOATS(2), *wide = FLOATS(14);
  const int M = a[5], N = a[6], K = a[7], lda = a[8], ldc = a[9], ldr = a[10], block = a[11], bits = a[12];
  const int blocks = ceil_div(K, block), index = bits == 2 ? 0 : bits == 4 ? 1 : 2;
  static void (*const row_panels[])(const float *, const uint8_t *, int, int, float *) = {row_panel_2, row_panel_4, row_panel_8};
  static void (*const widen_panels[])(const uint8_t *, int, int, float *) = {widen_panel_2, widen_panel_4, widen_panel_8};
  for (int n = 0; n < N; n += PANEL, b += (size_t)blocks * (64 + block * bits)) {
    const int columns = min_int(PANEL, N - n);
    const float *some_bias = bias ? bias + n : 0, *some_residual = residual ? residual + n : 0;
    if (M < 4) {
      float edge[PANEL];
      for (int m = 0; m < M; m++) {
        row_panels[index](A + (size_t)m * lda, b, K, block, edge);
        finish_tile(edge, PANEL, 1, columns, 1.0f, some_bias, 0, 0, a[13]);
        store_edge(edge, C + (size_t)m * ldc + n, ldc, 1, columns, some_residual ? some_residual + (size_t)m * ldr : 0, ldr);
      }
      continue;
    }
    widen_panels[index](b, blocks, block, wide);
    Gemm g = {A, wide, C + n, some_bias, some_residual, M, columns, K, lda, ldc, ldr, 1.0f, a[13], 0};
    gemm_packed(&g);
  }
  return 0;
}

// The values that bitsandbytes gives to its 4-bit codes: NF4, the quantiles of the normal distribution (QLoRA, appendix E), and FP4.
static const float fp4_values[8] = {0.0f, 0.0052083333f, 0.66666667f, 1.0f, 0.33333333f, 0.5f, 0.16666667f, 0.25f};
static const float nf4_values[16] = {
    -1.0f,        -0.6961928f,  -0.52507305f, -0.3949175f,  -0.28444138f, -0.18477343f, -0.091050036f, 0.0f,
    0.0795803f,   0.1609302f,   0.2461123f,   0.33791524f,  0.44070983f,  0.562617f,    0.72295684f,   1.0f,
};

int k_dequantize_bnb4(const int32_t *a) {
  const uint8_t *src = BYTES(0);
  const float *absmax = FLOATS(1);
  float *dst = FLOATS(2);
  const int count = a[3], block = a[4];
  for (int i = 0; i < count; i++) {
    const int code = i % 2 ? src[i / 2] & 15 : src[i / 2] >> 4;
    const float value = a[5] ? nf4_values[code] : code & 8 ? -fp4_values[code & 7] : fp4_values[code];
    dst[i] = value * absmax[i / block];
  }
  return 0;
}
