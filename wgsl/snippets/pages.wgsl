// Attention to keys in pages by PARTS times 64 threads: each part takes every PARTS-th page, with a softmax of its own, and in the end they are joined.
// p: scale, softcap.
const PAGE = 64u;
const PARTS = $PARTSu;
const THREADS = PAGE * PARTS;
const LOW = -3.4e38;
var<workgroup> score: array<f32, THREADS>;
var<workgroup> tops: array<f32, PARTS>;
var<workgroup> sums: array<f32, PARTS>;
var<workgroup> parts: array<f32, THREADS * $COLUMNSu>;

fn capped(product: f32) -> f32 {
  let s = product * p.scale;
  return select(s, p.softcap * tanh(clamp(s / p.softcap, -20.0, 20.0)), p.softcap > 0.0);
}

// The highest of `top` and the scores s of a part's threads (LOW: there is no key), of which `score` then has the powers of e beside it.
fn highest(local: u32, top: f32, s: f32) -> f32 {
  score[local] = s;
  workgroupBarrier();
  let mine = local / PAGE * PAGE;
  var most = top;
  for (var j = 0u; j < PAGE; j += 8u) {
$for u 8
    most = max(most, score[mine + j + #uu]);
$}
  }
  workgroupBarrier();
  score[local] = select(exp(s - most), 0.0, s == LOW);
  workgroupBarrier();
  return most;
}

// A thread has columns lane, lane + 64, ... of its part's sum of values; join() lets all threads see them.
fn join(local: u32, top: f32, sum: f32, result: vec4f) {
  let part = local / PAGE;
  let lane = local % PAGE;
  if (lane == 0u) {
    tops[part] = top;
    sums[part] = sum;
  }
$for c $COLUMNS
  parts[(part * $COLUMNSu + #cu) * PAGE + lane] = result[#c];
$}
  workgroupBarrier();
}

fn joined_top(other: f32) -> f32 {
  var most = other;
  for (var i = 0u; i < PARTS; i++) { most = max(most, tops[i]); }
  return most;
}

fn joined_sum(most: f32) -> f32 {
  var sum = 0.0;
  for (var i = 0u; i < PARTS; i++) { sum += sums[i] * exp(tops[i] - most); }
  return sum;
}

fn joined_column(d: u32, most: f32) -> f32 {
  var z = 0.0;
  for (var i = 0u; i < PARTS; i++) { z += parts[i * $COLUMNSu * PAGE + d] * exp(tops[i] - most); }
  return z;
}
