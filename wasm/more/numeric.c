// Sums of products over any strides and types; determinants and inverses.
#include "../elements.h"

SMALL_CODE

KERNEL(contract) {
  int type = a[0], type_y = a[1], kept = a[5], reduced = a[6], real = is_float(type);
  const void *x = (const void *)a[2], *z = (const void *)a[3];
  void *y = (void *)a[4];
  const word *dims = a + 7, *strides = dims + kept, *inner = strides + 2 * kept, *inner_strides = inner + reduced;
  double p[BLOCK], q[BLOCK];
  Walk w, r;
  if (!walk_begin(&w, kept, dims, 2, strides)) return 0;
  int n = dims[kept - 1], sx = strides[kept - 1], sz = strides[2 * kept - 1], at = 0;
  int m = inner[reduced - 1], tx = inner_strides[reduced - 1], tz = inner_strides[2 * reduced - 1];
  do {
    for (int i = 0; i < n; i++, at++) {
      double sum = 0;
      int64_t whole = 0;
      if (walk_begin(&r, reduced, inner, 2, inner_strides)) {
        do {
          int at_x = w.offset[0] + i * sx + r.offset[0], at_z = w.offset[1] + i * sz + r.offset[1];
          for (int j = 0; j < m; j += BLOCK) {
            int k = m - j < BLOCK ? m - j : BLOCK;
            if (real) {
              const double *u = view_f64(type, x, at_x + j * tx, tx, k, p), *v = view_f64(type, z, at_z + j * tz, tz, k, q);
              for (int l = 0; l < k; l++) sum += u[l] * v[l];
            } else {
              const int64_t *u = view_i64(type, x, at_x + j * tx, tx, k, (int64_t *)p), *v = view_i64(type, z, at_z + j * tz, tz, k, (int64_t *)q);
              for (int l = 0; l < k; l++) whole = (int64_t)((uint64_t)whole + (uint64_t)u[l] * (uint64_t)v[l]);
            }
          }
        } while (walk_next(&r));
      }
      if (real) {
        store_f64(type_y, y, at, 1, &sum);
      } else {
        store_i64(type_y, y, at, 1, &whole);
      }
    }
  } while (walk_next(&w));
  return 0;
}

static void exchange(double *p, double *q, int n) {
  for (int i = 0; i < n; i++) {
    double held = p[i];
    p[i] = q[i];
    q[i] = held;
  }
}

// Gauss-Jordan elimination with partial pivots of m [n, n], the same done to `other`; returns the determinant.
static double eliminate(double *m, double *other, int n) {
  double det = 1;
  for (int column = 0; column < n; column++) {
    int pivot = column;
    for (int i = column + 1; i < n; i++) {
      if (__builtin_fabs(m[i * n + column]) > __builtin_fabs(m[pivot * n + column])) pivot = i;
    }
    if (pivot != column) {
      exchange(m + pivot * n, m + column * n, n);
      exchange(other + pivot * n, other + column * n, n);
      det = -det;
    }
    double head = m[column * n + column];
    det *= head;
    if (head == 0) return 0;
    for (int i = 0; i < n; i++) {
      m[column * n + i] /= head;
      other[column * n + i] /= head;
    }
    for (int i = 0; i < n; i++) {
      double factor = m[i * n + column];
      if (i == column || factor == 0) continue;
      for (int j = 0; j < n; j++) {
        m[i * n + j] -= factor * m[column * n + j];
        other[i * n + j] -= factor * other[column * n + j];
      }
    }
  }
  return det;
}

KERNEL(det) {
  int type = a[0], count = a[3], n = a[4], inverse = a[5], size = n * n;
  double *m = (double *)a[6], *other = m + size;
  for (int i = 0; i < count; i++) {
    load_f64(type, (const void *)a[1], i * size, 1, size, m);
    fill_bytes(other, 0, (size_t)size * 8);
    for (int j = 0; j < n; j++) other[j * n + j] = 1;
    double det = eliminate(m, other, n);
    if (inverse) {
      if (det == 0) return ERROR_VALUE;
      store_f64(type, (void *)a[2], i * size, size, other);
    } else {
      store_f64(type, (void *)a[2], i, 1, &det);
    }
  }
  return 0;
}

END_SMALL_CODE
