// Loading and storing elements of every type; walking over dims.
#include "elements.h"

SMALL_CODE

int item_size(int type) {
  switch (type) {
    case F32: case I32: case U32: return 4;
    case I64: case U64: case F64: return 8;
    case U16: case I16: case F16: case BF16: return 2;
    default: return 1;
  }
}

// A small float: 5 or 8 exponent bits, 10 or 7 mantissa bits.
static double widen(uint32_t bits, int exponent_bits, int mantissa_bits) {
  int exponent = (int)(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  uint64_t mantissa = bits & ((1u << mantissa_bits) - 1);
  int bias = (1 << (exponent_bits - 1)) - 1;
  uint64_t sign = (uint64_t)((bits >> 15) & 1) << 63;
  union {
    uint64_t i;
    double d;
  } u;
  if (exponent == (1 << exponent_bits) - 1) {
    u.i = sign | 0x7ffull << 52 | mantissa << (52 - mantissa_bits);
  } else if (exponent) {
    u.i = sign | (uint64_t)(exponent - bias + 1023) << 52 | mantissa << (52 - mantissa_bits);
  } else {  // zero or subnormal: mantissa * 2^(1 - bias - mantissa_bits)
    u.i = (uint64_t)(1 - bias - mantissa_bits + 1023) << 52;
    u.d *= (double)mantissa;
    u.i |= sign;
  }
  return u.d;
}

// To the nearest small float, ties to even.
static uint32_t narrow(double x, int exponent_bits, int mantissa_bits) {
  union {
    double d;
    uint64_t i;
  } u = {x};
  uint32_t sign = (uint32_t)(u.i >> 63) << 15;
  uint32_t infinity = ((1u << exponent_bits) - 1) << mantissa_bits;
  if (x != x) return sign | infinity | 1u << (mantissa_bits - 1);
  int exponent = (int)(u.i >> 52 & 0x7ff) - 1023;
  int least = 2 - (1 << (exponent_bits - 1));
  int shift = 52 - mantissa_bits + (exponent < least ? least - exponent : 0);
  if (shift > 54) return sign;
  uint64_t mantissa = (u.i & ((1ull << 52) - 1)) | 1ull << 52;
  uint64_t kept = mantissa >> shift, rest = mantissa & ((1ull << shift) - 1), half = 1ull << (shift - 1);
  kept += rest > half || (rest == half && (kept & 1));
  uint64_t result = (exponent < least ? 0 : (uint64_t)(exponent - least) << mantissa_bits) + kept;
  return sign | (result > infinity ? infinity : (uint32_t)result);
}

#define NO_VECTORS _Pragma("clang loop vectorize(disable) unroll(disable)")

#define LOAD(TYPE_ID, T, VECTORS)                                          \
  case TYPE_ID: {                                                          \
    const T *p = (const T *)base + index;                                  \
    VECTORS for (int i = 0; i < n; i++) out[i] = p[(ptrdiff_t)i * stride]; \
    break;                                                                 \
  }

#define LOAD_INTEGERS                                                        \
  LOAD(U8, uint8_t, NO_VECTORS)                                              \
  LOAD(I8, int8_t, NO_VECTORS)                                               \
  LOAD(U16, uint16_t, NO_VECTORS)                                            \
  LOAD(I16, int16_t, NO_VECTORS)                                             \
  LOAD(I32, int32_t, NO_VECTORS)                                             \
  LOAD(U32, uint32_t, NO_VECTORS)                                            \
  LOAD(I64, int64_t, NO_VECTORS)                                             \
  case U4:                                                                   \
  case I4:                                                                   \
    NO_VECTORS for (int i = 0; i < n; i++) {                                 \
      int at = index + i * stride;                                           \
      int nibble = ((const uint8_t *)base)[at >> 1] >> (at & 1) * 4 & 15;    \
      out[i] = type == I4 && nibble > 7 ? nibble - 16 : nibble;              \
    }                                                                        \
    break;

void load_f64(int type, const void *base, int index, int stride, int n, double *out) {
  if (type == F32 && stride == 1) {
    const float *p = (const float *)base + index;
    for (int i = 0; i < n; i++) out[i] = p[i];
    return;
  }
  if (type == BOOL) type = U8;
  switch (type) {
    LOAD(F32, float, NO_VECTORS)
    LOAD(F64, double, NO_VECTORS)
    LOAD_INTEGERS
    LOAD(U64, uint64_t, NO_VECTORS)
    case F16:
    case BF16:
      NO_VECTORS for (int i = 0; i < n; i++) {
        uint16_t bits = ((const uint16_t *)base)[index + i * stride];
        out[i] = type == F16 ? widen(bits, 5, 10) : widen(bits, 8, 7);
      }
      break;
  }
}

void load_i64(int type, const void *base, int index, int stride, int n, int64_t *out) {
  if (type == BOOL) type = U8;
  if (type == U64) type = I64;
  switch (type) { LOAD_INTEGERS }
}

#define STORE(TYPE_ID, T, EXPRESSION)                               \
  case TYPE_ID: {                                                   \
    T *p = (T *)base + index;                                       \
    NO_VECTORS for (int i = 0; i < n; i++) p[i] = (T)(EXPRESSION);  \
    break;                                                          \
  }

#define STORE_NIBBLES                                                              \
  case U4:                                                                         \
  case I4:                                                                         \
    NO_VECTORS for (int i = 0; i < n; i++) {                                       \
      uint8_t *p = (uint8_t *)base + ((index + i) >> 1);                           \
      int shift = ((index + i) & 1) * 4;                                           \
      *p = (uint8_t)((*p & ~(15 << shift)) | ((int)x[i] & 15) << shift);           \
    }                                                                              \
    break;

static inline int64_t whole(double x) { return __builtin_wasm_trunc_saturate_s_i64_f64(x); }

void store_f64(int type, void *base, int index, int n, const double *x) {
  if (type == F32) {
    float *p = (float *)base + index;
    for (int i = 0; i < n; i++) p[i] = (float)x[i];
    return;
  }
  if (type == U8) type = I8;
  if (type == U16) type = I16;
  switch (type) {
    STORE(F64, double, x[i])
    STORE(BOOL, uint8_t, x[i] != 0)
    STORE(I8, int8_t, whole(x[i]))
    STORE(I16, int16_t, whole(x[i]))
    STORE(I32, int32_t, __builtin_wasm_trunc_saturate_s_i32_f64(x[i]))
    STORE(U32, uint32_t, __builtin_wasm_trunc_saturate_u_i32_f64(x[i]))
    STORE(I64, int64_t, whole(x[i]))
    STORE(U64, uint64_t, __builtin_wasm_trunc_saturate_u_i64_f64(x[i]))
    STORE(F16, uint16_t, narrow(x[i], 5, 10))
    STORE(BF16, uint16_t, narrow(x[i], 8, 7))
    STORE_NIBBLES
  }
}

void store_i64(int type, void *base, int index, int n, const int64_t *x) {
  if (type == U8) type = I8;
  if (type == U16) type = I16;
  if (type == U32) type = I32;
  if (type == U64) type = I64;
  switch (type) {
    STORE(F32, float, x[i])
    STORE(F64, double, x[i])
    STORE(BOOL, uint8_t, x[i] != 0)
    STORE(I8, int8_t, x[i])
    STORE(I16, int16_t, x[i])
    STORE(I32, int32_t, x[i])
    STORE(I64, int64_t, x[i])
    STORE(F16, uint16_t, narrow((double)x[i], 5, 10))
    STORE(BF16, uint16_t, narrow((double)x[i], 8, 7))
    STORE_NIBBLES
  }
}

int walk_begin(Walk *w, int rank, const word *dims, int streams, const word *strides) {
  w->rank = rank;
  w->streams = streams;
  w->dims = dims;
  w->strides = strides;
  for (int s = 0; s < 4; s++) w->offset[s] = 0;
  for (int i = 0; i < rank; i++) {
    w->index[i] = 0;
    if (dims[i] <= 0) return 0;
  }
  return 1;
}

int walk_next(Walk *w) {
  for (int i = w->rank - 2; i >= 0; i--) {
    const word *stride = w->strides + i;
    if (++w->index[i] < w->dims[i]) {
      for (int s = 0; s < w->streams; s++) w->offset[s] += stride[s * w->rank];
      return 1;
    }
    for (int s = 0; s < w->streams; s++) w->offset[s] -= stride[s * w->rank] * (w->dims[i] - 1);
    w->index[i] = 0;
  }
  return 0;
}

END_SMALL_CODE
