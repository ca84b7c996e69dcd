// Convolutions: products of the filters with panels of the image, which are gathered block by block (implicit GEMM); filters of one
// channel directly.
#include "windows.h"

enum { MOST_LINES = 64 };  // of a window that is taken directly

// row[i] = what the tap sees from place `start + i`, 0 outside, for i < n; line, column: the place `start`.
static void gather_row(const Windows *w, const float *x, const int *tap, const int *start, int column, int n, float *row) {
  const int outer = w->rank - 1, columns = w->out[outer], s = w->strides[outer];
  const Stretch seen = seen_stretch(w, tap[outer]);
  int line[MOST_SPATIAL];
  FEW for (int d = 0; d < outer; d++) line[d] = start[d];
  for (;;) {
    const int end = min_int(columns, column + n), at = seen_line(w, line, tap);
    int o = column;
    const int last = at < 0 ? o : min_int(end, seen.last);
    FEW for (const int first = min_int(last, seen.first); o < first; o++) *row++ = 0;
    const float *from = x + at + seen.shift + o * s;
    for (; o + 4 <= last; o += 4, row += 4, from += 4 * s) wasm_v128_store(row, load_every(from, s));
    FEW for (; o < last; o++, from += s) *row++ = *from;
    FEW for (; o < end; o++) *row++ = 0;
    n -= end - column;
    if (n <= 0) return;
    column = 0;
    advance(w->out, line, outer);
  }
}

// The block's panels: b[place / 8][channel, tap][place % 8].
static void gather_panels(const Windows *w, const float *x, int channels, int first, int n, float *row, float *b) {
  const int outer = w->rank - 1, K = channels * w->taps, column = first % w->out[outer];
  int line[MOST_SPATIAL], tap[MOST_SPATIAL];
  decode(w->out, line, outer, first / w->out[outer]);
  for (int i = n; i < round_panel(n); i++) row[i] = 0;
  for (int c = 0; c < channels; c++, x += w->size) {
    FEW for (int d = 0; d < w->rank; d++) tap[d] = 0;
    do {
      gather_row(w, x, tap, line, column, n, row);
      float *to = b;
      for (int i = 0; i < n; i += PANEL, to += (size_t)PANEL * K) {
        wasm_v128_store(to, wasm_v128_load(row + i));
        wasm_v128_store(to + 4, wasm_v128_load(row + i + 4));
      }
      b += PANEL;
    } while (advance(w->kernel, tap, w->rank));
  }
}

// One filter over one channel.
static void convolve_channel(const Windows *w, const float *x, const float *filter, float bias, float *y) {
  const int outer = w->rank - 1, columns = w->out[outer], width = w->in[outer], s = w->strides[outer];
  const int kernel = w->kernel[outer], dilation = w->dilations[outer], pad = w->pads[outer];
  // From these places the whole width of the window lies in the image.
  const int first = seen_stretch(w, 0).first, last = seen_stretch(w, kernel - 1).last;
  const float *from[MOST_LINES], *weights[MOST_LINES];
  int line[MOST_SPATIAL] = {0}, tap[MOST_SPATIAL] = {0};
  do {
    int lines = 0;
    const float *row = filter;
    do {
      const int at = seen_line(w, line, tap);
      from[lines] = x + at;
      weights[lines] = row;
      lines += at >= 0;
      row += kernel;
    } while (advance(w->kernel, tap, outer));
    for (int o = 0; o < columns;) {
      const int start = o * s - pad;
      if (o >= first && o + 8 <= last) {
        v128_t low = splat(bias), high = low;
        for (int i = 0; i < lines; i++) {
          const float *p = from[i] + start, *f = weights[i];
          for (int t = 0; t < kernel; t++, p += dilation) {
            const v128_t factor = wasm_v128_load32_splat(f + t);
            low = madd(factor, load_every(p, s), low);
            high = madd(factor, load_every(p + 4 * s, s), high);
          }
        }
        wasm_v128_store(y + o, low);
        wasm_v128_store(y + o + 4, high);
        o += 8;
        continue;
      }
      float sum = bias;
      for (int i = 0; i < lines; i++) {
        FEW for (int t = 0, at = start; t < kernel; t++, at += dilation) {
          if ((unsigned)at < (unsigned)width) sum += from[i][at] * weights[i][t];
        }
      }
      y[o++] = sum;
    }
    y += columns;
  } while (advance(w->out, line, outer));
}

KERNEL(conv_f32) {
  const int batch = a[5], groups = a[6], channels = a[7], filters = a[8], ld = a[10], activation = a[11], block = a[12];
  const Windows w = read_windows(a + 13);
  const int K = channels * w.taps;
  const int direct = channels == 1 && filters < 4 && w.taps / w.kernel[w.rank - 1] <= MOST_LINES;
  float *panels = FLOATS(4), *row = panels + (size_t)block * K, *y = FLOATS(3);
  for (int n = 0; n < batch; n++) {
    const float *x = FLOATS(0) + (size_t)n * a[9], *filter = FLOATS(1), *bias = FLOATS(2);
    for (int g = 0; g < groups; g++, x += channels * w.size, filter += (size_t)filters * ld, y += (size_t)filters * w.places) {
      if (direct) {
        for (int m = 0; m < filters; m++) {
          convolve_channel(&w, x, filter + (size_t)m * ld, bias ? *bias++ : 0, y + (size_t)m * w.places);
        }
      }
      for (int p = 0; p < w.places && !direct; p += block) {
        const int count = min_int(block, w.places - p);
        gather_panels(&w, x, channels, p, count, row, panels);
        Gemm product = {filter, panels, y + p, 0, 0, filters, count, K, ld, w.places, 0, 1.0f, 0, 0};
        gemm_packed(&product);
        for (int m = 0; m < filters && bias; m++) {
          float *to = y + (size_t)m * w.places + p;
          const v128_t more = splat(bias[m]);
          for (int i = 0; i < count; i += 4) store_some(to + i, wasm_f32x4_add(load_some(to + i, count - i), more), count - i);
        }
        if (activation) activate(activation, y + p, filters, count, w.places);
      }
      if (bias && !direct) bias += filters;
      if (direct && activation) activate(activation, y, filters, w.places, w.places);
    }
  }
  return 0;
}

// What each place has computed for the taps of its window, summed where the windows lie: the way back.
KERNEL(col2im_f32) {
  const float *from = FLOATS(0), *bias = FLOATS(1);
  float *y = FLOATS(2);
  const int planes = a[3];
  const Windows w = read_windows(a + 4);
  const int outer = w.rank - 1, columns = w.out[outer], s = w.strides[outer];
  for (int p = 0; p < planes; p++, y += w.size) {
    const float start = bias ? bias[p] : 0;
    for (int i = 0; i < w.size; i++) y[i] = start;
    int tap[MOST_SPATIAL] = {0}, line[MOST_SPATIAL] = {0};
    do {
      const Stretch seen = seen_stretch(&w, tap[outer]);
      do {
        const int at = seen_line(&w, line, tap);
        if (at >= 0) {
          float *to = y + at + seen.shift;
          int o = seen.first;
          if (s == 1) {
            for (; o + 4 <= seen.last; o += 4) wasm_v128_store(to + o, wasm_f32x4_add(wasm_v128_load(to + o), wasm_v128_load(from + o)));
          }
          FEW for (; o < seen.last; o++) to[o * s] += from[o];
        }
        from += columns;
      } while (advance(w.out, line, outer));
    } while (advance(w.kernel, tap, w.rank));
  }
  return 0;
}
