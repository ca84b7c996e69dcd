// Weights of 2, 4 or 8 bits in blocks along K, as com.microsoft MatMulNBits and MatMulBnb4 define them.
// A packed panel holds 8 columns. For each block: 8 scales, 8 zero points if there are any (float32), then for every 32 / bits values of k one 32-bit
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
      dst += kind ? 64 : 32;
      for (int c = 0; c < PANEL; c++) {
        const int column = n + c;
        const int there = column < N;
        head[c] = there ? scales[(size_t)column * blocks + g] : 0.0f;
        float zero = 0.0f;
        if (kind == 1 && there) {
          const int bit = g * bits;
          zero = (float)((zp[(size_t)column * zp_bytes + bit / 8] >> (bit % 8)) & ((1 << bits) - 1));
        } else if (kind == 2 && there) {
          zero = FLOATS(2)[(size_t)column * blocks + g];
        }
        if (kind) head[PANEL + c] = zero;
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
SIMD void row_panel(const int bits, const float *x, const uint8_t *b, int K, int block, int zeros, float *c) {
  const int per_word = 32 / bits;
  v128_t total0 = splat(0), total1 = total0;
  for (int k = 0; k < K; k += block) {
    const float *head = (const float *)b;
    const v128_t middle = splat((float)(1 << (bits - 1)));
    const v128_t zero0 = zeros ? wasm_v128_load(head + 8) : middle, zero1 = zeros ? wasm_v128_load(head + 12) : middle;
    v128_t s0 = splat(0), s1 = s0, s2 = s0, s3 = s0;
    b += zeros ? 64 : 32;
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
SIMD void widen_panel(const int bits, const uint8_t *b, int blocks, int block, int zeros, float *to) {
  const int per_word = 32 / bits;
  for (int g = 0; g < blocks; g++) {
    const float *head = (const float *)b;
    const v128_t scale0 = wasm_v128_load(head), scale1 = wasm_v128_load(head + 4);
    const v128_t middle = splat((float)(1 << (bits - 1)));
    const v128_t zero0 = zeros ? wasm_v128_load(head + 8) : middle, zero1 = zeros ? wasm_v128_load(head + 12) : middle;
    b += zeros ? 64 : 32;
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

#define BITS(n)                                                                                                    \
  static void row_panel_##n(const float *x, const uint8_t *b, int K, int block, int zeros, float *c) {             \
    row_panel(n, x, b, K, block, zeros, c);                                                                        \
  }                                                                                                                \
  static void widen_panel_##n(const uint8_t *b, int blocks, int block, int zeros, float *to) {                     \
    widen_panel(n, b, blocks, block, zeros, to);                                                                   \
  }
BITS(2)
BITS(4)
BITS(8)

// --- Activations in 8 bits too: what accuracy_level 4 asks for. Each block of a row has its own scale, largest / 127.

// A row for the integer product: blocks of codes; for weights of 4 bits of 8 k the even ones before the odd ones, as the halves of the
// weights' bytes come apart. The scale of each block goes to `scales`, scale times the sum of its codes to `sums`.
static void quantize_row(const float *x, int K, int block, int bits, int8_t *codes, float *scales, float *sums) {
  for (int k = 0; k < K; k += block, codes += block) {
    const int size = min_int(block, K - k);
    v128_t most = splat(0);
    for (int i = 0; i < size; i += 4) most = wasm_f32x4_pmax(most, wasm_f32x4_abs(load_some(x + k + i, size - i)));
    const float largest = max_f32x4(most), scale = largest / 127.0f;
    const v128_t f = splat(largest > 0.0f ? 127.0f / largest : 0.0f);
    v128_t total = wasm_i32x4_const(0, 0, 0, 0);
    for (int i = 0; i < block; i += 8) {
      const v128_t low = i < size ? load_some(x + k + i, size - i) : splat(0), high = i + 4 < size ? load_some(x + k + i + 4, size - i - 4) : splat(0);
      const v128_t a = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(low, f)));
      const v128_t b = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(wasm_f32x4_mul(high, f)));
      total = wasm_i32x4_add(total, wasm_i32x4_add(a, b));
      const v128_t narrow = wasm_i16x8_narrow_i32x4(a, b), bytes = wasm_i8x16_narrow_i16x8(narrow, narrow);
      const v128_t apart = wasm_i8x16_shuffle(bytes, bytes, 0, 2, 4, 6, 1, 3, 5, 7, 0, 2, 4, 6, 1, 3, 5, 7);
      wasm_v128_store64_lane(codes + i, bits == 8 ? bytes : apart, 0);
    }
    *scales++ = scale;
    *sums++ = scale * (float)(wasm_i32x4_extract_lane(total, 0) + wasm_i32x4_extract_lane(total, 1) + wasm_i32x4_extract_lane(total, 2) +
                              wasm_i32x4_extract_lane(total, 3));
  }
}

