// include snippets/index.wgsl
// One chain (backends/webgpu/chains.py): a thread makes the elements of one unit, an element or four of them.
$TYPES
// include snippets/real.wgsl
// include snippets/quotient.wgsl
struct Params { count: u32, $PARAMS }
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let u = thread_of(group, groups, local, 64u);
  if (u >= p.count) { return; }
$BODY
}
