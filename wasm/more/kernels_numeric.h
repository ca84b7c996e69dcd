// Kernels of the binaries of rare operators: rare numeric operators. The comments are the truth about the argument words
// (notation: ../kernels_tensor.h).
#pragma once

#define NUMERIC_KERNELS(X)                                                                                                         \
  /* type of A and B, type of Y, A, B, Y, kept rank, reduced rank, kept dims, A's kept strides, B's kept strides, reduced dims,   \
     A's reduced strides, B's reduced strides      Y = sum of A * B over the reduced dims, Y contiguous over the kept dims; both   \
     ranks at least 1. Integers wrap; floats are summed in double precision. */                                                    \
  X(contract)                                                                                                                      \
  /* type, X [count, n, n], Y, count, n, inverse, scratch (16 * n * n bytes)      Y: determinants [count], or inverses; a singular \
     matrix has no inverse (ERROR_VALUE) */                                                                                        \
  X(det)                                                                                                                           \
  /* kind (0 RNN, 1 GRU, 2 LSTM), XW [T, B, G * H] (X W^T + biases), R [G * H, H], bias of R|0 [G * H], H [B, H], C|0 [B, H],      \
     peepholes|0 [3 * H], lengths|0 (int32 [B]), Y|0, Y's strides t b, T, B, H, backwards, flags (1 linear_before_reset, 2         \
     input_forget), clip bits (0: none), three activations (recurrent.c) each with alpha bits and beta bits, scratch               \
     G = 1, 3, 4 gates. float32. H and C hold the first states, and the last ones afterwards. The bias of R is separate only for   \
     GRU with linear_before_reset. scratch: 4 * ((G * H + 16) * H + B * (G + 1) * H) bytes */                                                                   \
  X(recurrent)                                                                                                                     \
  /* type, X, Y, outer, n_in, inner, parts_in, n, n_out, parts_out, flags (1 inverse, 2 X is the first half of a Hermitian row),   \
     scratch (64 * n bytes)      Fourier transforms along the middle of X [outer, n_in, inner, parts_in], cut or padded with       \
     zeros to n, to Y [outer, n_out, inner, parts_out]; parts: 1 real, 2 complex */                                                \
  X(dft)                                                                                                                           \
  /* Q [B, T, H * D], K [B, T, G * D], V [B, T, G * E], decay|0 [B, T, G or G * D], beta|0 [B, T, 1 or G], state [B, G, D, E] (in  \
     place), Y [B, T, H * E], B, T, H, G, D, E, columns of decay, columns of beta, delta, scale bits      float32 */               \
  X(linear_attention) \
  /* X [rows, hidden], router [rows, experts], Y [rows, hidden], rows, hidden, inner, experts, k, normalized, activation id, gate   \
     (0 none, 1 pairs, 2 halves), alpha bits, beta bits, limit bits (0 none), bits of a weight (32, 8, 4), block, then for each of  \
     three layers W [experts, out, in], scales|0 [experts, out, ceil(in, block)], zero points|0 (uint8), bias|0; scratch            \
     (4 * (experts + max(hidden, inner) + 3 * inner + hidden) bytes)                                                               \
     Y = for the k experts of the largest router values, their softmax (normalized: among the k) times second(act(first(X)) *      \
     third(X)); float32. Quantized weights are (code - zero point) * scale, zero point 2^(bits - 1) if absent. */                   \
  X(moe)
