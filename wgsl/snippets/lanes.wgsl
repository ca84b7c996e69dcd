// LANES neighbouring threads of a workgroup of GROUP work on a row. Every thread must come here, also one without a row.
override GROUP: u32 = 64u;
override LANES: u32 = 1u;
var<workgroup> part: array<f32, 256>;

fn lanes_sum(local: u32, mine: f32) -> f32 {
  if (LANES == 1u) { return mine; }
  let lane = local % LANES;
  part[local] = mine;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step = step / 2u) {
    if (lane < step) { part[local] = part[local] + part[local + step]; }
    workgroupBarrier();
  }
  let all = part[local - lane];
  workgroupBarrier();
  return all;
}

fn lanes_most(local: u32, mine: f32) -> f32 {
  if (LANES == 1u) { return mine; }
  let lane = local % LANES;
  part[local] = mine;
  workgroupBarrier();
  for (var step = LANES / 2u; step > 0u; step = step / 2u) {
    if (lane < step) { part[local] = max(part[local], part[local + step]); }
    workgroupBarrier();
  }
  let all = part[local - lane];
  workgroupBarrier();
  return all;
}
