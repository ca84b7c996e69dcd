// Recurrent layers (RNN, GRU, LSTM), step by step in one kernel, and linear attention, which is one too.
#include "../math64.h"
#include "dot.h"

SMALL_CODE

// The activations that ONNX names, in the order of lower_recurrent.py.
enum {
  SIGMOID, TANH, RELU, AFFINE, LEAKY_RELU, THRESHOLDED_RELU, SCALED_TANH, HARD_SIGMOID, ELU, SOFTSIGN, SOFTPLUS,
};

typedef struct {
  int function;
  float alpha, beta;
} Activation;

static float activated(const Activation *f, float x) {
  float alpha = f->alpha, beta = f->beta;
  switch (f->function) {
    case RELU: return x > 0 ? x : 0;
    case AFFINE: return alpha * x + beta;
    case LEAKY_RELU: return x < 0 ? alpha * x : x;
    case THRESHOLDED_RELU: return x > alpha ? x : 0;
    case SCALED_TANH: return alpha * (float)tanh_f64(beta * x);
    case HARD_SIGMOID: return __builtin_wasm_max_f32(0, __builtin_wasm_min_f32(1, alpha * x + beta));
    case ELU: return x < 0 ? alpha * (float)expm1_f64(x) : x;
    case SOFTSIGN: return x / (1 + __builtin_fabsf(x));
    default: return (float)log1p_f64(exp_f64(x));
  }
}

static void apply(const Activation *f, float *x, int n, float clip) {
  if (clip > 0) {
    for (int i = 0; i < n; i++) x[i] = x[i] > clip ? clip : x[i] < -clip ? -clip : x[i];
  }
  if (f->function <= TANH) {
    activate(f->function == TANH ? ACT_TANH : ACT_SIGMOID, x, 1, n, n);
    return;
  }
  for (int i = 0; i < n; i++) x[i] = activated(f, x[i]);
}

// y[rows, n] = x[rows, k] R^T, rows of y `ld` apart: of one row by inner products, of several with R packed.
static void product(const float *x, const float *r, const float *packed, float *y, int rows, int n, int k, int ld) {
  if (rows == 1) {
    for (int i = 0; i < n; i++) y[i] = dot(x, r + (size_t)i * k, k);
    return;
  }
  Gemm gemm = {x, packed, y, 0, 0, rows, n, k, k, ld, 0, 1.0f, ACT_NONE, 0, 0, 0};
  gemm_packed(&gemm);
}

static void add(float *y, const float *x, int n) {
  for (int i = 0; i < n; i++) y[i] += x[i];
}

// One row of a step, g holding what the last state contributes to the gates.
static void lstm_gates(const float *x, float *h, float *c, const float *peep, const Activation *f, int n, int couple, float clip, float *g) {
  float *in = g, *out = g + n, *forget = g + 2 * n, *cell = g + 3 * n;
  add(g, x, 4 * n);
  if (peep) {
    for (int i = 0; i < n; i++) {
      in[i] += peep[i] * c[i];
      forget[i] += peep[2 * n + i] * c[i];
    }
  }
  apply(f, in, n, clip);
  apply(f, forget, n, clip);
  apply(f + 1, cell, n, clip);
  for (int i = 0; i < n; i++) c[i] = (couple ? 1 - in[i] : forget[i]) * c[i] + in[i] * cell[i];
  if (peep) {
    for (int i = 0; i < n; i++) out[i] += peep[n + i] * c[i];
  }
  apply(f, out, n, clip);
  for (int i = 0; i < n; i++) h[i] = c[i];
  apply(f + 2, h, n, 0);  // gates are clipped, the cell is not, as in onnxruntime
  for (int i = 0; i < n; i++) h[i] *= out[i];
}

