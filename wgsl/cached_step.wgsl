// A token's attention to what its session has in pages and to itself, which it appends: rotary embedding and norms of queries and keys, append
// and attention in one. A workgroup a head of queries and row of the batch: x: heads, y: batch. Of the heads that share a key, the first writes it.
struct Params {
  share: u32, q_at: u32, q_b: u32, k_at: u32, k_b: u32, v_at: u32, v_b: u32, y_b: u32, layer_k: u32, layer_v: u32, window: u32, scale: f32, softcap: f32,
  past: u32, m_b: u32, m_t: u32, fault: u32, epsilon: f32, half: u32, interleaved: u32, positions: u32, turn_b: u32,
}
const WIDTH = $WIDTHu;
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS
// include snippets/pages.wgsl
var<workgroup> query: array<f32, WIDTH>;
var<workgroup> fresh: array<f32, WIDTH>;

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
  for (var d = local; d < WIDTH; d += THREADS) {
    query[d] = turned_q(q_from, d, id.y, cached, norm_q);
    fresh[d] = turned_k(k_from, d, id.y, cached, norm_k);
  }
  workgroupBarrier();
  if (id.x % p.share == 0u) {
    let place = u32(table[list + cached / PAGE]);
    for (var d = local; d < WIDTH; d += THREADS) {
      pool[place + p.layer_k + (head * WIDTH + d) * PAGE + cached % PAGE] = fresh[d];
      pool[place + p.layer_v + (head * PAGE + cached % PAGE) * WIDTH + d] = $V[v_from + d];
    }
  }
  let part = local / PAGE;
  let lane = local % PAGE;
  let mine = part * PAGE;
  let first = select(0u, cached + 1u - p.window, p.window > 0u && cached + 1u > p.window);
  let pages = (cached + PAGE - 1u) / PAGE;
  var top = LOW;
  var sum = 0.0;
  var result = vec4f();
  for (var turn = first / PAGE; turn < pages; turn += PARTS) {
    let page = turn + part;
    let key = page * PAGE + lane;
    var place = 0u;
    var count = 0u;
    var s = LOW;
    if (page < pages) {
      place = u32(table[list + page]);
      count = min(PAGE, cached - page * PAGE);
      if (key < cached && key >= first) {
        let at = place + p.layer_k + head * WIDTH * PAGE + lane;
        var dots = vec4f();
        for (var d = 0u; d < WIDTH; d += $STEPu) {
$for u $STEP
          dots[#u % 4] += query[d + #uu] * pool[at + (d + #uu) * PAGE];
$}
        }
        s = capped(dot(dots, vec4f(1.0)));
      }
    }
    let most = highest(local, top, s);
    let fade = exp(top - most);
    sum *= fade;
    result *= fade;
    let at = place + p.layer_v + head * PAGE * WIDTH + lane;
    // Many loads at a time, also of keys that are not there, whose score is 0.
    for (var j = 0u; j < count; j += 8u) {
$for u 8
      let e#u = score[mine + j + #uu];
      sum += e#u;
$for c $COLUMNS
      if (#cu * PAGE + lane < WIDTH) { result[#c] += select(0.0, e#u * pool[at + (j + #uu) * WIDTH + #cu * PAGE], j + #uu < count); }
$}
$}
    }
    top = most;
    workgroupBarrier();
  }
  join(local, top, sum, result);
  var own = 0.0;
  for (var d = 0u; d < WIDTH; d++) { own += query[d] * fresh[d]; }
  own = capped(own);
  let most = joined_top(own);
  let share = exp(own - most);
  let total = share + joined_sum(most);
  for (var d = local; d < WIDTH; d += THREADS) { y[id.y * p.y_b + id.x * WIDTH + d] = ($V[v_from + d] * share + joined_column(d, most)) / total; }
}
