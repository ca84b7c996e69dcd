// ONNX QuantizeLinear and DequantizeLinear: per tensor, per axis, and in blocks along an axis.
#include "elements.h"

SMALL_CODE

typedef struct {
  int type_x, type_y, type_scale;
  const void *x, *scale, *zero_point;
  void *y;
} Quantize;

static void limits(int type, double *low, double *high) {
  int bits = type == U4 || type == I4 ? 4 : type == U2 || type == I2 ? 2 : item_size(type) * 8;
  int is_signed = type == I8 || type == I16 || type == I4 || type == I2 || type == I32;
  double range = (double)(1ull << bits);
  *low = is_signed ? -range / 2 : 0;
  *high = is_signed ? range / 2 - 1 : range - 1;
}

// m elements with scale number at_scale + i * scale_stride.
static void quantize_block(const Quantize *q, int at, int m, int at_scale, int scale_stride) {
  double x[BLOCK], scale[BLOCK], zero[BLOCK], low, high;
  load_f64(q->type_x, q->x, at, 1, m, x);
  load_f64(q->type_scale, q->scale, at_scale, scale_stride, m, scale);
  limits(q->type_y, &low, &high);
  if (q->zero_point) {
    load_f64(q->type_y & 255, q->zero_point, at_scale, scale_stride, m, zero);
  } else {
    for (int i = 0; i < m; i++) zero[i] = 0;
  }
  for (int i = 0; i < m; i++) {
    // The quotient is float32's, as the operator defines it: ties depend on it.
    double v = (float)x[i] / (float)scale[i];
    if (!is_float(q->type_y)) {
      v = __builtin_rint(v) + zero[i];
      v = v > low ? (v < high ? v : high) : low;
    }
    x[i] = v;
  }
  store_f64(q->type_y, q->y, at, m, x);
}

static void dequantize_block(const Quantize *q, int at, int m, int at_scale, int scale_stride) {
  double x[BLOCK], scale[BLOCK], zero[BLOCK];
  load_f64(q->type_x, q->x, at, 1, m, x);
  load_f64(q->type_scale, q->scale, at_scale, scale_stride, m, scale);
  if (q->zero_point) {
    load_f64(q->type_x, q->zero_point, at_scale, scale_stride, m, zero);
    for (int i = 0; i < m; i++) x[i] -= zero[i];
  }
  for (int i = 0; i < m; i++) x[i] = (float)x[i] * (float)scale[i];
  store_f64(q->type_y, q->y, at, m, x);
}

static int quantize(const word *a, void (*work)(const Quantize *q, int at, int m, int at_scale, int scale_stride)) {
  Quantize q = {a[0], a[1], a[2], (const void *)a[3], (const void *)a[4], (const void *)a[5], (void *)a[6]};
  int outer = a[7], n = a[8], inner = a[9], outer_stride = a[10], axis_stride = a[11], inner_stride = a[12], block = a[13];
  int at = 0;
  for (int o = 0; o < outer; o++) {
    for (int i = 0; i < n; i++) {
      int at_scale = o * outer_stride + i / block * axis_stride;
      for (int j = 0; j < inner; j += BLOCK) {
        int m = inner - j < BLOCK ? inner - j : BLOCK;
        work(&q, at, m, at_scale + j * inner_stride, inner_stride);
        at += m;
      }
    }
  }
  return 0;
}

KERNEL(quantize_linear) { return quantize(a, quantize_block); }
KERNEL(dequantize_linear) { return quantize(a, dequantize_block); }

END_SMALL_CODE
