// What every kernel file includes: integer types, SIMD, words of the tape, element types, block memory operations.
#pragma once

// For the rest of a file whose kernels are rarely what a model waits for: small rather than fast. (Their loops that matter are in vectors by hand.)
#define SMALL_CODE _Pragma("clang attribute push(__attribute__((minsize)), apply_to = function)")
#define END_SMALL_CODE _Pragma("clang attribute pop")
#include <stddef.h>
#include <stdint.h>
#include <wasm_simd128.h>

#include "errors.h"

typedef int32_t word;

// A kernel: its argument words are a[0], a[1] ...
#define KERNEL(name) int k_##name(const word *a)

// ONNX numbers of element types.
enum {
  F32 = 1,
  U8 = 2,
  I8 = 3,
  U16 = 4,
  I16 = 5,
  I32 = 6,
  I64 = 7,
  BOOL = 9,
  F16 = 10,
  F64 = 11,
  U32 = 12,
  U64 = 13,
  BF16 = 16,
  F8E4M3 = 17,
  U4 = 21,
  I4 = 22,
  F4E2M1 = 23,
  F8E8M0 = 24,
  U2 = 25,
  I2 = 26,
  PACKED = 64,  // added to a type of 4 or 2 bits: several elements in a byte; without it each has a byte
};
// Added to the type that is written: how Cast makes small floats of what they cannot hold, and powers of two of what is none.
enum { NOT_SATURATED = 256, ROUND_DOWN = 512, ROUND_NEAREST = 1024 };

enum { MAX_RANK = 16 };

// For code that is not worth the bytes of vectors and unrolled loops.
#define SMALL __attribute__((minsize, noinline))

static inline float word_float(word w) {
  union {
    word i;
    float f;
  } u = {w};
  return u.f;
}

static inline void copy_bytes(void *to, const void *from, size_t size) { __builtin_memcpy(to, from, size); }
static inline void fill_bytes(void *to, int byte, size_t size) { __builtin_memset(to, byte, size); }
