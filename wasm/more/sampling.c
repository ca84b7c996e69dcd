// Images read at places between their elements: GridSample, DeformConv, RoiAlign; and what poolings rarely give.
#include "windows.h"

SMALL_CODE

enum { ZEROS, BORDER, REFLECTION, MOST_TAPS = 64 };

static double reflect(double x, double low, double high) {
  const double range = high - low;
  if (range <= 0) return low;
  if (x >= low && x <= high) return x;
  const double beyond = x < low ? low - x : x - high, turns = __builtin_floor(beyond / range), rest = beyond - turns * range;
  const int back = (((int64_t)turns & 1) == 0) == (x < low);
  return back ? low + rest : high - rest;
}

// Weights of the four elements around a place `x` behind the second of them (Keys 1981).
static void cubic_weights(double x, double *weight) {
  const double a = -0.75;
  for (int t = 0; t < 4; t++) {
    const double d = __builtin_fabs(x + 1 - t);
    weight[t] = d <= 1 ? ((a + 2) * d - (a + 3)) * d * d + 1 : ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
  }
}

// The elements that make a place, `taps` (1 nearest, 2 linear, 4 cubic) along each dim: their offsets and weights; how many.
static int find_taps(int rank, const word *dims, const double *place, int taps, int padding, int align, int *offsets, float *weights) {
  int count = 1;
  offsets[0] = 0;
  weights[0] = 1;
  for (int d = 0; d < rank; d++) {
    const int size = dims[d];
    const double low = align ? 0 : -0.5, high = align ? size - 1 : size - 0.5;
    double x = taps == 1 ? __builtin_rint(place[d]) : place[d], along[4] = {1, 0, 0, 0};
    if (!(x >= -1e9)) x = -1e9;
    if (x > 1e9) x = 1e9;
    if (x < low || x > high) {
      // The cubic's own elements are held at the border below, as in PyTorch, not its place.
      if (padding == BORDER && taps < 4) x = x < 0 ? 0 : x > size - 1 ? size - 1 : x;
      if (padding == REFLECTION) x = reflect(x, low, high);
    }
    const int base = (int)__builtin_floor(x);
    if (taps == 2) {
      along[1] = x - base;
      along[0] = 1 - along[1];
    } else if (taps == 4) {
      cubic_weights(x - base, along);
    }
    // From the last to the first, as each makes `taps` of what there is.
    for (int i = count - 1; i >= 0; i--) {
      const int offset = offsets[i] * size;
      const float weight = weights[i];
      for (int t = taps - 1; t >= 0; t--) {
        int at = base + t - (taps == 4);
        if (padding == REFLECTION) at = (int)reflect(at, low, high);
        if (padding != ZEROS) at = at < 0 ? 0 : at >= size ? size - 1 : at;
        const int inside = at >= 0 && at < size;
        offsets[i * taps + t] = offset + (inside ? at : 0);
        weights[i * taps + t] = inside ? weight * (float)along[t] : 0;
      }
    }
    count *= taps;
  }
  return count;
}

static float sum_taps(const float *x, int count, const int *offsets, const float *weights) {
  float sum = 0;
  for (int i = 0; i < count; i++) sum += weights[i] * x[offsets[i]];
  return sum;
}

KERNEL(grid_sample_f32) {
  const float *x = FLOATS(0), *grid = FLOATS(1);
  float *y = FLOATS(2);
  const int batch = a[3], channels = a[4], points = a[5], taps = a[6], padding = a[7], align = a[8], rank = a[9];
  const word *dims = a + 10;
  const int size = product(dims, rank);
  int offsets[MOST_TAPS];
  float weights[MOST_TAPS];
  for (int n = 0; n < batch; n++, x += channels * size, y += (size_t)channels * points) {
    for (int p = 0; p < points; p++, grid += rank) {
      double place[3];
      for (int d = 0; d < rank; d++) {
        const double at = grid[rank - 1 - d];
        place[d] = align ? (at + 1) / 2 * (dims[d] - 1) : ((at + 1) * dims[d] - 1) / 2;
      }
      const int count = find_taps(rank, dims, place, taps, padding, align, offsets, weights);
      for (int c = 0; c < channels; c++) y[(size_t)c * points + p] = sum_taps(x + c * size, count, offsets, weights);
    }
  }
  return 0;
}

