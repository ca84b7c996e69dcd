// The dense kernels: matrix products, attention, norms, activations. The comments are the truth about the argument words.
//
// Notation. Words are int32. `X` is the byte address of float32 data unless said otherwise; `X|0` may be 0 (absent); `x bits` is a
// float32's bits; strides, `ld...` (distance of rows) and counts are in ELEMENTS. Any count may be 0. Addresses need the alignment
// of their element type only (16 bytes for scratch and packed weights). Outputs must not overlap inputs, except where "in place ok" says so.
//
// Activation ids: 0 none, 1 relu, 2 gelu (erf), 3 gelu_tanh, 4 tanh, 5 sigmoid, 6 silu, 7 erf, 8 exp, 9 quick_gelu (x * sigmoid(1.702 x)).
// Element types are ONNX numbers (2 uint8, 3 int8, 6 int32, 7 int64, ...).
// NaN and infinities go through as in numpy, save in the integer kernels, which never trap on them.
//
// ceil(a, b) below is (a + b - 1) / b, rounded down.
#pragma once

#define DENSE_KERNELS(X)                                                                                                          \
  /* --- float32 matrix products. Packed B: ceil(N, 8) panels of K x 8 floats = 4 * 8 * ceil(N, 8) * K bytes.                     \
     Matrices packed side by side (Q, K, V of one input) make one product if all but the last N are multiples of 8: pack the      \
     second at dst + 4 * N1 * K. */                                                                                               \
  /* src, dst, K, N, row_stride, col_stride, lines|0       B[k, n] = src[k * row_stride + n * col_stride]; lines: the first byte of  \
     each 64 of packed B, which then begins at a multiple of 64 */                                                                \
  X(pack_f32)                                                                                                                     \
  /* A, Bpacked, C, bias|0 [N], residual|0 [M, ldr], M, N, K, lda, ldc, ldr, alpha bits, activation, lines|0                      \
     C = act(alpha * A @ B + bias) + residual; residual may be C itself (in place ok). lines: of B from Bpacked on */             \
  X(gemm_f32)                                                                                                                     \
  /* the same words, panel      with K of the `panel` rows of B only; Bpacked points to the first of them in the first panel */   \
  X(gemm_rows_f32)                                                                                                                     \
  /* gemm_f32's words, parts, units, unit      the sum over K in as many parts, added one after the other: as gemm_rows_f32 for the     \
     first part and others of the same C, without a bias, with C as residual, would leave it. Part i begins at row units * i / parts * unit */ \
  X(gemm_parts_f32)                                                                                                                    \
  /* A, B, C, bias|0 [N], residual|0 (laid out as C), M, N, K, a_row, a_col, b_row, b_col, ldc, alpha bits, activation, scratch,  \
     batch1, a_batch1, b_batch1, c_batch1, batch2, a_batch2, b_batch2, c_batch2                                                   \
     The same for any strides (0 too) and two levels of batch (1 and strides of 0 if unused). C's columns are contiguous, and     \
     the residual is not C. 24 words.                                                                                             \
     scratch: 4 * (8 * ceil(N, 8) * K + (a_col == 1 ? 0 : M * K)) bytes */                                                        \
  X(matmul_f32)                                                                                                                   \
  /* --- int8. Packed B: 4 * ceil(N, 8) * (64 + 8 * ceil(K, 4)) bytes, and the first of every 64 of them.                         \
     src (type 2 or 3), dst, K, N, row_stride, col_stride, type */                                                                \
  X(pack_i8)                                                                                                                      \
  /* X, Y (uint8), scale_out (one float), zero_point_out (one uint8), n          ONNX DynamicQuantizeLinear */                    \
  X(quantize_dynamic)                                                                                                             \
  /* A (uint8 or int8 [M, K]), a_type, a_scale (one float), a_zp|0 (one uint8/int8), Bpacked, b_type, b_scale, b_scale_count (1   \
     or N), b_zp|0 (of b_type), b_zp_count (1 or N), bias|0 [N], residual|0 [M, N], C [M, N], M, N, K, activation, scratch        \
     C = act(float((A - a_zp) @ (B - b_zp)) * (a_scale * b_scale) + bias) + residual; the integer part is exact.                  \
     residual may be C. scratch: M * (12 * ceil(K, 4) + 8) bytes */                                                               \
  X(gemm_i8)                                                                                                                      \
  /* A (uint8 or int8 [M, K]), a_type, a_zp|0, a_zp_count (1 or M), Bpacked, b_type, b_zp|0, b_zp_count (1 or N), C (int32        \
     [M, N]), M, N, K, scratch           ONNX MatMulInteger; scratch as gemm_i8 */                                                \
  X(matmul_integer)                                                                                                               \
  /* --- 2, 4 and 8 bit weights in blocks along K (com.microsoft MatMulNBits). blocks = ceil(K, block).                           \
     Packed: ceil(N, 8) * blocks * ((zp_kind ? 64 : 32) + block * bits) bytes.                                                    \
     Bq (uint8 [N, blocks, block * bits / 8]), scales [N, blocks], zero_points|0, dst, N, K, block, bits,                         \
     zp_kind (0 absent: 2^(bits-1); 1 uint8 packed [N, ceil(blocks * bits, 8)]; 2 float32 [N, blocks]) */                         \
  X(pack_nbits)                                                                                                                   \
  /* A, Bpacked, C, bias|0, residual|0, M, N, K, lda, ldc, ldr, block, bits, activation, scratch, zp_kind, codes                  \
     C = act(A @ dequantized B + bias) + residual; scratch: 32 * blocks * block bytes (0 if M < 4).                               \
     codes (not bits 2): A too is rounded, to 8 bits with a scale for each block of a row; scratch:                              \
     M * blocks * (block + 8) bytes */                                                                                            \
  X(gemm_nbits)                                                                                                                   \
  /* src (uint8), absmax, dst, count, block, quant_type (0 FP4, 1 NF4)    com.microsoft MatMulBnb4's B, flat [N * K] floats;      \
     pack_f32(dst, packed, K, N, 1, K) makes it a gemm_f32 operand */                                                             \
  X(dequantize_bnb4)                                                                                                              \
  /* --- attention: out = softmax(softcap(scale * Q K^T) + mask) V for each batch and head; kv head = h / group.                  \
     Q, K, V, mask|0, out, B, H, S, T, D, Dv, group,                                                                              \
     q strides b h s d, k strides b h t d, v strides b h t d, out strides b h s d, mask strides b h s t (0 broadcasts),           \
     mask_type (0 none, 1 added float32, 2 bool: replaced by fill where false, 3 bool: replaced by fill where true, 4 bool:       \
     fill is added where false), fill bits, scale bits, softcap bits (0: none),                                                   \
     causal (0 no, 1: key t is seen by query s only if t <= s + causal_offset, else score -infinity), causal_offset, guard (0 for \
     a query that sees no key), scratch                                                                                           \
     scratch: 4 * (8 * ceil(T, 8) * D + 8 * ceil(Dv, 8) * T + R * (8 * ceil(T, 8) + D + 8 * ceil(Dv, 8))) bytes, R = min(S, 48)   \
     40 words in this order; a query that sees no key at all gives what softmax gives: NaN if all its scores are -infinity, the   \
     mean of V if all are one finite number */                                                                                    \
  X(sdpa_f32)                                                                                                                     \
  /* Attention that appends to a cache; causal where it says so and always with a table. cached_attention.c names its 61 words.     \
     T: keys in present; with a table the most that any row can see, rounded up to 64.                                           \
     scratch: 4 * (M * D + R * (T8 + Dv8) + D8 + (table ? 0 : T8 * (D + Dv8))) bytes; M = S * heads / groups, R = min(M, 48),    \
     x8 = x rounded up to 8 */                                                                                                    \
  X(cached_attention)                                                                                                             \
  /* X, Y, B, H, S, D, X strides b h s, Y strides b h s, positions (int64), cos, sin [rows, half], half, interleaved, each        \
     (positions are [B, S]; else one number, where they begin), rows      in place ok */                                          \
  X(rotary)                                                                                                                       \
  /* X, cos, sin, Y, B, H, S, D, cos strides b h s, sin strides b h s      X and Y [B, H, S, D], D even; in place ok              \
     Y = X * cos + (-second half, first half of X) * sin over D */                                                                 \
  X(rotary_halves)                                                                                                                \
  /* table, indices, index type, scales [rows, blocks], zero points|0, Y, rows, count, width, block, packed, signed, zero (where  \
     there are no zero points)      packed: two codes a byte, each row begins a byte; else a byte each, int8 if signed */         \
  X(gather_blocks)                                                                                                                \
  /* --- rows of n. X, skip|0 (skip_rows rows, repeating), bias|0 [n], gamma|0, beta|0, Y, sum|0 (X + skip + bias), rows, n,      \
     skip_rows, eps bits     in place ok (Y or sum may be X or skip, the same address) */                                         \
  X(layer_norm_f32)                                                                                                               \
  /* the same words; Y = v / sqrt(mean(v^2) + eps) * gamma + beta */                                                              \
  X(rms_norm_f32)                                                                                                                 \
  /* ids, id_type (6 or 7), table, table_rows for words, positions, segments (address 0: absent; ids 0 with a table: positions    \
     repeat every `period` rows, without ids 0, 1, 2 ...; segments are 0), gamma|0, beta|0, Y, sum|0, rows, n, period, eps bits   \
     20 words: ids1, type1, table1, rows1, ids2, type2, table2, rows2, ids3, type3, table3, rows3, gamma, beta, Y, sum, rows, n,  \
     period, eps bits. Negative ids count from the end; ids out of range are ERROR_INDEX. Y may be 0 with a sum (no norm). */     \
  X(embed_norm_f32)                                                                                                               \
  /* X [B, S, W], mask [B, S], Y [B, W], B, S, W, flags      the mean of the rows whose mask is not 0 (of none: zeros); flags: 1 the  \
     first of them instead (of none: row 0), 2 made 1 long (zeros stay zeros). Sums are doubles */                                \
  X(pool_tokens)                                                                                                                  \
  /* X, Y, outer, n, inner          along the middle of [outer, n, inner]; in place ok */                                         \
  X(softmax_f32)                                                                                                                  \
  X(log_softmax_f32)                                                                                                              \
  /* activation, X, bias|0, Y, n, bias_period      Y[i] = act(X[i] + bias[i % bias_period]); in place ok */                       \
  X(activation_f32)
