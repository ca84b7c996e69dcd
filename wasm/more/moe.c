// Mixtures of experts: every row goes through the few layers that its router chooses (Shazeer et al. 2017, arXiv:1701.06538).
#include "../math64.h"
#include "dot.h"

SMALL_CODE

typedef struct {
  const uint8_t *codes;
  const float *scales;
  const uint8_t *zeros;
  const float *bias;
  int bits, block;
} Layer;

static int code_at(const uint8_t *codes, int bits, size_t i) { return bits == 8 ? codes[i] : codes[i >> 1] >> (i & 1) * 4 & 15; }

// y[out] = x[in] W^T + bias of one expert. buffer: room for a row of weights.
static void layer(const Layer *l, int expert, const float *x, float *y, int out, int in, float *buffer) {
  int blocks = ceil_div(in, l->block);
  for (int r = 0; r < out; r++) {
    size_t row = (size_t)expert * out + r;
    const float *weights = (const float *)l->codes + row * in;
    if (l->bits != 32) {
      const uint8_t *codes = l->codes + row * ceil_div(in * l->bits, 8);
      for (int i = 0; i < in; i++) {
        int block = i / l->block, zero = 1 << (l->bits - 1);
        if (l->zeros) zero = code_at(l->zeros + row * ceil_div(blocks * l->bits, 8), l->bits, (size_t)block);
        buffer[i] = (float)(code_at(codes, l->bits, (size_t)i) - zero) * l->scales[row * blocks + block];
      }
      weights = buffer;
    }
    y[r] = dot(weights, x, in) + (l->bias ? l->bias[row] : 0);
  }
}

static float clamped(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

KERNEL(moe) {
  int hidden = a[4], inner = a[5], experts = a[6], k = a[7], gate = a[10], bits = a[14];
  float alpha = REAL(11), beta = REAL(12), limit = REAL(13);
  float *chosen = FLOATS(28), *buffer = chosen + experts, *first = buffer + (hidden > inner ? hidden : inner), *third = first + 2 * inner,
        *second = third + inner;
  Layer layers[3];
  for (int i = 0; i < 3; i++) {
    const word *w = a + 16 + 4 * i;
    layers[i] = (Layer){(const uint8_t *)w[0], (const float *)w[1], (const uint8_t *)w[2], (const float *)w[3], bits, a[15] ? a[15] : i == 1 ? inner : hidden};
  }
  for (int row = 0; row < a[3]; row++) {
    const float *x = FLOATS(0) + (size_t)row * hidden, *router = FLOATS(1) + (size_t)row * experts;
    float *y = FLOATS(2) + (size_t)row * hidden, max = max_row(router, experts), total = 0, all = 0;
    for (int e = 0; e < experts; e++) {
      int before = 0;
      for (int o = 0; o < experts; o++) before += router[o] > router[e] || (router[o] == router[e] && o < e);
      float power = (float)exp_f64(router[e] - max);
      all += power;
      chosen[e] = before < k ? power : 0;
      total += chosen[e];
    }
    fill_bytes(y, 0, (size_t)hidden * 4);
    for (int e = 0; e < experts; e++) {
      if (!(chosen[e] > 0)) continue;
      layer(&layers[0], e, x, first, gate ? 2 * inner : inner, hidden, buffer);
      if (gate) {
        for (int i = 0; i < inner; i++) {
          float g = gate == 1 ? first[2 * i] : first[i], linear = gate == 1 ? first[2 * i + 1] : first[inner + i];
          if (limit > 0) {
            g = g > limit ? limit : g;
            linear = clamped(linear, -limit, limit);
          }
          third[i] = g / (1 + (float)exp_f64(-alpha * g)) * (linear + beta);
        }
        copy_bytes(first, third, (size_t)inner * 4);
      } else {
        if (a[9]) activate(a[9], first, 1, inner, inner);
        if (layers[2].codes) {
          layer(&layers[2], e, x, third, inner, hidden, buffer);
          for (int i = 0; i < inner; i++) first[i] *= third[i];
        }
      }
      layer(&layers[1], e, first, second, hidden, inner, buffer);
      float weight = chosen[e] / (a[8] ? total : all);
      for (int i = 0; i < hidden; i++) y[i] += weight * second[i];
    }
  }
  return 0;
}

END_SMALL_CODE
