// The generic tensor kernels. The comments are the truth about the argument words.
//
// Words are int32. Addresses are in bytes; strides and counts in ELEMENTS. `type` words are ONNX numbers (1 float32, 7 int64, 9 bool ...),
// `item` is the byte size of an element (1, 2, 4, 8). `x bits` is a float32's bits. Outputs are contiguous unless they have strides.
// "in place ok": the output may have exactly the address of an input of the same item size and strides.
// Any dim may be 0. Ranks are 1 to 16 (give a scalar as rank 1, dim 1).
#pragma once

#define TENSOR_KERNELS(X)                                                                                                          \
  /* item, src, dst, rank, dims[rank], src strides[rank], dst strides[rank]    any strides, 0 and negative too. Fast if the        \
     last dim is contiguous in both, or if the last is contiguous in dst and the last but one in src (transpose by tiles). */      \
  X(copy_nd)                                                                                                                       \
  /* type_x, type_y, X, Y, n      ONNX Cast; also from and to float16 (10), bfloat16 (16) and 4 bits (21, 22; low half first).     \
     Float to integer goes toward zero; 32 and 64 bits saturate, fewer bits wrap, NaN gives 0. */                                  \
  X(cast)                                                                                                                          \
  /* op, type_x, type_y, X, Y, n, alpha bits, beta bits      type_y is type_x (bool for 15, 16). In place ok.                      \
     op: 0 abs 1 neg 2 sign 3 ceil 4 floor 5 round 6 sqrt 7 reciprocal 8 relu 9 hard_sigmoid(alpha, beta) 10 hard_swish            \
     11 softsign 12 leaky_relu(alpha) 13 thresholded_relu(alpha) 14 shrink(lambda = alpha, bias = beta) 15 isnan                   \
     16 isinf(alpha: negative counts, beta: positive counts) 17 not 18 bit_not 19 sigmoid 20 softplus 21 elu(alpha)                \
     22 selu(alpha, gamma = beta) 23 celu(alpha) 24 mish 25 swish(alpha) 26 gelu 27 gelu_tanh                                      \
     28 exp 29 log 30 sin 31 cos 32 tan 33 asin 34 acos 35 atan 36 sinh 37 cosh 38 tanh 39 asinh 40 acosh 41 atanh 42 erf          \
     integer types: 0 1 2 8 17 18, and 14 and 42 by way of double */                                                               \
  X(unary)                                                                                                                         \
  /* op, type_a, type_b, type_y, A, B, Y, rank, dims[rank], A strides[rank], B strides[rank]      Y contiguous; in place ok.       \
     op: 0 add 1 sub 2 mul 3 div 4 pow 5 mod (sign of the divisor) 6 fmod 7 min 8 max 9 prelu(A, slope B) 10 and 11 or 12 xor      \
     13 shift_left 14 shift_right 15 equal 16 less 17 less_equal (15 to 17: type_y is bool).                                       \
     Types may differ: computed in double if one is a float, else in 64-bit integers. Integers divided by 0: ERROR_DIVISION. */    \
  X(binary)                                                                                                                        \
  /* item, C (bool), X, Y, Z, rank, dims[rank], C strides[rank], X strides[rank], Y strides[rank]      Z = C ? X : Y, contiguous */ \
  X(where)                                                                                                                         \
  /* item, X, Y, batch, rows, columns, k (address of an int64)|0, upper      ONNX Trilu; in place ok */                            \
  X(trilu)                                                                                                                         \
  /* type, start, delta, Y, n      start and delta are addresses of one element */                                                 \
  X(range)                                                                                                                         \
  /* X, lengths (int64 [batch]), Y, block bytes, batch, time, batch stride, time stride (in blocks) */                             \
  X(reverse_sequence)                                                                                                              \
  /* block bytes, X, indices, index type (6 or 7), Y, outer, dim, count      Y[o, i, block] = X[o, indices[i], block]. Here and    \
     below: a negative index counts from the end, one out of range gives ERROR_INDEX. */                                           \
  X(gather)                                                                                                                        \
  /* item, X, indices, index type, Y, axis stride, axis dim, rank, dims[rank] (of indices), X strides[rank] (0 at the axis) */     \
  X(gather_elements)                                                                                                               \
  /* block bytes, X, indices (int64 [batches, count, depth]), Y, batches, count, X batch stride, depth, dims[depth],               \
     strides[depth]      strides in blocks */                                                                                      \
  X(gather_nd)                                                                                                                     \
  /* type, Y (holds the data already), indices (int64 [count, depth]), updates [count, block], count, block, reduction (-1 none,   \
     else an op of `binary`), depth, dims[depth], strides[depth]      strides in blocks */                                         \
  X(scatter_nd)                                                                                                                    \
  /* type, Y (holds the data already), indices, index type, updates, reduction, axis stride, axis dim, rank, dims[rank] (of        \
     indices), Y strides[rank] (0 at the axis) */                                                                                  \
  X(scatter_elements)                                                                                                              \
  /* item, indices (int64 [outer, inner]), values [2] (off, on), Y [outer, depth, inner], outer, depth, inner */                   \
  X(one_hot)                                                                                                                       \
  /* op, type, X, Y, kept rank, reduced rank, kept dims, kept strides, reduced dims, reduced strides      Y contiguous over the    \
     kept dims; both ranks at least 1 (dim 1, stride 0 if need be).                                                                \
     op: 0 sum 1 mean 2 max 3 min 4 prod 5 l1 6 l2 7 sum_square 8 log_sum 9 log_sum_exp (floats only) */                           \
  X(reduce)                                                                                                                        \
  /* type, X, Y (int64), outer, n, inner, flags      Y = index along the middle of [outer, n, inner]; flags: 1 least (else the     \
     largest), 2 the last of equals (else the first). NaN ranks highest either way. */                                             \
  X(arg_reduce)                                                                                                                    \
  /* type, X, Y, outer, n, inner, flags      along the middle; flags: 1 exclusive, 2 backwards, 4 product (else sum); in place ok */ \
  X(cumulate)                                                                                                                      \
  /* type, X, values|0, indices (int64)|0, outer, n, inner, k, largest, scratch (16 * k bytes)      sorted, equals by index */     \
  X(top_k)                                                                                                                         \
  /* type_x, type_y, scale type, X, scale, zero point|0 (type_y), Y, outer, n, inner, scale's outer stride, axis stride, inner     \
     stride, block      X [outer, n, inner]; the scale of [o, i, j] is scale[o * outer stride + i / block * axis stride + j *      \
     inner stride]. Per tensor: n = 1, outer = 1 and strides 0; per axis: strides 0, 1, 0 and block 1. */                          \
  X(quantize_linear)                                                                                                               \
  /* the same words; the zero point has type_x */                                                                                  \
  X(dequantize_linear)
