// Kernels that read or write by index. Every index is checked before it is used.
#include "elements.h"

SMALL_CODE

KERNEL(gather) {
  int size = a[0], type = a[3], outer = a[5], dim = a[6], count = a[7];
  const uint8_t *x = (const uint8_t *)a[1];
  const void *indices = (const void *)a[2];
  uint8_t *y = (uint8_t *)a[4];
  for (int o = 0; o < outer; o++, x += dim * size) {
    for (int i = 0; i < count; i++, y += size) {
      int at = read_index(type, indices, i, dim);
      if (at < 0) return ERROR_INDEX;
      copy_block(y, x + at * size, size);
    }
  }
  return 0;
}

static void copy_item(int item, uint8_t *to, const uint8_t *from) {
  switch (item) {
    case 1: *to = *from; break;
    case 2: __builtin_memcpy(to, from, 2); break;
    case 4: __builtin_memcpy(to, from, 4); break;
    default: __builtin_memcpy(to, from, 8);
  }
}

KERNEL(gather_elements) {
  int item = a[0], type = a[3], axis_stride = a[5], dim = a[6], rank = a[7];
  const uint8_t *x = (const uint8_t *)a[1];
  const void *indices = (const void *)a[2];
  uint8_t *y = (uint8_t *)a[4];
  const word *dims = a + 8, *strides = dims + rank;
  Walk w;
  if (!walk_begin(&w, rank, dims, 1, strides)) return 0;
  int n = dims[rank - 1], inner = strides[rank - 1], place = 0;
  do {
    for (int i = 0; i < n; i++, place++) {
      int at = read_index(type, indices, place, dim);
      if (at < 0) return ERROR_INDEX;
      copy_item(item, y + place * item, x + (w.offset[0] + i * inner + at * axis_stride) * item);
    }
  } while (walk_next(&w));
  return 0;
}

// The distance that `depth` numbers of an index make; -1 if one is out of range.
static int distance(const int64_t *index, int depth, const word *dims, const word *strides) {
  int sum = 0;
  for (int i = 0; i < depth; i++) {
    int at = read_index(I64, index, i, dims[i]);
    if (at < 0) return -1;
    sum += at * strides[i];
  }
  return sum;
}

KERNEL(gather_nd) {
  int size = a[0], batches = a[4], count = a[5], batch_stride = a[6], depth = a[7];
  const uint8_t *x = (const uint8_t *)a[1];
  const int64_t *indices = (const int64_t *)a[2];
  uint8_t *y = (uint8_t *)a[3];
  const word *dims = a + 8, *strides = dims + depth;
  for (int o = 0; o < batches; o++, x += batch_stride * size) {
    for (int i = 0; i < count; i++, indices += depth, y += size) {
      int at = distance(indices, depth, dims, strides);
      if (at < 0) return ERROR_INDEX;
      copy_block(y, x + at * size, size);
    }
  }
  return 0;
}

// y = y reduced with x. reduction -1: replace; else a binary operation.
static int place(int reduction, int type, int item, uint8_t *y, const uint8_t *x, int n) {
  if (reduction >= 0) return combine(reduction, type, y, x, y, n);
  if (n == 1) {
    copy_item(item, y, x);
  } else {
    copy_block(y, x, n * item);
  }
  return 0;
}

KERNEL(scatter_nd) {
  int type = a[0], count = a[4], block = a[5], reduction = a[6], depth = a[7], item = item_size(type);
  uint8_t *y = (uint8_t *)a[1];
  const int64_t *indices = (const int64_t *)a[2];
  const uint8_t *updates = (const uint8_t *)a[3];
  const word *dims = a + 8, *strides = dims + depth;
  for (int i = 0; i < count; i++, indices += depth, updates += block * item) {
    int at = distance(indices, depth, dims, strides);
    if (at < 0) return ERROR_INDEX;
    int code = place(reduction, type, item, y + at * block * item, updates, block);
    if (code) return code;
  }
  return 0;
}

KERNEL(scatter_elements) {
  int type = a[0], index_type = a[3], reduction = a[5], axis_stride = a[6], dim = a[7], rank = a[8], item = item_size(type);
  uint8_t *y = (uint8_t *)a[1];
  const void *indices = (const void *)a[2];
  const uint8_t *updates = (const uint8_t *)a[4];
  const word *dims = a + 9, *strides = dims + rank;
  Walk w;
  if (!walk_begin(&w, rank, dims, 1, strides)) return 0;
  int n = dims[rank - 1], inner = strides[rank - 1], number = 0;
  do {
    for (int i = 0; i < n; i++, number++) {
      int at = read_index(index_type, indices, number, dim);
      if (at < 0) return ERROR_INDEX;
      int code = place(reduction, type, item, y + (w.offset[0] + i * inner + at * axis_stride) * item, updates + number * item, 1);
      if (code) return code;
    }
  } while (walk_next(&w));
  return 0;
}

KERNEL(one_hot) {
  int item = a[0], outer = a[4], depth = a[5], inner = a[6];
  const int64_t *indices = (const int64_t *)a[1];
  const uint8_t *values = (const uint8_t *)a[2];
  uint8_t *y = (uint8_t *)a[3];
  for (int o = 0; o < outer; o++, indices += inner) {
    for (int d = 0; d < depth; d++) {
      for (int i = 0; i < inner; i++, y += item) {
        int64_t at = indices[i] < 0 ? indices[i] + depth : indices[i];
        copy_item(item, y, values + (at == d ? item : 0));
      }
    }
  }
  return 0;
}

END_SMALL_CODE