KERNEL(recurrent) {
  static const uint8_t gates_of[] = {1, 3, 4};
  int kind = a[0], steps = a[11], batch = a[12], n = a[13], backwards = a[14], linear = a[15] & 1, gates = gates_of[kind], wide = gates * n;
  const float *r = FLOATS(2), *peep = FLOATS(6), *bias = FLOATS(3);
  const int32_t *lengths = INTS(7);
  // R is packed as one matrix, for GRU as those of its first two gates and of the third.
  int first = kind == 1 ? 2 * n : wide;
  float clip = REAL(16), *packed = FLOATS(26), *last = packed + (size_t)round_panel(first) * n, *g = last + (kind == 1 ? (size_t)round_panel(n) * n : 0),
        *scaled = g + (size_t)batch * wide;
  Activation f[3];
  for (int i = 0; i < 3; i++) f[i] = (Activation){a[17 + 3 * i], REAL(18 + 3 * i), REAL(19 + 3 * i)};
  for (int b = 0; b < batch; b++) {
    if (lengths && (lengths[b] < 0 || lengths[b] > steps)) return ERROR_INDEX;
  }
  if (batch > 1) {
    pack_panels(r, packed, n, first, 1, n);
    if (kind == 1) pack_panels(r + (size_t)first * n, last, n, n, 1, n);
  }
  for (int i = 0; i < steps; i++) {
    product(FLOATS(4), r, packed, g, batch, first, n, wide);
    for (int pass = 0; pass < (kind == 1 ? 2 : 1); pass++) {
      // GRU: the second pass has the product with the state, or with what the reset gate leaves of it.
      if (pass) product(linear ? FLOATS(4) : scaled, r + (size_t)first * n, last, g + first, batch, n, n, wide);
      for (int b = 0; b < batch; b++) {
        float *h = FLOATS(4) + (size_t)b * n, *row = g + (size_t)b * wide, *rest = scaled + (size_t)b * n;
        int length = lengths ? lengths[b] : steps, t = backwards && i < length ? length - 1 - i : i;
        float *y = a[8] ? FLOATS(8) + (ptrdiff_t)t * a[9] + (ptrdiff_t)b * a[10] : 0;
        const float *x = FLOATS(1) + ((size_t)t * batch + b) * wide;
        if (i >= length) {
          if (y) fill_bytes(y, 0, (size_t)n * 4);
          continue;
        }
        if (kind == 2) {
          lstm_gates(x, h, FLOATS(5) + (size_t)b * n, peep, f, n, a[15] & 2, clip, row);
        } else if (kind == 0) {
          add(row, x, n);
          apply(f, row, n, clip);
          copy_bytes(h, row, (size_t)n * 4);
        } else if (pass == 0) {
          add(row, x, first);
          if (bias) add(row, bias, first);
          apply(f, row, first, clip);
          for (int j = 0; j < n; j++) rest[j] = row[n + j] * h[j];
          continue;
        } else {
          float *hidden = row + first;
          if (bias) add(hidden, bias + first, n);
          for (int j = 0; linear && j < n; j++) hidden[j] *= row[n + j];
          add(hidden, x + first, n);
          apply(f + 1, hidden, n, clip);
          for (int j = 0; j < n; j++) h[j] = (1 - row[j]) * hidden[j] + row[j] * h[j];
        }
        if (y) copy_bytes(y, h, (size_t)n * 4);
      }
    }
  }
  return 0;
}

KERNEL(linear_attention) {
  int batch = a[7], steps = a[8], heads = a[9], groups = a[10], d = a[11], e = a[12], decays = a[13], betas = a[14], delta = a[15];
  float scale = REAL(16);
  for (int b = 0; b < batch; b++) {
    for (int t = 0; t < steps; t++) {
      size_t row = (size_t)b * steps + t;
      for (int g = 0; g < groups; g++) {
        float *state = FLOATS(5) + (size_t)(b * groups + g) * d * e;
        const float *k = FLOATS(1) + (row * groups + g) * d, *v = FLOATS(2) + (row * groups + g) * e;
        if (a[3]) {
          const float *decay = FLOATS(3) + row * decays + (decays == groups ? g : g * d);
          for (int i = 0; i < d; i++) scale_row(state + (size_t)i * e, e, (float)exp_f64(decay[decays == groups ? 0 : i]));
        }
        float beta = a[4] ? FLOATS(4)[row * betas + (betas == 1 ? 0 : g)] : 1;
        for (int j = 0; j < e; j++) {
          float value = v[j];
          if (delta) {
            for (int i = 0; i < d; i++) value -= state[(size_t)i * e + j] * k[i];
            value *= beta;
          }
          for (int i = 0; i < d; i++) state[(size_t)i * e + j] += k[i] * value;
        }
        for (int h = g * (heads / groups); h < (g + 1) * (heads / groups); h++) {
          const float *q = FLOATS(0) + (row * heads + h) * d;
          float *y = FLOATS(6) + (row * heads + h) * e;
          for (int j = 0; j < e; j++) {
            float sum = 0;
            for (int i = 0; i < d; i++) sum += q[i] * state[(size_t)i * e + j];
            y[j] = sum * scale;
          }
        }
      }
    }
  }
  return 0;
}

END_SMALL_CODE
