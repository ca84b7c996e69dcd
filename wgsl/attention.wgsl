// Attention over tiles of keys with a running softmax (FlashAttention, arXiv 2205.14135): PARTS threads a query, each with a part of
// its width in registers. Products of a tile are shared among them. Units are one or four elements.
const THREADS = 64u;
const PARTS = $PARTSu;
const KEYS = $KEYSu;
const ROWS = THREADS / PARTS;
// Units of a key, of a value, and a thread's part of them.
const D = $Du;
const E = $Eu;
// include snippets/scores.wgsl
var<workgroup> keys: array<$V, KEYS * D>;
var<workgroup> values: array<$V, KEYS * E>;
var<workgroup> scores: array<f32, KEYS * THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = group.y;
  let batch = group.z;
  let part = local % PARTS;
  let query = group.x * ROWS + local / PARTS;
  let past = past_of(batch);
  let row = min(query, p.s - 1u);
  let from_q = (p.q + batch * p.q0 + head * p.q1 + row * p.q2) / $WIDTHu + part * (D / PARTS);
  let from_k = (p.k + batch * p.k0 + head / p.group * p.k1) / $WIDTHu;
  let from_v = (p.v + batch * p.v0 + head / p.group * p.v1) / $WIDTHu;
  $QUERY
  var top = -3.4028234e38;
  var sum = 0.0;
  $START
  let end = end_key(min(group.x * ROWS + ROWS, p.s) - 1u, past);
  for (var first = first_key(group.x * ROWS, past) / KEYS * KEYS; first < end; first += KEYS) {
    let count = min(KEYS, end - first);
    workgroupBarrier();
    for (var i = local; i < count * D; i += THREADS) { keys[i] = $V(k[from_k + (first + i / D) * p.k2 / $WIDTHu + i % D]); }
    for (var i = local; i < count * E; i += THREADS) { values[i] = $V(v[from_v + (first + i / E) * p.v2 / $WIDTHu + i % E]); }
    workgroupBarrier();
    var high = top;
    for (var j = 0u; j < count; j++) {
      let at = j * D + part * (D / PARTS);
      var product = $PRODUCT;
      if (PARTS == 1u) {
        product = score_of(product, batch, head, row, first + j, past);
        high = max(high, product);
      }
      scores[j * THREADS + local] = product;
    }
    if (PARTS > 1u) {
      workgroupBarrier();
      for (var j = part; j < count; j += PARTS) {
        let at = j * THREADS + local - part;
        var product = 0.0;
        for (var i = 0u; i < PARTS; i++) { product += scores[at + i]; }
        scores[at] = score_of(product, batch, head, row, first + j, past);
      }
      workgroupBarrier();
      for (var j = 0u; j < count; j++) { high = max(high, scores[j * THREADS + local - part]); }
    }
    let shrink = exp(top - high);
    sum *= shrink;
    $SHRINK
    for (var j = 0u; j < count; j++) {
      let weight = weight_of(scores[j * THREADS + local - part] - high);
      let at = j * E + part * (E / PARTS);
      sum += weight;
      $ADD
    }
    top = high;
  }
  if (query < p.s) {
    let to = (batch * p.o0 + head * p.o1 + row * p.o2) / $WIDTHu + part * (E / PARTS);
    let share = $SHARE;
    $RESULT
  }
}