// Sums of products of 4 k for 4 columns: two for each in one vector of sums, or in two where the products are of 16 bits.
#define WIDE_CODES(p) wasm_i16x8_extend_low_i8x16(wasm_v128_load32_splat(p))
#define WIDE_DOT4(sum, x, w)                                                                        \
  {                                                                                                 \
    sum[0] = wasm_i32x4_add(sum[0], wasm_i32x4_dot_i16x8(x, wasm_u16x8_extend_low_u8x16(w)));       \
    sum[1] = wasm_i32x4_add(sum[1], wasm_i32x4_dot_i16x8(x, wasm_u16x8_extend_high_u8x16(w)));      \
  }
#define WIDE_TOTAL(sum) wasm_i32x4_add(wasm_i32x4_shuffle(sum[0], sum[1], 0, 2, 4, 6), wasm_i32x4_shuffle(sum[0], sum[1], 1, 3, 5, 7))
#ifdef __wasm_relaxed_simd__
#define DOT4(sum, x, w) sum[0] = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(x, w, sum[0])
#define CODES(p) wasm_v128_load32_splat(p)
#define TOTAL(sum) (sum[0])
#else
#define DOT4 WIDE_DOT4
#define CODES WIDE_CODES
#define TOTAL WIDE_TOTAL
#endif

// c[R, 8] = R rows of codes @ one panel of 4- or 8-bit weights. Those of 8 bits are too wide for the relaxed product.
SIMD void code_panel(const int bits, const int R, const int8_t *x, int ldx, const float *scales, const float *sums, int blocks, int block,
                     const uint8_t *b, int zeros, float *c) {
  v128_t total[2 * 4];
  const v128_t mask = wasm_i8x16_splat(15);
  UNROLL for (int i = 0; i < 2 * R; i++) total[i] = splat(0);
  for (int g = 0; g < blocks; g++) {
    const float *head = (const float *)b;
    v128_t low[4][2], high[4][2];
    UNROLL for (int r = 0; r < R; r++) {
      UNROLL for (int i = 0; i < 2; i++) low[r][i] = high[r][i] = wasm_i32x4_const(0, 0, 0, 0);
    }
    b += zeros ? 64 : 32;
#pragma clang loop unroll(disable)
    for (int i = 0; i < block; i += 32 / bits, x += 32 / bits, b += 32) {
      const v128_t w0 = wasm_v128_load(b), w1 = wasm_v128_load(b + 16);
      KEEP(b);
      if (bits == 8) {
        UNROLL for (int r = 0; r < R; r++) {
          const v128_t four = WIDE_CODES(x + (size_t)r * (size_t)ldx);
          WIDE_DOT4(low[r], four, w0);
          WIDE_DOT4(high[r], four, w1);
        }
        continue;
      }
      const v128_t e0 = wasm_v128_and(w0, mask), o0 = wasm_v128_and(wasm_u16x8_shr(w0, 4), mask);
      const v128_t e1 = wasm_v128_and(w1, mask), o1 = wasm_v128_and(wasm_u16x8_shr(w1, 4), mask);
      UNROLL for (int r = 0; r < R; r++) {
        const v128_t even = CODES(x + (size_t)r * (size_t)ldx), odd = CODES(x + (size_t)r * (size_t)ldx + 4);
        DOT4(low[r], even, e0);
        DOT4(high[r], even, e1);
        DOT4(low[r], odd, o0);
        DOT4(high[r], odd, o1);
      }
    }
    const v128_t scale0 = wasm_v128_load(head), scale1 = wasm_v128_load(head + 4), middle = splat(bits == 8 ? 128.0f : 8.0f);
    const v128_t zero0 = zeros ? wasm_v128_load(head + 8) : middle, zero1 = zeros ? wasm_v128_load(head + 12) : middle;
    UNROLL for (int r = 0; r < R; r++) {
      const v128_t f = splat(scales[r * blocks + g]), s = splat(sums[r * blocks + g]);
      const v128_t t0 = bits == 8 ? WIDE_TOTAL(low[r]) : TOTAL(low[r]), t1 = bits == 8 ? WIDE_TOTAL(high[r]) : TOTAL(high[r]);
      const v128_t p0 = wasm_f32x4_sub(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(t0), f), wasm_f32x4_mul(zero0, s));
      const v128_t p1 = wasm_f32x4_sub(wasm_f32x4_mul(wasm_f32x4_convert_i32x4(t1), f), wasm_f32x4_mul(zero1, s));
      total[2 * r] = madd(p0, scale0, total[2 * r]);
      total[2 * r + 1] = madd(p1, scale1, total[2 * r + 1]);
    }
  }
  UNROLL for (int i = 0; i < 2 * R; i++) wasm_v128_store(c + i * 4, total[i]);
}

