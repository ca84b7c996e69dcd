// Rows of p.k numbers as codes of 8 bits, of which each 32 (a block) have a scale: the largest is 127. A thread a block, two units of 16 codes: in the
// words of one are those of even k, of odd k, and so on, as masks and shifts give them for weights of 4 bits.
// include snippets/index.wgsl
struct Params { count: u32, k: u32, blocks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$X>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4u>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;

// Elements k to k + 3 of a row; 0 beyond the last.
fn four(row: u32, k: u32) -> vec4f { return $FOUR; }

fn word(v: vec4f) -> u32 {
  let c = vec4u(vec4i(round(v))) & vec4u(255u);
  return c.x | (c.y << 8u) | (c.z << 16u) | (c.w << 24u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let u = thread_of(group, groups, local, 64u);
  if (u >= p.count) { return; }
  var most = vec4f();
$for i 8
  let x#i = four(u / p.blocks, u % p.blocks * 32u + #iu * 4u);
  most = max(most, abs(x#i));
$}
  let top = max(max(most.x, most.y), max(most.z, most.w));
  let factor = select(127.0 / top, 0.0, top == 0.0);
  scales[u] = top / 127.0;
  y[2u * u] = vec4u(word(vec4f(x0.xz, x1.xz) * factor), word(vec4f(x0.yw, x1.yw) * factor), word(vec4f(x2.xz, x3.xz) * factor), word(vec4f(x2.yw, x3.yw) * factor));
  y[2u * u + 1u] = vec4u(word(vec4f(x4.xz, x5.xz) * factor), word(vec4f(x4.yw, x5.yw) * factor), word(vec4f(x6.xz, x7.xz) * factor), word(vec4f(x6.yw, x7.yw) * factor));
}
