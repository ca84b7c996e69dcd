// Kernels of the large binaries only: rare operators on images and windows. The comments are the truth about the argument words
// (notation: ../kernels_tensor.h).
#pragma once

#define MORE_SPATIAL_KERNELS(X)
