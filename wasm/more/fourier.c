// Discrete Fourier transforms of any length: mixed radices (Cooley and Tukey 1965), every prime factor p by p * p products.
#include "../elements.h"
#include "../math64.h"

SMALL_CODE

// to[0..n) = transform of from[0], from[step], ...; complex. roots: the n * step-th roots of unity. spare: room for as many as `to`.
static void transform(const double *from, int step, double *to, int n, const double *roots, double *spare) {
  if (n == 1) {
    to[0] = from[0];
    to[1] = from[1];
    return;
  }
  int p = 2;
  while (n % p) p++;
  int m = n / p, total = n * step;
  for (int i = 0; i < p; i++) transform(from + 2 * i * step, step * p, spare + 2 * i * m, m, roots, to + 2 * i * m);
  for (int k = 0; k < n; k++) {
    double real = 0, imaginary = 0;
    for (int i = 0; i < p; i++) {
      const double *x = spare + 2 * (i * m + k % m);
      const double *w = roots + 2 * (int)((int64_t)i * k * step % total);
      real += x[0] * w[0] - x[1] * w[1];
      imaginary += x[0] * w[1] + x[1] * w[0];
    }
    to[2 * k] = real;
    to[2 * k + 1] = imaginary;
  }
}

KERNEL(dft) {
  int type = a[0], outer = a[3], n_in = a[4], inner = a[5], parts_in = a[6], n = a[7], n_out = a[8], parts_out = a[9];
  int inverse = a[10] & 1, hermitian = a[10] & 2;
  const void *x = (const void *)a[1];
  void *y = (void *)a[2];
  double *row = (double *)a[11], *result = row + 2 * n, *spare = result + 2 * n;
  double *roots = spare + 2 * n;
  for (int i = 0; i < n; i++) {
    double angle = 6.283185307179586 * i / n;
    roots[2 * i] = cos_f64(angle);
    roots[2 * i + 1] = inverse ? sin_f64(angle) : -sin_f64(angle);
  }
  for (int o = 0; o < outer * inner; o++) {
    int block = o / inner, lane = o % inner;
    for (int i = 0; i < n; i++) {
      row[2 * i] = row[2 * i + 1] = 0;
      int mirrored = hermitian && i > n / 2, at = mirrored ? n - i : i;
      if (at >= n_in) continue;
      load_f64(type, x, ((block * n_in + at) * inner + lane) * parts_in, 1, parts_in, row + 2 * i);
      if (mirrored) row[2 * i + 1] = -row[2 * i + 1];
      // What is its own mirror image is real.
      if (hermitian && (i == 0 || 2 * i == n)) row[2 * i + 1] = 0;
    }
    transform(row, 1, result, n, roots, spare);
    for (int i = 0; i < n_out; i++) {
      if (inverse) {
        result[2 * i] /= n;
        result[2 * i + 1] /= n;
      }
      store_f64(type, y, ((block * n_out + i) * inner + lane) * parts_out, parts_out, result + 2 * i);
    }
  }
  return 0;
}

END_SMALL_CODE
