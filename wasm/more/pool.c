// Poolings, and interpolation along one axis.
#include "windows.h"

SMALL_CODE

enum { POOL_MAX, POOL_AVERAGE, POOL_SUM };

// y[o] = op(y[o], x[o * s]) for first <= o < last.
SIMD void pool_line(int max, const float *x, int s, float *y, int first, int last) {
  int o = first;
  for (; o + 4 <= last; o += 4) {
    const v128_t now = wasm_v128_load(y + o), more = load_every(x + o * s, s);
    wasm_v128_store(y + o, max ? wasm_f32x4_pmax(now, more) : wasm_f32x4_add(now, more));
  }
  FEW for (; o < last; o++) {
    const float more = x[o * s];
    y[o] = max ? (y[o] < more ? more : y[o]) : y[o] + more;
  }
}

// How many taps of dim d see the image, or the image with `before` and `after` around it, from place o.
static int seen_taps(const Windows *w, int d, int o, int before, int after) {
  int count = 0;
  FEW for (int t = 0; t < w->kernel[d]; t++) {
    const int i = o * w->strides[d] - w->pads[d] + t * w->dilations[d];
    count += i >= -before && i < w->in[d] + after;
  }
  return count;
}

KERNEL(pool_f32) {
  const float *x = FLOATS(0);
  float *y = FLOATS(1);
  const int op = a[2], planes = a[3];
  const word *around = a[4] ? (const word *)a[4] : 0;  // pads behind, where padding counts
  const Windows w = read_windows(a + 5);
  const int outer = w.rank - 1, columns = w.out[outer], s = w.strides[outer];
  const float start = op == POOL_MAX ? -__builtin_inff() : 0;
  for (int p = 0; p < planes; p++, x += w.size) {
    int tap[MOST_SPATIAL] = {0}, line[MOST_SPATIAL] = {0};
    do {
      for (int o = 0; o < columns; o++) y[o] = start;
      do {
        const int at = seen_line(&w, line, tap);
        const Stretch seen = seen_stretch(&w, tap[outer]);
        if (at >= 0) pool_line(op == POOL_MAX, x + at + seen.shift, s, y, seen.first, seen.last);
      } while (advance(w.kernel, tap, w.rank));
      if (op == POOL_AVERAGE) {
        int lines = 1;
        for (int d = 0; d < outer; d++) lines *= seen_taps(&w, d, line[d], around ? w.pads[d] : 0, around ? around[d] : 0);
        for (int o = 0; o < columns; o++) {
          y[o] /= (float)(lines * seen_taps(&w, outer, o, around ? w.pads[outer] : 0, around ? around[outer] : 0));
        }
      }
      y += columns;
    } while (advance(w.out, line, outer));
  }
  return 0;
}

KERNEL(interpolate_f32) {
  const float *x = FLOATS(0);
  float *y = FLOATS(1);
  const int outer = a[2], size = a[3], wanted = a[4], inner = a[5], taps = a[6];
  const int32_t *indices = INTS(7);
  const float *weights = FLOATS(8);
  for (int o = 0; o < outer; o++, x += (size_t)size * inner) {
    for (int i = 0; i < wanted * taps; i += taps, y += inner) {
      const int32_t *index = indices + i;
      const float *weight = weights + i;
      if (inner == 1) {
        float sum = index[0] < 0 ? weight[0] : 0;
        FEW for (int t = 0; t < taps && index[0] >= 0; t++) sum += weight[t] * x[index[t]];
        *y = sum;
        continue;
      }
      for (int j = 0; j < inner; j += 4) {
        v128_t sum = splat(index[0] < 0 ? weight[0] : 0);
        for (int t = 0; t < taps && index[0] >= 0; t++) {
          sum = madd(splat(weight[t]), load_some(x + (size_t)index[t] * inner + j, inner - j), sum);
        }
        store_some(y + j, sum, inner - j);
      }
    }
  }
  return 0;
}

END_SMALL_CODE
