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

// Small floats: exponent bits, mantissa bits, bias, and what the largest codes mean.
enum { IEEE, ALL_ONES_IS_NAN, MINUS_ZERO_IS_NAN, NUMBERS_ONLY };
typedef struct {
  uint8_t exponent_bits, mantissa_bits, bias, kind;
} Form;

static const Form small_floats[] = {
    {8, 7, 127, IEEE}, {4, 3, 7, ALL_ONES_IS_NAN}, {4, 3, 8, MINUS_ZERO_IS_NAN}, {5, 2, 15, IEEE}, {5, 2, 16, MINUS_ZERO_IS_NAN}, {5, 10, 15, IEEE},
    {0}, {2, 1, 1, NUMBERS_ONLY},
};

static Form form_of(int type) { return small_floats[type == F16 ? 5 : type - BF16]; }

static double power_of_two(int exponent) {
  union {
    uint64_t i;
    double d;
  } u = {(uint64_t)(exponent + 1023) << 52};
  return u.d;
}

static double widen(uint32_t bits, int type) {
  if (type == F8E8M0) return bits == 255 ? __builtin_nan("") : power_of_two((int)bits - 127);
  Form f = form_of(type);
  uint32_t half = 1u << (f.exponent_bits + f.mantissa_bits), size = bits & (half - 1), top = (1u << f.exponent_bits) - 1;
  int exponent = (int)(size >> f.mantissa_bits);
  double mantissa = size & ((1u << f.mantissa_bits) - 1), result;
  if (f.kind == IEEE && exponent == (int)top) {
    result = mantissa != 0 ? __builtin_nan("") : __builtin_inf();
  } else if ((f.kind == ALL_ONES_IS_NAN && size == half - 1) || (f.kind == MINUS_ZERO_IS_NAN && bits == half)) {
    result = __builtin_nan("");
  } else {
    if (exponent) {
      mantissa += 1 << f.mantissa_bits;
    } else {
      exponent = 1;
    }
    result = mantissa * power_of_two(exponent - f.bias - f.mantissa_bits);
  }
  return bits & half ? -result : result;
}

// The exponent alone, of a float32: up to the next power of two unless it is one, or down, or to the nearer.
static uint32_t narrow_power(float x, int flags) {
  union {
    float f;
    uint32_t i;
  } u = {x};
  uint32_t exponent = u.i >> 23 & 255, rest = u.i & 0x7fffff, half = 0x400000;
  if (exponent == 255) return 255;
  int up = flags & ROUND_DOWN ? 0 : flags & ROUND_NEAREST ? rest > half || (rest == half && exponent > 0) : rest > 0;
  return exponent + (up && (exponent < 254 || flags & NOT_SATURATED));
}

// To the nearest small float, ties to even.
static uint32_t narrow(double x, int type) {
  int flags = type & ~255;
  type &= 255;
  if (type == F8E8M0) return narrow_power((float)x, flags);
  Form f = form_of(type);
  union {
    double d;
    uint64_t i;
  } u = {x};
  uint32_t half = 1u << (f.exponent_bits + f.mantissa_bits), sign = u.i >> 63 ? half : 0;
  uint32_t infinity = ((1u << f.exponent_bits) - 1) << f.mantissa_bits;
  // The largest number, and what stands for more than that, and for NaN.
  uint32_t largest = f.kind == IEEE ? infinity - 1 : f.kind == ALL_ONES_IS_NAN ? half - 2 : half - 1;
  uint32_t nan = f.kind == IEEE ? sign | infinity | 1u << (f.mantissa_bits - 1) : f.kind == ALL_ONES_IS_NAN ? sign | (half - 1) : half;
  if (x != x) return nan;
  int exponent = (int)(u.i >> 52 & 0x7ff) - 1023;
  int least = 1 - f.bias;
  int shift = 52 - f.mantissa_bits + (exponent < least ? least - exponent : 0);
  uint64_t result = 0;
  if (shift <= 54) {
    uint64_t mantissa = (u.i & ((1ull << 52) - 1)) | 1ull << 52;
    uint64_t kept = mantissa >> shift, rest = mantissa & ((1ull << shift) - 1), middle = 1ull << (shift - 1);
    kept += rest > middle || (rest == middle && (kept & 1));
    result = (exponent < least ? 0 : (uint64_t)(exponent - least) << f.mantissa_bits) + kept;
  }
  if (result > largest) {
    int saturates = f.kind == NUMBERS_ONLY || (type >= F8E4M3 && !(flags & NOT_SATURATED));
    if (!saturates) return f.kind == IEEE ? sign | infinity : nan;
    result = largest;
  }
  return f.kind == MINUS_ZERO_IS_NAN && result == 0 ? 0 : sign | (uint32_t)result;
}

#define NO_VECTORS _Pragma("clang loop vectorize(disable) unroll(disable)")

// In one loop around the cases: short, and what moves many elements has a way of its own.
#define LOAD(TYPE_ID, T) \
  case TYPE_ID: out[i] = ((const T *)base)[at]; break;

