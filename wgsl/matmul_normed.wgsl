// As matmul_slices.wgsl, of $NORMED with a layer norm: each workgroup computes the mean and the factor of the few rows that it reads.
// include snippets/product.wgsl
// include snippets/slices.wgsl
const ROWS = $WYu * $TMu;
// Threads of a row.
const EACH = THREADS * $KSu / ROWS;
const SOME = min(EACH, 8u);
var<workgroup> stats: array<vec2f, ROWS>;

// In two steps, for few barriers.
fn row_sum(t: u32, mine: f32) -> f32 {
  part[t].x = mine;
  workgroupBarrier();
  var sum = 0.0;
  if (t % EACH < SOME) {
    for (var i = t; i < t - t % EACH + EACH; i += SOME) { sum += part[i].x; }
    part[t].y = sum;
  }
  workgroupBarrier();
  sum = 0.0;
  for (var i = 0u; i < SOME; i++) { sum += part[t - t % EACH + i].y; }
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
