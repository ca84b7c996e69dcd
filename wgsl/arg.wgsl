// The place of the largest (or smallest) of n elements `step` apart, of each row. What is no number counts as the most.
override GROUP: u32 = 64u;
override LANES: u32 = 1u;
var<workgroup> part: array<$A, $MOSTu>;
var<workgroup> places: array<u32, $MOSTu>;
struct Params { rows: u32, n: u32, step: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
@group(0) @binding(2) var<storage, read_write> y: array<$O>;

fn is_none(v: $A) -> bool { return $NONE; }

// Whether b at place j comes before a at place i.
fn before(a: $A, i: u32, b: $A, j: u32) -> bool {
  if (j == 0xffffffffu) { return false; }
  if (i == 0xffffffffu) { return true; }
  let least = $TIE;
  if (is_none(a) || is_none(b)) { return is_none(b) && (!is_none(a) || least); }
  return $BETTER || (a == b && least);
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let n = select(0u, p.n, row < p.rows);
  let start = (row / p.step) * p.n * p.step + row % p.step;
  var best = $A();
  var place = 0xffffffffu;
  for (var i = lane; i < n; i += LANES) {
    let v = $A(x[start + i * p.step]);
    if (before(best, place, v, i)) { best = v; place = i; }
  }
  if (LANES > 1u) {
    part[local] = best;
    places[local] = place;
    workgroupBarrier();
    for (var step = LANES / 2u; step > 0u; step = step / 2u) {
      if (lane < step && before(part[local], places[local], part[local + step], places[local + step])) {
        part[local] = part[local + step];
        places[local] = places[local + step];
      }
      workgroupBarrier();
    }
    place = places[local];
  }
  if (lane == 0u && row < p.rows) { y[row] = $O(place); }
}
