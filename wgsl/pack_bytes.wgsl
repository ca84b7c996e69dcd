// Rows of p.k codes of 8 bits as words of four, the first in the lowest bits; the last word of a row is filled up with what stands for 0. p.flip turns
// unsigned codes into signed ones: those less 128. Matrices of p.inner rows lie p.outer apart.
// include snippets/index.wgsl
alias F = f32;
alias U = u32;
alias I = i32;
alias B = bool;
// include snippets/real.wgsl
// include snippets/quotient.wgsl
struct Params { count: u32, k: u32, words: u32, row: u32, step: u32, flip: u32, inner: u32, outer: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$X>;
@group(0) @binding(2) var<storage, read_write> y: array<u32>;
$BINDINGS

fn zero(row: u32) -> u32 { return $ZERO; }
fn code(i: u32) -> u32 { return $CODE; }

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let u = thread_of(group, groups, local, 64u);
  if (u >= p.count) { return; }
  var word = 0u;
  let row = u / p.words;
  let start = row / p.inner * p.outer + row % p.inner * p.row;
  for (var l = 0u; l < 4u; l++) {
    let k = u % p.words * 4u + l;
    word |= (select(zero(row), code(start + k * p.step), k < p.k) & 255u) << (8u * l);
  }
  y[u] = word ^ p.flip;
}
