// Elements of every type, seen as double or int64: kernels work on blocks of BLOCK elements in one of these two domains, so
// that no kernel is written once for each type. Integers narrower than 64 bits wrap to the right result when they are stored;
// uint64 travels as the bits of an int64.
#pragma once
#include "base.h"

enum { BLOCK = 128 };

static inline int is_float(int type) {
  type &= PACKED - 1;
  return type == F32 || type == F64 || type == F16 || (type >= BF16 && type <= F8E8M0 && type != U4 && type != I4);
}

// Bytes of an element (1 for the types of 4 and 2 bits).
int item_size(int type);

// out[i] = element `index + i * stride` of `base`, for i < n.
void load_f64(int type, const void *base, int index, int stride, int n, double *out);
// Integer types and bool only.
void load_i64(int type, const void *base, int index, int stride, int n, int64_t *out);

// Element `index + i` of `base` = x[i]. From double to an integer: toward zero; 32 and 64 bits saturate, narrower ones wrap; NaN is 0. Of small floats, float8 saturates.
void store_f64(int type, void *base, int index, int n, const double *x);
void store_i64(int type, void *base, int index, int n, const int64_t *x);

// The elements themselves where they already lie as wanted, else loaded into `buffer` (BLOCK elements).
static inline const double *view_f64(int type, const void *base, int index, int stride, int n, double *buffer) {
  if (type == F64 && stride == 1) return (const double *)base + index;
  load_f64(type, base, index, stride, n, buffer);
  return buffer;
}
static inline const int64_t *view_i64(int type, const void *base, int index, int stride, int n, int64_t *buffer) {
  if ((type == I64 || type == U64) && stride == 1) return (const int64_t *)base + index;
  load_i64(type, base, index, stride, n, buffer);
  return buffer;
}

// Copy, by vectors where a call of memory.copy would cost more than the copy.
static inline void copy_block(uint8_t *to, const uint8_t *from, int size) {
  if (size >= 1024) {
    copy_bytes(to, from, (size_t)size);
    return;
  }
  int i = 0;
  for (; i + 16 <= size; i += 16) wasm_v128_store(to + i, wasm_v128_load(from + i));
  if (i + 8 <= size) {
    __builtin_memcpy(to + i, from + i, 8);
    i += 8;
  }
  if (i + 4 <= size) {
    __builtin_memcpy(to + i, from + i, 4);
    i += 4;
  }
#pragma clang loop vectorize(disable) unroll(disable)
  for (; i < size; i++) to[i] = from[i];
}

// Element `i` of a tensor of indices (int32 or int64), wrapped if negative; -1 if out of 0..dim-1.
static inline int read_index(int type, const void *indices, int i, int dim) {
  int64_t at = type == I64 ? ((const int64_t *)indices)[i] : ((const int32_t *)indices)[i];
  if (at < 0) at += dim;
  return at < 0 || at >= dim ? -1 : (int)at;
}

// A walk over all but the last of `rank` dims for up to four streams of elements. strides: `rank` words for each stream.
typedef struct {
  int rank, streams;
  const word *dims, *strides;
  int index[MAX_RANK];
  int offset[4];
} Walk;

// 0 if there is nothing to walk over (some dim is 0).
int walk_begin(Walk *w, int rank, const word *dims, int streams, const word *strides);
// 0 after the last place.
int walk_next(Walk *w);

// The binary operations (words of the kernel `binary`) on contiguous blocks.
enum { ADD, SUB, MUL, DIV, POW, MOD, FMOD, MIN, MAX, PRELU, AND, OR, XOR, SHIFT_LEFT, SHIFT_RIGHT, EQUAL, LESS, LESS_EQUAL };

// y[i] = op(x[i * sx], z[i * sz]) with elements of one type; returns an error code. For scatter's reductions.
int combine(int op, int type, const void *a, const void *b, void *y, int n);
