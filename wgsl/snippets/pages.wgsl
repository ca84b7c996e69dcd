// Attention to keys in pages by PARTS times 64 threads: each part takes every PARTS-th page, with a softmax of its own, and in the end they are joined.
// Of a layer and head a page has keys as pairs [PAIRS][PAGE], and values as pairs [PAGE][ROW]. p: scale, softcap.
// A workgroup has one query, or four side by side: a Q is a number of each of them, a P a pair.
alias Q = $Q;
alias P = $P;
const PAGE = 64u;
const PAIRS = $PAIRSu;
const ROW = $ROWu;
const PARTS = $PARTSu;
const THREADS = PAGE * PARTS;
// Where values have few pairs, threads share the keys of a page too: so many side by side have each SPLIT-th key.
const SPLIT = $SPLITu;
const LANES = PAGE / SPLIT;
const LOW = -3.4e38;
var<workgroup> query: array<P, PAIRS>;
var<workgroup> score: array<Q, THREADS>;
var<workgroup> tops: array<Q, PARTS>;
var<workgroup> sums: array<Q, PARTS * SPLIT>;
var<workgroup> parts: array<P, THREADS * $COLUMNSu>;
// What a thread has seen so far: the highest score; of the keys that it weighed, the powers' sum, and the sums of pairs lane, lane + 64 of their values.
var<private> top: Q;
var<private> sum: Q;
$for c $COLUMNS
var<private> result#c: P;
$}
// include snippets/pairs.wgsl

fn capped(product: Q) -> Q {
  let s = product * p.scale;
  return select(s, p.softcap * tanh(clamp(s / p.softcap, Q(-20.0), Q(20.0))), p.softcap > 0.0);
}

fn scaled(pair: P, factor: Q) -> P { return P(pair[0] * factor, pair[1] * factor); }

// The scores of the key whose pairs begin at `at`.
fn scored(at: u32) -> Q {
  var dots = array<Q, 2>();
  for (var d = 0u; d < PAIRS; d += $STEPu) {
$for u $STEP
    let k#u = got(pool[at + (d + #uu) * PAGE]);
    dots[#u % 2] += query[d + #uu][0] * k#u.x + query[d + #uu][1] * k#u.y;
$}
  }
  return capped(dots[0] + dots[1]);
}

// Take the scores s of a part's threads (LOW: there is no key) and the page's values, which begin at `at`, of `count` keys.
fn weigh(local: u32, s: Q, at: u32, count: u32) {
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
  score[local] = select(exp(s - most), Q(), s == Q(LOW));
  workgroupBarrier();
  let fade = exp(top - most);
  top = most;
  sum *= fade;
$for c $COLUMNS
  result#c = scaled(result#c, fade);
$}
  let start = at + lane % LANES;
  // Many loads at a time, also of keys that are not there, whose score is 0.
  for (var j = lane / LANES; j < count; j += 8u * SPLIT) {
$for u 8
    let e#u = score[mine + j + #uu * SPLIT];
    sum += e#u;
$for c $COLUMNS
    if (#cu * PAGE + lane % LANES < ROW) {
      let v#u_#c = select(vec2f(), got(pool[start + (j + #uu * SPLIT) * ROW + #cu * PAGE]), j + #uu * SPLIT < count);
      result#c += P(e#u * v#u_#c.x, e#u * v#u_#c.y);
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

fn joined_top(other: Q) -> Q {
  var most = other;
  for (var i = 0u; i < PARTS; i++) { most = max(most, tops[i]); }
  return most;
}

fn joined_sum(most: Q) -> Q {
  var all = Q();
  for (var i = 0u; i < PARTS * SPLIT; i++) { all += sums[i] * exp(tops[i / SPLIT] - most); }
  return all;
}

// Pair q of the sum of values.
fn joined_pair(q: u32, most: Q) -> P {
  var all = P();
  for (var i = 0u; i < PARTS; i++) {
    let fade = exp(tops[i] - most);
    for (var z = 0u; z < SPLIT; z++) { all += scaled(parts[i * $COLUMNSu * PAGE + z * LANES + q], fade); }
  }
  return all;
}
