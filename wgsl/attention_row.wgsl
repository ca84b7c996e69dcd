// Attention of single queries, a workgroup each: every thread scores a key of a tile, then sums the weighted values of a slice of
// its keys for one unit of the result.
override GROUP: u32 = 64u;
const D = $Du;
const E = $Eu;
// include snippets/scores.wgsl
var<workgroup> queries: array<$V, D>;
var<workgroup> weights: array<f32, 256>;
var<workgroup> part: array<f32, 256>;
var<workgroup> results: array<$V, 256>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let query = group.x;
  let head = group.y;
  let batch = group.z;
  let past = past_of(batch);
  let from_q = (p.q + batch * p.q0 + head * p.q1 + query * p.q2) / $WIDTHu;
  let from_k = (p.k + batch * p.k0 + head / p.group * p.k1) / $WIDTHu;
  let from_v = (p.v + batch * p.v0 + head / p.group * p.v1) / $WIDTHu;
  for (var i = local; i < D; i += GROUP) { queries[i] = $V(q[from_q + i]) * p.scale; }
  let slices = GROUP / E;
  let slice = local / E;
  let unit = local % E;
  var top = -3.4028234e38;
  var sum = 0.0;
  var result = $V();
  let end = end_key(query, past);
  for (var first = first_key(query, past); first < end; first += GROUP) {
    let count = min(GROUP, end - first);
    var score = p.none;
    workgroupBarrier();
    if (local < count) {
      let at = from_k + (first + local) * p.k2 / $WIDTHu;
      var product = 0.0;
      for (var i = 0u; i < D; i++) { product += $DOT; }
      score = score_of(product, batch, head, query, first + local, past);
    }
    part[local] = score;
    workgroupBarrier();
    for (var step = GROUP / 2u; step > 0u; step = step / 2u) {
      if (local < step) { part[local] = max(part[local], part[local + step]); }
      workgroupBarrier();
    }
    let high = max(top, part[0]);
    weights[local] = weight_of(score - high);
    let shrink = exp(top - high);
    workgroupBarrier();
    result *= shrink;
    sum *= shrink;
    if (slice < slices) {
      for (var j = slice; j < count; j += slices) {
        let weight = weights[j];
        sum += weight;
        result += weight * $V(v[from_v + (first + j) * p.v2 / $WIDTHu + unit]);
      }
    }
    top = high;
  }
  // Each slice has the sum of its own weights.
  workgroupBarrier();
  part[local] = sum;
  results[local] = result;
  workgroupBarrier();
  if (local < E) {
    for (var i = 1u; i < slices; i++) {
      sum += part[local + i * E];
      result += results[local + i * E];
    }
    let share = $SHARE;
    o[(batch * p.o0 + head * p.o1 + query * p.o2) / $WIDTHu + local] = $S(result * share);
  }
}
