// Weights of 8 bits into panels, and activations into 8 bits.
#include "panel_i8.h"

SMALL_CODE

// Where value k of column c of a panel lies.
SIMD int place(int k, int c) {
#ifdef __wasm_relaxed_simd__
  return (k / 4) * 32 + c * 4 + k % 4;
#else
  return (k / 2) * 16 + c * 2 + k % 2;
#endif
}

// The weights of one panel, as int8.
typedef struct {
  const uint8_t *src;
  int columns, row_stride, column_stride;
  int flip;  // 128 turns uint8 into int8
} Source;

SIMD int weight(const Source *p, int k, int c) {
  return (int8_t)(p->src[(ptrdiff_t)k * p->row_stride + (ptrdiff_t)c * p->column_stride] ^ p->flip);
}

// Row k of 8 columns that lie side by side.
SIMD v128_t weights(const Source *p, int k) {
  return wasm_v128_xor(wasm_v128_load64_zero(p->src + (ptrdiff_t)k * p->row_stride), wasm_i8x16_splat((int8_t)p->flip));
}

// A value as it is stored: less the shift of its column; what a narrow panel cannot hold becomes an outlier.
SIMD uint8_t stored(Header *head, int w, int k, int c) {
  w -= head->shift[c];
  head->column_sum[c] += w;
  if (w > 127) {
    head->outlier[head->outliers++] = (uint32_t)k << 11 | (uint32_t)c << 8 | (uint32_t)(w - 127);
    w = 127;
  }
  return (uint8_t)w;
}

#ifdef __wasm_relaxed_simd__
// What differs between CPUs shows at the ends of the ranges: a second operand taken as int8, pairs of products saturated to 16 bits, a
// sum saturated instead of wrapping around. So all pairs of products of such values go through all places of the vectors. (Volatile:
// the compiler would compute the answer for a CPU of its own choice.)
static int probe(void) {
  static const volatile int8_t firsts[] = {-128, -127, -1, 1, 127};
  static const volatile uint8_t seconds[] = {255, 200, 129, 128, 127, 1};
  static const volatile int32_t sums[] = {0, 0x7fffffff, -0x7fffffff - 1, -1};
  enum { FIRSTS = sizeof firsts, PRODUCTS = FIRSTS * sizeof seconds, PAIRS = PRODUCTS * PRODUCTS };
  for (unsigned i = 0; i < PAIRS; i++) {
    int8_t first[16];
    uint8_t second[16];
    int32_t sum[4], expected[4];
    FEW for (unsigned lane = 0; lane < 4; lane++) sum[lane] = expected[lane] = sums[(i + lane) % 4];
    FEW for (unsigned place = 0; place < 16; place++) {
      const unsigned pair = (i + place / 2 * 113) % PAIRS, product = place % 2 ? pair / PRODUCTS : pair % PRODUCTS;
      first[place] = firsts[product % FIRSTS];
      second[place] = seconds[product / FIRSTS];
      expected[place / 4] = (int32_t)((uint32_t)expected[place / 4] + (uint32_t)(first[place] * second[place]));
    }
    const v128_t got = wasm_i32x4_relaxed_dot_i8x16_i7x16_add(wasm_v128_load(first), wasm_v128_load(second), wasm_v128_load(sum));
    if (wasm_v128_any_true(wasm_v128_xor(got, wasm_v128_load(expected)))) return 0;
  }
  return 1;
}

int whole_bytes(void) {
  static int known, answer;
  if (!known) answer = probe();
  known = 1;
  return answer;
}

