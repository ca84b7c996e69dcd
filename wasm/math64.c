// Elementary functions from their series, after the classical reductions of the argument (Cody and Waite 1980; Muller,
// "Elementary Functions", 3rd ed. 2016). Taylor polynomials are long enough for the reduced ranges that they need no fit.
#include "math64.h"

#include "base.h"

SMALL_CODE

typedef union {
  double d;
  uint64_t i;
} Bits;

static const double LN2 = 0x1.62e42fefa39efp-1, LN2_HIGH = 0x1.62e42fee00000p-1, LN2_LOW = 0x1.a39ef35793c76p-33;
static const double HALF_PI = 0x1.921fb54442d18p+0;

// c[0] + c[1] x + ... of `count` terms.
static double polynomial(const double *c, int count, double x) {
  double sum = c[count - 1];
#pragma clang loop unroll(disable)
  for (int i = count - 2; i >= 0; i--) sum = sum * x + c[i];
  return sum;
}

static double power_of_two(int k) {  // -1022 <= k <= 1023
  Bits u = {.i = (uint64_t)(k + 1023) << 52};
  return u.d;
}

static double scale(double x, int k) {
  int half = k / 2;
  return x * power_of_two(half) * power_of_two(k - half);
}

// e^r - 1 for |r| <= ln(2) / 2: the last term left out is below 1e-17 of the first.
static double expm1_small(double r) {
  static const double c[] = {1.0,           1.0 / 2,         1.0 / 6,          1.0 / 24,         1.0 / 120,        1.0 / 720,       1.0 / 5040,
                             1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800.0, 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0};
  return r * polynomial(c, 13, r);
}

double exp_f64(double x) {
  if (x != x) return x;
  if (x > 709.8) return __builtin_inf();
  if (x < -745.2) return 0;
  double k = __builtin_rint(x * (1 / LN2));
  double r = (x - k * LN2_HIGH) - k * LN2_LOW;
  return scale(1 + expm1_small(r), (int)k);
}

double expm1_f64(double x) {
  if (__builtin_fabs(x) < 0.34) return expm1_small(x);
  return exp_f64(x) - 1;
}

double log_f64(double x) {
  if (x != x || x < 0) return __builtin_nan("");
  if (x == 0) return -__builtin_inf();
  if (x == __builtin_inf()) return x;
  int k = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    k = -54;
  }
  Bits u = {x};
  k += (int)(u.i >> 52) - 1023;
  u.i = (u.i & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m = u.d;
  if (m > 1.4142135623730951) {
    m *= 0.5;
    k++;
  }
  // log m = 2 artanh(s) with s = (m - 1) / (m + 1), |s| <= 0.1716; written so that m - 1, which is exact, leads.
  double f = m - 1, s = f / (m + 1), t = s * s;
  static const double c[] = {1.0 / 3, 1.0 / 5, 1.0 / 7, 1.0 / 9, 1.0 / 11, 1.0 / 13, 1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21};
  double rest = 2 * t * polynomial(c, 10, t), half_square = 0.5 * f * f;
  // 2 s = f - s f and s f = f^2 / 2 - s f^2 / 2
  double log_m = f - (half_square - s * (half_square + rest));
  return k * LN2_HIGH + (log_m + k * LN2_LOW);
}

double log1p_f64(double x) {
  double u = 1 + x;
  if (u == 1 || u == __builtin_inf()) return x;
  if (u <= 0) return u == 0 ? -__builtin_inf() : __builtin_nan("");
  return log_f64(u) * (x / (u - 1));
}

double fmod_f64(double x, double y) {
  Bits a = {x}, b = {y};
  uint64_t sign = a.i & 0x8000000000000000ull;
  a.i ^= sign;
  b.i &= ~0x8000000000000000ull;
  if (!(a.d < __builtin_inf()) || b.d == 0 || y != y) return __builtin_nan("");
  // Subtract the largest multiple y * 2^k that is not above the rest: every difference is exact.
  while (a.d >= b.d) {
    int k = (int)(a.i >> 52) - (int)(b.i >> 52);
    Bits multiple = b;
    if (k > 0 && (b.i >> 52) != 0) {
      multiple.i += (uint64_t)k << 52;
    } else if (k > 0) {
      multiple.d = scale(b.d, k - 1);  // a subnormal divisor
      while (multiple.d + multiple.d <= a.d) multiple.d += multiple.d;
    }
    if (multiple.d > a.d) multiple.d *= 0.5;
    a.d -= multiple.d;
  }
  a.i |= sign;
  return a.d;
}

