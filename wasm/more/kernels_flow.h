// Kernels of the binaries of rare operators: strings, sets, sequences, random numbers and training. The comments are the truth about the argument words
// (notation: ../kernels_tensor.h).
#pragma once

#define FLOW_KERNELS(X)