#define CODE_PANEL(bits, R)                                                                                                            \
  static __attribute__((noinline)) void code_panel_##bits##_##R(const int8_t *x, int ldx, const float *scales, const float *sums,       \
                                                                int blocks, int block, const uint8_t *b, int zeros, float *c) {         \
    code_panel(bits, R, x, ldx, scales, sums, blocks, block, b, zeros, c);                                                              \
  }
CODE_PANEL(4, 1)
CODE_PANEL(4, 2)
CODE_PANEL(4, 4)
CODE_PANEL(8, 1)

int k_gemm_nbits(const int32_t *a) {
  const float *A = FLOATS(0), *bias = FLOATS(3), *residual = FLOATS(4);
  const uint8_t *b = BYTES(1);
  float *C = FLOATS(2), *wide = FLOATS(14);
  const int M = a[5], N = a[6], K = a[7], lda = a[8], ldc = a[9], ldr = a[10], block = a[11], bits = a[12], zeros = a[15], codes = a[16];
  const int blocks = ceil_div(K, block), line = blocks * block, index = bits == 2 ? 0 : bits == 4 ? 1 : 2;
  static void (*const row_panels[])(const float *, const uint8_t *, int, int, int, float *) = {row_panel_2, row_panel_4, row_panel_8};
  static void (*const widen_panels[])(const uint8_t *, int, int, int, float *) = {widen_panel_2, widen_panel_4, widen_panel_8};
  static void (*const code_panels[])(const int8_t *, int, const float *, const float *, int, int, const uint8_t *, int, float *) = {
      code_panel_4_1, code_panel_4_2, code_panel_4_4, code_panel_8_1};
  // For codes: rows of codes, their scales and sums.
  float *scales = (float *)(BYTES(14) + (size_t)M * line), *sums = scales + (size_t)M * blocks;
  if (codes) {
    for (int m = 0; m < M; m++) {
      const size_t at = (size_t)m * blocks;
      quantize_row(A + (size_t)m * lda, K, block, bits, (int8_t *)BYTES(14) + (size_t)m * line, scales + at, sums + at);
    }
  }
  for (int n = 0; n < N; n += PANEL, b += (size_t)blocks * ((zeros ? 64 : 32) + block * bits)) {
    const int columns = min_int(PANEL, N - n);
    const float *some_bias = bias ? bias + n : 0, *some_residual = residual ? residual + n : 0;
    if (M >= 4 && !codes) {
      widen_panels[index](b, blocks, block, zeros, wide);
      Gemm g = {A, wide, C + n, some_bias, some_residual, M, columns, K, lda, ldc, ldr, 1.0f, a[13], 0, 0, 0};
      gemm_packed(&g);
      continue;
    }
    for (int m = 0; m < M;) {
      float edge[4 * PANEL];
      const int size = !codes || bits == 8 ? 0 : M - m >= 4 ? 2 : M - m >= 2 ? 1 : 0, rows = 1 << size;
      if (codes) {
        const int8_t *x = (const int8_t *)BYTES(14) + (size_t)m * line;
        const size_t at = (size_t)m * blocks;
        code_panels[bits == 8 ? 3 : size](x, line, scales + at, sums + at, blocks, block, b, zeros, edge);
      } else {
        row_panels[index](A + (size_t)m * lda, b, K, block, zeros, edge);
      }
      if (some_bias || a[13]) finish_tile(edge, PANEL, rows, columns, 1.0f, some_bias, 0, 0, a[13]);
      store_edge(edge, C + (size_t)m * ldc + n, ldc, rows, columns, some_residual ? some_residual + (size_t)m * ldr : 0, ldr);
      m += rows;
    }
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