double pow_f64(double x, double y) {
  if (y == 0 || x == 1) return 1;
  if (x != x || y != y) return __builtin_nan("");
  int integer = y == __builtin_rint(y);
  int odd = integer && __builtin_fabs(y) < 0x1p53 && (int64_t)y & 1;
  double size = __builtin_fabs(x);
  if (integer && __builtin_fabs(y) <= 64) {
    double result = 1, factor = x;
    for (int k = (int)__builtin_fabs(y); k; k >>= 1) {
      if (k & 1) result *= factor;
      factor *= factor;
    }
    return y < 0 ? 1 / result : result;
  }
  if (y == 0.5 && x >= 0) return __builtin_sqrt(x);
  if (x < 0 && !integer && x != -__builtin_inf()) return __builtin_nan("");
  double result = size == 1 ? 1 : exp_f64(y * log_f64(size));
  return odd && (x < 0 || (x == 0 && 1 / x < 0)) ? -result : result;
}

// 2 / pi to 1216 bits.
static const uint32_t two_over_pi[] = {
    0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561, 0xb7246e3a, 0x424dd2e0,
    0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026, 0xb45f7e41, 0x3991d639, 0x835339f4,
    0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7, 0x4f463f66, 0x9e5fea2d,
    0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab,
};

// |x| >= 2^20: x times 2 / pi modulo 4, from only those bits of 2 / pi that matter (Payne and Hanek 1983).
static double reduce_large(double x, int *quadrant) {
  enum { WORDS = 6 };
  Bits u = {x};
  int exponent = (int)(u.i >> 52 & 0x7ff) - 1075;  // x = mantissa * 2^exponent
  uint64_t mantissa = (u.i & 0xfffffffffffffull) | 1ull << 52;
  int first = exponent >= 2 ? (exponent - 2) / 32 : 0;
  uint32_t product[WORDS + 2];  // the least significant first
  uint64_t carry = 0, low = mantissa & 0xffffffff, high = mantissa >> 32, before = 0;
  for (int i = 0; i < WORDS + 1; i++) {
    uint64_t factor = i < WORDS ? two_over_pi[first + WORDS - 1 - i] : 0;
    uint64_t a = low * factor, b = high * before;
    uint64_t sum = (a & 0xffffffff) + (b & 0xffffffff) + (carry & 0xffffffff);
    product[i] = (uint32_t)sum;
    carry = (a >> 32) + (b >> 32) + (carry >> 32) + (sum >> 32);
    before = factor;
  }
  product[WORDS + 1] = (uint32_t)carry;
  int point = 32 * WORDS - (exponent - 32 * first);  // the bits below it are the fraction
  int words[3];
  for (int i = 0; i < 3; i++) {
    int bit = point - 32 * (i + 1);
    int at = bit >> 5, shift = bit & 31;
    words[i] = (int)(product[at] >> shift | (shift ? product[at + 1] << (32 - shift) : 0));
  }
  int at = point >> 5, shift = point & 31;
  *quadrant = (int)(product[at] >> shift | (shift && at < WORDS + 1 ? product[at + 1] << (32 - shift) : 0)) + (words[0] < 0);
  double fraction = words[0] * 0x1p-32 + (uint32_t)words[1] * 0x1p-64 + (uint32_t)words[2] * 0x1p-96;
  double r = fraction * HALF_PI;
  if (u.i >> 63) {
    *quadrant = -*quadrant;
    return -r;
  }
  return r;
}

// x = quadrant * pi / 2 + result, |result| <= pi / 4.
static double reduce(double x, int *quadrant) {
  if (__builtin_fabs(x) >= 0x1p20) return reduce_large(x, quadrant);
  double k = __builtin_rint(x * (1 / HALF_PI));
  *quadrant = (int)k;
  return ((x - k * 0x1.921fb54400000p+0) - k * 0x1.0b4611a600000p-34) - k * 0x1.3198a2e037073p-69;
}

static double sin_small(double r) {
  static const double c[] = {-1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880.0, -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0,
                             1.0 / 355687428096000.0};
  double t = r * r;
  return r + r * t * polynomial(c, 8, t);
}

static double cos_small(double r) {
  static const double c[] = {1.0 / 24, -1.0 / 720, 1.0 / 40320.0, -1.0 / 3628800.0, 1.0 / 479001600.0, -1.0 / 87178291200.0,
                             1.0 / 20922789888000.0, -1.0 / 6402373705728000.0};
  double t = r * r;
  return 1 - (0.5 * t - t * t * polynomial(c, 8, t));
}

