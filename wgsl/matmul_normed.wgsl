// As matmul_slices.wgsl, of $NORMED with a layer norm: each workgroup computes the mean and the factor of the few rows that it reads.
// include snippets/product.wgsl
// include snippets/slices.wgsl
const ROWS = $WYu * $TMu;
// Threads of a row.
const EACH = THREADS * $KSu / ROWS;
const SOME = min(EACH, 8u);
var<workgroup> stats: array<vec2f, ROWS>;

// Mean, sum of squares around it, and number of the elements of `count` threads, of which each has left its own there (Chan, Golub, LeVeque).
fn merged(from_t: u32, count: u32, step: u32) -> vec4f {
  var n = 0.0;
  var sum = 0.0;
  for (var z = 0u; z < count; z++) {
    let some = part[from_t + z * step];
    n += some.z;
    sum += some.x * some.z;
  }
  let mean = sum / max(n, 1.0);
  var squares = 0.0;
  for (var z = 0u; z < count; z++) {
    let some = part[from_t + z * step];
    squares += some.y + some.z * (some.x - mean) * (some.x - mean);
  }
  return vec4f(mean, squares, n, 0.0);
}

fn set_stats(group: u32, slice: u32, y: u32, x: u32) {
  let t = slice * THREADS + y * $WXu + x;
  let first = t % EACH;
  let row = min(group * ROWS + t / EACH, p.m - 1u) * p.normed;
  var sum = vec4f();
  var n = 0.0;
  for (var i = first; i < p.normed; i += EACH) {
    sum += vec4f($NORMED[row + i]);
    n += 4.0;
  }
  let mean = dot(sum, vec4f(1.0)) / max(n, 1.0);
  var squares = 0.0;
  for (var i = first; i < p.normed; i += EACH) {
    let v = vec4f($NORMED[row + i]) - mean;
    squares += dot(v, v);
  }
  part[t] = vec4f(mean, squares, n, 0.0);
  workgroupBarrier();
  // In two steps, for few barriers.
  if (first < SOME) { part[t] = merged(t, EACH / SOME, SOME); }
  workgroupBarrier();
  if (first == 0u) {
    let all = merged(t, SOME, 1u);
    stats[t / EACH] = vec2f(all.x, 1.0 / sqrt(all.y / all.z + p.epsilon));
  }
  workgroupBarrier();
}

fn norm_of(v: vec4f, row: u32, i: u32) -> vec4f { return (v - stats[row].x) * stats[row].y * vec4f(gamma[i]) + vec4f(beta[i]); }

fn of_a(v: vec4f, row: u32, i: u32) -> vec4f { return $OF_A; }
