// include snippets/lanes.wgsl
// include snippets/units.wgsl
// Normalisation of rows of n units, after additions: (v - mean) / sqrt(mean square + epsilon) * gamma + beta. What a sum loses by rounding is added to it
// with the next number (Kahan): behind a norm activations may be quantised, where a unit in the last place can be a code.
struct Params { rows: u32, n: u32, share: f32, epsilon: f32, skips: u32, turn: u32, each: u32, run: u32 }
@group(0) @binding(0) var<uniform> p: Params;
$BINDINGS

fn value(row: u32, i: u32) -> F { return $VALUE; }

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let n = select(0u, p.n, row < p.rows);
  $MEAN
  var squares = F();
  var lost = F();
  for (var i = lane; i < n; i += LANES) {
    let v = value(row, i) - mean;
    let more = v * v - lost;
    let next = squares + more;
    lost = (next - squares) - more;
    squares = next;
  }
  let f = 1.0 / sqrt(lanes_sum(local, sum_of(squares)) * p.share + p.epsilon);
  for (var i = lane; i < n; i += LANES) {
    let v = value(row, i);
    $TOTAL
    let g = (row % p.turn) * p.each + i / p.run;
    $STORE
  }
}