// One image. Columns [channels, taps, places], as a convolution would multiply them.
KERNEL(deform_f32) {
  const float *x = FLOATS(0), *moves = FLOATS(1), *mask = FLOATS(2);
  float *columns = FLOATS(3);
  const int channels = a[4], groups = a[5];
  const Windows w = read_windows(a + 6);
  int offsets[4];
  float weights[4];
  for (int c = 0; c < channels; c++, x += w.size) {
    const int g = c / (channels / groups);
    for (int t = 0; t < w.taps; t++) {
      const int at = g * w.taps + t;
      const float *down = moves + (size_t)(2 * at) * w.places, *across = down + w.places;
      const int row = t / w.kernel[1], column = t % w.kernel[1];
      for (int p = 0; p < w.places; p++) {
        const double place[2] = {
          (double)(p / w.out[1] * w.strides[0] - w.pads[0] + row * w.dilations[0]) + down[p],
          (double)(p % w.out[1] * w.strides[1] - w.pads[1] + column * w.dilations[1]) + across[p],
        };
        const int count = find_taps(2, w.in, place, 2, ZEROS, 1, offsets, weights);
        const float value = sum_taps(x, count, offsets, weights);
        *columns++ = mask ? value * mask[(size_t)at * w.places + p] : value;
      }
    }
  }
  return 0;
}

KERNEL(roi_align_f32) {
  const float *rois = FLOATS(1);
  const int64_t *images = (const int64_t *)a[2];
  float *y = FLOATS(3);
  const int count = a[4], batch = a[5], channels = a[6], rows = a[9], columns = a[10], most = a[11], half = a[14];
  const word *dims = a + 7;
  const int sampling = a[12];
  const float scale = REAL(13), shift = half ? 0.5f : 0;
  const int size = dims[0] * dims[1];
  int offsets[4];
  float weights[4];
  for (int r = 0; r < count; r++, rois += 4) {
    if (images[r] < 0 || images[r] >= batch) return ERROR_INDEX;
    const float *x = FLOATS(0) + (size_t)images[r] * channels * size;
    const float top = rois[1] * scale - shift, left = rois[0] * scale - shift;
    float height = rois[3] * scale - shift - top, width = rois[2] * scale - shift - left;
    if (!half) {
      height = height < 1 ? 1 : height;
      width = width < 1 ? 1 : width;
    }
    const float bin_height = height / (float)rows, bin_width = width / (float)columns;
    const int down = sampling > 0 ? sampling : (int)__builtin_ceilf(bin_height), across = sampling > 0 ? sampling : (int)__builtin_ceilf(bin_width);
    const int samples = down * across > 1 ? down * across : 1;
    for (int i = 0; i < rows * columns; i++) {
      for (int c = 0; c < channels; c++) y[c * rows * columns + i] = 0;
      for (int s = 0; s < down * across; s++) {
        double place[2] = {
          top + (float)(i / columns) * bin_height + ((float)(s / across) + 0.5f) * bin_height / (float)down,
          left + (float)(i % columns) * bin_width + ((float)(s % across) + 0.5f) * bin_width / (float)across,
        };
        const int outside = place[0] < -1 || place[0] > dims[0] || place[1] < -1 || place[1] > dims[1];
        const int taps = find_taps(2, dims, place, 2, BORDER, 1, offsets, weights);
        for (int c = 0; c < channels; c++) {
          float *to = y + c * rows * columns + i;
          if (most) {
            // The largest of the weighted elements, as ONNX has it.
            float value = 0;
            for (int t = 0; t < taps && !outside; t++) {
              const float one = weights[t] * x[c * size + offsets[t]];
              if (t == 0 || one > value) value = one;
            }
            if (s == 0 || value > *to) *to = value;
          } else if (!outside) {
            *to += sum_taps(x + c * size, taps, offsets, weights) / (float)samples;
          }
        }
      }
    }
    y += (size_t)channels * rows * columns;
  }
  return 0;
}

