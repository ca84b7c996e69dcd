// Rows of A, whose blocks of 32 are codes of 8 bits (pack_blocks.wgsl), times a matrix whose columns lie in blocks of codes of 4 bits (MatMulNBits):
// sums of a block are integers. 16 x 8 threads share tiles of $D blocks; each makes $TM rows x 4 columns. While a tile is multiplied, the next is on its way.
// Rows and columns behind the last are anything, and not stored.
// include snippets/product.wgsl
const ROWS = $TMu * 8u;
const THREADS = 128u;
// Units of 16 codes in a row of a tile of $D blocks.
const UNITS = 2u * $Du;
// Sums begin as the bits of this number, whose last digit is 1: as float32 it has the integer added.
const BASE = 12582912.0;
var<workgroup> tile_a: array<vec4u, UNITS * ROWS>;
var<workgroup> tile_b: array<vec4u, UNITS * 64u>;
var<workgroup> scales_a: array<f32, $Du * ROWS>;
var<workgroup> scales_b: array<vec4f, $Du * 16u>;

// 16 codes less their zero point, as bytes.
fn words(w: vec2u, zero: u32) -> vec4u {
  let c = vec4u(w.x, w.x >> 4u, w.y, w.y >> 4u) & vec4u(0x0f0f0f0fu);
  return ((c | vec4u(0x80808080u)) - vec4u(zero * 0x01010101u)) ^ vec4u(0x80808080u);
}

fn scales_at(n: u32, block: u32) -> vec4f {
  return vec4f(scale_of(n, block), scale_of(n + 1u, block), scale_of(n + 2u, block), scale_of(n + 3u, block));
}

@compute @workgroup_size(16, 8)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) t: u32) {
  let m = group.y * ROWS;
  let blocks = p.a_row / 2u;
  let n = group.x * 64u;
  let unit = t % UNITS;
  let own = t / UNITS;
  let block_s = t % $Du;
$for i $TM
  var c#i = vec4f();
$}
$for q $NA
  let row#q = (m + own + #qu * THREADS / UNITS) * p.a_row;
  var a#q = select(vec4u(), a[row#q + unit], unit < p.a_row);
$}
$for q $D
  let column#q = n + own + #qu * THREADS / UNITS;
  var b#q = b[column#q * p.b_column + unit];
  var zero#q = u32(zero_of(column#q, unit * 16u / $BLOCKu));
$}
  let row_s = (m + t / $Du) * blocks;
  let column_s = n + t / $Du * 4u;
  var s_a = select(0.0, scales_of_a[row_s + block_s], block_s < blocks);
  var s_b = scales_at(column_s, block_s * 32u / $BLOCKu);
  for (var block = 0u; block < blocks; block += $Du) {
$for q $NA
    tile_a[t + #qu * THREADS] = a#q;
$}
    // Columns 0, 4, 8, ... first, so that neighbouring threads read neighbours.
$for q $D
    tile_b[(unit * 4u + (column#q - n) % 4u) * 16u + (column#q - n) / 4u] = words(b#q, zero#q);
$}
    if (t < ROWS * $Du) { scales_a[t] = s_a; }
    if (t < 16u * $Du) { scales_b[t] = s_b; }
    workgroupBarrier();
    let next = 2u * (block + $Du);
$for q $NA
    a#q = select(vec4u(), a[row#q + next + unit], next + unit < p.a_row);
$}
$for q $D
    b#q = b[column#q * p.b_column + next + unit];
    zero#q = u32(zero_of(column#q, (next + unit) * 16u / $BLOCKu));
$}
    s_a = select(0.0, scales_of_a[row_s + next / 2u + block_s], next / 2u + block_s < blocks);
    s_b = scales_at(column_s, (next / 2u + block_s) * 32u / $BLOCKu);
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
      let v#j = tile_b[((#du * 2u + #hu) * 4u + #ju) * 16u + local.x];
$}
$for i $TM
      let u#i = tile_a[(local.y + #iu * 8u) * UNITS + #du * 2u + #hu];
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
    c#i += (bitcast<vec4f>(vec4i(q#i_0, q#i_1, q#i_2, q#i_3)) - vec4f(BASE)) * (scales_a[(local.y + #iu * 8u) * $Du + #du] * s);
$}
    }
$}
    workgroupBarrier();
  }
$for i $TM
  store(0u, m + local.y + #iu * 8u, n + local.x * 4u, c#i);
$}
}
