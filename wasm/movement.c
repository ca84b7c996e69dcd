// Kernels that move elements without looking at them.
#include "elements.h"

SMALL_CODE

// 4 x 4 blocks of 32-bit elements, transposed in registers: to[j * to_ld + i] = from[i * from_ld + j].
static void transpose_4x4(const uint32_t *from, int from_ld, uint32_t *to, int to_ld) {
  v128_t a = wasm_v128_load(from), b = wasm_v128_load(from + from_ld);
  v128_t c = wasm_v128_load(from + 2 * from_ld), d = wasm_v128_load(from + 3 * from_ld);
  v128_t ab_low = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), ab_high = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7);
  v128_t cd_low = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), cd_high = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
  wasm_v128_store(to, wasm_i64x2_shuffle(ab_low, cd_low, 0, 2));
  wasm_v128_store(to + to_ld, wasm_i64x2_shuffle(ab_low, cd_low, 1, 3));
  wasm_v128_store(to + 2 * to_ld, wasm_i64x2_shuffle(ab_high, cd_high, 0, 2));
  wasm_v128_store(to + 3 * to_ld, wasm_i64x2_shuffle(ab_high, cd_high, 1, 3));
}

// to[j * to_ld + i] = from[i * from_ld + j] for i < rows, j < columns.
static void transpose_plane(const uint32_t *from, int from_ld, uint32_t *to, int to_ld, int rows, int columns) {
  enum { TILE = 32 };
  for (int i0 = 0; i0 < rows; i0 += TILE) {
    int i_end = i0 + TILE < rows ? i0 + TILE : rows;
    for (int j = 0; j < columns; j += 4) {
      int i = i0;
      if (j + 4 <= columns) {
        for (; i + 4 <= i_end; i += 4) transpose_4x4(from + i * from_ld + j, from_ld, to + j * to_ld + i, to_ld);
      }
      int j_end = j + 4 < columns ? j + 4 : columns;
      for (; i < i_end; i++) {
        for (int k = j; k < j_end; k++) to[k * to_ld + i] = from[i * from_ld + k];
      }
    }
  }
}

#define COPY_STRIDED(T)                                              \
  do {                                                               \
    const T *x = (const T *)from;                                    \
    T *y = (T *)to;                                                  \
    if (sd == 1 && ss == 0) {                                        \
      T value = *x;                                                  \
      for (int i = 0; i < n; i++) y[i] = value;                      \
    } else {                                                         \
      NO_VECTORS for (int i = 0; i < n; i++) y[i * sd] = x[i * ss];  \
    }                                                                \
  } while (0)
#define NO_VECTORS _Pragma("clang loop vectorize(disable) unroll(disable)")

static void copy_row(int item, const uint8_t *from, int ss, uint8_t *to, int sd, int n) {
  if (ss == 1 && sd == 1) {
    copy_block(to, from, n * item);
    return;
  }
  switch (item) {
    case 1: COPY_STRIDED(uint8_t); break;
    case 2: COPY_STRIDED(uint16_t); break;
    case 4: COPY_STRIDED(uint32_t); break;
    default: COPY_STRIDED(uint64_t);
  }
}

KERNEL(copy_nd) {
  int item = a[0], rank = a[3];
  const uint8_t *from = (const uint8_t *)a[1];
  uint8_t *to = (uint8_t *)a[2];
  const word *dims = a + 4, *strides = dims + rank;
  int n = dims[rank - 1], ss = strides[rank - 1], sd = strides[2 * rank - 1];
  // The last two dims swap places in memory: go by tiles, not by rows.
  int plane = item == 4 && rank >= 2 && sd == 1 && strides[rank - 2] == 1 && n > 1 && dims[rank - 2] > 1;
  word outer_dims[MAX_RANK];
  if (plane) {
    for (int i = 0; i < rank; i++) outer_dims[i] = i == rank - 2 ? (dims[i] > 0) : dims[i];
  }
  Walk w;
  if (!walk_begin(&w, rank, plane ? outer_dims : dims, 2, strides)) return 0;
  do {
    const uint8_t *x = from + w.offset[0] * item;
    uint8_t *y = to + w.offset[1] * item;
    if (plane) {
      transpose_plane((const uint32_t *)x, ss, (uint32_t *)y, strides[2 * rank - 2], n, dims[rank - 2]);
    } else {
      copy_row(item, x, ss, y, sd, n);
    }
  } while (walk_next(&w));
  return 0;
}

KERNEL(trilu) {
  int item = a[0], batch = a[3], rows = a[4], columns = a[5], upper = a[7];
  const uint8_t *x = (const uint8_t *)a[1];
  uint8_t *y = (uint8_t *)a[2];
  int64_t k = a[6] ? *(const int64_t *)a[6] : 0;
  int size = columns * item;
  for (int i = 0; i < batch * rows; i++, x += size, y += size) {
    // Columns before `edge` lie below the diagonal.
    int64_t edge = i % rows + k + (upper ? 0 : 1);
    int split = (edge < 0 ? 0 : edge > columns ? columns : (int)edge) * item;
    if (x != y) copy_block(y, x, size);
    if (upper) {
      fill_bytes(y, 0, (size_t)split);
    } else {
      fill_bytes(y + split, 0, (size_t)(size - split));
    }
  }
  return 0;
}

KERNEL(range) {
  int type = a[0], n = a[4];
  void *y = (void *)a[3];
  double real[BLOCK], start = 0, step = 0;
  int64_t whole[BLOCK], first = 0, by = 0;
  if (is_float(type)) {
    load_f64(type, (const void *)a[1], 0, 1, 1, &start);
    load_f64(type, (const void *)a[2], 0, 1, 1, &step);
  } else {
    load_i64(type, (const void *)a[1], 0, 1, 1, &first);
    load_i64(type, (const void *)a[2], 0, 1, 1, &by);
  }
  for (int i = 0; i < n; i += BLOCK) {
    int m = n - i < BLOCK ? n - i : BLOCK;
    if (is_float(type)) {
      for (int j = 0; j < m; j++) real[j] = start + (i + j) * step;
      store_f64(type, y, i, m, real);
    } else {
      for (int j = 0; j < m; j++) whole[j] = (int64_t)((uint64_t)first + (uint64_t)(i + j) * (uint64_t)by);
      store_i64(type, y, i, m, whole);
    }
  }
  return 0;
}

KERNEL(reverse_sequence) {
  int size = a[3], batch = a[4], time = a[5], batch_stride = a[6] * size, time_stride = a[7] * size;
  const uint8_t *x = (const uint8_t *)a[0];
  const int64_t *lengths = (const int64_t *)a[1];
  uint8_t *y = (uint8_t *)a[2];
  for (int i = 0; i < batch; i++) {
    int64_t length = lengths[i];
    if (length < 0 || length > time) return ERROR_INDEX;
    for (int t = 0; t < time; t++) {
      int from = t < length ? (int)length - 1 - t : t;
      copy_block(y + i * batch_stride + t * time_stride, x + i * batch_stride + from * time_stride, size);
    }
  }
  return 0;
}

END_SMALL_CODE
