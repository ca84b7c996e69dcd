// A token's attention to what its session has in pages and to itself, which it appends: rotary embedding and norms of queries and keys, append
// and attention in one. A workgroup a head of queries and row of the batch: x: heads, y: batch. Of the heads that share a key, the first writes it.
struct Params {
  share: u32, q_at: u32, q_b: u32, k_at: u32, k_b: u32, v_at: u32, v_b: u32, y_b: u32, layer_k: u32, layer_v: u32, window: u32, scale: f32, softcap: f32,
  past: u32, m_b: u32, m_t: u32, fault: u32, epsilon: f32, half: u32, interleaved: u32, positions: u32, turn_b: u32,
}
const WIDTH = 2u * PAIRS;
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS
// include snippets/pages.wgsl
var<workgroup> fresh: array<vec2f, PAIRS>;

$HEADS

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = id.y * 6u;
  let cached = u32(table[row]);
  let list = u32(table[row + 2u]);
  let head = id.x / p.share;
  $CHECK
  let q_from = p.q_at + id.y * p.q_b + id.x * WIDTH;
  let k_from = p.k_at + id.y * p.k_b + head * WIDTH;
  let v_from = p.v_at + id.y * p.v_b + head * WIDTH;
$NORMS
  for (var d = local; d < PAIRS; d += THREADS) {
    query[d] = vec2f(turned_q(q_from, 2u * d, id.y, cached, norm_q), turned_q(q_from, 2u * d + 1u, id.y, cached, norm_q));
    fresh[d] = vec2f(turned_k(k_from, 2u * d, id.y, cached, norm_k), turned_k(k_from, 2u * d + 1u, id.y, cached, norm_k));
  }
  workgroupBarrier();
  let keys = p.layer_k + head * PAIRS * PAGE;
  let values = p.layer_v + head * PAGE * ROW;
  if (id.x % p.share == 0u) {
    let place = u32(table[list + cached / PAGE]);
    for (var d = local; d < PAIRS; d += THREADS) {
      pool[place + keys + d * PAGE + cached % PAGE] = kept(fresh[d]);
      pool[place + values + cached % PAGE * ROW + d] = kept(vec2f($V[v_from + 2u * d], $V[v_from + 2u * d + 1u]));
    }
  }
  let lane = local % PAGE;
  let first = select(0u, cached + 1u - p.window, p.window > 0u && cached + 1u > p.window);
  let pages = (cached + PAGE - 1u) / PAGE;
  top = LOW;
  for (var turn = first / PAGE; turn < pages; turn += PARTS) {
    let page = turn + local / PAGE;
    let key = page * PAGE + lane;
    var place = 0u;
    var count = 0u;
    var s = LOW;
    if (page < pages) {
      place = u32(table[list + page]);
      count = min(PAGE, cached - page * PAGE);
      if (key < cached && key >= first) { s = scored(place + keys + lane); }
    }
    weigh(local, s, place + values, count);
  }
  join(local);
  var dots = vec2f();
  for (var d = 0u; d < PAIRS; d++) { dots += query[d] * fresh[d]; }
  let own = capped(dots.x + dots.y);
  let most = joined_top(own);
  let share = exp(own - most);
  let total = share + joined_sum(most);
  let to = id.y * p.y_b + id.x * WIDTH;
  for (var d = local; d < PAIRS; d += THREADS) {
    let v = (vec2f($V[v_from + 2u * d], $V[v_from + 2u * d + 1u]) * share + joined_pair(d, most)) / total;
    y[to + 2u * d] = v.x;
    y[to + 2u * d + 1u] = v.y;
  }
}
