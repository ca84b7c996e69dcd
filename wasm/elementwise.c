// Elementwise kernels: unary, binary with broadcasting, where, cast.
#include "elements.h"
#include "math64.h"

SMALL_CODE

// --- binary operations on blocks in one domain -----------------------------------------------------------------------------

#define NO_VECTORS _Pragma("clang loop vectorize(disable) unroll(disable)")

// One loop around the cases of a switch: short, and slower than a loop in each by little beside the detour through wide numbers.
#define EACH(EXPRESSION) \
  y[i] = (EXPRESSION);   \
  break

static double floored_fmod(double a, double b) {
  double r = fmod_f64(a, b);
  if (r == 0) return __builtin_copysign(0, b);
  return (r < 0) != (b < 0) ? r + b : r;
}

// Comparisons write int64 0 or 1 over the doubles' place.
static int combine_f64(int op, const double *a, const double *b, double *y, int n) {
  int64_t *z = (int64_t *)y;
  NO_VECTORS for (int i = 0; i < n; i++) {
    const double p = a[i], q = b[i];
    switch (op) {
      case ADD: EACH(p + q);
      case SUB: EACH(p - q);
      case MUL: EACH(p * q);
      case DIV: EACH(p / q);
      case MIN: EACH(p < q || p != p ? p : q);
      case MAX: EACH(p > q || p != p ? p : q);
      case POW: EACH(pow_f64(p, q));
      case MOD: EACH(floored_fmod(p, q));
      case FMOD: EACH(fmod_f64(p, q));
      case PRELU: EACH(p < 0 ? p * q : p);
      case EQUAL: z[i] = p == q; break;
      case LESS: z[i] = p < q; break;
      case LESS_EQUAL: z[i] = p <= q; break;
      default: return ERROR_TYPE;
    }
  }
  return 0;
}

static int64_t power(int64_t x, int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint64_t result = 1, factor = (uint64_t)x;
  for (; y; y >>= 1) {
    if (y & 1) result *= factor;
    factor *= factor;
  }
  return (int64_t)result;
}

static int has_zero(const int64_t *b, int n) {
  for (int i = 0; i < n; i++) {
    if (b[i] == 0) return 1;
  }
  return 0;
}

