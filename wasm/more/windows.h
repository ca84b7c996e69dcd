// Windows that slide over images (convolutions, poolings): rows ("lines") of places along the last dim, and for each tap of the
// window the stretch of a line where the tap lies inside of the image.
#pragma once
#include "../dense.h"

enum { MOST_SPATIAL = 14 };

// The words: rank, then of each dim: image, places, taps, strides, dilations, pads in front.
typedef struct {
  int rank;
  const word *in, *out, *kernel, *strides, *dilations, *pads;
  int size, places, taps;
} Windows;

static inline int product(const word *dims, int n) {
  int count = 1;
  FEW for (int i = 0; i < n; i++) count *= dims[i];
  return count;
}

static inline Windows read_windows(const word *a) {
  const int r = a[0];
  Windows w = {r, a + 1, a + 1 + r, a + 1 + 2 * r, a + 1 + 3 * r, a + 1 + 4 * r, a + 1 + 5 * r, 0, 0, 0};
  w.size = product(w.in, r);
  w.places = product(w.out, r);
  w.taps = product(w.kernel, r);
  return w;
}

// The next place of an odometer over `n` dims; 0 when it is back at the start.
static inline int advance(const word *dims, int *at, int n) {
  FEW for (int d = n - 1; d >= 0; d--) {
    if (++at[d] < dims[d]) return 1;
    at[d] = 0;
  }
  return 0;
}

static inline void decode(const word *dims, int *at, int n, int flat) {
  FEW for (int d = n - 1; d >= 0; d--) {
    at[d] = flat % dims[d];
    flat /= dims[d];
  }
}

// Where in the image the line of it begins that `tap` sees from `line` (all coordinates but the last); -1: outside.
static inline int seen_line(const Windows *w, const int *line, const int *tap) {
  int offset = 0;
  FEW for (int d = 0; d + 1 < w->rank; d++) {
    const int i = line[d] * w->strides[d] - w->pads[d] + tap[d] * w->dilations[d];
    if ((unsigned)i >= (unsigned)w->in[d]) return -1;
    offset = offset * w->in[d] + i;
  }
  return offset * w->in[w->rank - 1];
}

// The places first .. last - 1 of a line from which tap `t` of the last dim sees the image; the place o sees o * stride + shift.
typedef struct {
  int first, last, shift;
} Stretch;

static inline Stretch seen_stretch(const Windows *w, int t) {
  const int d = w->rank - 1, s = w->strides[d], shift = t * w->dilations[d] - w->pads[d], left = w->in[d] - 1 - shift;
  Stretch seen = {shift < 0 ? ceil_div(-shift, s) : 0, left < 0 ? 0 : min_int(w->out[d], left / s + 1), shift};
  if (seen.first > seen.last) seen.first = seen.last;
  return seen;
}

// x[0], x[s], x[2 s], x[3 s].
SIMD v128_t load_every(const float *x, int s) {
  if (s == 1) return wasm_v128_load(x);
  if (s == 2) return wasm_i32x4_shuffle(wasm_v128_load(x), wasm_v128_load(x + 3), 0, 2, 5, 7);
  v128_t v = wasm_v128_load32_zero(x);
  v = wasm_v128_load32_lane(x + s, v, 1);
  v = wasm_v128_load32_lane(x + 2 * s, v, 2);
  return wasm_v128_load32_lane(x + 3 * s, v, 3);
}
