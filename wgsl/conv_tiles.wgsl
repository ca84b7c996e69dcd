// A convolution as a product in tiles: rows of A are filters, columns of B the windows of the image, gathered on their way into the tile.
// $WX x $WY threads for each of $KS slices of a tile's $BK of k make $TM filters x $TN times 4 places each; the slices are added up at the end.
// p.parts workgroups may share the whole of k: then each makes sums of its own, which lie one behind the other.
// include snippets/product.wgsl
const ROWS = $TMu * $WYu;
const WIDE = $TNu * $WXu;
const DEPTH = $BKu / 4u;
const THREADS = $WXu * $WYu * $KSu;
// Fours along k in the tiles; strides are odd in units of what is written together, so that it falls into different banks.
const A_ROW = ROWS + 1u;
const B_LANE = WIDE + 2u;
const B_ROW = 4u * B_LANE;
const TILE_B = A_ROW * DEPTH;
const MADE = $TMu * $TNu;
var<workgroup> tile: array<vec4f, $TILE>;

@compute @workgroup_size($WX, $WY, $KS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) t: u32) {
  let start = starts(group.z / p.parts);
  let part = group.z % p.parts;
  let m = group.y * ROWS;
  let n = group.x * WIDE * 4u;
  // The place whose window this thread gathers.
  let place = t % (4u * WIDE);
  let own = n + place;
  var window = vec2i(vec2u(own % p.out_width, own / p.out_width) * vec2u(p.step_x, p.step_y)) - vec2i(i32(p.pad_x), i32(p.pad_y));
  if (own >= p.n) { window.y = -16777216; }
  let to_b = TILE_B + place % 4u * B_LANE + place / 4u;
  let at_a = t / DEPTH;
  let end = min(p.k, (part + 1u) * p.span);
$for i $TM {
$for j $TN {
  var c#i_#j = vec4f();
$}
$}
$for q $NA {
  var a#q = load_a(start.x + (m + at_a + #qu * (THREADS / DEPTH)) * p.a_row, part * p.span + t % DEPTH * 4u);
$}
$for q $NB {
  var b#q = windows_of(window, part * p.span + (t / (4u * WIDE) + #qu * (THREADS / 4u / WIDE)) * 4u);
$}
  for (var k = part * p.span; k < end; k += $BKu) {
$for q $NA {
    tile[t % DEPTH * A_ROW + at_a + #qu * (THREADS / DEPTH)] = a#q;
$}
$for q $NB {
    tile[to_b + (t / (4u * WIDE) + #qu * (THREADS / 4u / WIDE)) * B_ROW] = b#q;
$}
    workgroupBarrier();
$for q $NA {
    a#q = load_a(start.x + (m + at_a + #qu * (THREADS / DEPTH)) * p.a_row, k + $BKu + t % DEPTH * 4u);
$}
$for q $NB {
    b#q = windows_of(window, k + $BKu + (t / (4u * WIDE) + #qu * (THREADS / 4u / WIDE)) * 4u);
$}
$for q $NK {
    {
      let q#q = local.z * $NKu + #qu;
$for i $TM {
      let u#i = tile[q#q * A_ROW + local.y + #iu * $WYu];
$}
$for j $TN {
      let at#j = TILE_B + q#q * B_ROW + #ju * $WXu + local.x;
      let v#j = transpose(mat4x4f(tile[at#j], tile[at#j + B_LANE], tile[at#j + 2u * B_LANE], tile[at#j + 3u * B_LANE]));
$}
$for l 4 {
$for i $TM {
$for j $TN {
      c#i_#j = fma(vec4f(u#i[#l]), v#j[#l], c#i_#j);
$}
$}
$}
    }
$}
    workgroupBarrier();
  }
  // Half of the slices give their sums to the other half, until one has all.
$for h $HALVES {
  {
    let half = $KSu >> (#hu + 1u);
    let to = local.z % half * $WXu * $WYu + local.y * $WXu + local.x;
    if (local.z >= half && local.z < 2u * half) {
$for i $TM {
$for j $TN {
      tile[(#iu * $TNu + #ju) * (half * $WXu * $WYu) + to] = c#i_#j;
$}
$}
    }
    workgroupBarrier();
    if (local.z < half) {
$for i $TM {
$for j $TN {
      c#i_#j += tile[(#iu * $TNu + #ju) * (half * $WXu * $WYu) + to];
$}
$}
    }
    workgroupBarrier();
  }
$}
  if (local.z > 0u) { return; }
$for i $TM {
$for j $TN {
  store(start.z + part * p.size, m + local.y + #iu * $WYu, n + (#ju * $WXu + local.x) * 4u, c#i_#j);
$}
$}
}
