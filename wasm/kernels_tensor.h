// The generic tensor kernels. The comments are the truth about the argument words.
//
// Words are int32. Addresses are in bytes; strides and counts in ELEMENTS. `type` words are ONNX numbers (1 float32, 7 int64, 9 bool ...),
// `item` is the byte size of an element (1, 2, 4, 8). `x bits` is a float32's bits. Outputs are contiguous unless they have strides.
// "in place ok": the output may have exactly the address of an input of the same item size and strides.
// Any dim may be 0. Ranks are 1 to 16 (give a scalar as rank 1, dim 1).
#pragma once

#define TENSOR_KERNELS(X)                                                                                              \
  /* item, src, dst, rank, dims[rank], src strides[rank], dst strides[rank]    any strides, 0 and negative too */      \
  X(copy_nd)                                                                                                           \
  /* type_x, type_y, X, Y, n      ONNX Cast (also from and to float16, bfloat16; from 4 bits, low half first) */       \
  X(cast)
