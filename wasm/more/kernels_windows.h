// The kernels of images: tensors [batch, channels, spatial ...], float32. The comments are the truth about the argument words.
//
// `windows` stands for: rank, image dims[rank], places[rank] (how many windows), taps[rank] (dims of a window), strides[rank],
// dilations[rank], pads in front[rank]. Ranks are 1 to 14. The rest of the notation: ../kernels_dense.h.
#pragma once

#define SPATIAL_KERNELS(X)                                                                                                         \
  /* X, W, bias|0 [groups * filters], Y, scratch, batch, groups, channels, filters (both of a group), X's batch stride, distance   \
     of W's filters, activation, block (places that are gathered at once, a multiple of 8), windows                                \
     scratch: 4 * block * (channels * taps + 1) bytes; where a group has one channel and fewer than 4 filters and there are up to  \
     1024 taps, room for the channel with its padding, lines for a multiple of 16 places */                                        \
  X(conv_f32)                                                                                                                      \
  /* X [planes, taps, places], bias|0 [planes], Y, planes, windows      Y = each place's taps, summed where they lie in the image */\
  X(col2im_f32)                                                                                                                    \
  /* X, Y, op, planes, pads behind[rank] (their address)|0, windows      op: 0 max 1 average 2 sum. With pads behind, padding      \
     counts for the average */                                                                                                     \
  X(pool_f32)                                                                                                                      \
  /* X, Y, outer, size, wanted, inner, taps, indices (int32 [wanted, taps]), weights [wanted, taps]                                \
     Y[o, i, j] = sum of weights[i, t] * X[o, indices[i, t], j]; where indices[i, 0] is negative, weights[i, 0] itself */          \
  X(interpolate_f32)
