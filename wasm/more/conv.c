// Convolutions: products of the filters with panels of the image, which are gathered block by block (implicit GEMM); filters of one
// channel directly.
#include "windows.h"

// Of filters of one channel, which are taken directly: places of a line that are summed together, and the most taps.
enum { LINE = 16, MOST_TAPS = 1024 };

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

// A channel with its padding around it, in which every window of the convolution lies whole; lines have room for a vector more.
typedef struct {
  word dims[MOST_SPATIAL];
  int size;
} Padded;

static Padded pad_dims(const Windows *w) {
  Padded p = {.size = 1};
  for (int d = 0; d < w->rank; d++) {
    const int places = d == w->rank - 1 ? ceil_div(w->out[d], LINE) * LINE : w->out[d];
    p.dims[d] = (places - 1) * w->strides[d] + (w->kernel[d] - 1) * w->dilations[d] + 1;
    p.size *= p.dims[d];
  }
  return p;
}

static void pad_channel(const Windows *w, const Padded *p, const float *x, float *to) {
  const int outer = w->rank - 1, width = p->dims[outer], before = w->pads[outer];
  const int end = min_int(width, before + w->in[outer]);
  int line[MOST_SPATIAL] = {0};
  do {
    int offset = 0;
    for (int d = 0; d < outer; d++) {
      const int i = line[d] - w->pads[d];
      if ((unsigned)i >= (unsigned)w->in[d]) offset = INT32_MIN / 2;
      if (offset >= 0) offset = offset * w->in[d] + i;
    }
    const int last = offset < 0 ? 0 : end, first = min_int(before, last);
    fill_bytes(to, 0, (size_t)first * 4);
    if (last > first) copy_bytes(to + first, x + (size_t)offset * (size_t)w->in[outer], (size_t)(last - first) * 4);
    fill_bytes(to + last, 0, (size_t)(width - last) * 4);
    to += width;
  } while (advance(p->dims, line, outer));
}

// LINE places of a line at a time: each the sum of its taps, which lie at `offsets` from its window's begin.
SIMD void convolve_line(const float *from, int s, const int *offsets, const float *filter, int taps, float bias, float *y, int columns) {
  for (int o = 0; o < columns; o += LINE, from += LINE * s) {
    v128_t sum[LINE / 4];
    UNROLL for (int i = 0; i < LINE / 4; i++) sum[i] = splat(bias);
#pragma clang loop unroll(disable)
    for (int t = 0; t < taps; t++) {
      const float *p = from + offsets[t];
      const v128_t factor = wasm_v128_load32_splat(filter + t);
      UNROLL for (int i = 0; i < LINE / 4; i++) sum[i] = madd(factor, load_every(p + 4 * i * s, s), sum[i]);
    }
    UNROLL for (int i = 0; i < LINE / 4; i++) {
      if (columns - o > 4 * i) store_some(y + o + 4 * i, sum[i], columns - o - 4 * i);
    }
  }
}

// One filter over one channel.
static void convolve_channel(const Windows *w, const Padded *p, const float *x, const int *offsets, const float *filter, float bias, float *y) {
  const int outer = w->rank - 1, columns = w->out[outer], s = w->strides[outer];
  int line[MOST_SPATIAL] = {0};
  do {
    int offset = 0;
    for (int d = 0; d < outer; d++) offset = offset * p->dims[d] + line[d] * w->strides[d];
    const float *from = x + (size_t)offset * (size_t)p->dims[outer];
    if (s == 1) {
      convolve_line(from, 1, offsets, filter, w->taps, bias, y, columns);
    } else {
      convolve_line(from, s, offsets, filter, w->taps, bias, y, columns);
    }
    y += columns;
  } while (advance(w->out, line, outer));
}

KERNEL(conv_f32) {
  const int batch = a[5], groups = a[6], channels = a[7], filters = a[8], ld = a[10], activation = a[11], block = a[12];
  const Windows w = read_windows(a + 13);
  const int K = channels * w.taps;
  const int direct = channels == 1 && filters < 4 && w.taps <= MOST_TAPS;
  const Padded padded = pad_dims(&w);
  int offsets[MOST_TAPS];
  if (direct) {
    int tap[MOST_SPATIAL] = {0}, t = 0;
    do {
      int offset = 0;
      for (int d = 0; d < w.rank; d++) offset = offset * padded.dims[d] + tap[d] * w.dilations[d];
      offsets[t++] = offset;
    } while (advance(w.kernel, tap, w.rank));
  }
  float *panels = FLOATS(4), *row = panels + (size_t)block * K, *y = FLOATS(3);
  for (int n = 0; n < batch; n++) {
    const float *x = FLOATS(0) + (size_t)n * a[9], *filter = FLOATS(1), *bias = FLOATS(2);
    for (int g = 0; g < groups; g++, x += channels * w.size, filter += (size_t)filters * ld, y += (size_t)filters * w.places) {
      if (direct) {
        pad_channel(&w, &padded, x, panels);
        for (int m = 0; m < filters; m++) {
          convolve_channel(&w, &padded, panels, offsets, filter + (size_t)m * ld, bias ? *bias++ : 0, y + (size_t)m * w.places);
        }
      }
      for (int p = 0; p < w.places && !direct; p += block) {
        const int count = min_int(block, w.places - p);
        gather_panels(&w, x, channels, p, count, row, panels);
        Gemm product = {filter, panels, y + p, 0, 0, filters, count, K, ld, w.places, 0, 1.0f, ACT_NONE, 0, 0, 0};
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

SMALL_CODE

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

END_SMALL_CODE
