// Running sums of n elements `step` apart, of each row; LANES threads take a run of elements each. back: from the end; skip: without the element itself.
override GROUP: u32 = 64u;
override LANES: u32 = 1u;
var<workgroup> part: array<$A, 256>;
struct Params { rows: u32, n: u32, step: u32, back: u32, skip: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$S>;
@group(0) @binding(2) var<storage, read_write> y: array<$S>;

fn place(row: u32, i: u32) -> u32 {
  let at = select(i, p.n - 1u - i, p.back == 1u);
  return (row / p.step) * p.n * p.step + row % p.step + at * p.step;
}

@compute @workgroup_size(GROUP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let row = (group.y * groups.x + group.x) * (GROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let n = select(0u, p.n, row < p.rows);
  let run = (n + LANES - 1u) / LANES;
  let end = min(n, (lane + 1u) * run);
  var before = $A();
  if (LANES > 1u) {
    var all = $A();
    for (var i = lane * run; i < end; i++) { all += $A(x[place(row, i)]); }
    part[local] = all;
    workgroupBarrier();
    for (var i = local - lane; i < local; i++) { before += part[i]; }
  }
  for (var i = lane * run; i < end; i++) {
    let at = place(row, i);
    let v = $A(x[at]);
    y[at] = $S(select(before + v, before, p.skip == 1u));
    before += v;
  }
}