// The least int64 divided by -1 would trap; every integer's remainder by -1 is 0.
static int64_t quotient(int64_t a, int64_t b) { return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b; }
static int64_t remainder(int64_t a, int64_t b) { return b == -1 ? 0 : a % b; }
static int64_t floored_remainder(int64_t a, int64_t b) {
  int64_t r = remainder(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

// By a negative number, or by more bits than there are, everything is shifted out.
static int64_t shift_left(int64_t a, int64_t by) { return (uint64_t)by < 64 ? (int64_t)((uint64_t)a << by) : 0; }
static int64_t shift_right(int64_t a, int64_t by) { return a >> ((uint64_t)by < 64 ? by : 63); }
static int64_t shift_right_unsigned(int64_t a, int64_t by) { return (uint64_t)by < 64 ? (int64_t)((uint64_t)a >> by) : 0; }

static int less(int64_t a, int64_t b, int is_unsigned) { return is_unsigned ? (uint64_t)a < (uint64_t)b : a < b; }

SMALL static int combine_i64(int op, int is_unsigned, const int64_t *a, const int64_t *b, int64_t *y, int n) {
  if ((op == DIV || op == MOD || op == FMOD) && has_zero(b, n)) return ERROR_DIVISION;
  NO_VECTORS for (int i = 0; i < n; i++) {
    const int64_t p = a[i], q = b[i];
    const uint64_t up = (uint64_t)p, uq = (uint64_t)q;
    switch (op) {
      case ADD: EACH((int64_t)(up + uq));
      case SUB: EACH((int64_t)(up - uq));
      case MUL: EACH((int64_t)(up * uq));
      case DIV: EACH(is_unsigned ? (int64_t)(up / uq) : quotient(p, q));
      case MOD: EACH(is_unsigned ? (int64_t)(up % uq) : floored_remainder(p, q));
      case FMOD: EACH(is_unsigned ? (int64_t)(up % uq) : remainder(p, q));
      case POW: EACH(power(p, q));
      case MIN: EACH(less(p, q, is_unsigned) ? p : q);
      case MAX: EACH(less(q, p, is_unsigned) ? p : q);
      case PRELU: EACH(p < 0 && !is_unsigned ? (int64_t)(up * uq) : p);
      case AND: EACH(p & q);
      case OR: EACH(p | q);
      case XOR: EACH(p ^ q);
      case SHIFT_LEFT: EACH(shift_left(p, q));
      case SHIFT_RIGHT: EACH(is_unsigned ? shift_right_unsigned(p, q) : shift_right(p, q));
      case EQUAL: EACH(p == q);
      case LESS: EACH(less(p, q, is_unsigned));
      case LESS_EQUAL: EACH(!less(q, p, is_unsigned));
      default: return ERROR_TYPE;
    }
  }
  return 0;
}

// --- float32 without a detour ------------------------------------------------------------------------------------------------

#define ROW_F32(NAME, VECTOR, SCALAR)                                                            \
  static void NAME(const float *a, int sa, const float *b, int sb, float *y, int n) {            \
    int i = 0;                                                                                   \
    if ((unsigned)(sa | sb) <= 1) {                                                              \
      for (; i + 4 <= n; i += 4) {                                                               \
        const v128_t p = sa ? wasm_v128_load(a + i) : wasm_v128_load32_splat(a);                 \
        wasm_v128_store(y + i, VECTOR(p, sb ? wasm_v128_load(b + i) : wasm_v128_load32_splat(b))); \
      }                                                                                          \
    }                                                                                            \
    NO_VECTORS for (; i < n; i++) {                                                              \
      float p = a[i * sa], q = b[i * sb];                                                        \
      y[i] = SCALAR;                                                                             \
    }                                                                                            \
  }

ROW_F32(add_row, wasm_f32x4_add, p + q)
ROW_F32(sub_row, wasm_f32x4_sub, p - q)
ROW_F32(mul_row, wasm_f32x4_mul, p *q)
ROW_F32(div_row, wasm_f32x4_div, p / q)
ROW_F32(min_row, wasm_f32x4_min, __builtin_wasm_min_f32(p, q))
ROW_F32(maximum_row, wasm_f32x4_max, __builtin_wasm_max_f32(p, q))

static int combine_f32(int op, const float *a, int sa, const float *b, int sb, float *y, int n) {
  switch (op) {
    case ADD: add_row(a, sa, b, sb, y, n); return 1;
    case SUB: sub_row(a, sa, b, sb, y, n); return 1;
    case MUL: mul_row(a, sa, b, sb, y, n); return 1;
    case DIV: div_row(a, sa, b, sb, y, n); return 1;
    case MIN: min_row(a, sa, b, sb, y, n); return 1;
    case MAX: maximum_row(a, sa, b, sb, y, n); return 1;
    case POW:
      if (sb == 0 && *b == 2.0f) {
        mul_row(a, sa, a, sa, y, n);
        return 1;
      }
  }
  return 0;
}

// --- kernels -----------------------------------------------------------------------------------------------------------------

typedef struct {
  int op, type_a, type_b, type_y;
  const void *a, *b;
  void *y;
} Binary;

static int combine_row(const Binary *k, int at_a, int sa, int at_b, int sb, int at_y, int n) {
  double da[BLOCK], db[BLOCK], dy[BLOCK];
  int float_domain = is_float(k->type_a) || is_float(k->type_b);
  int compares = k->op >= EQUAL;
  for (int i = 0; i < n; i += BLOCK) {
    int m = n - i < BLOCK ? n - i : BLOCK;
    int code;
    if (float_domain) {
      const double *p = view_f64(k->type_a, k->a, at_a + i * sa, sa, m, da);
      const double *q = view_f64(k->type_b, k->b, at_b + i * sb, sb, m, db);
      code = combine_f64(k->op, p, q, dy, m);
      if (!compares) store_f64(k->type_y, k->y, at_y + i, m, dy);
    } else {
      const int64_t *p = view_i64(k->type_a, k->a, at_a + i * sa, sa, m, (int64_t *)da);
      const int64_t *q = view_i64(k->type_b, k->b, at_b + i * sb, sb, m, (int64_t *)db);
      code = combine_i64(k->op, k->type_a == U64, p, q, (int64_t *)dy, m);
    }
    if (code) return code;
    if (compares || !float_domain) store_i64(k->type_y, k->y, at_y + i, m, (const int64_t *)dy);
  }
  return 0;
}

int combine(int op, int type, const void *a, const void *b, void *y, int n) {
  if (type == F32 && combine_f32(op, a, 1, b, 1, y, n)) return 0;
  Binary k = {op, type, type, type, a, b, y};
  return combine_row(&k, 0, 1, 0, 1, 0, n);
}

KERNEL(binary) {
  Binary k = {a[0], a[1], a[2], a[3], (const void *)a[4], (const void *)a[5], (void *)a[6]};
  int rank = a[7];
  const word *dims = a + 8, *strides = a + 8 + rank;
  Walk w;
  if (!walk_begin(&w, rank, dims, 2, strides)) return 0;
  int n = dims[rank - 1], sa = strides[rank - 1], sb = strides[2 * rank - 1], at = 0;
  int all_f32 = k.type_a == F32 && k.type_b == F32 && k.type_y == F32;
  do {
    if (!(all_f32 && combine_f32(k.op, (const float *)k.a + w.offset[0], sa, (const float *)k.b + w.offset[1], sb, (float *)k.y + at, n))) {
      int code = combine_row(&k, w.offset[0], sa, w.offset[1], sb, at, n);
      if (code) return code;
    }
    at += n;
  } while (walk_next(&w));
  return 0;
}

enum {
  ABS, NEG, SIGN, CEIL, FLOOR, ROUND, SQRT, RECIPROCAL, RELU, HARD_SIGMOID, HARD_SWISH, SOFTSIGN, LEAKY_RELU, THRESHOLDED_RELU, SHRINK,
  ISNAN, ISINF, NOT, BIT_NOT, SIGMOID, SOFTPLUS, ELU, SELU, CELU, MISH, SWISH, GELU, GELU_TANH, FUNCTIONS
};

static double (*const functions[])(double) = {
    exp_f64, log_f64, sin_f64, cos_f64, tan_f64, asin_f64, acos_f64, atan_f64, sinh_f64, cosh_f64, tanh_f64, asinh_f64, acosh_f64, atanh_f64, erf_f64,
};
enum { FUNCTION_COUNT = sizeof(functions) / sizeof(functions[0]) };

static double sigmoid(double x) { return x < -700 ? exp_f64(x) : 1 / (1 + exp_f64(-x)); }
static double softplus(double x) { return (x > 0 ? x : 0) + log1p_f64(exp_f64(-__builtin_fabs(x))); }

SMALL static int map_f64(int op, double alpha, double beta, const double *x, double *y, int n) {
  int64_t *z = (int64_t *)y;
  if (op < 0 || op >= FUNCTIONS + FUNCTION_COUNT) return ERROR_TYPE;
  NO_VECTORS for (int i = 0; i < n; i++) {
    const double v = x[i];
    switch (op) {
      case ABS: EACH(__builtin_fabs(v));
      case NEG: EACH(-v);
      case SIGN: EACH(v > 0 ? 1 : v < 0 ? -1 : v);
      case CEIL: EACH(__builtin_ceil(v));
      case FLOOR: EACH(__builtin_floor(v));
      case ROUND: EACH(__builtin_rint(v));
      case SQRT: EACH(__builtin_sqrt(v));
      case RECIPROCAL: EACH(1 / v);
      case RELU: EACH(v < 0 ? 0 : v);
      case HARD_SIGMOID: EACH(__builtin_wasm_max_f64(0, __builtin_wasm_min_f64(1, alpha * v + beta)));
      case HARD_SWISH: EACH(v * __builtin_wasm_max_f64(0, __builtin_wasm_min_f64(1, v / 6 + 0.5)));
      case SOFTSIGN: EACH(v / (1 + __builtin_fabs(v)));
      case LEAKY_RELU: EACH(v < 0 ? alpha * v : v);
      case THRESHOLDED_RELU: EACH(v > alpha || v != v ? v : 0);
      case SHRINK: EACH(v < -alpha ? v + beta : v > alpha ? v - beta : v == v ? 0 : v);
      case ISNAN: z[i] = v != v; break;
      case ISINF: z[i] = (alpha != 0 && v == -__builtin_inf()) || (beta != 0 && v == __builtin_inf()); break;
      case SIGMOID: EACH(sigmoid(v));
      case SOFTPLUS: EACH(softplus(v));
      case ELU: EACH(v < 0 ? alpha * expm1_f64(v) : v);
      case SELU: EACH(v < 0 ? beta * alpha * expm1_f64(v) : beta * v);
      case CELU: EACH(v < 0 ? alpha * expm1_f64(v / alpha) : v);
      case MISH: EACH(v * tanh_f64(softplus(v)));
      case SWISH: EACH(v * sigmoid(alpha * v));
      case GELU: EACH(0.5 * v * (1 + erf_f64(v * 0.7071067811865476)));
      case GELU_TANH: EACH(0.5 * v * (1 + tanh_f64(0.7978845608028654 * (v + 0.044715 * v * v * v))));
      default:
        if (op < FUNCTIONS) return ERROR_TYPE;
        EACH(functions[op - FUNCTIONS](v));
    }
  }
  return 0;
}

SMALL static int map_i64(int op, int is_unsigned, const int64_t *x, int64_t *y, int n) {
  NO_VECTORS for (int i = 0; i < n; i++) {
    const int64_t v = x[i];
    switch (op) {
      case ABS: EACH(v < 0 && !is_unsigned ? (int64_t)(0 - (uint64_t)v) : v);
      case NEG: EACH((int64_t)(0 - (uint64_t)v));
      case SIGN: EACH(is_unsigned ? v != 0 : (v > 0) - (v < 0));
      case RELU: EACH(v < 0 && !is_unsigned ? 0 : v);
      case NOT: EACH(v == 0);
      case BIT_NOT: EACH(~v);
      default: return ERROR_TYPE;
    }
  }
  return 0;
}

#define VECTOR_F32(OP, VECTOR) \
  case OP: v = VECTOR(v); break;

// The cheap ones by vectors; returns how many elements are done.
static int map_f32(int op, const float *x, float *y, int n) {
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    v128_t v = wasm_v128_load(x + i);
    switch (op) {
      VECTOR_F32(ABS, wasm_f32x4_abs)
      VECTOR_F32(NEG, wasm_f32x4_neg)
      VECTOR_F32(SQRT, wasm_f32x4_sqrt)
      VECTOR_F32(CEIL, wasm_f32x4_ceil)
      VECTOR_F32(FLOOR, wasm_f32x4_floor)
      VECTOR_F32(ROUND, wasm_f32x4_nearest)
      default: return 0;
    }
    wasm_v128_store(y + i, v);
  }
  return i;
}

KERNEL(unary) {
  int op = a[0], type_x = a[1], type_y = a[2], n = a[5];
  const void *x = (const void *)a[3];
  void *y = (void *)a[4];
  double alpha = word_float(a[6]), beta = word_float(a[7]);
  double in[BLOCK], out[BLOCK];
  int to_bool = op == ISNAN || op == ISINF;
  for (int i = type_x == F32 && type_y == F32 ? map_f32(op, x, y, n) : 0; i < n; i += BLOCK) {
    int m = n - i < BLOCK ? n - i : BLOCK;
    int code;
    if (is_float(type_x) || op >= FUNCTIONS || op == SHRINK) {
      code = map_f64(op, alpha, beta, view_f64(type_x, x, i, 1, m, in), out, m);
      if (!to_bool) store_f64(type_y, y, i, m, out);
    } else {
      code = map_i64(op, type_x == U64, view_i64(type_x, x, i, 1, m, (int64_t *)in), (int64_t *)out, m);
      to_bool = 1;
    }
    if (code) return code;
    if (to_bool) store_i64(type_y, y, i, m, (const int64_t *)out);
  }
  return 0;
}

// Weights in 16 bits are widened once, but there are many of them. Returns how many elements are done.
static int widen_f16(const uint16_t *x, float *y, int n) {
  // Shifted into place, the exponent is 112 too small; the product puts subnormals right as well. Infinity and NaN keep all ones.
  v128_t bias = wasm_f32x4_splat(0x1p112f), magnitude = wasm_i32x4_splat(0x7fff), ones = wasm_i32x4_splat(0x7f800000);
  int i = 0;
  for (; i + 4 <= n; i += 4) {
    v128_t bits = wasm_u32x4_load16x4(x + i);
    v128_t size = wasm_i32x4_shl(wasm_v128_and(bits, magnitude), 13);
    v128_t special = wasm_v128_and(wasm_i32x4_ge(size, wasm_i32x4_splat(0x7c00 << 13)), ones);
    v128_t sign = wasm_i32x4_shl(wasm_v128_andnot(bits, magnitude), 16);
    wasm_v128_store(y + i, wasm_v128_or(wasm_v128_or(wasm_f32x4_mul(size, bias), special), sign));
  }
  return i;
}

KERNEL(cast) {
  int type_x = a[0], type_y = a[1], n = a[4];
  const void *x = (const void *)a[2];
  void *y = (void *)a[3];
  double buffer[BLOCK];
  int float_domain = is_float(type_x) || (type_x == U64 && is_float(type_y));
  for (int i = type_x == F16 && type_y == F32 ? widen_f16(x, y, n) : 0; i < n; i += BLOCK) {
    int m = n - i < BLOCK ? n - i : BLOCK;
    if (float_domain) {
      store_f64(type_y, y, i, m, view_f64(type_x, x, i, 1, m, buffer));
    } else {
      store_i64(type_y, y, i, m, view_i64(type_x, x, i, 1, m, (int64_t *)buffer));
    }
  }
  return 0;
}

// z = c ? x : y by vectors where the strides allow it; returns how many of the n elements are done.
static int select_row(const uint8_t *c, int sc, const uint32_t *x, int sx, const uint32_t *y, int sy, uint32_t *z, int n) {
  int i = 0;
  if (sc != 1 || (sx | sy) >> 1 != 0) return 0;
  for (; i + 4 <= n; i += 4) {
    v128_t p = sx ? wasm_v128_load(x + i) : wasm_v128_load32_splat(x);
    v128_t q = sy ? wasm_v128_load(y + i) : wasm_v128_load32_splat(y);
    v128_t wide = wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(c + i)));
    wasm_v128_store(z + i, wasm_v128_bitselect(p, q, wasm_i32x4_ne(wide, wasm_i32x4_splat(0))));
  }
  return i;
}

