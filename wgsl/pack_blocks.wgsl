// Rows of p.k numbers as codes of 8 bits, of which each 32 (a block) have a scale: the largest is 127. Eight threads a block. Its words are, of every
// eight codes, those of even k and then those of odd k, as masks and shifts give them for weights of 4 bits.
// include snippets/index.wgsl
struct Params { count: u32, k: u32, blocks: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
@group(0) @binding(3) var<storage, read_write> scales: array<f32>;
var<workgroup> most: array<f32, 64>;
var<workgroup> codes: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let u = thread_of(group, groups, local, 64u);
  let block = u / 8u;
  let k = (block % p.blocks * 8u + u % 8u) * 4u;
  let v = select(vec4f(), x[(block / p.blocks * p.k + k) / 4u], k < p.k);
  let high = max(abs(v.xy), abs(v.zw));
  most[local] = max(high.x, high.y);
  workgroupBarrier();
  let first = local - local % 8u;
  var top = 0.0;
$for i 8
  top = max(top, most[first + #iu]);
$}
  let c = vec4u(vec4i(round(v * select(127.0 / top, 0.0, top == 0.0)))) & vec4u(255u);
  codes[local] = c.x | (c.z << 8u) | (c.y << 16u) | (c.w << 24u);
  workgroupBarrier();
  if (block >= p.count) { return; }
  let shift = u % 2u * 16u;
  y[u] = ((codes[local & ~1u] >> shift) & 0xffffu) | ((codes[local | 1u] >> shift) << 16u);
  if (u % 8u == 0u) { scales[block] = top / 127.0; }
}
