// How 8-bit integers are multiplied, exactly in int32 (modulo 2^32, as ONNX MatMulInteger has it), and how B is packed for it.
//
// A is taken as uint8 (int8 is shifted by 128, its zero point too), B as int8 or uint8. A packed panel of B holds 8 columns, K filled
// up to a multiple of 4 with zeros: a header of 256 bytes, then 32 bytes for every 4 k. With w the values as stored, w + shift the
// values meant, and z the zero points:
//     sum (a - za) (w + shift - zb) = sum a w - za sum w + (shift - zb) (sum a - K za)
//
// The relaxed binary uses i32x4.relaxed_dot_i8x16_i7x16_add_s. Its first operand is int8; what a second operand beyond 0..127 means
// depends on the CPU, but stays the same as long as an instance lives, so that whole_bytes() can find out. A panel is stored as
//   whole   where the second operand is an exact uint8 (x86 with AVX-VNNI): B is the first operand, A the second.
//   narrow  elsewhere, if each column's values lie in a range of 127 (or a few outliers stick out and are added one by one): B is the
//           second operand, A - 128 the first. Weights quantised with reduce_range are like this.
//   wide    elsewhere, B is the first operand, and A is the second in two passes, a / 128 and a % 128.
// The last two are exact on every CPU: the sum of two products is at most 2 * 128 * 127 < 2^15.
// The other binary uses i32x4.dot_i16x8_s on A - za and on B, widened as it is loaded.
#pragma once
#include "dense.h"

enum { HEADER = 256, MOST_OUTLIERS = 40 };

enum { NARROW, WIDE, WHOLE };

typedef struct {
  int32_t column_sum[PANEL];  // of the stored values; the simple binary has no use for it
  int32_t shift[PANEL];
  int32_t form;
  int32_t outliers;
  uint32_t outlier[MOST_OUTLIERS];  // k << 11 | column << 8 | what the stored value lacks
} Header;

_Static_assert(sizeof(Header) <= HEADER, "header");

static inline int packed_bytes(int K) { return HEADER + 32 * ceil_div(K, 4); }

#ifdef __wasm_relaxed_simd__
// Whether the relaxed dot product takes its second operand as uint8 and saturates nowhere.
int whole_bytes(void);
#endif