// Shift every column to begin at 0, unless too many values then exceed 127.
static void choose_form(Header *head, const Source *p, int K, int fast) {
  int8_t low[16] = {0}, high[16] = {0};
  int outliers = 0;
  if (fast) {
    v128_t least = wasm_i8x16_splat(127), most = wasm_i8x16_splat(-128);
    for (int k = 0; k < K; k++) {
      const v128_t w = weights(p, k);
      least = wasm_i8x16_min(least, w);
      most = wasm_i8x16_max(most, w);
    }
    wasm_v128_store(low, least);
    wasm_v128_store(high, most);
  }
  FEW for (int c = 0; c < p->columns; c++) {
    if (!fast) {
      low[c] = 127;
      high[c] = -128;
      FEW for (int k = 0; k < K; k++) {
        const int w = weight(p, k, c);
        if (w < low[c]) low[c] = (int8_t)w;
        if (w > high[c]) high[c] = (int8_t)w;
      }
    }
    if (high[c] - low[c] <= 127) continue;
    FEW for (int k = 0; k < K && outliers <= MOST_OUTLIERS; k++) outliers += weight(p, k, c) - low[c] > 127;
  }
  head->form = outliers > MOST_OUTLIERS || K >= 1 << 21 ? WIDE : NARROW;
  if (head->form == WIDE) return;
  FEW for (int c = 0; c < p->columns; c++) head->shift[c] = low[c];
}
#endif

static void pack_panel(const Source *p, uint8_t *dst, int K) {
  Header *head = (Header *)dst;
  uint8_t *to = dst + HEADER;
  const int fast = p->columns == PANEL && p->column_stride == 1;
  int k = 0;
  fill_bytes(dst, 0, (size_t)packed_bytes(K));
#ifdef __wasm_relaxed_simd__
  if (whole_bytes()) {
    head->form = WHOLE;
  } else {
    choose_form(head, p, K, fast);
  }
#endif
  if (fast) {
    uint8_t shifts[16];
    for (int c = 0; c < 16; c++) shifts[c] = (uint8_t)head->shift[c % PANEL];
    const v128_t shift = wasm_v128_load(shifts);
    v128_t sum0 = wasm_i32x4_const(0, 0, 0, 0), sum1 = sum0;
    for (; k + 4 <= K; k += 4) {
      const v128_t r0 = wasm_i8x16_sub(weights(p, k), shift), r1 = wasm_i8x16_sub(weights(p, k + 1), shift);
      const v128_t r2 = wasm_i8x16_sub(weights(p, k + 2), shift), r3 = wasm_i8x16_sub(weights(p, k + 3), shift);
      v128_t low = wasm_i8x16_shuffle(r0, r1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      v128_t high = wasm_i8x16_shuffle(r2, r3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#ifdef __wasm_relaxed_simd__
      const v128_t pairs = low;
      low = wasm_i16x8_shuffle(pairs, high, 0, 8, 1, 9, 2, 10, 3, 11);
      high = wasm_i16x8_shuffle(pairs, high, 4, 12, 5, 13, 6, 14, 7, 15);
      // In a narrow panel a byte with its highest bit set is 128 or more: an outlier, left to the slow way.
      if (head->form == NARROW && wasm_i8x16_bitmask(wasm_v128_or(low, high))) {
        FEW for (int i = 0; i < 4 * PANEL; i++) {
          const int row = k + i / PANEL, c = i % PANEL;
          to[place(row, c)] = stored(head, weight(p, row, c), row, c);
        }
        continue;
      }
      sum0 = wasm_i32x4_add(sum0, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(low)));
      sum1 = wasm_i32x4_add(sum1, wasm_i32x4_extadd_pairwise_i16x8(wasm_i16x8_extadd_pairwise_i8x16(high)));
#endif
      wasm_v128_store(to + k * PANEL, low);
      wasm_v128_store(to + k * PANEL + 16, high);
    }
    wasm_v128_store(head->column_sum, wasm_i32x4_add(sum0, wasm_v128_load(head->column_sum)));
    wasm_v128_store(head->column_sum + 4, wasm_i32x4_add(sum1, wasm_v128_load(head->column_sum + 4)));
  }
  FEW for (; k < K; k++) {
    FEW for (int c = 0; c < p->columns; c++) to[place(k, c)] = stored(head, weight(p, k, c), k, c);
  }
  FEW for (int c = 0; c < p->columns; c++) head->shift[c] += p->flip;
}

int k_pack_i8(const int32_t *a) {
  const uint8_t *src = BYTES(0);
  uint8_t *dst = BYTES(1);
  const int K = a[2], N = a[3];
  for (int n = 0; n < N; n += PANEL, dst += packed_bytes(K)) {
    const Source source = {src + (ptrdiff_t)n * a[5], min_int(PANEL, N - n), a[4], a[5], a[6] == U8 ? 128 : 0};
    pack_panel(&source, dst, K);
  }
  FEW for (const uint8_t *line = BYTES(1), *end = dst; line < end; line += CACHE_LINE) *dst++ = *line;
  return 0;
}

// Four integers, to be narrowed with saturation.
SIMD v128_t quantize(v128_t x, v128_t scales, v128_t zeros) {
  return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(wasm_f32x4_nearest(wasm_f32x4_div(x, scales)), zeros));
}

