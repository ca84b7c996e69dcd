"""Arithmetic on the rows of flat float32 arrays, in loops over typed arrays. JS only."""

from __future__ import annotations

from edgeflow.host.port import NumericArray


def mean_rows(array: NumericArray, width: int, groups: list[list[int]]) -> NumericArray:
    __pragma__('js', r'''
    const means = new Float32Array(groups.length * width), sums = new Float64Array(width);
    groups.forEach((group, g) => {
      sums.fill(0);
      for (const row of group) {
        const start = row * width;
        for (let i = 0; i < width; ++i) sums[i] += array[start + i];
      }
      if (group.length > 0) for (let i = 0; i < width; ++i) means[g * width + i] = sums[i] / group.length;
    });
    return means;
    ''')


def unit_rows(array: NumericArray, width: int) -> NumericArray:
    __pragma__('js', r'''
    const units = new Float32Array(array.length);
    for (let start = 0; start < array.length; start += width) {
      let sum = 0;
      for (let i = start; i < start + width; ++i) sum += array[i] * array[i];
      const length = sum === 0 ? 1 : Math.sqrt(sum);
      for (let i = start; i < start + width; ++i) units[i] = array[i] / length;
    }
    return units;
    ''')
