// include snippets/index.wgsl
struct Params { count: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = thread_of(group, groups, local, 64u);
  if (i < p.count) {
    // Not max(): a NaN must stay one.
    y[i] = select(x[i], 0.0, x[i] < 0.0);
  }
}
