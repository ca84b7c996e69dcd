// Why a kernel refuses its data. 0 is success. The texts for people are in backends/wasm (by these numbers).
#pragma once
enum {
  ERROR_NONE = 0,
  ERROR_INDEX = 1,     // an index out of range
  ERROR_DIVISION = 2,  // an integer divided by zero
  ERROR_TYPE = 3,      // an element type, or an operation on it, that the kernel does not have
  ERROR_VALUE = 4,     // a value that the operator does not allow
  ERROR_KERNEL = 5,    // a step of the tape names no kernel
  ERROR_MASK = 6,      // an attention mask that is not that of a plain causal decoder
};
