// Rows of A, whose blocks of 32 are codes of 8 bits (pack_blocks.wgsl), times a matrix whose columns lie in blocks of codes of 4 bits (MatMulNBits):
// sums of a block are integers. $WX x $WY threads share tiles of a block; each makes $TM rows x 4 columns. While a tile is multiplied, the next is on its way.
// include snippets/product.wgsl
const ROWS = $TMu * $WYu;
const THREADS = $WXu * $WYu;
// Sums begin as the bits of this number, whose last digit is 1: as float32 it has the integer added.
const BASE = 12582912.0;
var<workgroup> tile_a: array<vec4u, 2u * ROWS>;
var<workgroup> tile_b: array<vec4u, 8u * $WXu>;
var<workgroup> scales_a: array<f32, ROWS>;
var<workgroup> scales_b: array<vec4f, $WXu>;

// 16 codes less their zero point, as bytes.
fn words(w: vec2u, zero: u32) -> vec4u {
  let c = vec4u(w.x, w.x >> 4u, w.y, w.y >> 4u) & vec4u(0x0f0f0f0fu);
  return ((c | vec4u(0x80808080u)) - vec4u(zero * 0x01010101u)) ^ vec4u(0x80808080u);
}

fn scales_at(n: u32, block: u32) -> vec4f {
  return vec4f(scale_of(min(n, p.n - 1u), block), scale_of(min(n + 1u, p.n - 1u), block), scale_of(min(n + 2u, p.n - 1u), block), scale_of(min(n + 3u, p.n - 1u), block));
}

@compute @workgroup_size($WX, $WY)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) t: u32) {
  let m = group.y * ROWS;
  let n = group.x * $WXu * 4u;
$for i $TM
  var c#i = vec4f();
$}
$for q $NA
  let row#q = min(m + (t + #qu * THREADS) / 2u, p.m - 1u) * p.a_row + t % 2u;
  var a#q = a[row#q];
$}
$for q $NB
  let column#q = min(n + (t + #qu * THREADS) / 2u, p.n - 1u);
  var b#q = b[column#q * p.b_column + t % 2u];
  var zero#q = u32(zero_of(column#q, 0u));
$}
  let row_s = min(m + t, p.m - 1u) * (p.a_row / 2u);
  var s_a = scales_of_a[row_s];
  let column_s = n + t * 4u;
  var s_b = scales_at(column_s, 0u);
  for (var block = 0u; block < p.k; block++) {
$for q $NA
    if (t + #qu * THREADS < 2u * ROWS) { tile_a[t + #qu * THREADS] = a#q; }
$}
    // Columns 0, 4, 8, ... first, so that neighbouring threads read neighbours.
$for q $NB
    {
      let i = (t + #qu * THREADS) / 2u;
      if (i < 4u * $WXu) { tile_b[(t % 2u * 4u + i % 4u) * $WXu + i / 4u] = words(b#q, zero#q); }
    }
$}
    if (t < ROWS) { scales_a[t] = s_a; }
    if (t < $WXu) { scales_b[t] = s_b; }
    workgroupBarrier();
    let next = min(block + 1u, p.k - 1u);
    let next_scale = next * 32u / $BLOCKu;
$for q $NA
    a#q = a[row#q + 2u * next];
$}
$for q $NB
    b#q = b[column#q * p.b_column + 2u * next + t % 2u];
    zero#q = u32(zero_of(column#q, next_scale));
$}
    s_a = scales_of_a[row_s + next];
    s_b = scales_at(column_s, next_scale);
$for i $TM
$for j 4
    var q#i_#j = bitcast<i32>(BASE);
$}
$}
$for h 2
    {
$for j 4
      let v#j = tile_b[(#hu * 4u + #ju) * $WXu + local.x];
$}
$for i $TM
      let u#i = tile_a[(local.y + #iu * $WYu) * 2u + #hu];
$for j 4
$for l 4
      q#i_#j += dot4I8Packed(u#i[#l], v#j[#l]);
$}
$}
$}
    }
$}
    let s = scales_b[local.x];
$for i $TM
    c#i += (bitcast<vec4f>(vec4i(q#i_0, q#i_1, q#i_2, q#i_3)) - vec4f(BASE)) * (scales_a[local.y + #iu * $WYu] * s);
$}
    workgroupBarrier();
  }
$for i $TM
  store(0u, m + local.y + #iu * $WYu, n + local.x * 4u, c#i);
$}
}
