// Elementary functions on four floats. Relative errors (measured over their whole range, against double precision) are in the
// comments. NaN goes through; infinities give the limits.
#pragma once
#include "base.h"

#define SIMD static inline __attribute__((always_inline))
#define UNROLL _Pragma("clang loop unroll(full)")

SIMD v128_t splat(float x) { return wasm_f32x4_splat(x); }

// a * b + c: fused in the relaxed binary, two roundings in the other.
SIMD v128_t madd(v128_t a, v128_t b, v128_t c) {
#ifdef __wasm_relaxed_simd__
  return wasm_f32x4_relaxed_madd(a, b, c);
#else
  return wasm_f32x4_add(wasm_f32x4_mul(a, b), c);
#endif
}

// pmin(x, limit) and pmax(x, limit) give x when x is NaN, and are one x86 instruction, unlike min and max.
SIMD v128_t clamp(v128_t x, float low, float high) {
  return wasm_f32x4_pmin(wasm_f32x4_pmax(x, splat(low)), splat(high));
}

SIMD v128_t relu_f32x4(v128_t x) { return wasm_f32x4_pmax(x, splat(0.0f)); }

SIMD v128_t negate_f32x4(v128_t x) { return wasm_f32x4_neg(x); }

// 1.2e-7 for normal results; overflows to infinity, underflows through the denormals to 0.
// exp(x) = 2^n * e^r with |r| <= ln(2) / 2; e^r = 1 + r + r^2 * p(r), p a minimax polynomial of degree 4.
SIMD v128_t exp_f32x4(v128_t x) {
  x = clamp(x, -150.0f, 150.0f);
  v128_t n = wasm_f32x4_nearest(wasm_f32x4_mul(x, splat(1.44269504f)));
  v128_t r = madd(n, splat(-0.693359375f), x);
  r = madd(n, splat(2.12194440e-4f), r);
  v128_t p = splat(0.0013814502162858844f);
  p = madd(p, r, splat(0.008368780836462975f));
  p = madd(p, r, splat(0.04166839271783829f));
  p = madd(p, r, splat(0.1666651964187622f));
  p = madd(p, r, splat(0.4999999403953552f));
  p = madd(wasm_f32x4_mul(r, r), p, r);
  p = wasm_f32x4_add(p, splat(1.0f));
#ifdef __wasm_relaxed_simd__
  v128_t i = wasm_i32x4_relaxed_trunc_f32x4(n);
#else
  v128_t i = wasm_i32x4_trunc_sat_f32x4(n);
#endif
  v128_t half = wasm_i32x4_shr(i, 1);
  v128_t rest = wasm_i32x4_sub(i, half);
  v128_t one = wasm_i32x4_splat(0x3f800000);
  p = wasm_f32x4_mul(p, wasm_i32x4_add(wasm_i32x4_shl(half, 23), one));
  return wasm_f32x4_mul(p, wasm_i32x4_add(wasm_i32x4_shl(rest, 23), one));
}

// x * P(x^2) / Q(x^2), our own minimax fit on [0, 3.95]; 3.7e-7. The limit is a point where the quotient, as computed with and
// without fused operations, is no less than 1: so erf of anything larger is exactly 1, and gelu of a large negative number exactly 0.
static const float ERF[][2] = {
    {2.0259105892954394e-06f, 3.7831850931979716e-05f}, {0.00028468811069615185f, 0.0011707276571542025f}, {0.00380816706456244f, 0.015055100433528423f},
    {0.05287546291947365f, 0.11455966532230377f},       {0.19155040383338928f, 0.5030897855758667f},       {1.1283791065216064f, 1.0f},
};

// Of `count` vectors, in place. c: ERF.
SIMD void erf_vectors(v128_t *x, const unsigned count, const float (*c)[2]) {
  v128_t t[4], p[4], q[4];
  UNROLL for (unsigned v = 0; v < count; v++) {
    x[v] = clamp(x[v], -3.939f, 3.939f);
    t[v] = wasm_f32x4_mul(x[v], x[v]);
    p[v] = wasm_v128_load32_splat(&c[0][0]);
    q[v] = wasm_v128_load32_splat(&c[0][1]);
  }
  UNROLL for (unsigned i = 1; i < 6; i++) {
    const v128_t next_p = wasm_v128_load32_splat(&c[i][0]), next_q = wasm_v128_load32_splat(&c[i][1]);
    UNROLL for (unsigned v = 0; v < count; v++) {
      p[v] = madd(p[v], t[v], next_p);
      q[v] = madd(q[v], t[v], next_q);
    }
  }
  UNROLL for (unsigned v = 0; v < count; v++) x[v] = clamp(wasm_f32x4_div(wasm_f32x4_mul(x[v], p[v]), q[v]), -1.0f, 1.0f);
}

SIMD v128_t erf_f32x4(v128_t x) {
  erf_vectors(&x, 1, ERF);
  return x;
}

// The same way on [0, 9]; 3.7e-7.
SIMD v128_t tanh_f32x4(v128_t x) {
  x = clamp(x, -8.958f, 8.958f);
  v128_t t = wasm_f32x4_mul(x, x);
  v128_t p = splat(1.335460275697642e-08f);
  v128_t q = splat(7.776533266223851e-07f);
  p = madd(p, t, splat(2.0609037164831534e-05f));
  q = madd(q, t, splat(0.0003285630082245916f));
  p = madd(p, t, splat(0.003495585173368454f));
  q = madd(q, t, splat(0.02587697096168995f));
  p = madd(p, t, splat(0.13381023705005646f));
  q = madd(q, t, splat(0.46714338660240173f));
  p = madd(p, t, splat(1.0f));
  q = madd(q, t, splat(1.0f));
  return clamp(wasm_f32x4_div(wasm_f32x4_mul(x, p), q), -1.0f, 1.0f);
}

SIMD v128_t sigmoid_f32x4(v128_t x) {
  v128_t one = splat(1.0f);
  return wasm_f32x4_div(one, wasm_f32x4_add(one, exp_f32x4(wasm_f32x4_neg(x))));
}

// What gelu's approximation by tanh takes it of.
SIMD v128_t gelu_inner_f32x4(v128_t x) {
  v128_t cube = wasm_f32x4_mul(wasm_f32x4_mul(x, x), x);
  return wasm_f32x4_mul(splat(0.79788456f), madd(cube, splat(0.044715f), x));
}

SIMD float sum_f32x4(v128_t v) {
  v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2)), 0);
}

SIMD float max_f32x4(v128_t m) {
  m = wasm_f32x4_pmax(m, wasm_i32x4_shuffle(m, m, 2, 3, 0, 1));
  return wasm_f32x4_extract_lane(wasm_f32x4_pmax(m, wasm_i32x4_shuffle(m, m, 1, 0, 3, 2)), 0);
}

// The first n of four floats, the others 0; never touches memory past them. In activations.c.
v128_t load_part(const float *p, int n);
void store_part(float *p, v128_t v, int n);

SIMD v128_t load_some(const float *p, int n) { return n >= 4 ? wasm_v128_load(p) : load_part(p, n); }

SIMD void store_some(float *p, v128_t v, int n) {
  if (n >= 4) {
    wasm_v128_store(p, v);
  } else {
    store_part(p, v, n);
  }
}
