// Attention over tiles of keys with a running softmax (FlashAttention, arXiv 2205.14135). A tile's products, and then what they add of its values, are
// shared by 8 x 8 threads: each has $TM rows, every eighth, and $J keys of the one, $C columns of the other, four elements each. A row's softmax has one thread.
const THREADS = 64u;
const ROWS = $TMu * 8u;
const KEYS = $Ju * 8u;
// Fours of a key, of a value.
const D = $Du;
const E = $Eu;
// Rows that begin at other banks.
const PITCH = KEYS / 4u + 1u;
// include snippets/scores.wgsl
var<workgroup> tile: array<vec4f, KEYS * ($HIGHu + 1u)>;
var<workgroup> scores: array<vec4f, ROWS * PITCH>;
// What becomes of the sums of a row before; at the end, its share.
var<workgroup> shrinks: array<f32, ROWS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let head = group.y;
  let batch = group.z;
  let x = local % 8u;
  let y = local / 8u;
  let past = past_of(batch);
$for i $TM {
  let row#i = min(group.x * ROWS + #iu * 8u + y, p.s - 1u);
  let from#i = (p.q + batch * p.q0 + head * p.q1 + row#i * p.q2) / 4u;
$for c $C {
  var r#i_#c = vec4f();
$}
$}
  let from_k = (p.k + batch * p.k0 + head / p.group * p.k1) / 4u;
  let from_v = (p.v + batch * p.v0 + head / p.group * p.v1) / 4u;
  var top = -3.4028234e38;
  var sum = 0.0;
  let end = end_key(min(group.x * ROWS + ROWS, p.s) - 1u, past);
  for (var first = first_key(group.x * ROWS, past) / KEYS * KEYS; first < end; first += KEYS) {
    workgroupBarrier();
    for (var i = local; i < KEYS * D; i += THREADS) { tile[i / D * (D + 1u) + i % D] = vec4f(k[from_k + (first + i / D) * p.k2 / 4u + i % D]); }
    workgroupBarrier();
$for i $TM {
$for j $J {
    var s#i_#j = 0.0;
$}
$}
    for (var d = 0u; d < D; d++) {
$for j $J {
      let k#j = tile[(x + #ju * 8u) * (D + 1u) + d];
$}
$for i $TM {
      {
      let a = vec4f(q[from#i + d]);
$for j $J {
      s#i_#j = fma(a.x, k#j.x, fma(a.y, k#j.y, fma(a.z, k#j.z, fma(a.w, k#j.w, s#i_#j))));
$}
      }
$}
    }
$for i $TM {
$for j $J {
    scores[(#iu * 8u + y) * PITCH + #ju * 2u + x / 4u][x % 4u] = s#i_#j;
$}
$}
    workgroupBarrier();
    for (var i = local; i < KEYS * E; i += THREADS) { tile[i] = select(vec4f(), vec4f(v[from_v + (first + i / E) * p.v2 / 4u + i % E]), first + i / E < end); }
    if (local < ROWS) {
      let at = local * PITCH;
      let query = min(group.x * ROWS + local, p.s - 1u);
      var high = top;
      for (var i = 0u; i < KEYS; i++) {
        let s = score_of(scores[at + i / 4u][i % 4u] * p.scale, batch, head, query, first + i, past);
        scores[at + i / 4u][i % 4u] = s;
        high = max(high, s);
      }
      let shrink = exp(top - high);
      sum *= shrink;
      for (var i = 0u; i < KEYS; i++) {
        let w = weight_of(scores[at + i / 4u][i % 4u] - high);
        sum += w;
        scores[at + i / 4u][i % 4u] = w;
      }
      shrinks[local] = shrink;
      top = high;
    }
    workgroupBarrier();
$for i $TM {
$for c $C {
    r#i_#c *= shrinks[#iu * 8u + y];
$}
$}
    for (var j = 0u; j < KEYS / 4u; j++) {
$for l 4 {
$for c $C {
      let v#l_#c = tile[(j * 4u + #lu) * E + x + #cu * 8u];
$}
$}
$for i $TM {
      {
      let w = scores[(#iu * 8u + y) * PITCH + j];
$for c $C {
      r#i_#c = fma(vec4f(w.x), v0_#c, fma(vec4f(w.y), v1_#c, fma(vec4f(w.z), v2_#c, fma(vec4f(w.w), v3_#c, r#i_#c))));
$}
      }
$}
    }
  }
  workgroupBarrier();
  if (local < ROWS) { shrinks[local] = $SHARE; }
  workgroupBarrier();
$for i $TM {
$for c $C {
  if ((group.x * ROWS + #iu * 8u + y < p.s) & (x + #cu * 8u < E)) {
    o[(batch * p.o0 + head * p.o1 + row#i * p.o2) / 4u + x + #cu * 8u] = $S(r#i_#c * shrinks[#iu * 8u + y]);
  }
$}
$}
}
