// Attention to keys in pages by PARTS times 64 threads: each part takes every PARTS-th page, with a softmax of its own, and in the end they are joined.
// Of a layer and head a page has keys as pairs [PAIRS][PAGE], and values as pairs [PAGE][ROW]. p: scale, softcap.
const PAGE = 64u;
const PAIRS = $PAIRSu;
const ROW = $ROWu;
const PARTS = $PARTSu;
const THREADS = PAGE * PARTS;
// Where values have few pairs, threads share the keys of a page too: so many side by side have each SPLIT-th key.
const SPLIT = $SPLITu;
const LANES = PAGE / SPLIT;
const LOW = -3.4e38;
var<workgroup> query: array<vec2f, PAIRS>;
var<workgroup> score: array<f32, THREADS>;
var<workgroup> tops: array<f32, PARTS>;
var<workgroup> sums: array<f32, PARTS * SPLIT>;
var<workgroup> parts: array<vec2f, THREADS * $COLUMNSu>;
// What a thread has seen so far: the highest score; of the keys that it weighed, the powers' sum, and the sums of pairs lane, lane + 64 of their values.
var<private> top: f32;
var<private> sum: f32;
$for c $COLUMNS
var<private> result#c: vec2f;
$}
// include snippets/pairs.wgsl

fn capped(product: f32) -> f32 {
  let s = product * p.scale;
  return select(s, p.softcap * tanh(clamp(s / p.softcap, -20.0, 20.0)), p.softcap > 0.0);
}

// The score of the key whose pairs begin at `at`.
fn scored(at: u32) -> f32 {
  var dots = mat2x2f();
  for (var d = 0u; d < PAIRS; d += $STEPu) {
$for u $STEP
    dots[#u % 2] += query[d + #uu] * got(pool[at + (d + #uu) * PAGE]);
$}
  }
  return capped(dot(dots[0] + dots[1], vec2f(1.0)));
}

// Take the scores s of a part's threads (LOW: there is no key) and the page's values, which begin at `at`, of `count` keys.
fn weigh(local: u32, s: f32, at: u32, count: u32) {
  score[local] = s;
  workgroupBarrier();
  let lane = local % PAGE;
  let mine = local - lane;
  var most = top;
  for (var j = 0u; j < PAGE; j += 8u) {
$for u 8
    most = max(most, score[mine + j + #uu]);
$}
  }
  workgroupBarrier();
  score[local] = select(exp(s - most), 0.0, s == LOW);
  workgroupBarrier();
  let fade = exp(top - most);
  top = most;
  sum *= fade;
$for c $COLUMNS
  result#c *= fade;
$}
  let start = at + lane % LANES;
  // Many loads at a time, also of keys that are not there, whose score is 0.
  for (var j = lane / LANES; j < count; j += 8u * SPLIT) {
$for u 8
    let e#u = score[mine + j + #uu * SPLIT];
    sum += e#u;
$for c $COLUMNS
    if (#cu * PAGE + lane % LANES < ROW) {
      result#c += select(vec2f(), e#u * got(pool[start + (j + #uu * SPLIT) * ROW + #cu * PAGE]), j + #uu * SPLIT < count);
    }
$}
$}
  }
  workgroupBarrier();
}

// Let all threads see what the others have.
fn join(local: u32) {
  let part = local / PAGE;
  let lane = local % PAGE;
  if (lane % LANES == 0u) {
    tops[part] = top;
    sums[local / LANES] = sum;
  }
$for c $COLUMNS
  parts[(part * $COLUMNSu + #cu) * PAGE + lane] = result#c;
$}
  workgroupBarrier();
}

fn joined_top(other: f32) -> f32 {
  var most = other;
  for (var i = 0u; i < PARTS; i++) { most = max(most, tops[i]); }
  return most;
}

fn joined_sum(most: f32) -> f32 {
  var all = 0.0;
  for (var i = 0u; i < PARTS * SPLIT; i++) { all += sums[i] * exp(tops[i / SPLIT] - most); }
  return all;
}

// Pair q of the sum of values.
fn joined_pair(q: u32, most: f32) -> vec2f {
  var all = vec2f();
  for (var i = 0u; i < PARTS; i++) {
    let fade = exp(tops[i] - most);
    for (var z = 0u; z < SPLIT; z++) { all += fade * parts[i * $COLUMNSu * PAGE + z * LANES + q]; }
  }
  return all;
}