KERNEL(where) {
  const int size = a[0], rank = a[5];
  int at = 0;
  const word *dims = a + 6, *strides = a + 6 + rank;
  Walk w;
  if (!walk_begin(&w, rank, dims, 3, strides)) return 0;
  const int n = dims[rank - 1], sc = strides[rank - 1], sx = strides[2 * rank - 1], sy = strides[3 * rank - 1];
  do {
    const uint8_t *c = (const uint8_t *)a[1] + w.offset[0];
    const uint8_t *x = (const uint8_t *)a[2] + w.offset[1] * size, *y = (const uint8_t *)a[3] + w.offset[2] * size;
    uint8_t *z = (uint8_t *)a[4] + at * size;
    int i = size == 4 ? select_row(c, sc, (const uint32_t *)x, sx, (const uint32_t *)y, sy, (uint32_t *)z, n) : 0;
    NO_VECTORS for (; i < n; i++) {
      const uint8_t *from = c[i * sc] ? x + i * sx * size : y + i * sy * size;
      switch (size) {
        case 1: z[i] = *from; break;
        case 2: ((uint16_t *)z)[i] = *(const uint16_t *)from; break;
        case 4: ((uint32_t *)z)[i] = *(const uint32_t *)from; break;
        default: ((uint64_t *)z)[i] = *(const uint64_t *)from;
      }
    }
    at += n;
  } while (walk_next(&w));
  return 0;
}

END_SMALL_CODE
