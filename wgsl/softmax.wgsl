// include snippets/lanes.wgsl
// include snippets/units.wgsl
// include snippets/real.wgsl
// Softmax, or its logarithm, of rows of n units that are `step` apart; $S holds a unit.
struct Params { rows: u32, n: u32, step: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
@group(0) @binding(2) var<storage, read_write> y: array<$S>;

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let here = row < p.rows;
  let start = (row / p.step) * p.n * p.step + row % p.step;
  let n = select(0u, p.n, here);
  var high = F(-3.4028234e38);
  for (var i = lane; i < n; i += LANES) { high = max(high, F(x[start + i * p.step])); }
  let top = lanes_most(local, most_of(high));
  var all = F();
  for (var i = lane; i < n; i += LANES) {
    let e = expo(F(x[start + i * p.step]) - top);
    $EACH
    all += e;
  }
  let sum = lanes_sum(local, sum_of(all));
  for (var i = lane; i < n; i += LANES) {
    let at = start + i * p.step;
    y[at] = $S($LAST);
  }
}