// Scale and zero point from the range of X with 0 in it; a range of 0 gives scale 1 (as onnxruntime has it: the result is the same).
int k_quantize_dynamic(const int32_t *a) {
  const float *X = FLOATS(0);
  uint8_t *Y = BYTES(1);
  const int n = a[4];
  v128_t least[4], most[4];
  UNROLL for (unsigned j = 0; j < 4; j++) least[j] = most[j] = splat(0);
  int i = 0;
  for (; i + 16 <= n; i += 16) {
    UNROLL for (unsigned j = 0; j < 4; j++) {
      const v128_t x = wasm_v128_load(X + i + 4u * j);
      least[j] = wasm_f32x4_pmin(least[j], x);
      most[j] = wasm_f32x4_pmax(most[j], x);
    }
  }
  v128_t low = wasm_f32x4_pmin(wasm_f32x4_pmin(least[0], least[1]), wasm_f32x4_pmin(least[2], least[3]));
  v128_t high = wasm_f32x4_pmax(wasm_f32x4_pmax(most[0], most[1]), wasm_f32x4_pmax(most[2], most[3]));
  for (; i < n; i += 4) {
    const v128_t x = load_some(X + i, n - i);
    low = wasm_f32x4_pmin(low, x);
    high = wasm_f32x4_pmax(high, x);
  }
  float lows[4], highs[4], min = 0.0f, max = 0.0f;
  wasm_v128_store(lows, low);
  wasm_v128_store(highs, high);
  for (int j = 0; j < 4; j++) {
    min = lows[j] < min ? lows[j] : min;
    max = highs[j] > max ? highs[j] : max;
  }
  const float scale = max == min ? 1.0f : (max - min) / 255.0f;
  float zero = __builtin_rintf(0.0f - min / scale);
  zero = zero > 255.0f ? 255.0f : zero > 0.0f ? zero : 0.0f;
  FLOATS(2)[0] = scale;
  BYTES(3)[0] = (uint8_t)zero;
  const v128_t scales = splat(scale), zeros = splat(zero);
  for (i = 0; i + 16 <= n; i += 16) {
    v128_t x[4];
    UNROLL for (unsigned j = 0; j < 4; j++) x[j] = quantize(wasm_v128_load(X + i + 4u * j), scales, zeros);
    wasm_v128_store(Y + i, wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(x[0], x[1]), wasm_i16x8_narrow_i32x4(x[2], x[3])));
  }
  for (; i < n; i += 4) {
    v128_t x = quantize(load_some(X + i, n - i), scales, zeros);
    x = wasm_i16x8_narrow_i32x4(x, x);
    const uint32_t four = (uint32_t)wasm_i32x4_extract_lane(wasm_u8x16_narrow_i16x8(x, x), 0);
    FEW for (int j = 0; j < min_int(4, n - i); j++) Y[i + j] = (uint8_t)(four >> (8 * j));
  }
  return 0;
}

END_SMALL_CODE
