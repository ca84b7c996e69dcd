// The k largest (or smallest) of n elements `step` apart, of each row, NaN first, in order: one after the other, each the first after the last.
override GROUP: u32 = 64u;
override LANES: u32 = 1u;
var<workgroup> part: array<$A, 256>;
var<workgroup> places: array<u32, 256>;
struct Params { rows: u32, n: u32, step: u32, k: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
$OUTPUTS

fn is_none(v: $A) -> bool { return $NONE; }

// Whether b at place j comes before a at place i in the order of results.
fn before(a: $A, i: u32, b: $A, j: u32) -> bool {
  if (is_none(a) != is_none(b)) { return is_none(b); }
  if (a == b || is_none(a)) { return j < i; }
  return $BETTER;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let n = select(0u, p.n, row < p.rows);
  let start = (row / p.step) * p.n * p.step + row % p.step;
  var last = $A();
  var last_place = 0xffffffffu;
  for (var turn = 0u; turn < p.k; turn++) {
    var best = $A();
    var place = 0xffffffffu;
    for (var i = lane; i < n; i += LANES) {
      let v = $A(x[start + i * p.step]);
      let open = turn == 0u || before(v, i, last, last_place);
      if (open && (place == 0xffffffffu || before(best, place, v, i))) { best = v; place = i; }
    }
    if (LANES > 1u) {
      part[local] = best;
      places[local] = place;
      workgroupBarrier();
      for (var step = LANES / 2u; step > 0u; step = step / 2u) {
        if (lane < step) {
          let other = places[local + step];
          if (other != 0xffffffffu && (places[local] == 0xffffffffu || before(part[local], places[local], part[local + step], other))) {
            part[local] = part[local + step];
            places[local] = other;
          }
        }
        workgroupBarrier();
      }
      best = part[local - lane];
      place = places[local - lane];
      workgroupBarrier();
    }
    last = best;
    last_place = place;
    if (lane == 0u && row < p.rows) {
      let at = (row / p.step) * p.k * p.step + turn * p.step + row % p.step;
      $STORE
    }
  }
}
