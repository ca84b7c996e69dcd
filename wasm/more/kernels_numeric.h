// Kernels of the large binaries only: rare numeric operators. The comments are the truth about the argument words
// (notation: ../kernels_tensor.h).
#pragma once

#define NUMERIC_KERNELS(X)