static double sine(double x, int turn) {
  if (!(__builtin_fabs(x) < __builtin_inf())) return __builtin_nan("");
  int quadrant;
  double r = reduce(x, &quadrant);
  quadrant += turn;
  double y = quadrant & 1 ? cos_small(r) : sin_small(r);
  return quadrant & 2 ? -y : y;
}

double sin_f64(double x) { return sine(x, 0); }
double cos_f64(double x) { return sine(x, 1); }

double tan_f64(double x) {
  if (!(__builtin_fabs(x) < __builtin_inf())) return __builtin_nan("");
  int quadrant;
  double r = reduce(x, &quadrant);
  double s = sin_small(r), c = cos_small(r);
  return quadrant & 1 ? -c / s : s / c;
}

double atan_f64(double x) {
  double t = __builtin_fabs(x), base = 0;
  int inverted = t > 1;
  if (inverted) t = 1 / t;
  if (t > 0.2679491924311227) {  // tan(pi / 12): atan t = pi / 6 + atan((t sqrt 3 - 1) / (sqrt 3 + t))
    t = (t * 1.7320508075688772 - 1) / (1.7320508075688772 + t);
    base = 0.5235987755982989;
  }
  static const double c[] = {-1.0 / 3, 1.0 / 5, -1.0 / 7, 1.0 / 9, -1.0 / 11, 1.0 / 13, -1.0 / 15, 1.0 / 17, -1.0 / 19, 1.0 / 21, -1.0 / 23, 1.0 / 25, -1.0 / 27};
  double s = t * t, y = base + (t + t * s * polynomial(c, 13, s));
  if (inverted) y = HALF_PI - y;
  return __builtin_copysign(y, x);
}

double asin_f64(double x) { return atan_f64(x / __builtin_sqrt((1 - x) * (1 + x))); }
double acos_f64(double x) { return 2 * atan_f64(__builtin_sqrt((1 - x) / (1 + x))); }

double sinh_f64(double x) {
  double t = __builtin_fabs(x), y;
  if (t < 1) {
    double e = expm1_f64(t);
    y = 0.5 * (e + e / (e + 1));
  } else {
    double e = exp_f64(0.5 * t);
    y = 0.5 * e * e - 0.5 / e / e;
  }
  return __builtin_copysign(y, x);
}

double cosh_f64(double x) {
  double e = exp_f64(0.5 * __builtin_fabs(x));
  return 0.5 * e * e + 0.5 / e / e;
}

double tanh_f64(double x) {
  double t = __builtin_fabs(x), y = t;
  if (t > 20) {
    y = 1;
  } else if (t == t) {
    double e = t < 0.17 ? expm1_small(2 * t) : exp_f64(2 * t) - 1;
    y = e / (e + 2);
  }
  return __builtin_copysign(y, x);
}

double asinh_f64(double x) {
  double t = __builtin_fabs(x);
  double y = t > 0x1p28 ? log_f64(t) + LN2 : log1p_f64(t + t * t / (1 + __builtin_sqrt(t * t + 1)));
  return __builtin_copysign(y, x);
}

double acosh_f64(double x) {
  if (x < 1) return __builtin_nan("");
  if (x > 0x1p28) return log_f64(x) + LN2;
  double t = x - 1;
  return log1p_f64(t + __builtin_sqrt(2 * t + t * t));
}

double atanh_f64(double x) {
  double t = __builtin_fabs(x);
  return __builtin_copysign(0.5 * log1p_f64(2 * t / (1 - t)), x);
}

double erf_f64(double x) {
  double t = __builtin_fabs(x);
  if (x != x) return x;
  if (t > 6) return __builtin_copysign(1, x);
  double square = t * t, y;
  if (t < 2.5) {  // 2 / sqrt(pi) e^(-x^2) sum of 2^n x^(2n+1) / (1 3 5 ... (2n+1)): all terms are positive
    double term = t, sum = t;
    for (int n = 1; n < 60 && term > sum * 1e-17; n++) {
      term *= 2 * square / (2 * n + 1);
      sum += term;
    }
    y = 1.1283791670955126 * exp_f64(-square) * sum;
  } else {  // the continued fraction of erfc: e^(-x^2) / sqrt(pi) / (x + 1/2 / (x + 1 / (x + 3/2 / ...)))
    double tail = t;
    for (int n = 60; n > 0; n--) tail = t + 0.5 * n / tail;
    y = 1 - 0.5641895835477563 * exp_f64(-square) / tail;
  }
  return __builtin_copysign(y, x);
}

END_SMALL_CODE
