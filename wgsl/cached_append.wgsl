// New keys, with norm and rotary embedding, and values to the pages of the rows' sessions (backends/webgpu/pages.py).
// A workgroup a head: x: rows, y: heads of keys, z: batch.
struct Params {
  width: u32, value_width: u32, k_at: u32, k_b: u32, k_h: u32, k_s: u32, v_at: u32, v_b: u32, v_h: u32, v_s: u32, layer_k: u32, layer_v: u32,
  norm: u32, epsilon: f32, half: u32, interleaved: u32, positions: u32, fault: u32,
}
const PAGE = 64u;
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> v: array<f32>;
@group(0) @binding(3) var<storage, read> cosines: array<$COS>;
@group(0) @binding(4) var<storage, read> sines: array<$SIN>;
@group(0) @binding(5) var<storage, read> gamma: array<$GAMMA>;
@group(0) @binding(6) var<storage, read> table: array<i32>;
@group(0) @binding(7) var<storage, read_write> pool: array<$PAIR>;
@group(0) @binding(8) var<storage, read_write> faults: array<u32>;
// include snippets/head.wgsl
// include snippets/pairs.wgsl

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = id.z * 6u;
  let position = u32(table[row]) + id.x;
  if (p.half > 0u && position >= p.positions) {
    faults[p.fault] = 1u;
    return;
  }
  let page = u32(table[u32(table[row + 2u]) + position / PAGE]);
  let place = position % PAGE;
  let start = p.k_at + id.z * p.k_b + id.y * p.k_h + id.x * p.k_s;
  let factor = norm_factor(start);
  // A last pair may have one element only.
  let pairs = (p.width + 1u) / 2u;
  let keys = page + p.layer_k + id.y * pairs * PAGE + place;
  for (var d = local; d < pairs; d += 64u) {
    var pair = vec2f(turned(start, 2u * d, factor, position), 0.0);
    if (2u * d + 1u < p.width) { pair.y = turned(start, 2u * d + 1u, factor, position); }
    pool[keys + d * PAGE] = kept(pair);
  }
  let row_pairs = (p.value_width + 1u) / 2u;
  let values = page + p.layer_v + (id.y * PAGE + place) * row_pairs;
  let v_from = p.v_at + id.z * p.v_b + id.y * p.v_h + id.x * p.v_s;
  for (var d = local; d < row_pairs; d += 64u) {
    pool[values + d] = kept(vec2f(v[v_from + 2u * d], select(0.0, v[v_from + 2u * d + 1u], 2u * d + 1u < p.value_width)));
  }
}
