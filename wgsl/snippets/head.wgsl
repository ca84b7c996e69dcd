// One head of queries or keys, x[from ..] of p.width elements, with its norm and its rotary embedding, as wasm/cached_attention.c has them.
// Element d of it at a position; p: norm, epsilon, half, interleaved.

fn norm_factor(start: u32) -> f32 {
  if (p.norm == 0u) { return 1.0; }
  var sum = 0.0;
  for (var d = 0u; d < p.width; d++) { sum += x[start + d] * x[start + d]; }
  return inverseSqrt(sum / f32(p.width) + p.epsilon);
}

fn normed(start: u32, d: u32, factor: f32) -> f32 {
  if (p.norm == 0u) { return x[start + d]; }
  return x[start + d] * factor * f32(gamma[d]);
}

fn turned(start: u32, d: u32, factor: f32, position: u32) -> f32 {
  let mine = normed(start, d, factor);
  if (d >= 2u * p.half) { return mine; }
  let low = select(d < p.half, d % 2u == 0u, p.interleaved == 1u);
  let step = select(p.half, 1u, p.interleaved == 1u);
  let i = position * p.half + select(d % p.half, d / 2u, p.interleaved == 1u);
  if (low) { return mine * f32(cosines[i]) - normed(start, d + step, factor) * f32(sines[i]); }
  return normed(start, d - step, factor) * f32(sines[i]) + mine * f32(cosines[i]);
}
