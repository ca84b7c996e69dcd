// A convolution, or what $TRANSPOSED says, its transpose, of which each thread makes one element: for few filters a group.
// include snippets/index.wgsl
struct Params {
  count: u32, channels: u32, filters: u32, group: u32, height: u32, width: u32, out_height: u32, out_width: u32,
  kernel_y: u32, kernel_x: u32, step_y: i32, step_x: i32, dilation_y: i32, dilation_x: i32, pad_y: i32, pad_x: i32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$X>;
@group(0) @binding(2) var<storage, read> w: array<$W>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
$BINDINGS
alias F = f32;
alias U = u32;
alias B = bool;
// include snippets/real.wgsl

// Where a tap falls: of a transposed convolution, the place whose window it is in, if there is one.
fn source(at: u32, tap: u32, step: i32, dilation: i32, pad: i32) -> i32 {
  if ($TRANSPOSED) {
    let start = i32(at) + pad - i32(tap) * dilation;
    return select(-1, start / step, start >= 0 && start % step == 0);
  }
  return i32(at) * step - pad + i32(tap) * dilation;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = thread_of(group, groups, local, 64u);
  if (i >= p.count) { return; }
  let column = i % p.out_width;
  let row = i / p.out_width % p.out_height;
  let filters = p.filters * p.group;
  let f = i / p.out_width / p.out_height % filters;
  let image = i / p.out_width / p.out_height / filters * p.group + f / p.filters;
  let taps = p.kernel_y * p.kernel_x;
  var v = 0.0;
  for (var c = 0u; c < p.channels; c++) {
    let first = (image * p.channels + c) * p.height * p.width;
    var tap = (f * p.channels + c) * taps;
    if ($TRANSPOSED) { tap = ((f / p.filters * p.channels + c) * p.filters + f % p.filters) * taps; }
    for (var ky = 0u; ky < p.kernel_y; ky++) {
      let r = source(row, ky, p.step_y, p.dilation_y, p.pad_y);
      let inside = r >= 0 && r < i32(p.height);
      for (var kx = 0u; kx < p.kernel_x; kx++) {
        let q = source(column, kx, p.step_x, p.dilation_x, p.pad_x);
        if (inside && q >= 0 && q < i32(p.width)) { v += f32(x[first + u32(r) * p.width + u32(q)]) * f32(w[tap + ky * p.kernel_x + kx]); }
      }
    }
  }
  $BIAS
  y[i] = v;
}
