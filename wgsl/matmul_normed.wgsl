// As matmul_slices.wgsl, of $NORMED with a layer norm: each workgroup computes the mean and the factor of the few rows that it reads.
// include snippets/product.wgsl
// include snippets/slices.wgsl
const ROWS = $WYu * $TMu;
// Threads of a row.
const EACH = THREADS * $KSu / ROWS;
var<workgroup> stats: array<vec2f, ROWS>;

fn row_sum(t: u32, mine: f32) -> f32 {
  part[t].x = mine;
  workgroupBarrier();
  for (var step = EACH / 2u; step > 0u; step = step / 2u) {
    if (t % EACH < step) { part[t].x = part[t].x + part[t + step].x; }
    workgroupBarrier();
  }
  let sum = part[t - t % EACH].x;
  workgroupBarrier();
  return sum / f32(4u * p.normed);
}

fn set_stats(group: u32, slice: u32, y: u32, x: u32) {
  let t = slice * THREADS + y * $WXu + x;
  let row = min(group * ROWS + t / EACH, p.m - 1u) * p.normed;
  var sum = vec4f();
  for (var i = t % EACH; i < p.normed; i += EACH) { sum += vec4f($NORMED[row + i]); }
  let mean = row_sum(t, dot(sum, vec4f(1.0)));
  var squares = 0.0;
  for (var i = t % EACH; i < p.normed; i += EACH) {
    let v = vec4f($NORMED[row + i]) - mean;
    squares += dot(v, v);
  }
  let factor = 1.0 / sqrt(row_sum(t, squares) + p.epsilon);
  if (t % EACH == 0u) { stats[t / EACH] = vec2f(mean, factor); }
  workgroupBarrier();
}

fn norm_of(v: vec4f, row: u32, i: u32) -> vec4f { return (v - stats[row].x) * stats[row].y * vec4f(gamma[i]) + vec4f(beta[i]); }

fn of_a(v: vec4f, row: u32, i: u32) -> vec4f { return $OF_A; }
