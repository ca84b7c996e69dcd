// Rows of A, whose blocks of 32 are codes of 8 bits (pack_blocks.wgsl), times a matrix whose columns lie in blocks of codes of 4 bits (MatMulNBits):
// sums of a block are integers. $WX x $WY threads share tiles of $D blocks; each makes $TM rows x 4 columns. While a tile is multiplied, the next is on its way.
// include snippets/product.wgsl
const ROWS = $TMu * $WYu;
const THREADS = $WXu * $WYu;
// Units of 16 codes in a row of a tile of $D blocks.
const UNITS = 2u * $Du;
// Sums begin as the bits of this number, whose last digit is 1: as float32 it has the integer added.
const BASE = 12582912.0;
var<workgroup> tile_a: array<vec4u, UNITS * ROWS>;
var<workgroup> tile_b: array<vec4u, UNITS * 4u * $WXu>;
var<workgroup> scales_a: array<f32, $Du * ROWS>;
var<workgroup> scales_b: array<vec4f, $Du * $WXu>;

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
  let row#q = min(m + (t + #qu * THREADS) / UNITS, p.m - 1u) * p.a_row;
  let unit#q = (t + #qu * THREADS) % UNITS;
  var a#q = select(vec4u(), a[row#q + unit#q], unit#q < p.a_row);
$}
$for q $NB
  let column#q = min(n + (t + #qu * THREADS) / UNITS, p.n - 1u);
  let four#q = (t + #qu * THREADS) % UNITS;
  var b#q = b[column#q * p.b_column + four#q];
  var zero#q = u32(zero_of(column#q, four#q * 16u / $BLOCKu));
$}
  let row_s = min(m + t / $Du, p.m - 1u) * p.k;
  let column_s = n + t / $Du * 4u;
  var s_a = select(0.0, scales_of_a[row_s + t % $Du], t % $Du < p.k);
  var s_b = scales_at(column_s, t % $Du * 32u / $BLOCKu);
  for (var block = 0u; block < p.k; block += $Du) {
$for q $NA
    if (t + #qu * THREADS < UNITS * ROWS) { tile_a[t + #qu * THREADS] = a#q; }
$}
    // Columns 0, 4, 8, ... first, so that neighbouring threads read neighbours.
$for q $NB
    {
      let i = (t + #qu * THREADS) / UNITS;
      if (i < 4u * $WXu) { tile_b[(four#q * 4u + i % 4u) * $WXu + i / 4u] = words(b#q, zero#q); }
    }
$}
    if (t < ROWS * $Du) { scales_a[t] = s_a; }
    if (t < $WXu * $Du) { scales_b[t] = s_b; }
    workgroupBarrier();
    let next = 2u * (block + $Du);
$for q $NA
    a#q = select(vec4u(), a[row#q + next + unit#q], next + unit#q < p.a_row);
$}
$for q $NB
    b#q = b[column#q * p.b_column + next + four#q];
    zero#q = u32(zero_of(column#q, (next + four#q) * 16u / $BLOCKu));
$}
    s_a = select(0.0, scales_of_a[row_s + next / 2u + t % $Du], next / 2u + t % $Du < p.k);
    s_b = scales_at(column_s, (next / 2u + t % $Du) * 32u / $BLOCKu);
$for d $D
    {
$for i $TM
$for j 4
    var q#i_#j = bitcast<i32>(BASE);
$}
$}
$for h 2
    {
$for j 4
      let v#j = tile_b[((#du * 2u + #hu) * 4u + #ju) * $WXu + local.x];
$}
$for i $TM
      let u#i = tile_a[(local.y + #iu * $WYu) * UNITS + #du * 2u + #hu];
$for j 4
$for l 4
      q#i_#j += dot4I8Packed(u#i[#l], v#j[#l]);
$}
$}
$}
    }
$}
    let s = scales_b[local.x * $Du + #du];
$for i $TM
    c#i += (bitcast<vec4f>(vec4i(q#i_0, q#i_1, q#i_2, q#i_3)) - vec4f(BASE)) * (scales_a[(local.y + #iu * $WYu) * $Du + #du] * s);
$}
    }
$}
    workgroupBarrier();
  }
$for i $TM
  store(0u, m + local.y + #iu * $WYu, n + local.x * 4u, c#i);
$}
}