static int round_away(float x) { return x < 0 ? -(int)(0.5f - x) : (int)(x + 0.5f); }

static int clipped(int x, int most) { return x < 0 ? 0 : x > most ? most : x; }

KERNEL(max_roi_pool_f32) {
  const float *rois = FLOATS(1);
  float *y = FLOATS(2);
  const int count = a[3], batch = a[4], channels = a[5], height = a[6], width = a[7], rows = a[8], columns = a[9];
  const float scale = REAL(10);
  for (int r = 0; r < count; r++, rois += 5) {
    int at[4];
    for (int i = 0; i < 4; i++) at[i] = round_away(rois[1 + i] * scale);
    const int image = (int)rois[0];
    if (image < 0 || image >= batch) return ERROR_INDEX;
    const float *x = FLOATS(0) + (size_t)image * channels * height * width;
    const float bin_height = (float)(at[3] - at[1] < 0 ? 1 : at[3] - at[1] + 1) / (float)rows;
    const float bin_width = (float)(at[2] - at[0] < 0 ? 1 : at[2] - at[0] + 1) / (float)columns;
    for (int c = 0; c < channels; c++, x += height * width) {
      for (int i = 0; i < rows * columns; i++) {
        const float row = (float)(i / columns), column = (float)(i % columns);
        const int top = clipped(at[1] + (int)__builtin_floorf(row * bin_height), height);
        const int bottom = clipped(at[1] + (int)__builtin_ceilf((row + 1) * bin_height), height);
        const int left = clipped(at[0] + (int)__builtin_floorf(column * bin_width), width);
        const int right = clipped(at[0] + (int)__builtin_ceilf((column + 1) * bin_width), width);
        float most = bottom > top && right > left ? x[top * width + left] : 0;
        for (int h = top; h < bottom; h++) {
          for (int w = left; w < right; w++) most = x[h * width + w] > most ? x[h * width + w] : most;
        }
        *y++ = most;
      }
    }
  }
  return 0;
}

// MaxPool's second output: where in X its maxima are.
KERNEL(max_indices_f32) {
  const float *x = FLOATS(0);
  int64_t *y = (int64_t *)a[1];
  const int planes = a[2], by_column = a[3];
  const Windows w = read_windows(a + 4);
  int line[MOST_SPATIAL], tap[MOST_SPATIAL] = {0};
  for (int p = 0; p < planes; p++, x += w.size) {
    for (int o = 0; o < w.places; o++) {
      decode(w.out, line, w.rank, o);
      int best = -1;
      do {
        int at = 0, step = 1, inside = 1;
        for (int d = w.rank - 1; d >= 0; d--) {
          const int i = line[d] * w.strides[d] - w.pads[d] + tap[d] * w.dilations[d];
          inside &= i >= 0 && i < w.in[d];
          at += i * step;
          step *= w.in[d];
        }
        if (inside && (best < 0 || x[at] > x[best])) best = at;
      } while (advance(w.kernel, tap, w.rank));
      int flat = best;
      if (by_column && best >= 0) {
        int at[MOST_SPATIAL];
        decode(w.in, at, w.rank, best);
        flat = 0;
        for (int d = w.rank - 1; d >= 0; d--) flat = flat * w.in[d] + at[d];
      }
      *y++ = (int64_t)p * w.size + flat;
    }
  }
  return 0;
}

END_SMALL_CODE
