// Attention of queries [batch, heads, rows, width] to what lies in the pages of their rows' sessions. A workgroup $QUERIES rows
// of a head: x: rows, y: heads, z: batch.
//
// A query sees what was cached, and of the new tokens those before it. The graph's own mask has to mean just that: its columns are
// `past` places, of which the last count, then the new tokens. column: 0: the text's own pages; 3: those of the encoder's states.
struct Params {
  rows: u32, heads: u32, groups: u32, q_b: u32, q_h: u32, q_s: u32, o_b: u32, o_h: u32, o_s: u32, layer_k: u32, layer_v: u32,
  column: u32, past: u32, window: u32, scale: f32, softcap: f32, masked: u32, m_b: u32, m_s: u32, m_t: u32, fault: u32,
  f_b: u32, f_h: u32, f_s: u32, f_t: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> pool: array<$PAIR>;
@group(0) @binding(3) var<storage, read> table: array<i32>;
@group(0) @binding(4) var<storage, read> mask: array<$MASK>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> faults: array<u32>;
// include snippets/pages.wgsl

// A number of each row, or its place.
alias N = $N;

fn element(start: N, d: u32) -> Q { return $ELEMENT; }

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = id.z * 6u + p.column;
  let cached = u32(table[row]);
  let list = u32(table[row + 2u]);
  let own = p.column == 0u;
  let rows = min(N(id.x * $QUERIESu) + $COUNTED, N(p.rows - 1u));
  let seen = select(N(cached), N(cached + 1u) + rows, own);
  let last = $LAST;
  let first = select(N(), seen - min(seen, N(p.window)), p.window > 0u);
  let column = select(0u, p.past - cached, own);
  if (p.masked == 1u && id.y == 0u) {
$for r $QUERIES
    for (var i = local; i < seen$AT; i += THREADS) {
      if (mask[id.z * p.m_b + rows$AT * p.m_s + (column + i) * p.m_t] != $SHOWN) { faults[p.fault] = 6u; }
    }
$}
  }
  let start = id.z * p.q_b + id.y * p.q_h + rows * p.q_s;
  for (var d = local; d < PAIRS; d += THREADS) { query[d] = P(element(start, 2u * d), select(Q(), element(start, 2u * d + 1u), 2u * d + 1u < $WIDTHu)); }
  workgroupBarrier();
  let part = local / PAGE;
  let lane = local % PAGE;
  let head = id.y / (p.heads / p.groups);
  let pages = (last + PAGE - 1u) / PAGE;
  top = Q(LOW);
  for (var turn = $FIRST / PAGE; turn < pages; turn += PARTS) {
    let page = turn + part;
    let key = page * PAGE + lane;
    var place = 0u;
    var count = 0u;
    var s = Q(LOW);
    if (page < pages) {
      place = u32(table[list + page]);
      count = min(PAGE, last - page * PAGE);
      if (key < last) {
        s = scored(place + p.layer_k + head * PAIRS * PAGE + lane);
        $BIASED
        s = select(Q(LOW), s, (N(key) < seen) & (N(key) >= first));
      }
    }
    weigh(local, s, place + p.layer_v + head * PAGE * ROW, count);
  }
  join(local);
  let most = joined_top(Q(LOW));
  let total = joined_sum(most);
  let to = id.z * p.o_b + id.y * p.o_h + rows * p.o_s;
  for (var d = local; d < ROW; d += THREADS) {
    let v = joined_pair(d, most);
    let even = v[0] / total;
    let odd = v[1] / total;
    // Rows behind the last are the last again.
$for r $QUERIES
    y[to$AT + 2u * d] = even$AT;
    if (2u * d + 1u < $VALUESu) { y[to$AT + 2u * d + 1u] = odd$AT; }
$}
  }
}
