// A convolution with few filters a group: a thread makes four neighbouring places of a row, and reads each element of the image that they share once.
// include snippets/index.wgsl
struct Params {
  count: u32, channels: u32, filters: u32, group: u32, width: u32, height: u32, out_width: u32, out_height: u32, fours: u32,
  step_y: u32, dilation_y: u32, pad_y: u32, pad_x: u32
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<$X>;
@group(0) @binding(2) var<storage, read> w: array<$W>;
@group(0) @binding(3) var<storage, read_write> y: array<$Y>;
$BINDINGS
alias F = vec4<f32>;
alias U = vec4<u32>;
alias B = vec4<bool>;
// include snippets/real.wgsl

// The element of a row, which begins at `row`; 0 beside the image.
fn pick(row: u32, column: i32, inside: bool) -> f32 {
  let there = inside & (column >= 0) & (column < i32(p.width));
  return select(0.0, f32(x[select(0u, row + u32(column), there)]), there);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) local: u32) {
  let i = thread_of(group, groups, local, 64u);
  if (i >= p.count) { return; }
  let place = i % p.fours * 4u;
  let line = i / p.fours;
  let row = line % p.out_height;
  let f = line / p.out_height % (p.filters * p.group);
  let image = line / p.out_height / (p.filters * p.group) * p.group + f / p.filters;
  let column = i32(place * $STEPu) - i32(p.pad_x);
  var v = vec4f();
  for (var c = 0u; c < p.channels; c++) {
    let first = (image * p.channels + c) * p.height * p.width;
    for (var ky = 0u; ky < $KYu; ky++) {
      let r = i32(row * p.step_y + ky * p.dilation_y) - i32(p.pad_y);
      let inside = (r >= 0) & (r < i32(p.height));
      let start = first + u32(r) * p.width;
      let tap = ((f * p.channels + c) * $KYu + ky) * $KXu;
      $ROW
    }
  }
  let at = line * p.out_width + place;
  $BIAS
  $STORE
}
