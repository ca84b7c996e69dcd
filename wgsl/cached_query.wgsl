// Queries [batch, heads, rows, width] with norm and rotary embedding. A workgroup a head: x: rows, y: heads, z: batch.
struct Params {
  heads: u32, rows: u32, width: u32, from_b: u32, from_h: u32, from_s: u32,
  norm: u32, epsilon: f32, half: u32, interleaved: u32, positions: u32, fault: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> cosines: array<$COS>;
@group(0) @binding(3) var<storage, read> sines: array<$SIN>;
@group(0) @binding(4) var<storage, read> gamma: array<$GAMMA>;
@group(0) @binding(5) var<storage, read> table: array<i32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read_write> faults: array<u32>;
// include snippets/head.wgsl

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(local_invocation_index) local: u32) {
  let position = u32(table[id.z * 6u]) + id.x;
  if (p.half > 0u && position >= p.positions) {
    faults[p.fault] = 1u;
    return;
  }
  let start = id.z * p.from_b + id.y * p.from_h + id.x * p.from_s;
  let to = ((id.z * p.heads + id.y) * p.rows + id.x) * p.width;
  let factor = norm_factor(start);
  for (var d = local; d < p.width; d += 64u) { y[to + d] = turned(start, d, factor, position); }
}
