// The logits of each row with penalties of the tokens seen (repetition, Keskar et al. 2019; presence and frequency). A workgroup has a row.
// backends/webgpu/drawing.py has the words of `asked`; seen: tokens, each with how often it was made; ids: what the step was given.
override GROUP: u32 = 64u;
struct Params { n: u32, places: u32, fresh: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> asked: array<u32>;
@group(0) @binding(3) var<storage, read> seen: array<u32>;
@group(0) @binding(4) var<storage, read> ids: array<i32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
var<workgroup> again: atomic<u32>;
// include snippets/upper.wgsl

// v times a number of two words of `asked`, to the nearest: CPUs multiply doubles.
fn times(v: f32, at: u32) -> f32 {
  let bits = bitcast<u32>(v);
  let high = upper(((bits & 0x7fffffu) | 0x800000u) << 8u, asked[at]);
  let s = select(7u, 8u, high > 0x7fffffffu);
  let e = i32((bits >> 23u) & 255u) + 1 + bitcast<i32>(asked[at + 1u]) + i32(s);
  let r = f32((high >> s) + ((high >> (s - 1u)) & 1u)) * bitcast<f32>(u32(clamp(e, 1, 254)) << 23u);
  return select(select(r, -r, v < 0.0), v, (bits & 0x7fffffffu) >= 0x7f800000u);
}

fn penalized(v: f32, row: u32, count: u32) -> f32 {
  let r = times(v, row + select(9u, 7u, v < 0.0));
  return select(r, r - (bitcast<f32>(asked[row + 11u]) + bitcast<f32>(asked[row + 12u]) * f32(count)), count > 0u);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = group.x * 14u;
  let start = group.x * p.n;
  // The token that the step before has chosen, which nobody else knows yet.
  let fresh = select(0xffffffffu, u32(ids[(group.x + 1u) * p.fresh - 1u]), asked[row + 13u] == 1u);
  if (local == 0u) { atomicStore(&again, 0u); }
  for (var i = local; i < p.n; i += GROUP) { y[start + i] = x[start + i]; }
  storageBarrier();
  workgroupBarrier();
  for (var i = local; i < p.places; i += GROUP) {
    let at = (group.x * p.places + i) * 2u;
    let token = seen[at];
    if (token < p.n) {
      var count = seen[at + 1u];
      if (token == fresh) {
        count++;
        atomicStore(&again, 1u);
      }
      y[start + token] = penalized(x[start + token], row, count);
    }
  }
  workgroupBarrier();
  if (local == 0u && fresh < p.n && atomicLoad(&again) == 0u) { y[start + fresh] = penalized(x[start + fresh], row, 1u); }
}