#define LOAD_INTEGERS                                                \
  LOAD(U8, uint8_t)                                                  \
  LOAD(I8, int8_t)                                                   \
  LOAD(U16, uint16_t)                                                \
  LOAD(I16, int16_t)                                                 \
  LOAD(I32, int32_t)                                                 \
  LOAD(U32, uint32_t)                                                \
  LOAD(I64, int64_t)                                                 \
  case U4: case I4: case U2: case I2:                                \
    out[i] = few_bits(type, load_code(type | packed, base, at));     \
    break;

static int bits_of(int type) { return type == U2 || type == I2 ? 2 : type == U4 || type == I4 || type == F4E2M1 ? 4 : 8; }

// The byte of an element, or its part of a byte.
static int load_code(int type, const void *base, int at) {
  if (!(type & PACKED)) return ((const uint8_t *)base)[at];
  int bits = bits_of(type & ~PACKED), each = 8 / bits;
  return ((const uint8_t *)base)[at / each] >> at % each * bits;
}

// The lowest bits as a number of the type.
static int few_bits(int type, int code) {
  int bits = bits_of(type), number = code & ((1 << bits) - 1);
  return (type == I4 || type == I2) && number >> (bits - 1) ? number - (1 << bits) : number;
}

void load_f64(int type, const void *base, int index, int stride, int n, double *out) {
  if (type == F32 && stride == 1) {
    const float *p = (const float *)base + index;
    for (int i = 0; i < n; i++) out[i] = p[i];
    return;
  }
  if (type == BOOL) type = U8;
  const int packed = type & PACKED;
  type &= ~PACKED;
  NO_VECTORS for (int i = 0, at = index; i < n; i++, at += stride) {
    switch (type) {
      LOAD(F32, float)
      LOAD(F64, double)
      LOAD_INTEGERS
      LOAD(U64, uint64_t)
      case F16: case BF16: out[i] = widen(((const uint16_t *)base)[at], type); break;
      case F8E4M3: case F8E4M3 + 1: case F8E4M3 + 2: case F8E4M3 + 3: case F4E2M1: case F8E8M0:
        out[i] = widen((uint32_t)(load_code(type | packed, base, at) & (type == F4E2M1 ? 15 : 255)), type);
        break;
    }
  }
}

void load_i64(int type, const void *base, int index, int stride, int n, int64_t *out) {
  if (type == BOOL) type = U8;
  if (type == U64) type = I64;
  const int packed = type & PACKED;
  type &= ~PACKED;
  NO_VECTORS for (int i = 0, at = index; i < n; i++, at += stride) {
    switch (type) { LOAD_INTEGERS }
  }
}

#define STORE(TYPE_ID, T, EXPRESSION) \
  case TYPE_ID: ((T *)base)[index + i] = (T)(EXPRESSION); break;

#define STORE_SMALL(NUMBER)                                                                   \
  STORE(F16, uint16_t, narrow(NUMBER, type))                                                  \
  STORE(BF16, uint16_t, narrow(NUMBER, type))                                                 \
  case U4: case I4: case U2: case I2: ((int8_t *)base)[index + i] = (int8_t)few_bits(type, (int)x[i]); break; \
  default: ((uint8_t *)base)[index + i] = (uint8_t)narrow(NUMBER, type);

static inline int64_t whole(double x) { return __builtin_wasm_trunc_saturate_s_i64_f64(x); }

void store_f64(int type, void *base, int index, int n, const double *x) {
  if (type == F32) {
    float *p = (float *)base + index;
    for (int i = 0; i < n; i++) p[i] = (float)x[i];
    return;
  }
  if (type == U8) type = I8;
  if (type == U16) type = I16;
  NO_VECTORS for (int i = 0; i < n; i++) {
    switch (type) {
      STORE(F64, double, x[i])
      STORE(BOOL, uint8_t, x[i] != 0)
      STORE(I8, int8_t, whole(x[i]))
      STORE(I16, int16_t, whole(x[i]))
      STORE(I32, int32_t, __builtin_wasm_trunc_saturate_s_i32_f64(x[i]))
      STORE(U32, uint32_t, __builtin_wasm_trunc_saturate_u_i32_f64(x[i]))
      STORE(I64, int64_t, whole(x[i]))
      STORE(U64, uint64_t, __builtin_wasm_trunc_saturate_u_i64_f64(x[i]))
      STORE_SMALL(x[i])
    }
  }
}

void store_i64(int type, void *base, int index, int n, const int64_t *x) {
  if (type == U8) type = I8;
  if (type == U16) type = I16;
  if (type == U32) type = I32;
  if (type == U64) type = I64;
  NO_VECTORS for (int i = 0; i < n; i++) {
    switch (type) {
      STORE(F32, float, x[i])
      STORE(F64, double, x[i])
      STORE(BOOL, uint8_t, x[i] != 0)
      STORE(I8, int8_t, x[i])
      STORE(I16, int16_t, x[i])
      STORE(I32, int32_t, x[i])
      STORE(I64, int64_t, x[i])
      STORE_SMALL((double)x[i])
    }
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
