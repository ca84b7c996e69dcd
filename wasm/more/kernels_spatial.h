// Kernels of the binaries of rare operators: rare operators on images. The comments are the truth about the argument words
// (notation: ../kernels_dense.h; `windows`: kernels_windows.h).
#pragma once

#define MORE_SPATIAL_KERNELS(X)                                                                                                  \
  /* X, grid [batch, points, rank], Y, batch, channels, points, taps (1 nearest, 2 linear, 4 cubic), padding (0 zeros, 1 border, \
     2 reflection), align corners, rank (up to 3), dims[rank] */                                                                 \
  X(grid_sample_f32)                                                                                                             \
  /* X [channels, image], offsets, mask|0, columns [channels, taps, places], channels, offset groups, windows (rank 2) */        \
  X(deform_f32)                                                                                                                  \
  /* X, rois [count, 4], images (int64 [count]), Y, count, batch, channels, height, width, rows, columns, max (else average),    \
     sampling ratio, scale bits, half pixel */                                                                                   \
  X(roi_align_f32)                                                                                                               \
  /* X, rois [count, 5], Y, count, batch, channels, height, width, rows, columns, scale bits */                                  \
  X(max_roi_pool_f32)                                                                                                            \
  /* X, Y (int64), planes, column major, windows      where in X the maxima of MaxPool are */                                    \
  X(max_indices_f32)
