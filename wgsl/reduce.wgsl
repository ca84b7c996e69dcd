// include snippets/units.wgsl
// include snippets/real.wgsl
// Reduction of n elements of each row to one of type $A. The places of both are loops over dims.
override GROUP: u32 = 64u;
override LANES: u32 = 1u;
var<workgroup> part: array<$A, 256>;
struct Params { rows: u32, n: u32, start: $A, share: f32, $PARAMS }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
@group(0) @binding(2) var<storage, read_write> y: array<$O>;

fn join(a: $A, b: $A) -> $A { return $JOIN1; }
fn joined(a: $V, b: $V) -> $V { return $JOIN4; }

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let n = select(0u, p.n, row < p.rows);
  $ROW
  var all = $V(p.start);
  for (var i = lane; i < n; i += LANES) {
    $PLACE
    let v = $V(x[at]);
    all = joined(all, $EACH);
  }
  var one = $FOLD;
  if (LANES > 1u) {
    part[local] = one;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step = step / 2u) {
      if (lane < step) { part[local] = join(part[local], part[local + step]); }
      workgroupBarrier();
    }
    one = part[local];
  }
  if (lane == 0u && row < p.rows) { y[row] = $O($LAST); }
}
